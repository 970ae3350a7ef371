"""Copies in the data of a case: which of S stay when S is removed, and which examples are left out together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave.problem.copies import NEAR, copies_left, copy_groups
from unweave.problem.ids import Ids, known_ids, rows_of_ids
from unweave.records.copies import Copies, CopyLeft
from unweave.study.assemble import Assembly
from unweave.study.prompts import counts_of

Ints = NDArray[np.int64]

COPIES = "copies"
"""The name that stands for groups of copies, as they are found, where a file of groups may be named."""

NEAR_IN_TABLES = 0.1
"""`near` of `copy_groups` for tables: rows are alike without being copies, since their values are few."""

_LISTED = 20


def copies_of_forget(assembly: Assembly, *, listed: int = _LISTED) -> Copies:
    """Copies of S that stay in D∖S: what S taught, they still teach once S is removed.

    Args:
        assembly: The case; S must lie in D.
        listed: How many are listed at most, nearest first.

    Returns:
        How many there are, and the first of them with their ids.
    """
    x, near = _features(assembly)
    found = copies_left(x, assembly.forget, near=near)
    y, ids = assembly.setting.y, assembly.setting.ids
    first, second = (np.concatenate([getattr(part, of) for part in found[:2]]) for of in ("first", "second"))
    distance = np.concatenate([found.exact.distance, found.near.distance])
    same = y[first] == y[second]
    order = np.argsort(distance, kind="stable")[:listed]
    return Copies(
        exact=len(found.exact.second),
        near=len(found.near.second),
        other_label=int((~same).sum()),
        within=len(found.within),
        pairs=tuple(
            CopyLeft(str(ids[first[k]]), str(ids[second[k]]), float(distance[k]), bool(same[k])) for k in order
        ),
    )


def together_of(assembly: Assembly, wanted: str | None) -> list[list[int]]:
    """Rows of D that are left out together, as sets of at least two; see `read_groups` and `copy_groups`.

    Args:
        assembly: The case.
        wanted: `copies`, the name of a file of groups, or None for no sets.

    Raises:
        SpecError: for a file that cannot be read, or names what is not in D.
    """
    if wanted is None:
        return []
    if wanted == COPIES:
        x, near = _features(assembly)
        return _sets(copy_groups(x, near=near))
    return read_groups(Path(wanted), assembly.setting.ids)


def clusters_of(sets: Sequence[Sequence[int]], n: int) -> Ints | None:
    """A number per example of D [n], equal for the rows of a set; None where there are no sets.

    Example:
        >>> clusters_of([[1, 3]], 4).tolist(), clusters_of([], 4)
        ([0, 1, 2, 1], None)
    """
    if not sets:
        return None
    found = np.arange(n)
    for rows in sets:
        found[list(rows)] = min(rows)
    return found


def read_groups(file: Path, ids: Ids) -> list[list[int]]:
    """Groups of examples from a file of lines `id,group`; examples that it does not name stand alone.

    A first line `id,group` is a heading. A group is any text; an id may hold commas, a group may not.

    Args:
        file: The file, in UTF-8.
        ids: Ids of all of D [n].

    Returns:
        Rows of D of each group of at least two.

    Raises:
        SpecError: for a file that cannot be read, a line without a group, an id that is not in D or named twice.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "this is no text file"
        raise SpecError(
            f"`together` is {str(file)!r}; expected `{COPIES}`, or a file of lines id,group ({why})."
        ) from None
    named: list[int | str] = []
    groups: list[str] = []
    for number, line in enumerate(lines, 1):
        name, comma, group = (part.strip() for part in line.rpartition(","))
        if not line.strip() or (number == 1 and (name.lower(), group.lower()) == ("id", "group")):
            continue
        if not comma or not name or not group:
            raise SpecError(f"{file}, line {number}: {line.strip()[:60]!r}; expected id,group, such as 17,a.")
        named.append(_id(name, ids, f"{file}, line {number}"))
        groups.append(group)
    if not named:
        raise SpecError(f"{file} names no example; expected lines id,group.")
    unknown = known_ids(ids, named)[1]
    if unknown:
        raise SpecError(
            f"{len(unknown)} of {len(named)} ids of {file} are not in the training data (first: {unknown[0]}). "
            "Only examples that are trained on can be left out together."
        )
    rows_of_ids(ids, named, name=str(file))  # none twice, none below 0
    row = {one: number for number, one in enumerate(ids.tolist())}
    inside: dict[str, list[int]] = {}
    for one, group in zip(named, groups, strict=True):
        inside.setdefault(group, []).append(row[one])
    return sorted(sorted(rows) for rows in inside.values() if len(rows) > 1)


def _id(text: str, ids: Ids, place: str) -> int | str:
    if ids.dtype.kind == "U":
        return text
    try:
        return int(text)
    except ValueError:
        raise SpecError(f"{place}: the id {text[:40]!r} is no whole number, as those of these data are.") from None


def _sets(group: Ints) -> list[list[int]]:
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return [part.tolist() for part in parts if len(part) > 1]


def _features(assembly: Assembly) -> tuple[NDArray[np.float32], float]:
    """Features by which copies are told, and how near they must be: numbers of a table are standardised."""
    encoding, x = assembly.setting.learner.encoding, assembly.setting.x
    if assembly.data.documents:
        return counts_of(x, assembly.data.classes), NEAR
    if encoding is None:
        return x, NEAR
    from unweave.learners.encoding import standardised, world_scales

    return standardised(encoding, x, world_scales(encoding, x)), NEAR_IN_TABLES
