"""F5 to F8 and F18: files that do not hold any more what was written to them."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import ways
from harness.outcomes import Outcome, fault
from unweave.references import Store, index, read_verified, unseal
from unweave.references.care import verify

SIZES = (3, 40, 700, 4000)
"""Numbers in the arrays of the objects that are damaged."""

Damage = Callable[[bytes, random.Random], bytes]


def _store(folder: Path) -> Store:
    store = Store(folder / "store")
    store.check_writable()
    store.write([ways.entry(number, size) for number, size in enumerate(SIZES)])
    return store


# Kinds of damage


def torn(content: bytes, rng: random.Random) -> bytes:
    """A sector, a page or the tail that never reached the disk: zeros or what was there before."""
    kind = rng.randrange(3)
    length = (512, 4096, rng.randint(1, len(content)))[kind]
    if kind == 2:
        start = len(content) - length
    else:
        start = rng.randrange(0, max(1, -(-len(content) // length))) * length
    piece = content[start : start + length]
    other = bytes(len(piece)) if rng.random() < 0.5 else rng.randbytes(len(piece))
    return content[:start] + other + content[start + length :]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """One bit the other way."""
    bit = rng.randrange(8 * len(content))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def resized(content: bytes, rng: random.Random) -> bytes:
    """Cut anywhere, or with bytes after its end."""
    if rng.random() < 0.5:
        return content[: rng.randrange(len(content))]
    return content + rng.randbytes(rng.choice((1, 2, 512, 4096)))


def cuts(content: bytes) -> Iterator[bytes]:
    """Nothing, and what is left at every power of two; one byte less, one more."""
    yield b""
    for power in range(len(content).bit_length()):
        if 2**power < len(content):
            yield content[: 2**power]
    yield content[:-1]
    yield content + b"\0"
    yield content + content


def _changed(content: bytes, damage: Damage, rng: random.Random) -> bytes:
    """The content after damage, which is none if not one byte differs."""
    while (made := damage(content, rng)) == content:
        pass
    return made


# Objects


def _of_objects(count: int, folder: Path, damage: Damage, files: tuple[int, ...]) -> Outcome:
    """Damage files of objects; each tenth object is also made anew."""
    store, total, rng = _store(folder), Outcome(), random.Random(0)
    for number in range(count):
        which = number % len(SIZES)
        path = store.paths(ways.key(which))[files[number // len(SIZES) % len(files)]]
        content = path.read_bytes()
        _damaged(store, which, path, _changed(content, damage, rng), total, anew=number % 10 == 0)
        path.write_bytes(content)
    total.notes = f"{-(-count // 10)} were set aside, named, and made anew"
    return total


def _damaged(store: Store, which: int, path: Path, made: bytes, total: Outcome, *, anew: bool) -> None:
    """Put damaged content in place of an object's, and see that nobody takes it."""
    one = ways.key(which)
    path.write_bytes(made)
    total.done += 1
    if not ways.refuses(store, one):
        total.corrupt.append(f"{path.name}: damage passes")
    if not anew:
        return
    before = store.quarantined()
    others = [key for key in store.keys() if key != one]  # noqa: SIM118
    if read_verified(store, one) is not None:
        total.corrupt.append(f"{path.name}: a damaged object is used")
    if store.has(one) or not [name for name in store.quarantined() - before if name.startswith(one)]:
        total.wrong.append(f"{path.name}: the bad object was not set aside by its name")
    store.write([ways.entry(which, SIZES[which])])
    if not ways.is_itself(store, one):
        total.corrupt.append(f"{path.name}: not made anew")
    total.lost += [f"{key} went with a bad one" for key in others if not store.has(key)]
    shutil.rmtree(store.root / "quarantine")


@fault("F5", "torn writes in objects and sidecars", smoke=50, full=500)
def torn_objects(count: int, folder: Path) -> Outcome:
    return _of_objects(count, folder, torn, (0, 1))


