"""The sources of data and how what a spec says about them becomes a `Dataset`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import generator
from unweave._registry import Registry
from unweave.data.checks import checked
from unweave.data.dataset import Dataset, Examples

Ints = NDArray[np.int64]


class Wanted(NamedTuple):
    """What a spec says about the data, for the factory of a source; None = not said.

    Attributes:
        path: File or folder.
        test: Test examples, as a count ≥ 1, a share in (0, 1), or the file of the test part.
        label: Column of the labels.
        id_column: Column of the ids.
        group: Column whose equal values stay on one side of the split.
        split: Column that says `train` or `test`.
        limit: At most so many training examples.
    """

    path: str | None = None
    test: float | int | str | None = None
    label: str | None = None
    id_column: str | None = None
    group: str | None = None
    split: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Source:
    """What a source declares: what it holds, which keys of `data` it reads, licence or citation."""

    shape: str
    takes: frozenset[str]
    cite: str


SOURCES: Registry[Source] = Registry("data source")

# Fixed for ever: the split belongs to the identity of the data, not to a run's seed.
_SPLIT_KEY = 20_260_001


def load(
    name: str,
    *,
    path: str | None = None,
    test: float | int | str | None = None,
    label: str | None = None,
    id_column: str | None = None,
    group: str | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> Dataset:
    """Load and check data.

    Args:
        name: A name of `SOURCES`; `name:path` is short for a name with its path.
        path: File or folder of the source.
        test: Test examples, as a count ≥ 1, a share in (0, 1), or the file of the test part; None = the
            source's own split.
        label: Column of the labels, for tables.
        id_column: Column of the ids, for tables; None = row numbers.
        group: Column whose equal values stay on one side of a random split.
        split: Column of `train` and `test`, in place of a random split.
        limit: Keep at most this many training examples: a fixed random part, the same for every seed.

    Raises:
        UnknownNameError: for a source that is not registered.
        SpecError: for a key the source does not read, a file that cannot be read, or data that cannot be used.
    """
    name, colon, rest = name.partition(":")
    if colon:
        if path is not None:
            raise SpecError(f"`data.source` names the path {rest!r} and `data.path` {path!r}; expected one.")
        path = rest
    entry = SOURCES.get(name)
    wanted = Wanted(path or None, test, label, id_column, group, split, limit)
    for key, value in wanted._asdict().items():
        if value is not None and key not in entry.declared.takes | {"limit"}:
            known = ", ".join(f"`data.{one}`" for one in sorted(entry.declared.takes | {"limit"}))
            raise SpecError(f"`data.{key}` has no meaning for the source `{name}`, which reads {known}.")
    if "path" in entry.declared.takes and wanted.path is None:
        raise SpecError(f"`data.path` is missing: the source `{name}` needs a file or folder.")
    if limit is not None and limit < 2:
        raise SpecError(f"`data.limit` is {limit}; a training set needs at least 2 examples.")
    return checked(entry.factory(wanted))


def limited(rows: Ints, limit: int | None) -> Ints:
    """At most `limit` of the rows: a random part, sorted; the same for the same number of rows for ever.

    Example:
        >>> limited(np.arange(5), 9).tolist(), len(limited(np.arange(5), 3))
        ([0, 1, 2, 3, 4], 3)
    """
    if limit is None or limit >= len(rows):
        return rows
    return rows[np.sort(generator(_SPLIT_KEY, "limit").permutation(len(rows))[:limit])]


def split_rows(n: int, test: float | int | str | None, *, groups: NDArray[Any] | None = None) -> tuple[Ints, Ints]:
    """Rows of the training and of the test part by a fixed permutation, both sorted.

    Args:
        n: Number of rows.
        test: A count ≥ 1 or a share in (0, 1).
        groups: Rows of equal value stay together [n]: whole groups go to the test part while it is too small.

    Raises:
        SpecError: for a test part that leaves too little, or none that is given.
    """
    if test is None or isinstance(test, str):
        given = "is missing" if test is None else f"is {test!r}"
        raise SpecError(
            f"`data.test` {given}: expected a number of examples, a share in (0, 1) such as 0.2, or a file of "
            "test examples."
        )
    if isinstance(test, float) and test == 1.0:
        raise SpecError("`data.test` is 1.0: a share of all leaves nothing to train on. For one example it is 1.")
    if not (0 < test < 1 or (test >= 1 and test == test // 1 and test < math.inf)):
        raise SpecError(f"`data.test` is {test}; expected a whole number of examples or a share in (0, 1).")
    n_test = round(test * n) if test < 1 else int(test)
    if not 1 <= n_test <= n - 2:
        raise SpecError(f"`data.test` asks for {n_test} of {n} examples; expected 1 to {n - 2}.")
    rng = generator(_SPLIT_KEY, "split")
    if groups is None:
        order = rng.permutation(n)
        return np.sort(order[n_test:]), np.sort(order[:n_test])
    names, group_of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group_of)
    order = rng.permutation(len(names))
    before = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    inside = np.isin(group_of, order[before < n_test])
    if inside.sum() > n - 2:
        raise SpecError(
            f"`data.group` has {len(names)} groups, too few to split: {inside.sum()} of {n} examples would be "
            "test examples. Choose another column or a smaller `data.test`."
        )
    return np.flatnonzero(~inside), np.flatnonzero(inside)


def digits(wanted: Wanted) -> Dataset:
    """Scikit-learn's 1 797 handwritten digits, 8×8 grey values in [0, 1]; 1 400 train, 397 test."""
    table = _digits_table()
    x, y = (table[:, :-1].reshape(-1, 8, 8) / 16.0).astype(np.float32), table[:, -1].astype(np.int64)
    train, test = split_rows(len(y), 397 if wanted.test is None else wanted.test)
    train = limited(train, wanted.limit)
    labels = tuple(str(digit) for digit in range(10))
    return Dataset("digits", Examples(x[train], y[train], train), Examples(x[test], y[test], test), 10, labels)


def _digits_table() -> NDArray[np.float64]:
    """1797 × (64 grey values 0…16, label), read where scikit-learn keeps it."""
    # Importing sklearn.datasets takes longer than everything else in a run that is already stored.
    found = importlib.util.find_spec("sklearn")
    for place in (found.submodule_search_locations or []) if found else []:
        file = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    columns: Any = load_digits(return_X_y=True)
    return np.column_stack(columns)


def add_source(
    name: str, factory: Callable[[Wanted], Dataset], *, shape: str, takes: str = "", cite: str = ""
) -> None:
    """Register a source; `takes` are the keys of `data` it reads besides `limit`, with spaces between."""
    SOURCES.add(name, factory, Source(shape, frozenset(takes.split()), cite))


add_source("digits", digits, shape="1797×8×8, 10 classes", takes="test", cite="alpaydin1998digits")
