"""Ids of examples as rows of D."""

from __future__ import annotations

import re
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

_SHOWN = 40
_HEAD = re.compile(r"(?i)(.*[^a-z])?(ids?|nr|no|key|name|number|nummer)([^a-z].*)?", re.DOTALL)
_SIGNS = {";": "a semicolon", "\t": "a tab", "|": "a bar", ",": "a comma", " ": "a space"}

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


def rows_of_ids(ids: Ids, wanted: Sequence[int | str], *, name: str, test: Sequence[int | str] = ()) -> Ints:
    """The rows of D that have the wanted ids, sorted.

    Args:
        ids: Ids of all of D [n].
        wanted: Ids, each once, all of them of D.
        name: The key they stand under, for the message.
        test: Ids of the test part, of which the message says that they are there.

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
            f"`{name}` holds {other[0][:_SHOWN]!r}, but the ids of these data are whole numbers, such as {ids[0]}."
            + _as_written(wanted, other, ids)
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
    absent = [i for i in wanted if i not in row_of]
    if absent:
        aside, unknown = in_test(absent, test)
        few = name.partition(".")[0]
        said: list[str] = []
        if aside:
            said.append(
                f"{len(aside)} of {len(wanted)} {few} ids are in the test part (first: {_shown(aside[0])}), which "
                "no model is trained on: there is nothing to forget. Leave them out (--allow-unknown drops them)."
            )
        if unknown:
            what = f"{len(unknown)} of {len(wanted)} {few} ids are not in the training data"
            hint = _as_written(wanted, unknown, ids)
            said.append(f"{what} (first: {_shown(unknown[0])}).{hint or ' ' + _WHY_NOT[name]}")
        raise SpecError(" ".join(said))
    return np.sort(np.array([row_of[i] for i in wanted], dtype=np.int64))


def in_test(
    absent: Sequence[int | str], test: Sequence[int | str]
) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
    """Ids that are not in D: those of the test part, and those that nothing has.

    Example:
        >>> in_test([7, "x"], [7, 8])
        ((7,), ('x',))
    """
    # The parts may have ids of two types, where each has a file of its own.
    there = {str(one) for one in test}
    return tuple(i for i in absent if str(i) in there), tuple(i for i in absent if str(i) not in there)


def _shown(one: int | str) -> str:
    return str(one)[:_SHOWN]


def _as_written(wanted: Sequence[int | str], unknown: Sequence[int | str], ids: Ids) -> str:
    """What a file of ids seems to be where some of them are none: a table with a line of names, or one line."""
    there = {str(one) for one in ids.tolist()}
    texts = [one for one in unknown if isinstance(one, str)]
    for sign, called in _SIGNS.items():
        if any(part.strip() in there for one in texts if sign in one for part in one.split(sign)):
            return (
                f" Parts of such lines are ids of these data: {called} seems to stand between columns or ids. "
                "Expected one id a line, or CSV with commas and a column id."
            )
    first = wanted[0]
    if texts and first == texts[0] and not any(sign.isdigit() for sign in texts[0]):
        known = [str(one) for one in wanted[1:] if str(one) in there]
        numbered = bool(known) and all(any(sign.isdigit() for sign in one) for one in known)
        if numbered or _HEAD.fullmatch(texts[0]):
            return (
                f" {_shown(first)!r} is the first and looks like a line of names: leave it out, or call the "
                "column of the ids id."
            )
    return ""