@fault("F6", "a flipped bit in arrays", smoke=100, full=2000)
def flips_in_arrays(count: int, folder: Path) -> Outcome:
    return _of_objects(count, folder, flipped, (0,))


@fault("F6", "a flipped bit in sidecars", smoke=50, full=500)
def flips_in_sidecars(count: int, folder: Path) -> Outcome:
    return _of_objects(count, folder, flipped, (1,))


@fault("F7", "objects cut anywhere or with bytes after their end", smoke=50, full=200)
def resized_objects(count: int, folder: Path) -> Outcome:
    return _of_objects(count, folder, resized, (0, 1))


@fault("F7", "objects cut at every power of two, empty, doubled", smoke=1, full=1)
def cut_objects(count: int, folder: Path) -> Outcome:
    store, total = _store(folder), Outcome()
    for which in range(len(SIZES)):
        for path in store.paths(ways.key(which)):
            content = path.read_bytes()
            for made in cuts(content):
                _damaged(store, which, path, made, total, anew=False)
            path.write_bytes(content)
    return total


@fault("F8", "valid files of another object, and lost ones", smoke=1, full=1)
def swapped_objects(count: int, folder: Path) -> Outcome:
    store, total = _store(folder), Outcome()
    store.write([ways.entry(9, SIZES[0])])  # of the same size as the first
    numbers = (*range(len(SIZES)), 9)
    for which in range(len(SIZES)):
        own = store.paths(ways.key(which))
        kept = [path.read_bytes() for path in own]
        for other in numbers:
            if other == which:
                continue
            foreign = [path.read_bytes() for path in store.paths(ways.key(other))]
            for files in ((0,), (1,), (0, 1)):
                for file in files:
                    own[file].write_bytes(foreign[file])
                total.done += 1
                if not ways.refuses(store, ways.key(which)):
                    total.corrupt.append(f"object {other} passes for {which}, files {files}")
                for path, content in zip(own, kept, strict=True):
                    path.write_bytes(content)
        own[0].unlink()
        total.done += 1
        if not ways.refuses(store, ways.key(which)) or read_verified(store, ways.key(which)) is not None:
            total.corrupt.append(f"object {which} is used without its arrays")
        store.write([ways.entry(which, SIZES[which])])
        own[1].unlink()
        total.done += 1
        if store.has(ways.key(which)):
            total.corrupt.append(f"object {which} counts without its sidecar")
        store.write([ways.entry(which, SIZES[which])])
        if not ways.is_itself(store, ways.key(which)):
            total.corrupt.append(f"object {which} was not made anew")
    return total


@fault("F6", "the same flips, for a reader that trusts safetensors", smoke=100, full=2000, control=True)
def flips_without_digests(count: int, folder: Path) -> Outcome:
    store, total, rng = _store(folder), Outcome(), random.Random(0)
    for number in range(count):
        which = number % len(SIZES)
        path = store.paths(ways.key(which))[0]
        content = path.read_bytes()
        path.write_bytes(_changed(content, flipped, rng))
        total.done += 1
        if ways.key(which) in ways.unverified(store.root):
            total.corrupt.append(f"{path.name}: a flip passes")
        path.write_bytes(content)
    total.notes = f"it took {len(total.corrupt)} of {count}"
    return total


# Records of data, and the index


@fault("F6", "a flipped bit, a cut or a tear in the record of the data", smoke=50, full=500)
def damaged_data(count: int, folder: Path) -> Outcome:
    total, rng, root = Outcome(), random.Random(0), folder / "store"
    Store(root).check_writable()
    ways.DATA.write(root, 1)
    (file,) = (root / "data").glob("*.json")
    content = file.read_bytes()
    for number in range(count):
        file.write_bytes(_changed(content, (flipped, torn, resized)[number % 3], rng))
        total.done += 1
        try:
            unseal(file.read_bytes())
            total.corrupt.append(f"damage {number} passes")
        except ValueError:
            pass
        if number % 10 == 0:
            if verify(Store(root)).sound:
                total.corrupt.append(f"verify passes damage {number}")
            ways.DATA.write(root, 1)
            if file.read_bytes() != content:
                total.wrong.append("the record was not made anew")
        file.write_bytes(content)
    return total


