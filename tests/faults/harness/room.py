"""F3: a disk that is full at whatever moment, and a limit on the size of files."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from harness import ways
from harness.outcomes import Outcome, Skip, fault
from harness.processes import end_of, fork
from unweave._errors import StoreError, UserError
from unweave.references import Store, index

SIZE = 8 << 20
BLOCK = 4096


@contextmanager
def small_disk(folder: Path, size: int = SIZE) -> Generator[Path]:
    """A disk of this size, mounted below a folder."""
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(disk: Path, left: int) -> Path:
    """Leave this much room on a disk."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free - left
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free, 1))
    return ballast


def _object(root: Path) -> None:
    Store(root).write([ways.entry(1, size=20_000)])


def _touch(root: Path) -> None:
    store = Store(root)
    store.write([ways.entry(number, size=4) for number in range(50, 60)])
    index.touch(store, [ways.key(number) for number in range(60)], now=7.0)


def _prepare_objects(root: Path) -> None:
    store = Store(root)
    store.check_writable()
    store.write([ways.entry(0)])


Act = Callable[[Path], None]
Look = Callable[[Path], Outcome]

ACTS: dict[str, tuple[Act, Act, Look, tuple[type[Exception], ...]]] = {
    "objects": (_prepare_objects, _object, lambda root: ways.look_at_objects(root, [0]), (StoreError,)),
    "results": (
        lambda root: ways.RESULTS.write(root, 0),
        lambda root: ways.RESULTS.write(root, 1),
        lambda root: ways.RESULTS.look(root, [0]),
        (UserError,),
    ),
    "data": (
        lambda root: ways.DATA.write(root, 0),
        lambda root: ways.DATA.write(root, 1),
        lambda root: ways.DATA.look(root, [0]),
        (StoreError,),
    ),
    "index": (
        ways.INDEX.prepare,
        _touch,
        lambda root: ways.look_at_objects(root, list(range(ways.INDEXED))),
        (StoreError,),
    ),
}
"""What is there before, what is done, what must hold, and what may be raised."""


def _full_once(name: str, root: Path, make_full: Act, make_room: Act) -> tuple[bool, Outcome]:
    """Do something on a full disk, make room, and do it again; returns whether the disk was full."""
    prepare, act, look, errors = ACTS[name]
    found, failed = Outcome(done=1), False
    prepare(root)
    make_full(root)
    try:
        act(root)
    except errors as error:
        failed = True
        said = str(error)
        # Of a file that may not grow SQLite says no more than that.
        if not any(one in said for one in ("No space left", "too large", "full", "disk I/O error")):
            found.wrong.append(f"{name}: the error does not say why: {error}")
        if str(root) not in said:
            found.wrong.append(f"{name}: the error does not say where: {error}")
    except Exception as error:  # noqa: BLE001 - any other error is one that nobody expects
        found.wrong.append(f"{name}: {type(error).__name__}: {error}")
    found.wrong += [f"{name}: {path.name} was left" for path in root.rglob("*.tmp")]
    found.add(look(root))
    make_room(root)
    try:
        act(root)
    except Exception as error:  # noqa: BLE001 - whatever it was, work does not go on
        found.wrong.append(f"{name}, with room again: {type(error).__name__}: {error}")
    found.add(look(root))
    return failed, found


@fault("F3", "a disk that is full, at every block of a write", smoke=12, full=200)
def full_disk(count: int, folder: Path) -> Outcome:
    total, refused = Outcome(), 0
    with small_disk(folder) as disk:
        for number in range(count):
            name = list(ACTS)[number % len(ACTS)]
            left = number // len(ACTS) * (60 // max(1, count // len(ACTS)) or 1) * BLOCK
            root = disk / "now"
            root.mkdir()
            failed, found = _full_once(
                name,
                root,
                lambda root, left=left: _fill(disk, left) and None,
                lambda root: (disk / "ballast").unlink(),
            )
            total.add(found)
            refused += failed
            shutil.rmtree(root)
    total.notes = f"{refused} were refused, the others had room enough"
    return total


@fault("F3", "files that may not grow beyond a limit", smoke=12, full=200)
def limited_files(count: int, folder: Path) -> Outcome:
    def work(tell: Callable[[int], None]) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for number in range(count):
            name = list(ACTS)[number % len(ACTS)]
            limit = (number // len(ACTS)) * (48_000 // max(1, count // len(ACTS)))
            root = folder / str(number)
            root.mkdir()
            failed, found = _full_once(
                name,
                root,
                lambda root, limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)),
                lambda root: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)),
            )
            if found.found:
                raise AssertionError(found.found)
            tell(failed)

    code, told = end_of(fork(work))
    wrong = [] if code == 0 else [f"after {len(told)} limits the process ended with {code}"]
    return Outcome(len(told), wrong=wrong, notes=f"{sum(told)} were refused, the others had room enough")
