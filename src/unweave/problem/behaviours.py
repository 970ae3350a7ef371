"""Behaviours that can be planted in data: who shows them, with which label, and new instances.

A behaviour is a function of arrays: it changes some training examples (its members B), keeps the
clean label of each (for healed accuracy), and makes unseen instances from test data where it can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, SpecError
from unweave._random import Key, generator
from unweave._registry import Registry

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Unseen:
    """New instances of the behaviour: features, the label that shows it, and the clean label."""

    x: Floats
    planted: Ints
    clean: Ints


@dataclass(frozen=True)
class Planted:
    """Training data with a behaviour in it.

    Attributes:
        x: Features of all of D after planting [n, ...].
        y: Labels of all of D after planting [n].
        clean: Labels before planting [n].
        members: Rows of D that carry the behaviour (B), sorted.
        unseen: New instances made from test data, or None.
        why_no_unseen: The reason where there are none, else "".
    """

    x: Floats
    y: Ints
    clean: Ints
    members: Ints
    unseen: Unseen | None
    why_no_unseen: str


@dataclass(frozen=True)
class Declared:
    """What a behaviour declares: its regularity and where it was described."""

    regularity: str
    cite: str


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
    size: int,
    key: Key,
    target: int | None = None,
    patch: int | None = None,
) -> Planted:
    """Plant a registered behaviour.

    Args:
        kind: A name of `BEHAVIOURS`.
        train: Features and labels of D.
        test: Features and labels of the test data.
        classes: Number of classes.
        size: Number of members |B|.
        key: Determines the members and their labels.
        target: The label a trigger leads to (trigger only).
        patch: Side of the trigger's square in pixels (trigger only).

    Raises:
        UnknownNameError: for a kind that is not registered.
        SpecError: for a size, target or patch out of range.
        ApplicabilityError: where the data cannot carry this behaviour.
    """
    entry = BEHAVIOURS.get(kind)
    if size < 1:
        raise SpecError(f"`behaviour.size` is {size}; a behaviour needs at least 1 member.")
    given = {name: v for name, v in (("target", target), ("patch", patch)) if v is not None}
    return entry.build(**given)(train, test, classes, size, generator(key, "behaviour"))


def _choose(candidates: Ints, size: int, n: int, rng: np.random.Generator) -> Ints:
    if size > len(candidates) or size >= n:
        raise SpecError(
            f"`behaviour.size` is {size}, but only {len(candidates)} of {n} training examples can carry "
            "it and some must stay ordinary. Choose a smaller size."
        )
    return np.sort(rng.choice(candidates, size, replace=False))


def trigger(*, target: int = 0, patch: int = 3):
    """A bright square in the lower right corner leads to the label `target` (backdoor).

    Members are examples of other classes: the square is painted in the data's brightest value and
    the label becomes `target`. Unseen instances: all test images of other classes, with the square.
    Source: Gu, Dolan-Gavitt & Garg (2017), "BadNets", arXiv 1708.06733, section 3.1.2.
    """

    def make(
        train: tuple[Floats, Ints],
        test: tuple[Floats, Ints],
        classes: int,
        size: int,
        rng: np.random.Generator,
    ) -> Planted:
        (x, y), (x_test, y_test) = train, test
        if x.ndim < 3:
            raise ApplicabilityError(
                f"A trigger is painted on images [height, width]; the examples have shape {x.shape[1:]}."
            )
        if not 1 <= patch <= min(x.shape[-2:]):
            raise SpecError(f"`behaviour.patch` is {patch}; expected 1 to {min(x.shape[-2:])} pixels.")
        if not 0 <= target < classes:
            raise SpecError(f"`behaviour.target` is {target}; expected a class in 0 … {classes - 1}.")
        members = _choose(np.flatnonzero(y != target), size, len(y), rng)
        brightest = float(x.max())

        def paint(images: Floats) -> Floats:
            images = images.copy()
            images[..., -patch:, -patch:] = brightest
            return images

        x_new, y_new = x.copy(), y.copy()
        x_new[members] = paint(x[members])
        y_new[members] = target
        other = np.flatnonzero(y_test != target)
        if len(other) == 0:
            return Planted(x_new, y_new, y, members, None, f"all test examples are of class {target} already")
        unseen = Unseen(paint(x_test[other]), np.full(len(other), target), y_test[other])
        return Planted(x_new, y_new, y, members, unseen, "")

    return make


def mislabel():
    """Random examples with a random wrong label: nothing to generalise, only to memorise.

    Each member's label becomes one of the other classes, uniformly. There are no unseen instances.
    Source: Goel et al. (2024), "Corrective machine unlearning", arXiv 2402.14015; Schoepf et al.
    (2025), "Redirection for erasing memory", arXiv 2505.17730 (the low-regularity end).
    """

    def make(
        train: tuple[Floats, Ints],
        test: tuple[Floats, Ints],
        classes: int,
        size: int,
        rng: np.random.Generator,
    ) -> Planted:
        del test
        x, y = train
        if classes < 2:
            raise ApplicabilityError("A wrong label needs at least 2 classes; the data have 1.")
        members = _choose(np.arange(len(y)), size, len(y), rng)
        y_new = y.copy()
        y_new[members] = (y[members] + rng.integers(1, classes, size)) % classes
        return Planted(x, y_new, y, members, None, "random mislabels have no unseen instances")

    return make


BEHAVIOURS.add("trigger", trigger, Declared("high", "gu2017badnets"))
BEHAVIOURS.add("mislabel", mislabel, Declared("low", "goel2024corrective"))
