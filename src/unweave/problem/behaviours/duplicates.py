"""Behaviours of small groups: near-copies of one example that share a wrong label."""

from __future__ import annotations

import numpy as np

from unweave._errors import ApplicabilityError, SpecError
from unweave.problem.behaviours.planting import (
    Floats,
    Ground,
    Make,
    Planted,
    Unseen,
    choose,
)

NOISE = 0.05
"""Standard deviation of the noise in a near-copy, as a share of the range of the features."""


def duplicates(*, size: int = 100, copies: int = 5) -> Make:
    """Groups of `copies` near-copies of one example, each group with one random wrong label.

    There are size/copies originals. A near-copy is the original plus normal noise of standard deviation
    0.05 of the range of the features, clipped to that range. So that D keeps its size, the copies REPLACE
    rows of D: the first stands in the row of its original, the others in those of random other examples,
    whose ids they take over; no correct twin is left. Members are the copies, and the clean label is that
    of the original. Where S is drawn at random, some copies of a group are discovered while others stay.
    Unseen instances: `copies` new near-copies of each original; they are made from training data.
    Source: after Lee et al. (2022), "Deduplicating training data makes language models better",
    arXiv 2107.06499; the wrong labels are added here.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        x, y, classes = ground.x, ground.y, ground.classes
        if classes < 2:
            raise ApplicabilityError("A wrong label needs at least 2 classes; the data have 1.")
        if copies < 2:
            raise SpecError(f"`behaviour.copies` is {copies}; a group needs at least 2 near-copies.")
        members = choose(np.arange(len(y)), size, len(y), rng)
        if size % copies:
            raise SpecError(
                f"`behaviour.size` is {size} and `behaviour.copies` {copies}; expected a size that the number of "
                "copies divides, so that every group is whole."
            )
        rows = rng.permutation(members).reshape(-1, copies)
        originals = rows[:, 0]
        wrong = (y[originals] + rng.integers(1, classes, len(originals))) % classes
        x_new, y_new, clean = x.copy(), y.copy(), y.copy()
        order = np.repeat(np.arange(len(originals)), copies)
        x_new[rows.ravel()] = _near(x[originals[order]], x, rng)
        y_new[rows.ravel()] = wrong[order]
        clean[rows.ravel()] = y[originals[order]]
        unseen = Unseen(_near(x[originals[order]], x, rng), wrong[order], y[originals[order]])
        return Planted(x_new, y_new, clean, members, unseen, "", mixed=True)

    return make


def _near(of: Floats, everything: Floats, rng: np.random.Generator) -> Floats:
    low, high = float(everything.min()), float(everything.max())
    noise = rng.normal(0, NOISE * (high - low), of.shape).astype(np.float32)
    return np.clip(of + noise, np.float32(low), np.float32(high))
