"""Who may do what in a store at the same time: locks of the system, which end with the process that holds them.

Readers and writers share the store; what removes or moves objects has it alone. Nobody waits behind an endless
row of sharers: all pass a gate one by one, and who wants the store alone stays in the gate until the others are
through. No lock is ever broken: a dead process holds none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from unweave._durable import make_folder
from unweave._errors import StoreError

PATIENCE = 60.0
"""Seconds after which a lock that somebody else holds is an error."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def shared(root: Path) -> Generator[None]:
    """Read or write objects: many processes at once, but none while the store is somebody's alone."""
    with _held(root / "locks" / "gate", fcntl.LOCK_EX):
        lock = _take(root / "locks" / "store", fcntl.LOCK_SH)
    try:
        yield
    finally:
        _release(lock)


@contextmanager
def alone(root: Path) -> Generator[None]:
    """Remove or move objects: nobody reads or writes meanwhile.

    Raises:
        StoreError: if others do not finish within a minute.
    """
    with _held(root / "locks" / "gate", fcntl.LOCK_EX), _held(root / "locks" / "store", fcntl.LOCK_EX):
        yield


@contextmanager
def one_writer(root: Path, key: str) -> Generator[None]:
    """Write the object of a key: its two files must be of one writer. To be held within `shared`."""
    with _held(root / "locks" / key[:2], fcntl.LOCK_EX):
        yield


@contextmanager
def _held(path: Path, kind: int) -> Generator[None]:
    lock = _take(path, kind)
    try:
        yield
    finally:
        _release(lock)


def _take(path: Path, kind: int) -> int | None:
    """A descriptor that holds the lock, or None where the store is read-only: then nobody removes anything."""
    try:
        lock = _open(path)
    except OSError as error:
        if error.errno in _READ_ONLY and (kind == fcntl.LOCK_SH or path.name == "gate"):
            return None
        raise StoreError(f"Cannot lock {path}: {error.strerror}.") from None
    try:
        _wait(lock, kind, path)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        make_folder(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:  # somebody else's store: who may read the file may lock it
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise error from None


def _wait(lock: int, kind: int, path: Path) -> None:
    deadline, pause = time.monotonic() + PATIENCE, 0.0005
    while True:
        try:
            return fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{path} has been locked by another process for {PATIENCE:.0f} s. If that one hangs, end it: "
                    "a lock ends with its process."
                ) from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise StoreError(
                    f"The file system of {path.parent} has no locks ({error.strerror}), and without them two runs "
                    "could get in each other's way. Choose another folder with --store."
                ) from None
            raise StoreError(f"Cannot lock {path}: {error.strerror}.") from None
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _release(lock: int | None) -> None:
    if lock is not None:
        with suppress(OSError):  # it is gone, whatever closing it says, and nothing was written through it
            os.close(lock)
