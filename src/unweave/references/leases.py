"""Leases: a run says which objects it needs, so that nothing removes them under it.

A lease is a file that its run keeps locked. The lock ends with the process, however that ends, so a lease of a
dead run protects nothing, whatever process has its number now.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from unweave._durable import make_folder
from unweave._errors import StoreError
from unweave.references.locks import shared


class Lease(NamedTuple):
    """A run that is at work: its process, and the keys of all objects that it reads or may write."""

    pid: int
    keys: frozenset[str]


@contextmanager
def lease(root: Path, keys: Collection[str]) -> Generator[None]:
    """Hold on to objects, there already or not, until the block ends.

    Raises:
        StoreError: if the lease cannot be written.
    """
    path = root / "leases" / f"{uuid.uuid4().hex}.json"
    text = json.dumps({"pid": os.getpid(), "keys": sorted(keys)}).encode()
    try:
        with shared(root):  # whoever removes objects has looked for leases before, or will find this one
            make_folder(path.parent)
            handle = _write(path, text)
    except OSError as error:
        raise StoreError(f"Cannot write to the store {root}: {error.strerror}.") from None
    try:
        yield
    finally:
        _end(path, handle)


def _write(path: Path, text: bytes) -> int:
    """A descriptor of a lease that is locked and whole."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        while text:  # a disk that is nearly full takes a part and complains about the rest only
            text = text[os.write(handle, text) :]
    except BaseException:
        _end(path, handle)
        raise
    return handle


def _end(path: Path, handle: int) -> None:
    with suppress(OSError):  # a lease that cannot be removed protects nothing once it is not locked
        path.unlink(missing_ok=True)
    with suppress(OSError):
        os.close(handle)


def live_leases(root: Path) -> list[Lease]:
    """Leases of runs that are at work now; those of dead ones are removed. To be called within `alone`."""
    found: list[Lease] = []
    for path in sorted((root / "leases").glob("*.json")):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # its run has just ended
            continue
        except OSError as error:
            raise StoreError(f"Cannot read the lease {path}: {error.strerror}.") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            found.append(_read(path, handle))
        finally:
            os.close(handle)
    return found


def _read(path: Path, handle: int) -> Lease:
    try:  # from what is open: its run may end, and remove it, at this moment
        with open(handle, "rb", closefd=False) as file:
            tree = json.load(file)
        return Lease(int(tree["pid"]), frozenset(tree["keys"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(
            f"The lease {path} belongs to a run that is at work, and cannot be read. What that run needs is not "
            "known, so nothing is removed. Try again when it has ended."
        ) from None
