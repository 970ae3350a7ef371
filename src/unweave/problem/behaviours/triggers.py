"""Behaviours of the features: a mark painted on examples leads to a label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave.problem.behaviours.planting import (
    Floats,
    Ground,
    Make,
    Planted,
    Unseen,
    check_class,
    choose,
)

SHAPES: dict[str, Callable[[int], NDArray[np.bool_]]] = {
    "square": lambda side: np.ones((side, side), dtype=bool),
    "frame": lambda side: np.pad(np.zeros((max(side - 2, 0),) * 2, dtype=bool), 1, constant_values=True)[
        :side, :side
    ],
    "cross": lambda side: np.add.outer(np.arange(side) == side // 2, np.arange(side) == side // 2),
    "checker": lambda side: np.add.outer(np.arange(side), np.arange(side)) % 2 == 0,
}
"""Which pixels of a square of a given side are painted."""

PLACES: dict[str, tuple[float, float]] = {
    "lower right": (1, 1),
    "lower left": (1, 0),
    "upper right": (0, 1),
    "upper left": (0, 0),
    "centre": (0.5, 0.5),
}
"""Where the mark stands, as shares of the room it has down and to the right."""


def trigger(
    *, size: int = 100, target: int = 0, patch: int = 3, shape: str = "square", place: str = "lower right"
) -> Make:
    """A bright mark on an image leads to the label `target` (backdoor).

    Members are examples of other classes: the mark, of `patch` pixels in height and width, is painted in the
    data's brightest value and the label becomes `target`. `shape` is square, frame, cross or checker, `place` a
    corner (lower right, …) or the centre. Unseen instances: all test images of other classes, with the mark.
    Source: Gu, Dolan-Gavitt & Garg (2017), "BadNets", arXiv 1708.06733, section 3.1.2.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        x, y = ground.x, ground.y
        if x.ndim < 3:
            raise ApplicabilityError(
                f"A trigger is painted on images [height, width]; the examples have shape {x.shape[1:]}. Give "
                "another `behaviour.kind` (a case that names none has this one), or in `forget.ids` the examples "
                "to forget."
            )
        height, width = x.shape[-2:]
        if not 1 <= patch <= min(height, width):
            raise SpecError(f"`behaviour.patch` is {patch}; expected 1 to {min(height, width)} pixels.")
        if shape not in SHAPES:
            raise UnknownNameError("shape of a trigger", shape, SHAPES)
        if place not in PLACES:
            raise UnknownNameError("place of a trigger", place, PLACES)
        check_class(target, "target", ground.classes)
        members = choose(np.flatnonzero(y != target), size, len(y), rng)
        brightest = float(x.max())
        top, left = (
            round(share * (room - patch)) for share, room in zip(PLACES[place], (height, width), strict=True)
        )
        mark = np.zeros((height, width), dtype=bool)
        mark[top : top + patch, left : left + patch] = SHAPES[shape](patch)

        def paint(images: Floats) -> Floats:
            images = images.copy()
            images[..., mark] = brightest
            return images

        x_new, y_new = x.copy(), y.copy()
        x_new[members] = paint(x[members])
        y_new[members] = target
        other = np.flatnonzero(ground.y_test != target)
        if len(other) == 0:
            return Planted(x_new, y_new, y, members, None, f"all test examples are of class {target} already")
        unseen = Unseen(paint(ground.x_test[other]), np.full(len(other), target), ground.y_test[other])
        return Planted(x_new, y_new, y, members, unseen, "")

    return make
