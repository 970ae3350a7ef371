"""F9 and F10: many processes at once, writing the same, reading, and removing."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from harness import ways
from harness.outcomes import Outcome, fault
from harness.processes import Child, Tell, end_of, fork, kill, next_told
from harness.shim import slow_disk
from unweave._errors import MissingObjectError
from unweave.references import Store, index, read_verified
from unweave.references.care import gc, verify
from unweave.references.leases import lease

WRITERS = 8
KEYS = 50


@fault("F9", f"{WRITERS} processes write the same {KEYS} keys, with other notes", smoke=1, full=20)
def same_keys(count: int, folder: Path) -> Outcome:
    total = Outcome()
    for number in range(count):
        store = Store(folder / str(number))
        store.check_writable()
        start = time.monotonic() + 0.2

        def write(tell: Tell, store: Store = store, start: float = start) -> None:
            order = list(range(KEYS))
            by = os.getpid()
            random.Random(by).shuffle(order)
            time.sleep(max(0.0, start - time.monotonic()))
            for one in order:
                store.write([ways.entry(one, size=300, by=by)])
                index.touch(store, [ways.key(one)])
                tell(one)

        for code, told in [end_of(one) for one in [fork(write) for _ in range(WRITERS)]]:
            total.done += len(told)
            if code != 0:
                total.wrong.append(f"a writer ended with {code} after {len(told)} objects")
        total.add(ways.look_at_objects(store.root, list(range(KEYS))))
        listed = list(store.keys())
        if len(listed) != KEYS:
            total.wrong.append(f"{len(listed)} objects of {KEYS} keys")
        health = verify(store)
        if not health.sound or health.left:
            total.wrong.append(f"verify: {health}")
    total.notes = f"{total.done} writes, one object for each key, no writer turned away"
    return total


# Readers, writers and a remover


LEASED = range(1000, 1020)
"""Numbers of the objects that a run at work needs."""

ROLLING = 60
"""How many other numbers there are."""


def _until(end: float, work: Callable[[int], object], tell: Tell) -> None:
    """Do something again and again; tell how often when the time is over."""
    number = 0
    while time.monotonic() < end:
        work(number)
        number += 1
    tell(number)


def _read(store: Store, end: float, tell: Tell) -> None:
    """Read what is listed: each object is whole, or gone by now."""
    reads = 0
    while time.monotonic() < end:
        for one in list(store.keys()):
            try:
                if not ways.is_itself(store, one):
                    raise AssertionError(f"{one} is not itself")
                reads += 1
            except MissingObjectError:
                continue
    tell(reads)


def _write(store: Store, end: float, tell: Tell, seed: int) -> None:
    slow_disk()
    rng = random.Random(seed)
    _until(end, lambda number: store.write([ways.entry(rng.randrange(ROLLING), size=2000)]), tell)


def _use(store: Store, end: float, tell: Tell) -> None:
    """A run at work: what it leased, it finds, as soon as it has written it and as long as it lives."""
    with lease(store.root, [ways.key(number) for number in LEASED]):
        store.write([ways.entry(number, size=50) for number in LEASED])

        def work(number: int) -> None:
            one = ways.key(LEASED[number % len(LEASED)])
            if not (store.has(one) and ways.is_itself(store, one)):
                raise AssertionError(f"{one} was leased and is gone")

        _until(end, work, tell)


def _remove(store: Store, end: float, tell: Tell) -> None:
    removed = 0
    rng = random.Random(7)
    while time.monotonic() < end:
        share = rng.randrange(2, 6)
        # The leased ones as well, if nobody minds.
        done = gc(store, stale=lambda fields, notes, share=share: fields["number"] % share == 0)
        removed += sum(done.objects.values())
        time.sleep(0.02)
    tell(removed)


def _look(store: Store, end: float, tell: Tell) -> None:
    _until(end, lambda number: index.touch(store, [row.key for row in index.stored_objects(store)[:5]]), tell)


@fault("F10", "readers, writers and a remover at once, by seconds", smoke=5, full=600)
def soak(count: int, folder: Path) -> Outcome:
    store, total = Store(folder / "store"), Outcome()
    store.check_writable()
    end = time.monotonic() + count
    roles: dict[str, Child] = {
        "reads": fork(lambda tell: _read(store, end, tell)),
        "more reads": fork(lambda tell: _read(store, end, tell)),
        "writes": fork(lambda tell: _write(store, end, tell, 1)),
        "more writes": fork(lambda tell: _write(store, end, tell, 2)),
        "uses of leased objects": fork(lambda tell: _use(store, end, tell)),
        "removals": fork(lambda tell: _remove(store, end, tell)),
        "looks at the index": fork(lambda tell: _look(store, end, tell)),
    }
    did: dict[str, int] = {}
    for name, child in roles.items():
        did[name] = next_told(child) or 0
        code, _ = end_of(child)
        if code != 0:
            total.corrupt.append(f"{name} ended with {code}")
        if did[name] == 0:
            total.wrong.append(f"no {name}")
    total.done = sum(did.values())
    total.add(ways.look_at_objects(store.root, list(LEASED)))
    health = verify(store)
    if health.bad:
        total.corrupt.append(f"verify: {health}")
    # The run is over, so that nothing is leased any more.
    gc(store, stale=lambda fields, notes: True)
    if list(store.keys()) or list((store.root / "leases").iterdir()):
        total.wrong.append("something outlives the run that leased it")
    total.notes = ", ".join(f"{name} {number}" for name, number in did.items())
    return total


@fault("F10", "runs that are killed while a remover is at work", smoke=10, full=100)
def killed_users(count: int, folder: Path) -> Outcome:
    """A lease protects as long as its run lives, and not a moment longer."""
    store, total = Store(folder / "store"), Outcome()
    store.check_writable()
    for number in range(count):

        def use(tell: Tell, number: int = number) -> None:
            with lease(store.root, [ways.key(number)]):
                store.write([ways.entry(number, size=50)])
                tell(number)
                time.sleep(60)

        child = fork(use)
        next_told(child)
        gc(store, stale=lambda fields, notes: True)
        if not store.has(ways.key(number)):
            total.lost.append(f"object {number} was leased and is gone")
        kill(child)
        gc(store, stale=lambda fields, notes: True)
        if store.has(ways.key(number)):
            total.wrong.append(f"object {number} is kept for a dead run")
        total.done += 1
    return total


@fault("F8", "four processes meet the same bad object", smoke=20, full=300)
def same_bad_object(count: int, folder: Path) -> Outcome:
    store, total = Store(folder / "store"), Outcome()
    store.check_writable()
    store.write([ways.entry(number, size=20) for number in range(3)])
    for number in range(count):
        store.paths(ways.key(0))[number % 2].write_bytes(b"bad")
        start = time.monotonic() + 0.02

        def meet(tell: Tell, start: float = start) -> None:
            time.sleep(max(0.0, start - time.monotonic()))
            for one in range(3):
                if read_verified(store, ways.key(one)) is None:
                    tell(one)
                    store.write([ways.entry(one, size=20)])
                if not ways.is_itself(store, ways.key(one)):
                    raise AssertionError(f"object {one} is not itself")

        for code, told in [end_of(one) for one in [fork(meet) for _ in range(4)]]:
            if code != 0:
                total.wrong.append(f"round {number}: a run ended with {code}")
            total.lost += [f"round {number}: object {one} went with the bad one" for one in told if one != 0]
        total.done += 1
        if len(store.quarantined()) != total.done:
            total.wrong.append(f"round {number}: {len(store.quarantined())} set aside of {total.done}")
    return total


@fault("F9", f"{WRITERS} processes are the first to use an index, by rounds", smoke=15, full=150)
def index_begun_at_once(count: int, folder: Path) -> Outcome:
    total = Outcome()
    for number in range(count):
        store = Store(folder / str(number))
        store.check_writable()
        store.write([ways.entry(0, size=4)])
        start = time.monotonic() + 0.03

        def use(tell: Tell, store: Store = store, start: float = start) -> None:
            time.sleep(max(0.0, start - time.monotonic()))
            index.touch(store, [ways.key(0)], now=1.0)
            tell(0)

        for code, told in [end_of(one) for one in [fork(use) for _ in range(WRITERS)]]:
            total.done += len(told)
            if code != 0:
                total.wrong.append(f"round {number}: a process ended with {code}")
        if [row.used for row in index.stored_objects(store)] != [1.0]:
            total.lost.append(f"round {number}: the note of use")
        shutil.rmtree(store.root)
    return total
