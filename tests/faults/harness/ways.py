"""The four ways by which unweave writes files that matter, each with what must hold of them at any moment.

Every writer writes number 0, 1, 2, … for ever and tells each one once it is committed; what is found afterwards is
held against what it told.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from harness.outcomes import Outcome
from harness.processes import Tell
from unweave._errors import CorruptObjectError, StoreError
from unweave.cli.files import write_file
from unweave.problem import DataChoice
from unweave.references import Entry, Store, index, key_of, seal, unseal
from unweave.references.care import gc, verify


class Way(NamedTuple):
    """A way to write.

    Attributes:
        write: Write this number below a folder.
        look: What is wrong in the folder when these were told, and no more than one after them begun.
        again: What else the next process does there: it must go on as if nothing had been.
        prepare: What is there before.
    """

    write: Callable[[Path, int], None]
    look: Callable[[Path, list[int]], Outcome]
    again: Callable[[Path], None]
    prepare: Callable[[Path], None] = lambda root: None


def write_for_ever(way: Way, root: Path, tell: Tell) -> None:
    """Write one number after the other."""
    number = 0
    while True:
        way.write(root, number)
        tell(number)
        number += 1


# Objects of a store


def entry(number: int, size: int = 4000, **notes: Any) -> Entry:
    """An object that says itself what it should hold."""
    fields = {"kind": "model", "number": number}
    return Entry(fields, {"a": np.full(size, number, np.int64)}, {"n": number, "size": size, **notes})


def key(number: int) -> str:
    """The key of `entry(number)`."""
    return key_of({"kind": "model", "number": number})


def is_itself(store: Store, one: str) -> bool:
    """Whether an object that can be read holds what it should; raises what `read` raises."""
    arrays, notes = store.read(one)
    a = arrays["a"]
    return one == key(notes["n"]) and a.shape == (notes["size"],) and bool((a == notes["n"]).all())


def look_at_objects(root: Path, told: list[int]) -> Outcome:
    """Every object that counts is read; other files are temporary, or whole arrays that count for nothing yet."""
    from safetensors.numpy import load

    store, found = Store(root), Outcome()
    listed = set(store.keys())
    for one in listed:
        try:
            if not is_itself(store, one):
                found.corrupt.append(f"object {one} is not itself")
        except StoreError as error:
            found.corrupt.append(str(error))
    found.lost += [f"object {number}" for number in told if key(number) not in listed]
    for path in (root / "objects").rglob("*"):
        if path.suffix == ".safetensors" and path.stem not in listed:
            try:
                load(path.read_bytes())
            except Exception as error:  # noqa: BLE001 - whatever says that it is not whole
                found.wrong.append(f"{path.name} is in the making under its own name: {error}")
        elif path.is_file() and path.suffix not in (".tmp", ".json", ".safetensors"):
            found.wrong.append(f"{path.name} was left")
    return found


def _write_object(root: Path, number: int) -> None:
    store = Store(root)
    if number == 0:  # as every run begins
        store.check_writable()
    store.write([entry(number)])


def _write_and_clean(root: Path) -> None:
    store = Store(root)
    store.check_writable()
    before = set(store.keys())
    store.write([entry(0), entry(1)])
    gc(store)
    if verify(store)._replace(objects=0, bytes=0) != (0, 0, (), (), False, 0, 0):
        raise AssertionError(f"the store is not sound: {verify(store)}")
    if gone := before - set(store.keys()):
        raise AssertionError(f"cleaning removed {gone}")


OBJECTS = Way(_write_object, look_at_objects, _write_and_clean)


# A file of results


def _write_result(root: Path, number: int) -> None:
    write_file(root / "result.json", _result(number))


def _result(number: int) -> str:
    return seal({"number": number, "rows": [number] * 3000}).decode()


def _look_at_result(root: Path, told: list[int]) -> Outcome:
    found, file = Outcome(), root / "result.json"
    try:
        number = unseal(file.read_bytes())["number"]
    except FileNotFoundError:
        number = -1
    except ValueError as error:
        found.corrupt.append(f"{file.name}: {error}")
        return found
    _compare(found, number, told)
    found.wrong += _strays(root, {"result.json"})
    return found


def _compare(found: Outcome, number: int, told: list[int]) -> None:
    """What is there must be what was told last, or the one after it, whose writer did not live to tell."""
    last = told[-1] if told else -1
    if number < last:
        found.lost.append(f"number {last}: {number} is there")
    if number > last + 1:
        found.wrong.append(f"number {number} is there, and {last} was told")


def _strays(root: Path, names: set[str]) -> list[str]:
    return [f"{path.name} was left" for path in root.iterdir() if path.name not in names and path.suffix != ".tmp"]


RESULTS = Way(_write_result, _look_at_result, lambda root: _write_result(root, 0))


# What a store remembers of the data


def _check_data(root: Path, number: int) -> None:
    from unweave.study.manifest import check_unchanged

    rows = 400
    part = SimpleNamespace(
        x=np.full((rows, 2), number, np.float32),
        y=np.zeros(rows, np.int64),
        ids=np.array([number, *range(1, rows)]),
        columns={},
    )
    found = f"{number:016x}"
    assembly: Any = SimpleNamespace(
        case=SimpleNamespace(data=DataChoice("digits", fingerprint=found)),
        data=SimpleNamespace(train=part),
        setting=SimpleNamespace(origin=SimpleNamespace(fingerprint=found)),
    )
    check_unchanged(Store(root), assembly)


def _look_at_data(root: Path, told: list[int]) -> Outcome:
    found = Outcome()
    files = sorted((root / "data").glob("*.json"))
    number = -1
    for file in files:
        try:
            tree = unseal(file.read_bytes())
            number = int(tree["fingerprint"], 16)
            if tree["ids"][0] != number:
                found.corrupt.append(f"{file.name} is of two states")
        except ValueError as error:
            found.corrupt.append(f"{file.name}: {error}")
            return found
    if len(files) > 1:
        found.wrong.append(f"{len(files)} records of one choice of data")
    _compare(found, number, told)
    if files:
        found.wrong += _strays(root / "data", {files[0].name})
    return found


DATA = Way(_check_data, _look_at_data, lambda root: _check_data(root, 0))


# The index


INDEXED = 12


def _prepare_index(root: Path) -> None:
    store = Store(root)
    store.check_writable()
    store.write([entry(number, size=4) for number in range(INDEXED)])
    index.touch(store, [key(number) for number in range(INDEXED)], now=-1.0)


def _write_index(root: Path, number: int) -> None:
    store = Store(root)
    if number % 4 == 3:
        store.write([entry(INDEXED + number, size=4)])
    index.touch(store, [key(one) for one in range(INDEXED)], now=float(number))


def _look_at_index(root: Path, told: list[int]) -> Outcome:
    found, store = Outcome(), Store(root)
    try:
        rows = {row.key: row for row in index.stored_objects(store)}
    except (StoreError, sqlite3.Error) as error:
        found.corrupt.append(f"the index: {error}")
        return found
    if set(rows) != set(store.keys()):
        found.corrupt.append("the index lists other objects than there are")
    used = {rows[key(number)].used for number in range(INDEXED) if key(number) in rows}
    if len(used) != 1:
        found.corrupt.append(f"a note of use is there in part: {sorted(used)}")
    _compare(found, int(min(used, default=-1)), told)
    if verify(store).index_differed:
        found.corrupt.append("the index is not what the objects say")
    return found


def _use_index(root: Path) -> None:
    index.touch(Store(root), [key(0)], now=1e9)
    used = {row.key: row.used for row in index.stored_objects(Store(root))}
    if used[key(0)] != 1e9:
        raise AssertionError("the index takes no note any more")


INDEX = Way(_write_index, _look_at_index, _use_index, _prepare_index)

WAYS = {"objects": OBJECTS, "results": RESULTS, "data": DATA, "index": INDEX}


# Writers that are wrong on purpose


def in_place(path: Path, content: bytes) -> None:
    """No temporary file, no rename."""
    from unweave import _durable

    with getattr(_durable, "open", open)(path, "wb") as handle:
        handle.write(content)


class SidecarFirst:
    """Durable writing, but in the wrong order."""

    def __init__(self, durably: Callable[[Path, bytes], None]) -> None:
        self.durably = durably
        self.held: list[tuple[Path, bytes]] = []

    def __call__(self, path: Path, content: bytes) -> None:
        """Hold the arrays back until the sidecar is written."""
        self.held.append((path, content))
        if path.suffix == ".json":
            while self.held:
                self.durably(*self.held.pop())


def touched_row_by_row(store: Store, keys: list[str], *, now: float) -> None:
    """An index that notes one object after the other."""
    for one in keys:
        index_touch(store, [one], now=now)


index_touch = index.touch


def unverified(root: Path) -> list[str]:
    """Keys whose object a reader that trusts the format of its files would take."""
    from safetensors.numpy import load

    taken: list[str] = []
    for path in (root / "objects").rglob("*.safetensors"):
        try:
            load(path.read_bytes())
            json.loads(path.with_suffix(".json").read_bytes())
            taken.append(path.stem)
        except Exception:  # noqa: BLE001, S112 - whatever it notices
            continue
    return taken


def refuses(store: Store, one: str) -> bool:
    """Whether the store says that this object is corrupt, by its key and folder."""
    try:
        store.read(one)
    except CorruptObjectError as error:
        return one in str(error) and str(store.root) in str(error)
    return False
