"""The sources of data and how a name becomes a `Dataset`."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import generator
from unweave._registry import Registry
from unweave.data.dataset import Dataset, Examples


@dataclass(frozen=True)
class Source:
    """What a source declares: what it is and under which licence or citation."""

    shape: str
    cite: str


SOURCES: Registry[Source] = Registry("data source")

# Fixed for ever: the split belongs to the identity of the data, not to a run's seed.
_SPLIT_KEY = 20_260_001


def load(name: str, *, test: float | int | None = None, limit: int | None = None) -> Dataset:
    """Load a registered source.

    Args:
        name: A name of `SOURCES`.
        test: Test examples, as a count ≥ 1 or a share in (0, 1); None = the source's own split.
        limit: Keep at most this many training examples.

    Raises:
        UnknownNameError: for a source that is not registered.
        SpecError: for a split or limit that leaves too little.
    """
    dataset: Dataset = SOURCES.get(name).factory(test=test)
    if limit is None:
        return dataset
    if limit < 2:
        raise SpecError(f"`data.limit` is {limit}; a training set needs at least 2 examples.")
    keep = slice(0, limit)
    train = Examples(dataset.train.x[keep], dataset.train.y[keep], dataset.train.ids[keep])
    return Dataset(dataset.name, train, dataset.test, dataset.classes)


def split_random(x: NDArray[np.float32], y: NDArray[np.int64], *, test: float | int) -> tuple[Examples, Examples]:
    """Split rows into training and test by a fixed permutation; ids are row numbers of the source."""
    n = len(y)
    if not (0 < test < 1 or (test >= 1 and test == test // 1 and test < math.inf)):
        raise SpecError(f"`data.test` is {test}; expected a whole number of examples or a share in (0, 1).")
    n_test = round(test * n) if test < 1 else int(test)
    if not 1 <= n_test <= n - 2:
        raise SpecError(f"`data.test` asks for {n_test} of {n} examples; expected 1 to {n - 2}.")
    order = generator(_SPLIT_KEY, "split").permutation(n)
    first, second = np.sort(order[n_test:]), np.sort(order[:n_test])
    return Examples(x[first], y[first], first), Examples(x[second], y[second], second)


def digits(*, test: float | int | None = None) -> Dataset:
    """Scikit-learn's 1 797 handwritten digits, 8×8 grey values in [0, 1]; 1 400 train, 397 test."""
    table = _digits_table()
    x = (table[:, :-1].reshape(-1, 8, 8) / 16.0).astype(np.float32)
    train, held_out = split_random(x, table[:, -1].astype(np.int64), test=397 if test is None else test)
    return Dataset("digits", train, held_out, 10)


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


SOURCES.add("digits", digits, Source("1797×8×8, 10 classes", "alpaydin1998digits"))
