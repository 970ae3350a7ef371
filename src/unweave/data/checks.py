"""What every data set must be before anything is trained on it, whatever its source."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave.data.dataset import Dataset, Examples, row_prints


def checked(data: Dataset) -> Dataset:
    """The data set, with warnings about copies and absent classes added.

    Raises:
        SpecError: for parts of different shapes, features that are not finite, one class only, ids that are
            not unique or stand in both parts, or a test part that is a copy of training data.
    """
    train, test = data.train, data.test
    for part, name in ((train, "training"), (test, "test")):
        if len(part) == 0:
            raise SpecError(f"The {name} part of `{data.name}` has 0 examples.")
        _finite(part, name)
        _unique(part, name)
    if train.x.shape[1:] != test.x.shape[1:]:
        raise SpecError(
            f"Training examples have shape {list(train.x.shape[1:])} and test examples {list(test.x.shape[1:])}; "
            "a model takes one shape."
        )
    if train.x[0].size == 0:
        raise SpecError(f"The examples of `{data.name}` have no features (shape {list(train.x.shape[1:])}).")
    present = np.unique(train.y)
    if len(present) < 2:
        raise SpecError(
            f"All {len(train)} training examples are of class {present[0]}; there is nothing to tell apart with 1 "
            "class. Check the labels, or raise `data.limit`."
        )
    shared = np.intersect1d(train.ids, test.ids) if train.ids.dtype.kind == test.ids.dtype.kind else []
    if len(shared):
        raise SpecError(
            f"{len(shared)} ids stand in the training and in the test part (first: {shared[0]}); what was trained "
            "on is no test data. Split them, or give the test part ids of its own."
        )
    warnings = [*data.warnings, *_about_classes(data), *_about_copies(train, test)]
    return replace(data, warnings=tuple(warnings))


def _finite(part: Examples, name: str) -> None:
    finite = np.isfinite(part.x).reshape(len(part), -1)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise SpecError(
            f"{(~finite).sum()} features of the {name} part are NaN or infinite (first: row {row}, feature "
            f"{column}); a model trained on them is not finite. Clean or impute the data."
        )


def _unique(part: Examples, name: str) -> None:
    if len(np.unique(part.ids)) < len(part):
        first, times = Counter(part.ids.tolist()).most_common(1)[0]
        raise SpecError(f"Id {first} appears {times}× in the {name} part; each example needs an id of its own.")


def _about_classes(data: Dataset) -> list[str]:
    return [
        *_absent(data, data.train.y, "No training example is of class {}."),
        *_absent(data, data.test.y, "No test example is of class {}: figures on test data say nothing of it."),
    ]


def _absent(data: Dataset, y: NDArray[np.int64], said: str) -> list[str]:
    absent = np.setdiff1d(np.arange(data.classes), y)
    if len(absent) == 0 or data.documents:  # the labels of documents are words, and most words are rare
        return []
    shown = ", ".join(data.labels[one] if data.labels else str(one) for one in absent[:5])
    more = "…" if len(absent) > 5 else ""
    return [said.format(f"{shown}{more} ({len(absent)} of {data.classes} classes)")]


def _about_copies(train: Examples, test: Examples) -> list[str]:
    of_train, of_test = row_prints(train.x, train.y), row_prints(test.x, test.y)
    copies = np.isin(of_test, of_train)
    # In a table of a few values many rows are equal by chance; images and numbers are not.
    if copies.all() and (not train.columns or np.array_equal(np.sort(of_test), np.sort(of_train))):
        raise SpecError(
            f"All {len(test)} test examples are exact copies of training examples; what was trained on is no test "
            "data. Give other test data, or let `data.test` split them."
        )
    if not copies.any():
        return []
    return [f"{copies.sum()} of {len(test)} test examples are exact copies of training examples."]
