"""Examples with stable ids, and the fingerprint that tells one data set from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[Any]
"""Ids of examples [n]: int64, or texts of any width where the data's own ids are texts."""


@dataclass(frozen=True)
class Examples:
    """Features `x` float32 [n, ...], labels `y` int64 [n] in 0…classes−1, and unique ids [n].

    `columns` are the columns of a table as they were read, each [n], by name; empty for what is no table.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: Ids
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.y)


@dataclass(frozen=True)
class Encoding:
    """Which features of a table a learner standardises, on the training set of its own world.

    A missing number stands in `x` as 0, with 1 in an indicator feature of its own.

    Attributes:
        numeric: Positions of the numbers: (x − mean)/sd over the world's known values; missing = 0.
        missing: For each of them the position of its indicator, or −1 where none is missing.
        category: Positions of the 0/1 features; one that is 0 in the whole world stays 0 everywhere.
    """

    numeric: tuple[int, ...]
    missing: tuple[int, ...]
    category: tuple[int, ...]


@dataclass(frozen=True)
class Dataset:
    """A training and a test part with the number of classes, and where they come from.

    `labels` are the names of the classes where they have any; `encoding` says how a table is standardised;
    `warnings` are what a reader of the results should know about these data; of `documents` the features are
    tokens, padded by 0, and `labels` the word of each; `left_out` are columns of a table that are no features, by
    name, with the reason.
    """

    name: str
    train: Examples
    test: Examples
    classes: int
    labels: tuple[str, ...] = ()
    encoding: Encoding | None = None
    warnings: tuple[str, ...] = ()
    documents: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)


def fingerprint(x: NDArray[np.float32], y: NDArray[np.int64], ids: Ids) -> str:
    """SHA-256 over shapes, types and bytes of features, labels and ids: one changed pixel changes it.

    Example:
        >>> a = np.zeros((2, 3), np.float32), np.zeros(2, np.int64), np.arange(2)
        >>> fingerprint(*a) == fingerprint(*a), fingerprint(*a) == fingerprint(a[0] + 1, *a[1:])
        (True, False)
    """
    digest = hashlib.sha256()
    for array in (x, y, ids):
        # Texts by themselves: how wide numpy stores them depends on the longest one.
        texts = array.dtype.kind == "U"
        digest.update(f"{'text' if texts else array.dtype.str}{array.shape}".encode())
        digest.update(b"\0".join(one.encode() for one in array.tolist()) if texts else _bytes(array))
    return digest.hexdigest()


def row_prints(x: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A 64-bit digest of each example [n]: equal for exact copies, whatever their ids.

    Example:
        >>> prints = row_prints(np.array([[1.0], [2.0], [1.0]], np.float32), np.array([0, 0, 0]))
        >>> bool(prints[0] == prints[2]), bool(prints[0] == prints[1])
        (True, False)
    """
    rows, labels = np.ascontiguousarray(x).reshape(len(x), -1), y.astype(np.int64)
    digests = (
        hashlib.blake2b(row.tobytes() + label.tobytes(), digest_size=8).digest()
        for row, label in zip(rows, labels, strict=True)
    )
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def table_prints(columns: Mapping[str, NDArray[Any]], y: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A 64-bit digest of each row of a table as it was read [n]; how its numbers are scaled has no part in it."""
    values = [columns[name].tolist() for name in sorted(columns)]
    rows = zip(*values, y.tolist(), strict=True)
    digests = (hashlib.blake2b(repr(row).encode(), digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def content_hashes(part: Examples) -> list[str]:
    """SHA-256 of each example as it was read, label included [n]: what a request can be held against.

    Of a table it is that of the row's values, of all else that of the features.

    Example:
        >>> some = Examples(np.zeros((2, 1), np.float32), np.array([0, 1]), np.arange(2))
        >>> len(set(content_hashes(some))), len(content_hashes(some)[0])
        (2, 64)
    """
    if part.columns:
        values = [part.columns[name].tolist() for name in sorted(part.columns)]
        rows = (repr(row).encode() for row in zip(*values, part.y.tolist(), strict=True))
    else:
        flat = np.ascontiguousarray(part.x).reshape(len(part), -1)
        rows = (x.tobytes() + y.tobytes() for x, y in zip(flat, part.y.astype(np.int64), strict=True))
    return [hashlib.sha256(one).hexdigest() for one in rows]


def state_of_files(*names: str | None) -> str:
    """Where files and folders are, how large and of when: what is held in memory of others is out of date.

    Example:
        >>> state_of_files(None), state_of_files("/no/such/file")
        ('', '/no/such/file')
    """
    told: list[str] = []
    for name in names:
        if name is None:
            continue
        path = Path(name).absolute()
        told.append(str(path))
        try:
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            told += [f"{one} {one.stat().st_size} {one.stat().st_mtime_ns}" for one in inside if one.is_file()]
        except (OSError, ValueError):  # no name of a file: who opens it says so
            continue
    return "\n".join(told)


def _bytes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()
