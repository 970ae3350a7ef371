"""Behaviours of the features: a mark painted on examples leads to a label."""

from __future__ import annotations

import numpy as np

from unweave._errors import ApplicabilityError, SpecError
from unweave.problem.behaviours.planting import (
    Floats,
    Ground,
    Make,
    Planted,
    Unseen,
    check_class,
    choose,
)


def trigger(*, size: int = 100, target: int = 0, patch: int = 3) -> Make:
    """A bright square in the lower right corner leads to the label `target` (backdoor).

    Members are examples of other classes: the square is painted in the data's brightest value and
    the label becomes `target`. Unseen instances: all test images of other classes, with the square.
    Source: Gu, Dolan-Gavitt & Garg (2017), "BadNets", arXiv 1708.06733, section 3.1.2.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        x, y = ground.x, ground.y
        if x.ndim < 3:
            raise ApplicabilityError(
                f"A trigger is painted on images [height, width]; the examples have shape {x.shape[1:]}."
            )
        if not 1 <= patch <= min(x.shape[-2:]):
            raise SpecError(f"`behaviour.patch` is {patch}; expected 1 to {min(x.shape[-2:])} pixels.")
        check_class(target, "target", ground.classes)
        members = choose(np.flatnonzero(y != target), size, len(y), rng)
        brightest = float(x.max())

        def paint(images: Floats) -> Floats:
            images = images.copy()
            images[..., -patch:, -patch:] = brightest
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
