"""F11 to F13: locks of dead and of hanging processes, stores that cannot be written, clocks that jump."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

from harness import ways
from harness.outcomes import Outcome, Skip, fault
from harness.processes import Tell, end_of, fork, kill, next_told
from unweave._errors import StoreError
from unweave.references import Store, index, locks, read_verified
from unweave.references.care import gc, verify
from unweave.references.leases import lease, live_leases
from unweave.references.locks import alone, one_writer, shared

Lock = Callable[[Path], AbstractContextManager[None]]

LOCKS: dict[str, Lock] = {
    "alone": alone,
    "shared": shared,
    "one writer": lambda root: one_writer(root, ways.key(0)),
    "a lease": lambda root: lease(root, [ways.key(0)]),
}


def _hold(lock: Lock, root: Path) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        with lock(root):
            tell(0)
            time.sleep(120)

    return work


def _blocked(name: str, root: Path) -> bool:
    """Whether somebody holds this lock against us."""
    if name == "a lease":
        with alone(root):
            return bool(live_leases(root))
    try:
        with one_writer(root, ways.key(0)) if name == "one writer" else alone(root):
            return False
    except StoreError as error:
        if "has been locked by another process" not in str(error) or str(root) not in str(error):
            raise
        return True


@fault("F11", "SIGKILL of who holds a lock or a lease", smoke=20, full=200)
def dead_holders(count: int, folder: Path) -> Outcome:
    total, slowest = Outcome(), 0.0
    store = Store(folder / "store")
    store.check_writable()
    store.write([ways.entry(0)])
    for number in range(count):
        name = list(LOCKS)[number % len(LOCKS)]
        child = fork(_hold(LOCKS[name], store.root))
        next_told(child)
        with mock.patch.object(locks, "PATIENCE", 0.02):
            if not _blocked(name, store.root):
                total.wrong.append(f"{name}: not held while its holder lives")
        kill(child)
        started = time.monotonic()
        if _blocked(name, store.root):
            total.wrong.append(f"{name}: held by a dead process")
        slowest = max(slowest, time.monotonic() - started)
        total.done += 1
    total.notes = f"free again after {1000 * slowest:.0f} ms at most"
    return total


@fault("F11", "SIGSTOP of who holds a lock or a lease: it is not stolen", smoke=8, full=80)
def hanging_holders(count: int, folder: Path) -> Outcome:
    total = Outcome()
    store = Store(folder / "store")
    store.check_writable()
    store.write([ways.entry(0)])
    for number in range(count):
        name = list(LOCKS)[number % len(LOCKS)]
        child = fork(_hold(LOCKS[name], store.root))
        next_told(child)
        os.kill(child.pid, signal.SIGSTOP)
        with mock.patch.object(locks, "PATIENCE", 0.1):
            if not _blocked(name, store.root):
                total.wrong.append(f"{name}: stolen from a process that only sleeps")
        if name == "a lease" and gc(store, stale=lambda fields, notes: True).leased != 1:
            total.lost.append("what a sleeping run leased was removed")
        os.kill(child.pid, signal.SIGCONT)
        kill(child)
        if _blocked(name, store.root):
            total.wrong.append(f"{name}: held by a dead process")
        total.done += 1
    total.notes = "an error that names the lock after patience; nothing that was leased is removed"
    return total


@fault("F11", "a lease of a dead run whose number another process has now", smoke=1, full=1)
def number_used_again(count: int, folder: Path) -> Outcome:
    store, total = Store(folder / "store"), Outcome(done=1)
    store.check_writable()
    store.write([ways.entry(0)])
    (store.root / "leases").mkdir()
    text = f'{{"pid": {os.getpid()}, "keys": ["{ways.key(0)}"]}}'  # of this very process, which lives
    (store.root / "leases" / "0123.json").write_text(text)
    gc(store, stale=lambda fields, notes: True)
    if store.has(ways.key(0)):
        total.wrong.append("a dead run keeps its objects")
    return total


# Stores that cannot be written


@contextmanager
def _others() -> Generator[Path]:
    """A folder that other users may look into, which a test's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="unweave-read-only-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)


