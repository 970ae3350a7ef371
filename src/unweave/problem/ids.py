"""Ids of examples as rows of D."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError

Ints = NDArray[np.int64]
_WHY_NOT = {
    "forget.ids": (
        "Removing data that was never trained on can damage a model. --allow-unknown (`forget.allow_unknown`) "
        "drops these ids and lists them in the result."
    ),
    "behaviour.ids": "Only examples that are trained on can be its members.",
    "data.without": "Only examples that are there can be left out.",
}
"""Why an id that is not in D is refused, and what to do, by the key it stands under."""

Ids = NDArray[Any]
"""int64, or texts of any width [n]."""


def known_ids(ids: Ids, wanted: Sequence[int | str]) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
    """The wanted ids that are in D, and those that are not, in their order.

    Example:
        >>> known_ids(np.array([7, 8]), [8, 9])
        ((8,), (9,))
    """
    there = set(ids.tolist())
    texts = ids.dtype.kind == "U"
    inside = [(str(one) if texts else one) in there for one in wanted]
    known = tuple(one for one, is_known in zip(wanted, inside, strict=True) if is_known)
    return known, tuple(one for one, is_known in zip(wanted, inside, strict=True) if not is_known)


def rows_of_ids(ids: Ids, wanted: Sequence[int | str], *, name: str) -> Ints:
    """The rows of D that have the wanted ids, sorted.

    Args:
        ids: Ids of all of D [n].
        wanted: Ids, each once, all of them of D.
        name: The key they stand under, for the message.

    Raises:
        SpecError: for a negative id, an id given twice, a text where the ids are numbers, or an id that is
            not in D.

    Example:
        >>> rows_of_ids(np.array([7, 8, 9]), [9, 7], name="forget.ids").tolist()
        [0, 2]
    """
    if ids.dtype.kind == "U":
        wanted = [str(i) for i in wanted]  # an id that is all digits may have been read as a number
    elif other := [i for i in wanted if isinstance(i, str)]:
        raise SpecError(
            f"`{name}` holds {other[0][:40]!r}, but the ids of these data are whole numbers, such as {ids[0]}."
        )
    negative = [i for i in wanted if isinstance(i, int) and i < 0]
    if negative:
        raise SpecError(
            f"`{name}` has the negative id {negative[0]}; ids are {ids.min()} … {ids.max()}, "
            "and −1 never means the last one."
        )
    twice = [i for i, times in Counter(wanted).items() if times > 1]
    if twice:
        raise SpecError(
            f"`{name}`: id {twice[0]} appears {Counter(wanted)[twice[0]]}× ({len(twice)} ids repeat). "
            "List each example once."
        )
    row_of = {i: row for row, i in enumerate(ids.tolist())}
    unknown = [i for i in wanted if i not in row_of]
    if unknown:
        raise SpecError(
            f"{len(unknown)} of {len(wanted)} {name.partition('.')[0]} ids are not in the training data (first: "
            f"{unknown[0]}). {_WHY_NOT[name]}"
        )
    return np.sort(np.array([row_of[i] for i in wanted], dtype=np.int64))
