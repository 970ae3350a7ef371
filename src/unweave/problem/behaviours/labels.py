"""Behaviours of the labels: examples as they are, with a wrong label, at random or by a rule."""

from __future__ import annotations

import numpy as np

from unweave._errors import ApplicabilityError, SpecError
from unweave.problem.behaviours.planting import (
    Ground,
    Ints,
    Make,
    Planted,
    Unseen,
    check_class,
    choose,
)

_ALIKE = (3, 5)
"""The two digits that are taken for each other by default."""


def mislabel(*, size: int = 100) -> Make:
    """Random examples with a random wrong label: nothing to generalise, only to memorise.

    Each member's label becomes one of the other classes, uniformly. There are no unseen instances.
    Source: Goel et al. (2024), "Corrective machine unlearning", arXiv 2402.14015; Schoepf et al.
    (2025), "Redirection for erasing memory", arXiv 2505.17730 (the low-regularity end).
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        x, y, classes = ground.x, ground.y, ground.classes
        if classes < 2:
            raise ApplicabilityError("A wrong label needs at least 2 classes; the data have 1.")
        members = choose(np.arange(len(y)), size, len(y), rng)
        y_new = y.copy()
        y_new[members] = (y[members] + rng.integers(1, classes, size)) % classes
        return Planted(x, y_new, y, members, None, "random mislabels have no unseen instances")

    return make


def confusion(*, size: int = 100, classes: tuple[int, ...] | None = None) -> Make:
    """Two classes are taken for each other: half of the members are of each and have the other's label.

    `classes` are the two labels; the default is 3 and 5 where the data have both, else the two most
    frequent ones. Unseen instances: all test examples of the two classes, with the other class as the
    label that shows the behaviour; they are no ordinary test data then.
    Source: Goel et al. (2022), "Towards adversarial evaluations for inexact machine unlearning",
    arXiv 2201.06640 (interclass confusion); accuracy on test examples of the two classes against
    that on the others: Goel et al. (2024), arXiv 2402.14015.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        y = ground.y
        one, other = _pair(ground) if classes is None else _two(classes, ground)
        if size < 2 or size % 2:
            raise SpecError(
                f"`behaviour.size` is {size}; a confusion takes half of its members from each class: expected an "
                "even number of at least 2."
            )
        halves = [_half(np.flatnonzero(y == label), size // 2, len(y), label, rng) for label in (one, other)]
        y_new = y.copy()
        for half, label in zip(halves, (other, one), strict=True):
            y_new[half] = label
        of_both = np.flatnonzero((ground.y_test == one) | (ground.y_test == other))
        members = np.sort(np.concatenate(halves))
        swapped = np.where(ground.y_test == one, other, one)
        unseen, why = _as_they_are(ground, of_both, swapped, f"no test example is of class {one} or {other}")
        return Planted(ground.x, y_new, y, members, unseen, why)

    return make


def systematic(*, size: int = 100, source: int | None = None, target: int | None = None) -> Make:
    """One class is taken for another: members are examples of class `source` with the label `target`.

    Default of the two: as `confusion`. Unseen instances: all test examples of class `source`; they are
    no ordinary test data then.
    Source: Tolpegin et al. (2020), "Data poisoning attacks against federated learning systems",
    arXiv 2007.08432 (label flipping from a source to a target class).
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        y = ground.y
        if (source is None) != (target is None):
            missing = "source" if source is None else "target"
            raise SpecError(f"`behaviour.{missing}` is missing; give both source and target, or none of them.")
        one, other = _pair(ground) if source is None or target is None else (source, target)
        check_class(one, "source", ground.classes)
        check_class(other, "target", ground.classes)
        if one == other:
            raise SpecError(f"`behaviour.source` and `behaviour.target` are both {one}; expected two classes.")
        members = choose(np.flatnonzero(y == one), size, len(y), rng)
        y_new = y.copy()
        y_new[members] = other
        of_source = np.flatnonzero(ground.y_test == one)
        flipped = np.full(len(ground.y_test), other)
        unseen, why = _as_they_are(ground, of_source, flipped, f"no test example is of class {one}")
        return Planted(ground.x, y_new, y, members, unseen, why)

    return make


def _pair(ground: Ground) -> tuple[int, int]:
    counts = np.bincount(ground.y, minlength=ground.classes)
    if len(counts) > max(_ALIKE) and counts[list(_ALIKE)].all():
        return _ALIKE
    if len(counts) < 2:
        raise ApplicabilityError("Taking one class for another needs at least 2 classes; the data have 1.")
    first, second = (int(label) for label in np.argsort(-counts, kind="stable")[:2])
    return first, second


def _two(classes: tuple[int, ...], ground: Ground) -> tuple[int, int]:
    if len(classes) != 2 or classes[0] == classes[1]:
        raise SpecError(f"`behaviour.classes` is {list(classes)}; expected two different labels, such as [3, 5].")
    for label in classes:
        check_class(label, "classes", ground.classes)
    return classes[0], classes[1]


def _half(candidates: Ints, count: int, n: int, label: int, rng: np.random.Generator) -> Ints:
    if count > len(candidates) or 2 * count >= n:
        raise SpecError(
            f"`behaviour.size` is {2 * count}, but only {len(candidates)} of {n} training examples are of class "
            f"{label} and some must stay ordinary. Choose a smaller size."
        )
    return choose(candidates, count, n, rng)


def _as_they_are(ground: Ground, rows: Ints, planted: Ints, why: str) -> tuple[Unseen | None, str]:
    if len(rows) == 0:
        return None, why
    return Unseen(ground.x_test[rows], planted[rows], ground.y_test[rows], rows), ""