def _rows(store: Store) -> list[index.StoredObject]:
    return [row._replace(used=0.0) for row in index.stored_objects(store)]


@fault("F6", "a flipped bit or a tear in the index", smoke=40, full=500)
def damaged_index(count: int, folder: Path) -> Outcome:
    """Half of them are met by a question, half by `verify`."""
    total, rng, root = Outcome(), random.Random(0), folder / "store"
    store = Store(root)
    ways.INDEX.prepare(root)
    true = _rows(store)
    with sqlite3.connect(root / index.NAME) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = (root / index.NAME).read_bytes()
    named = 0
    for number in range(count):
        index.remove(root)
        (root / index.NAME).write_bytes(_changed(whole, flipped if number % 4 < 2 else torn, rng))
        total.done += 1
        if number % 2:
            health = verify(store)
            named += health.index_differed
            if health.bad or health.objects != len(true):
                total.lost.append(f"damage {number}: objects are missed")
        try:
            if _rows(store) != true:
                total.corrupt.append(f"damage {number} shows")
        except Exception as error:  # noqa: BLE001 - a damaged index is never the end of a run
            total.wrong.append(f"damage {number}: {type(error).__name__}: {error}")
            continue
        if verify(store).index_differed:
            total.corrupt.append(f"damage {number} is there after it was met")
    total.notes = (
        f"every answer was right; of {count // 2} that it met first verify named {named}, others hit no row"
    )
    return total


# One of many


@fault("F18", "one bad object in 300", smoke=3, full=30)
def one_in_many(count: int, folder: Path) -> Outcome:
    store, total, rng = Store(folder / "store"), Outcome(), random.Random(0)
    store.check_writable()
    store.write([ways.entry(number, size=8) for number in range(300)])
    everything = set(store.keys())
    for _ in range(count):
        which = rng.randrange(300)
        bad = ways.key(which)
        path = rng.choice(store.paths(bad))
        path.write_bytes(_changed(path.read_bytes(), rng.choice((flipped, torn, resized)), rng))
        total.done += 1
        health = verify(store)
        if [key for key, _ in health.bad] != [bad] or health.objects != 300:
            total.wrong.append(f"verify names {health.bad}, not {bad}")
        good = {key for key in everything if read_verified(store, key) is not None}
        if bad in good:
            total.corrupt.append(f"{bad} is used")
        total.lost += sorted(everything - {bad} - good)
        if {name[:64] for name in store.quarantined()} != {bad}:
            total.wrong.append("quarantine does not name it")
        store.write([ways.entry(which, size=8)])
        if not verify(store).sound or set(store.keys()) != everything:
            total.wrong.append("it was not made anew")
        shutil.rmtree(store.root / "quarantine")
    total.notes = "299 listed and used each time, the bad one named and made anew"
    return total


@fault("F8", "objects that vanish while they are listed and read", smoke=50, full=500)
def vanishing_objects(count: int, folder: Path) -> Outcome:
    store, total, rng = _store(folder), Outcome(), random.Random(0)
    for number in range(count):
        which = number % len(SIZES)
        for path in rng.sample(store.paths(ways.key(which)), rng.randint(1, 2)):
            os.unlink(path)
        total.done += 1
        if read_verified(store, ways.key(which)) is not None:
            total.corrupt.append(f"object {which} is used")
        store.write([ways.entry(which, SIZES[which])])
        if not ways.is_itself(store, ways.key(which)):
            total.corrupt.append(f"object {which} was not made anew")
    return total
