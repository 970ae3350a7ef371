"""F2: system calls that fail, one after the other, once or from then on."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from harness import ways
from harness.outcomes import Outcome, Skip, fault
from harness.processes import end_of, fork, next_told
from harness.shim import CALLS, watched
from unweave._errors import StoreError, UserError
from unweave.references import Store, index
from unweave.references.care import gc, verify
from unweave.references.leases import lease
from unweave.references.locks import alone

Spot = tuple[str, str]


class Work(NamedTuple):
    """Something that a process does to files.

    Attributes:
        prepare: What is there before.
        act: Does it; doing it twice must do no harm.
        look: What is wrong after it failed or not.
        errors: What it may raise, with the system's reason in words.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    look: Callable[[Path], Outcome]
    errors: tuple[type[Exception], ...] = (StoreError,)


def _one_object(root: Path) -> None:
    store = Store(root)
    store.check_writable()
    store.write([ways.entry(0)])


def _write_two(root: Path) -> None:
    Store(root).write([ways.entry(1), ways.entry(2)])


def _look_for(*numbers: int) -> Callable[[Path], Outcome]:
    return lambda root: ways.look_at_objects(root, list(numbers))


def _spoil_one(root: Path) -> None:
    _one_object(root)
    Store(root).write([ways.entry(1)])
    Store(root).paths(ways.key(1))[0].write_bytes(b"bad")


def _look_at_spoilt(root: Path) -> Outcome:
    """The bad object is where it was, or in quarantine, and good objects stay."""
    store, found = Store(root), Outcome()
    if store.has(ways.key(1)) and not ways.refuses(store, ways.key(1)):
        found.corrupt.append("a bad object is read")
    if not ways.is_itself(store, ways.key(0)):
        found.corrupt.append("a good object is not itself")
    return found


def _litter(root: Path) -> None:
    _spoil_one(root)
    store = Store(root)
    store.set_aside(ways.key(1))
    store.write([ways.entry(number) for number in range(2, 6)])
    store.paths(ways.key(2))[1].unlink()
    (store.paths(ways.key(3))[0].parent / ".half.0123.tmp").write_bytes(b"half")


def _clean(root: Path) -> None:
    gc(Store(root), stale=lambda fields, notes: fields["number"] == 4)


def _look_at_cleaned(root: Path) -> Outcome:
    return ways.look_at_objects(root, [0, 3, 5])


def _hold(root: Path) -> None:
    with lease(root, [ways.key(0)]):
        pass


def _look_at_leases(root: Path) -> Outcome:
    found = _look_for(0)(root)
    # A lease that stays behind would keep objects for ever if it were locked still.
    gc(Store(root), stale=lambda fields, notes: False)
    found.wrong += [f"a lease stays: {path.name}" for path in (root / "leases").glob("*")]
    return found


def _result(number: int) -> Callable[[Path], None]:
    return lambda root: ways.RESULTS.write(root, number)


WORKS = {
    "writing objects": Work(_one_object, _write_two, _look_for(0)),
    "checking a store": Work(lambda root: None, lambda root: Store(root).check_writable(), _look_for()),
    "setting a bad object aside": Work(
        _spoil_one, lambda root: Store(root).set_aside(ways.key(1)) and None, _look_at_spoilt
    ),
    "removing": Work(_litter, _clean, _look_at_cleaned),
    "leasing": Work(_one_object, _hold, _look_at_leases),
    "the record of the data": Work(
        lambda root: ways.DATA.write(root, 0),
        lambda root: ways.DATA.write(root, 1),
        lambda root: ways.DATA.look(root, [0]),
    ),
    "a file of results": Work(_result(0), _result(1), lambda root: ways.RESULTS.look(root, [0]), (UserError,)),
}


@fault("F2", "each call of a write path fails once or from then on, EIO or ENOSPC", smoke=2, full=4)
def failing_calls(count: int, folder: Path) -> Outcome:
    total, seen = Outcome(), set[str]()
    kinds = [(errno.EIO, False), (errno.ENOSPC, True), (errno.ENOSPC, False), (errno.EIO, True)]
    for name, work in WORKS.items():
        template = folder / "before"
        template.mkdir()
        work.prepare(template)
        for code, persistent in kinds[:count]:
            total.add(_sweep(name, work, template, folder / "now", code, persistent, seen))
        shutil.rmtree(template)
    if seen != set(CALLS.values()):
        total.wrong.append(f"never failed: {set(CALLS.values()) - seen}")
    total.notes = f"{len(WORKS)} kinds of work; {', '.join(sorted(seen))}"
    return total


