"""What a behaviour is: a function of arrays that says who carries it, with which label, and what is new of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key, generator
from unweave._registry import Registry
from unweave.problem.ids import Ids

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


class Ground(NamedTuple):
    """What a behaviour is planted in: the data as they come, with ids of D, and the number of classes.

    `columns` and `columns_test` are those of a table as they were read, by name: float64 with NaN for a missing
    number, or texts with "" for a missing one.
    """

    x: Floats
    y: Ints
    ids: Ids
    x_test: Floats
    y_test: Ints
    classes: int
    columns: Columns
    columns_test: Columns


@dataclass(frozen=True)
class Unseen:
    """New instances of the behaviour: features, the label that shows it, and the clean label.

    `rows`: the test examples that these are; None where instances are made by changing features.
    `gone`: test examples that were such instances too and have become S; neither is ordinary test data.
    """

    x: Floats
    planted: Ints
    clean: Ints
    rows: Ints | None = None
    gone: Ints | None = None


@dataclass(frozen=True)
class Planted:
    """Training data with a behaviour in it.

    Attributes:
        x: Features of all of D after planting [n, ...].
        y: Labels of all of D after planting [n].
        clean: The labels that are right for these features [n].
        members: Rows of D that carry the behaviour (B), sorted; none where it is not known.
        unseen: New instances, or None.
        why_no_unseen: The reason where there are none, else "".
        known: Whether B is known; if not, only S is.
        mixed: Whether rows are made of other examples than their ids say: near-copies, or test examples.
    """

    x: Floats
    y: Ints
    clean: Ints
    members: Ints
    unseen: Unseen | None
    why_no_unseen: str
    known: bool = True
    mixed: bool = False


Make = Callable[[Ground, np.random.Generator], Planted]
"""What the factory of a behaviour returns once its parameters are known."""


@dataclass(frozen=True)
class Declared:
    """What a behaviour declares, in words: for the listing and the table in the docs.

    Attributes:
        members: Which examples of D carry it (B).
        label: The planted label: what members are trained on.
        clean: The clean label: what is right for them.
        shows: When an output shows the behaviour.
        unseen: What its new instances are; "" where there are none.
        regularity: How much it is a rule, and not memorised example by example.
        cite: Where it was described.
        heals: Whether the planted label is another than the clean one; None where it depends on the parameters.
    """

    members: str
    label: str
    clean: str
    shows: str
    unseen: str
    regularity: str
    cite: str
    heals: bool | None


BEHAVIOURS: Registry[Declared] = Registry("behaviour")


def shows(predictions: Ints, planted: Ints) -> NDArray[np.bool_]:
    """Whether an output shows the behaviour: the predicted class is the planted label.

    Args:
        predictions: Predicted classes [..., n].
        planted: Planted labels [n].

    Returns:
        [..., n].

    Example:
        >>> shows(np.array([[0, 3]]), np.array([0, 1])).tolist()
        [[True, False]]
    """
    return predictions == planted


def plant(
    kind: str,
    train: tuple[Floats, Ints],
    test: tuple[Floats, Ints],
    *,
    classes: int,
    key: Key,
    parameters: Mapping[str, Any] | None = None,
    ids: Ids | None = None,
    columns: tuple[Columns, Columns] | None = None,
) -> Planted:
    """Plant a registered behaviour.

    Args:
        kind: A name of `BEHAVIOURS`.
        train: Features and labels of D; they are not changed.
        test: Features and labels of the test data.
        classes: Number of classes.
        key: Determines the members and their labels.
        parameters: What differs from the defaults of this behaviour (`size`, `target`, …).
        ids: Ids of D [n]; None = 0 … n−1.
        columns: Columns of D and of the test data, where they are tables.

    Raises:
        UnknownNameError: for a kind that is not registered, or a parameter this kind does not have.
        SpecError: for a parameter out of range.
        ApplicabilityError: where the data cannot carry this behaviour.

    Example:
        >>> x, y = np.zeros((8, 2), np.float32), np.arange(8) % 2
        >>> plant("mislabel", (x, y), (x, y), classes=2, key=0, parameters={"size": 3}).members.shape
        (3,)
    """
    entry = BEHAVIOURS.get(kind)
    ids = np.arange(len(train[1])) if ids is None else ids
    make: Make = entry.build(**(parameters or {}))
    return make(Ground(*train, ids, *test, classes, *(columns or ({}, {}))), generator(key, "behaviour"))


def choose(candidates: Ints, size: int, n: int, rng: np.random.Generator) -> Ints:
    """Members at random: `size` of the candidates, sorted, such that some of the n examples stay ordinary."""
    if size < 1:
        raise SpecError(f"`behaviour.size` is {size}; a behaviour needs at least 1 member.")
    if size > len(candidates) or size >= n:
        raise SpecError(
            f"`behaviour.size` is {size}, but only {len(candidates)} of {n} training examples can carry "
            "it and some must stay ordinary. Choose a smaller size."
        )
    return np.sort(rng.choice(candidates, size, replace=False))


def check_class(label: int, name: str, classes: int) -> None:
    """Refuse a label that is no class of the data; `name` is the key it stands under."""
    if not 0 <= label < classes:
        raise SpecError(f"`behaviour.{name}` is {label}; expected a class in 0 … {classes - 1}.")
