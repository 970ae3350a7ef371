"""S and what earlier requests took out, of data whose documents are one row or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key
from unweave.data import Dataset, Ids
from unweave.language.corpora.examples import Prompts
from unweave.problem import ForgetChoice, Planted, discovered, rows_of_ids
from unweave.study.prompts import counts_of

Ints = NDArray[np.int64]
Thing = TypeVar("Thing")


def forget_documents(
    chosen: ForgetChoice, planted: Planted, found: Prompts, groups: Sequence[str], tokens: int, *, key: Key
) -> tuple[Ints, tuple[int | str, ...], Ints]:
    """Rows of S: all answers of the documents that were discovered.

    Args:
        chosen: What the case says of S.
        planted: The behaviour, a row for each answer.
        found: The answers of D.
        groups: Copy group of the document of each answer.
        tokens: Number of tokens: documents are near each other where they have the same words.
        key: Determines the choice.

    Returns:
        The rows, sorted; ids that are not in D, where that was allowed; and the document of each answer of D, or
        its copy group where these are discovered as a whole.

    Raises:
        SpecError, UnknownNameError: for what `select` refuses.
    """
    names, at = _numbered(groups if chosen.unit == "group" else found.document.tolist())
    # A unit that B has a part of is one of B's; what is not of B stays when it is discovered.
    inside = np.unique(at[planted.members])
    first = np.unique(at, return_index=True)[1]
    near = chosen.selection != "random"
    counts = np.zeros((len(names), tokens if near else 1), dtype=np.float32)
    if near:
        np.add.at(counts, at, counts_of(found.x, tokens))
    units = replace(planted, x=counts, y=planted.y[first], clean=planted.clean[first], members=inside, unseen=None)
    ids = np.array(names, dtype=np.str_)
    if chosen.ids is not None:
        chosen = replace(chosen, ids=documents_named(chosen.ids, ids))
    picked, dropped = discovered(chosen, units, ids, key=key)
    rows = np.flatnonzero(np.isin(at, picked))
    return (np.intersect1d(rows, planted.members) if planted.known else rows), dropped, at


def documents_named(wanted: Sequence[int | str], ids: Ids) -> tuple[str, ...]:
    """Names of documents; one of an answer, `document@place`, stands for all of its document.

    Example:
        >>> documents_named(["a@4", "a@5", "b"], np.array(["a", "b"]))
        ('a', 'b')
    """
    there = set(ids.tolist())
    own = [str(one) for one in wanted]
    of_answers = {one: before for one in own if (before := one.rpartition("@")[0]) in there and one not in there}
    told = [of_answers.get(one, one) for one in own]
    # Several answers of one document name it once; a document that is named twice is a mistake all the same.
    return tuple(
        name
        for place, (one, name) in enumerate(zip(own, told, strict=True))
        if not (one in of_answers and name in told[:place])
    )


def names_of(data: Dataset) -> Ids:
    """Ids of the examples, and those of the documents that they are answers of: what a request may name."""
    ids = data.train.ids
    if not data.documents:
        return ids
    whole = [before for one in ids.tolist() if (before := one.rpartition("@")[0])]
    return np.array(list(dict.fromkeys((*ids.tolist(), *whole))), dtype=np.str_)


def without_documents(
    things: Sequence[Thing], names: Sequence[str], wanted: Sequence[int | str] | None
) -> list[Thing]:
    """The documents without those that earlier requests took out, as if they had never been there.

    Raises:
        SpecError: for one that is not there, or if fewer than two are left.
    """
    if not wanted:
        return list(things)
    ids = np.array(list(names), dtype=np.str_)
    gone = set(rows_of_ids(ids, documents_named(wanted, ids), name="data.without").tolist())
    left = [one for row, one in enumerate(things) if row not in gone]
    if len(left) < 2:
        raise SpecError(f"`data.without` leaves {len(left)} of {len(things)} documents.")
    return left


def _numbered(names: Sequence[str]) -> tuple[list[str], Ints]:
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return list(number), np.array([number[name] for name in names], dtype=np.int64)
