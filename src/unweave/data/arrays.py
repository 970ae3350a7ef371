"""Arrays in an npz file: the two parts by name, or one pair that is split."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave.data.dataset import Dataset, Examples, Ids
from unweave.data.sources import Wanted, add_source, limited, split_rows

Ints = NDArray[np.int64]

_PAIRS = "x_train, y_train, x_test, y_test, or x, y with `data.test` or an array split of train and test"


class Part(NamedTuple):
    """Features as they were read [n, ...], labels [n] and ids [n]."""

    x: NDArray[Any]
    y: Ints
    ids: Ids

    def take(self, rows: Ints) -> Part:
        """Some of the rows."""
        return Part(self.x[rows], self.y[rows], self.ids[rows])


def npz(wanted: Wanted) -> Dataset:
    """Arrays of a file made by `numpy.savez`: `x_train`, `y_train`, `x_test`, `y_test`, or `x`, `y` and a split.

    8-bit features are divided by 255; others are taken as they are. Images of [height, width, 1 or 3] become
    [1 or 3, height, width]. Labels are whole numbers from 0. Optional:
    `ids_train`, `ids_test` or `ids`, and `split` of train and test beside `x`, `y`. Without ids an example's id
    is its row, test examples counted on after training examples.
    """
    arrays = read_npz(Path(str(wanted.path)))
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        if wanted.test is not None:
            raise SpecError(f"`data.test` is {wanted.test!r}, but {wanted.path} has a test part (x_test).")
        train = _part(arrays, "_train", 0)
        test = _part(arrays, "_test", len(train.y))
    elif {"x", "y"} <= arrays.keys():
        whole = _part(arrays, "", 0)
        rows = (
            _by_name(arrays["split"], len(whole.y)) if "split" in arrays else split_rows(len(whole.y), wanted.test)
        )
        train, test = whole.take(rows[0]), whole.take(rows[1])
    else:
        raise SpecError(f"{wanted.path} holds {', '.join(arrays) or 'nothing'}; expected {_PAIRS}.")
    return from_parts(Path(str(wanted.path)).stem, train, test, limit=wanted.limit)


def from_parts(
    name: str, train: Part, test: Part, *, limit: int | None = None, labels: tuple[str, ...] = ()
) -> Dataset:
    """Examples in single precision, limited first: 8-bit values become numbers in [0, 1]."""
    train = train.take(limited(np.arange(len(train.y)), limit))
    classes = len(labels) or int(max(train.y.max(initial=0), test.y.max(initial=0))) + 1
    return Dataset(name, _examples(train), _examples(test), classes, labels)


def _examples(part: Part) -> Examples:
    x = part.x.astype(np.float32) / np.float32(255) if part.x.dtype == np.uint8 else part.x.astype(np.float32)
    return Examples(x, part.y, part.ids)


def read_npz(file: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz file, checked before memory is taken for them; nothing in it is ever run.

    Raises:
        SpecError: for a file that cannot be read, is no npz, holds objects, or declares more than it has.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                _check_header(file, archive, member)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise SpecError(f"Cannot read the data {file}: {error.strerror or error}.") from None
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError, NotImplementedError) as error:
        raise SpecError(
            f"Cannot read the data {file}: it is no npz file of plain arrays ({str(error).rstrip('.')})."
        ) from None


def _check_header(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise SpecError(
            f"{file}: the array {member.filename} holds Python objects, which could run code. Save numbers."
        )
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise SpecError(
            f"{file}: the array {member.filename} declares the shape {list(shape)}, more than the file holds; the "
            "file is damaged."
        )


def _part(arrays: Mapping[str, NDArray[Any]], suffix: str, begin: int) -> Part:
    x, y = arrays[f"x{suffix}"], arrays[f"y{suffix}"]
    if x.dtype.kind not in "fiub":
        raise SpecError(f"`x{suffix}` has the type {x.dtype}; expected numbers.")
    if x.ndim < 2:
        raise SpecError(f"`x{suffix}` has the shape {list(x.shape)}; expected [examples, features…].")
    if x.dtype.kind == "f" and x.dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)  # what is too large is infinite now, and refused with its place
    x = colours_first(x)
    labels = whole_labels(y, f"y{suffix}")
    if len(x) != len(labels):
        raise SpecError(
            f"`x{suffix}` has {len(x)} examples and `y{suffix}` {len(labels)} labels; expected as many."
        )
    ids = arrays.get(f"ids{suffix}")
    return Part(
        x, labels, np.arange(begin, begin + len(labels)) if ids is None else _ids(ids, len(labels), suffix)
    )


def colours_first(x: NDArray[Any]) -> NDArray[Any]:
    """Images [n, height, width, colours] as convolutions take them [n, colours, height, width].

    Example:
        >>> colours_first(np.zeros((2, 8, 9, 3))).shape, colours_first(np.zeros((2, 3, 8, 9))).shape
        ((2, 3, 8, 9), (2, 3, 8, 9))
    """
    last = x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3)
    return np.moveaxis(x, -1, 1) if last else x


def whole_labels(y: NDArray[Any], name: str) -> Ints:
    """Labels as whole numbers from 0 [n].

    Raises:
        SpecError: for fractions, texts, missing or negative values, with the first one.
    """
    y = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or y.dtype.kind not in "iubf":
        raise SpecError(
            f"`{name}` has the shape {list(y.shape)} and type {y.dtype}; expected whole numbers [examples]."
        )
    wrong = np.flatnonzero(~(np.isfinite(y) & (y == np.floor(y)) & (y >= 0) & (y < _MOST_CLASSES)))
    if len(wrong):
        raise SpecError(
            f"`{name}` holds {y[wrong[0]]} (row {wrong[0]}; {len(wrong)} of {len(y)}); expected classes as whole "
            f"numbers from 0, below {_MOST_CLASSES:,}."
        )
    return y.astype(np.int64)


_MOST_CLASSES = 10_000


def _ids(ids: NDArray[Any], n: int, suffix: str) -> Ids:
    if ids.shape != (n,) or ids.dtype.kind not in "iuU" or (ids.dtype.kind == "i" and (ids < 0).any()):
        raise SpecError(
            f"`ids{suffix}` has the shape {list(ids.shape)} and type {ids.dtype}; expected {n} ids ≥ 0 or texts."
        )
    if ids.dtype.kind == "u" and n and ids.max() > np.iinfo(np.int64).max:
        raise SpecError(f"`ids{suffix}` holds {ids.max()}; expected ids below 2**63, or texts.")
    return ids if ids.dtype.kind == "U" else ids.astype(np.int64)


def _by_name(split: NDArray[Any], n: int) -> tuple[Ints, Ints]:
    if split.shape != (n,) or split.dtype.kind != "U":
        raise SpecError(
            f"`split` has the shape {list(split.shape)} and type {split.dtype}; expected {n} texts, train or test."
        )
    return rows_by_name(split, "split")


def rows_by_name(split: NDArray[Any], name: str) -> tuple[Ints, Ints]:
    """Rows of `train` and of `test` (or `valid`, `val`, which belong to neither).

    Raises:
        SpecError: for another word, or an empty part.
    """
    words = np.char.lower(np.char.strip(split.astype(np.str_)))
    unknown = np.flatnonzero(~np.isin(words, ("train", "test", "val", "valid", "validation")))
    if len(unknown):
        raise SpecError(f"`{name}` holds {str(split[unknown[0]])!r} (row {unknown[0]}); expected train or test.")
    train, test = np.flatnonzero(words == "train"), np.flatnonzero(words == "test")
    if len(train) == 0 or len(test) == 0:
        raise SpecError(f"`{name}` has {len(train)} rows of train and {len(test)} of test; expected both.")
    return train, test


add_source(
    "npz", npz, shape="arrays of any shape [examples, …]", takes="path test", cite="your own file (numpy.savez)"
)