def _use_without_writing(store: Store) -> list[str]:
    """What is wrong with a store that may be read only: it must be refused for training, and read."""
    wrong: list[str] = []
    try:
        store.check_writable()
        wrong.append("it passes for writable")
    except StoreError as error:
        if "Cannot write to the store" not in str(error) or "--store" not in str(error):
            wrong.append(f"the refusal says too little: {error}")
    try:
        store.write([ways.entry(99)])
        wrong.append("it was written")
    except StoreError as error:
        if str(store.root) not in str(error):
            wrong.append(f"the error says too little: {error}")
    if not ways.is_itself(store, ways.key(0)) or read_verified(store, ways.key(1)) is None:
        wrong.append("it is not read")
    if [row.key for row in index.stored_objects(store)] != sorted(store.keys()):
        wrong.append("it is not listed")
    if [key for key, _ in verify(store).bad] != [ways.key(2)]:
        wrong.append("its bad object is not named")
    for work in (lambda: gc(store, stale=lambda fields, notes: True), lambda: store.set_aside(ways.key(2))):
        try:
            work()
            wrong.append("something was removed")
        except StoreError:
            pass
    if not ways.refuses(store, ways.key(2)):
        wrong.append("its bad object is read")
    return wrong


def _fill(store: Store) -> None:
    store.check_writable()
    store.write([ways.entry(number) for number in range(3)])
    index.touch(store, [])
    store.paths(ways.key(2))[0].write_bytes(b"bad")


@fault("F12", "a store of another user, for whom it is read-only", smoke=1, full=1)
def no_permission(count: int, folder: Path) -> Outcome:
    total = Outcome()
    with _others() as place:
        for name, remembered in (("locks are there", True), ("never locked", False)):
            store = Store(place / name / "store")
            _fill(store)
            if not remembered:
                shutil.rmtree(store.root / "locks")
            for path in [store.root, *store.root.rglob("*")]:
                path.chmod(0o555 if path.is_dir() else 0o444)

            def use(tell: Tell, store: Store = store) -> None:
                if os.getuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                if wrong := _use_without_writing(store):
                    raise AssertionError(f"{store.root.parent.name}: {wrong}")

            code, _ = end_of(fork(use))
            total.done += 1
            if code != 0:
                total.wrong.append(f"{name}: {code}")
    total.notes = "refused before training; read, listed and verified"
    return total


@fault("F12", "a store on a file system that is mounted read-only", smoke=1, full=1)
def read_only_disk(count: int, folder: Path) -> Outcome:
    place = folder / "disk"
    store = Store(place / "store")
    _fill(store)
    for command in (["mount", "--bind", str(place), str(place)], ["mount", "-o", "remount,ro,bind", str(place)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        wrong = _use_without_writing(store)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    return Outcome(1, wrong=wrong, notes="refused before training; read, listed and verified")


# Clocks

DAY = 86400.0


@fault("F13", "the clock jumps by a day or more, files are of any time", smoke=30, full=300)
def jumping_clocks(count: int, folder: Path) -> Outcome:
    store, total, rng = Store(folder / "store"), Outcome(), random.Random(0)
    store.check_writable()
    real, recent = time.time, list[str]()
    for number in range(count):
        jump = rng.choice((-400, -1, -1 / 24, 1 / 24, 1)) * DAY
        with mock.patch.object(time, "time", lambda jump=jump: real() + jump):
            store.write([ways.entry(number, size=20)])
            one = ways.key(number)
            index.touch(store, [one])
            for path in store.paths(one):
                os.utime(path, (real() + jump, real() + jump))
            with lease(store.root, [one]), alone(store.root):
                if [sorted(each.keys) for each in live_leases(store.root)] != [[one]]:
                    total.wrong.append("a lease is judged by the clock")
            gc(store, unused_days=30)
        # What was written by a clock a year behind looks a year old to the next one; all else is new.
        recent += [one] if jump >= -DAY else []
        total.lost += [f"a jump of {jump / DAY:+.2f} days removed {key}" for key in recent if not store.has(key)]
        store.write([ways.entry(number, size=20)])
        if not ways.is_itself(store, one):
            total.corrupt.append(f"object {number}")
        if verify(store)._replace(bytes=0, objects=0) != (0, 0, (), (), False, 0, 0):
            total.wrong.append(f"verify: {verify(store)}")
        total.done += 1
    return total
