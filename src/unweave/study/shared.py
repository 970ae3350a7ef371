"""Large arrays that all workers of a run read from one place in memory."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave.references import Store, digest

_LEAST = 1 << 20  # bytes: what is smaller is not worth a file


@contextmanager
def shared_folder(store: Store, *, workers: int) -> Generator[str | None]:
    """Where the workers of a run put arrays that they share, until it ends; None where there is one worker.

    It is in the store, so that copies of the data lie nowhere else; what a run that was killed leaves there, the
    next one takes away.
    """
    folder = store.root / "mapped"
    try:
        yield str(folder) if workers > 1 else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def mapped(array: NDArray[Any], folder: Path) -> NDArray[Any]:
    """The same numbers from a file that is mapped into memory: processes that do so hold them once together.

    Whoever writes into the array writes into a copy of that page, and nobody else sees it. Where the file cannot
    be written the array itself is returned: sharing saves memory and nothing else.

    Args:
        array: Of any shape.
        folder: Where files are put, named by what they hold.
    """
    if array.nbytes < _LEAST:
        return array
    path = folder / f"{digest(array)}.npy"
    try:
        found = _held(path)
        if found is None:
            _write(path, array)
            found = _held(path)
    except OSError:
        found = None
    return array if found is None else found


def held_once(array: NDArray[Any], held: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """An array of the same numbers that is held already, or this one from now on.

    Args:
        array: Of any shape; nobody may write into it afterwards.
        held: Arrays by content; a large one that is not among them is added.
    """
    return array if array.nbytes < _LEAST else held.setdefault(digest(array), array)


def _held(path: Path) -> NDArray[Any] | None:
    """The array of a file, or None: nobody knows what a machine that lost its power has left there."""
    try:
        found = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        if digest(found) == path.stem:
            return found
    except FileNotFoundError:
        return None
    except (ValueError, EOFError):
        pass
    path.unlink(missing_ok=True)
    return None


def _write(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f"{uuid.uuid4().hex}.tmp")
    with part.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    # The first file stays: whoever comes a moment later would else map another copy.
    with suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
