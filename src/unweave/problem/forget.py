"""Which part of the behaviour was discovered: the forget set S."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key, generator

Ints = NDArray[np.int64]


def select(
    members: Ints,
    ids: Ints,
    *,
    key: Key,
    discovery: float | None = None,
    count: int | None = None,
    forget_ids: Sequence[int] | None = None,
) -> Ints:
    """The rows of D that form the forget set S ⊆ B.

    Args:
        members: Rows of D that carry the behaviour (B), sorted.
        ids: Ids of all of D [n].
        key: Determines a random selection.
        discovery: γ = |S|/|B| in (0, 1]; the default is 0.2.
        count: |S| instead of γ.
        forget_ids: Explicit ids instead of a random selection.

    Returns:
        Rows of D, sorted.

    Raises:
        SpecError: for an empty set, all of D, ids outside D or B, ids given twice, γ outside (0, 1].

    Example:
        >>> select(np.arange(10), np.arange(100), key=0, discovery=0.3).shape
        (3,)
    """
    given = [n for n, v in (("discovery", discovery), ("count", count), ("ids", forget_ids)) if v is not None]
    if len(given) > 1:
        raise SpecError(f"`forget` has {' and '.join(given)}; expected one of discovery, count, ids.")
    rows = (
        _random(members, discovery=discovery, count=count, key=key)
        if forget_ids is None
        else _by_ids(members, ids, forget_ids)
    )
    if len(rows) == 0:
        raise SpecError("The forget set has 0 examples; nothing to remove. Check `forget`.")
    if len(rows) == len(ids):
        raise SpecError(
            f"The forget set is all {len(ids)} training examples; no retain data remain. Delete the model instead."
        )
    return rows


def _random(members: Ints, *, discovery: float | None, count: int | None, key: Key) -> Ints:
    if count is None:
        share = 0.2 if discovery is None else discovery
        if not 0 < share <= 1:
            raise SpecError(
                f"`forget.discovery` is {share}; expected γ = |S|/|B| in (0, 1], the share of the "
                "behaviour that was discovered."
            )
        count = round(share * len(members))
        if count == 0:
            raise SpecError(
                f"`forget.discovery` {share} of {len(members)} members is an empty forget set; "
                f"nothing to remove. Expected at least {1 / len(members):.3g}."
            )
    if count < 1:
        raise SpecError(f"`forget.count` is {count}: an empty forget set; nothing to remove.")
    if count > len(members):
        raise SpecError(f"`forget.count` is {count}, but the behaviour has only {len(members)} members.")
    return np.sort(generator(key, "forget").choice(members, count, replace=False))


def _by_ids(members: Ints, ids: Ints, wanted: Sequence[int]) -> Ints:
    negative = [i for i in wanted if i < 0]
    if negative:
        raise SpecError(
            f"`forget.ids` has the negative id {negative[0]}; ids are {ids.min()} … {ids.max()}, "
            "and −1 never means the last one."
        )
    twice = [i for i, times in Counter(wanted).items() if times > 1]
    if twice:
        raise SpecError(
            f"`forget.ids`: id {twice[0]} appears {Counter(wanted)[twice[0]]}× ({len(twice)} ids repeat). "
            "List each example once."
        )
    row_of = {int(i): row for row, i in enumerate(ids)}
    unknown = [i for i in wanted if i not in row_of]
    if unknown:
        raise SpecError(
            f"{len(unknown)} of {len(wanted)} forget ids are not in the training data (first: {unknown[0]}). "
            "Removing data that was never trained on can damage a model."
        )
    rows = np.sort(np.array([row_of[i] for i in wanted], dtype=np.int64))
    outside = np.setdiff1d(rows, members)
    if len(outside) and len(rows) < len(ids):
        raise SpecError(
            f"{len(outside)} of {len(rows)} forget ids do not carry the behaviour (first: "
            f"{ids[outside[0]]}); S must lie within B. `unweave cases --members` lists the ids of B."
        )
    return rows
