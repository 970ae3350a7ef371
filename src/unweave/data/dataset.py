"""Examples with stable ids, and the fingerprint that tells one data set from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    `warnings` are what a reader of the results should know about these data.
    """

    name: str
    train: Examples
    test: Examples
    classes: int
    labels: tuple[str, ...] = ()
    encoding: Encoding | None = None
    warnings: tuple[str, ...] = ()


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


def _bytes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()