def _sweep(
    name: str, work: Work, template: Path, root: Path, code: int, persistent: bool, seen: set[str]
) -> Outcome:
    found = Outcome()
    for k in itertools.count(1):
        shutil.copytree(template, root)
        count, spots = 0, list[Spot]()

        def fail(what: str, path: str, k: int = k, spots: list[Spot] = spots) -> None:
            nonlocal count
            count += 1
            if count == k or (persistent and count > k):
                spots.append((what, path))
                seen.add(what)
                raise OSError(code, os.strerror(code), path)

        where = f"{name}, call {k}"
        try:
            with watched(root, fail):
                work.act(root)
        except work.errors as error:
            said = str(error)
            if os.strerror(code) not in said or str(root) not in said:
                found.wrong.append(f"{where}: the error says too little: {error}")
        except Exception as error:  # noqa: BLE001 - any other error is one that nobody expects
            found.wrong.append(f"{where} ({spots[:1]}): {type(error).__name__}: {error}")
        if not spots:
            shutil.rmtree(root)
            return found
        found.done += 1
        if not any(what == "unlink" for what, _ in spots):  # what cannot be removed stays, and counts for nothing
            new = {path.name for path in root.rglob("*.tmp")} - {path.name for path in template.rglob("*.tmp")}
            found.wrong += [f"{where}: {one} was left" for one in new]
        found.add(_after(where, work, root))
        shutil.rmtree(root)
    raise AssertionError("a sweep has an end")


def _after(where: str, work: Work, root: Path) -> Outcome:
    """What is wrong after a fault, and after the same work is done again without one."""
    found = Outcome()
    try:
        found.add(work.look(root))
        work.act(root)
        if (root / "locks").exists():
            with alone(root):  # no lock was kept
                pass
        found.add(work.look(root))
    except Exception as error:  # noqa: BLE001 - whatever it was, work does not go on
        found.wrong.append(f"afterwards: {type(error).__name__}: {error}")
    for kind in (found.corrupt, found.lost, found.wrong):
        kind[:] = [f"{where}: {one}" for one in kind]
    return found


# The same from outside, which reaches SQLite as well


def _use_index(root: Path) -> None:
    store = Store(root)
    store.write([ways.entry(100, size=4)])
    index.touch(store, [ways.key(number) for number in range(ways.INDEXED)], now=5.0)
    if {row.key for row in index.stored_objects(store)} != set(store.keys()):
        raise AssertionError("the index lists other objects than there are")


def _look_at_index(root: Path) -> Outcome:
    found = ways.look_at_objects(root, list(range(ways.INDEXED)))
    health = verify(Store(root))
    if health.bad:
        found.corrupt += [str(one) for one in health.bad]
    if {row.key for row in index.stored_objects(Store(root))} != set(Store(root).keys()):
        found.corrupt.append("the index lists other objects than there are")
    return found


OUTSIDE = {
    "writing objects": Work(_one_object, _write_two, _look_for(0)),
    "the index": Work(ways.INDEX.prepare, _use_index, _look_at_index),
    "the record of the data": WORKS["the record of the data"],
    "a file of results": WORKS["a file of results"],
}

# strace does not do what it makes fail, and a descriptor that cannot be closed is none of Linux: no `close` here.
SYSTEM_CALLS = {
    "writing objects": ("openat", "write", "fsync", "rename", "flock"),
    "the index": ("openat", "pread64", "pwrite64", "fdatasync", "fsync", "ftruncate", "write", "rename"),
    "the record of the data": ("openat", "write", "fsync", "rename"),
    "a file of results": ("openat", "write", "fsync", "rename"),
}


@fault("F2", "the same by strace, SQLite as well", smoke=0, full=40)
def failing_system_calls(count: int, folder: Path) -> Outcome:
    if shutil.which("strace") is None:
        raise Skip("no strace")
    total = Outcome()
    for name, work in OUTSIDE.items():
        template = folder / "before"
        template.mkdir()
        work.prepare(template)
        for call, error, when in itertools.product(SYSTEM_CALLS[name], ("EIO", "ENOSPC"), ("", "+")):
            for k in range(1, count + 1):
                shutil.copytree(template, folder / "now")
                hit, found = _injected(
                    f"{name}, {call} {k}{when} {error}", work, folder, call, error, f"{k}{when}"
                )
                total.add(found)
                shutil.rmtree(folder / "now")
                if not hit:
                    break
        shutil.rmtree(template)
    total.notes = f"{len(OUTSIDE)} kinds of work, up to {count} calls of each kind"
    return total


def _injected(where: str, work: Work, folder: Path, call: str, error: str, when: str) -> tuple[bool, Outcome]:
    """Let a process do some work while a system call of it fails; returns whether one did."""
    root, log, found = folder / "now", folder / "trace", Outcome()

    def act(tell: Callable[[int], None]) -> None:
        tell(0)
        signal.pause()
        with suppress(*work.errors):
            work.act(root)

    child = fork(_heeding(act))
    next_told(child)
    command = ["strace", "-f", "-p", str(child.pid), "-o", str(log), "-e", f"trace={call}"]
    tracer = subprocess.Popen(
        [*command, "-e", f"inject={call}:error={error}:when={when}"], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    if "attached" not in (said := tracer.stderr.readline()):
        os.kill(child.pid, signal.SIGKILL)
        end_of(child)
        raise Skip(f"strace may not: {said.strip()}")
    time.sleep(0.01)
    os.kill(child.pid, signal.SIGUSR1)
    code, _ = end_of(child)
    tracer.communicate(timeout=60)
    if not (hit := "(INJECTED)" in log.read_text()):
        return False, found
    found.done = 1
    if code != 0:
        found.wrong.append(f"{where}: an error that nobody expects")
    found.add(_after(where, work, root))
    return hit, found


def _heeding(act: Callable[[Callable[[int], None]], None]) -> Callable[[Callable[[int], None]], None]:
    def work(tell: Callable[[int], None]) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: None)
        act(tell)

    return work
