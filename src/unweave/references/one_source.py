"""Which stored data sets come from one source: a file under all its names, in all its states."""

from __future__ import annotations

import os
from collections.abc import Sequence

from unweave.references.membership import StoredData


def by_source(known: Sequence[StoredData]) -> list[list[StoredData]]:
    """Data sets in groups, each of one source.

    Two are of one source if their names are the same, or lead to the same file from here; if the runs that read
    them noted the same file; or if they were the same data as they were read. A file that changed, and one of
    which examples were left out (`data.without`), keeps its name, and a copy keeps its content.

    Example:
        >>> named = {"read": "", "data": "", "examples": 0, "ids": frozenset(), "file": ""}
        >>> names = ["a.csv", "b.csv", "erased/0001/../../a.csv"]
        >>> states = [StoredData(**{**named, "name": name, "read": name}) for name in names]
        >>> [[one.name for one in own] for own in by_source(states)]
        [['b.csv'], ['a.csv', 'erased/0001/../../a.csv']]
    """
    groups: list[tuple[set[str], list[StoredData]]] = []
    for one in known:
        joined = _marks(one)
        same = [group for group in groups if group[0] & joined]
        members = [before for group in same for before in group[1]]
        groups = [group for group in groups if group not in same]
        groups.append((joined.union(*(group[0] for group in same)), [*members, one]))
    return [members for _, members in groups]


def is_called(one: StoredData, wanted: str) -> bool:
    """Whether a data set is meant by a name, another name of its file, or first digits of its fingerprint."""
    return wanted == one.name or one.read.startswith(wanted) or resolved(wanted) in (resolved(one.name), one.file)


def resolved(name: str) -> str:
    """A name of data with its path as it leads from the working directory: absolute, links followed."""
    kind, colon, path = name.partition(":")
    try:
        return f"{kind}:{os.path.realpath(path)}" if colon else os.path.realpath(name)
    except ValueError:  # no name of a file
        return name


def _marks(one: StoredData) -> set[str]:
    noted = {f"file {one.file}"} if one.file else set[str]()
    return {f"name {one.name}", f"read {one.read}", f"file {resolved(one.name)}"} | noted
