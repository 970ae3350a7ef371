"""A forget set outside D: instances of the behaviour that were never trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, SpecError
from unweave._random import Key, generator
from unweave.problem.behaviours import Planted, Unseen


def draw_outside(
    planted: Planted, *, key: Key, discovery: float | None = None, count: int | None = None
) -> tuple[Planted, NDArray[np.int64]]:
    """Take S from the unseen instances of a behaviour and set it behind D, where no world trains on it.

    Untraining is a no-op then: D∖S = D. Unlearning is not. The rest of the unseen instances stays the probe
    group `unseen`.

    Args:
        planted: The training data with the behaviour in it.
        key: Determines which instances.
        discovery: Share of the unseen instances in (0, 1); the default is 0.2.
        count: |S| instead.

    Returns:
        D followed by S, and the rows of S.

    Raises:
        ApplicabilityError: where the behaviour has no unseen instances.
        SpecError: for a set of none or of all of them.
    """
    unseen = planted.unseen
    if unseen is None:
        raise ApplicabilityError(
            f"`forget.outside` takes S from new instances of the behaviour, and there are none: "
            f"{planted.why_no_unseen}. Choose a behaviour that has them (`unweave list behaviours`)."
        )
    if discovery is not None and count is not None:
        raise SpecError("`forget` has discovery and count; expected one of them.")
    n = len(unseen.planted)
    share = 0.2 if discovery is None else discovery
    if count is None and not 0 < share < 1:
        raise SpecError(
            f"`forget.discovery` is {share}; expected the share of the unseen instances that S takes, in (0, 1)."
        )
    size = round(share * n) if count is None else count
    if not 1 <= size < n:
        what = f"`forget.discovery` {share}" if count is None else f"`forget.count` {count}"
        raise SpecError(
            f"{what} of {n} unseen instances is a forget set of {size}; expected at least 1, and some that stay "
            "unseen."
        )
    chosen = np.zeros(n, dtype=bool)
    chosen[generator(key, "forget").choice(n, size, replace=False)] = True
    x, labels, clean = (
        np.concatenate([of_d, of_s[chosen]])
        for of_d, of_s in (
            (planted.x, unseen.x),
            (planted.y, unseen.planted),
            (planted.clean, unseen.clean),
        )
    )
    left = Unseen(unseen.x[~chosen], unseen.planted[~chosen], unseen.clean[~chosen])
    if unseen.rows is not None:
        left = replace(left, rows=unseen.rows[~chosen], gone=unseen.rows[chosen])
    rows = np.arange(len(planted.y), len(planted.y) + size)
    return replace(planted, x=x, y=labels, clean=clean, unseen=left, mixed=True), rows
