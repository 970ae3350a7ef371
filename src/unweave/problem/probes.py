"""Probe groups: where models are compared, and the fixed strata that weigh them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError
from unweave._random import Key, generator
from unweave.problem.behaviours import Planted

Ints = NDArray[np.int64]

GROUPS = ("forget", "undiscovered", "unseen", "retain", "test")
MIN_PROBES = 20
"""A group with fewer probes is shown but enters no verdict."""


@dataclass(frozen=True)
class Probes:
    """All probes of a case in one array.

    Attributes:
        x: Features [n, ...].
        clean: Clean labels [n].
        planted: Labels that show the behaviour [n]; −1 where there is none to show.
        trained: Labels as trained on (planted where planted) [n]; clean for test data.
        rows: Where each probe comes from [n]: its row in D, for `unseen` among the unseen instances, for `test` in
            the test data.
        groups: Positions in the arrays per group, in the order of `GROUPS`; absent groups are left out.
        absent: The reason for each group that is left out.
        population: Examples of D behind each group, before it was limited: |S| and |B∖S|.
    """

    x: NDArray[np.float32]
    clean: Ints
    planted: Ints
    trained: Ints
    rows: Ints
    groups: dict[str, Ints]
    absent: dict[str, str]
    population: dict[str, int]


def choose_probes(
    planted: Planted,
    forget: Ints,
    test: tuple[NDArray[np.float32], Ints],
    *,
    limit: int,
    key: Key,
) -> Probes:
    """Choose the probes of each group, at most `limit` each, at random by `key`.

    Args:
        planted: The training data with the behaviour in it.
        forget: Rows of S.
        test: Features and labels of the clean test data; the group `test` leaves out instances of the behaviour.
        limit: Most probes per group.
        key: Determines the sample.

    Raises:
        ApplicabilityError: where every test example is an instance of the behaviour.
    """
    parts: dict[str, Part] = {}
    absent: dict[str, str] = {}
    undiscovered = np.setdiff1d(planted.members, forget)
    # Where B is not known, what is ordinary is all that is not in S.
    ordinary = np.setdiff1d(np.arange(len(planted.y)), np.union1d(planted.members, forget))
    none = np.int64(-1)
    for name, rows in (("forget", forget), ("undiscovered", undiscovered), ("retain", ordinary)):
        if len(rows) == 0:
            nothing = "S = B: nothing is undiscovered" if planted.known else planted.why_no_unseen
            absent[name] = nothing if name == "undiscovered" else "no examples"
            continue
        rows = sample_rows(rows, limit, key, name)
        shown = np.full(len(rows), none) if name == "retain" else planted.y[rows]
        parts[name] = (planted.x[rows], planted.clean[rows], shown, planted.y[rows], rows)
    if planted.unseen is None:
        absent["unseen"] = planted.why_no_unseen
    else:
        rows = sample_rows(np.arange(len(planted.unseen.planted)), limit, key, "unseen")
        unseen = planted.unseen
        parts["unseen"] = (unseen.x[rows], unseen.clean[rows], unseen.planted[rows], unseen.clean[rows], rows)
    rows = sample_rows(_ordinary(planted, len(test[1])), limit, key, "test")
    parts["test"] = (test[0][rows], test[1][rows], np.full(len(rows), none), test[1][rows], rows)

    return join_probes(parts, absent, {"forget": len(forget), "undiscovered": len(undiscovered)})


Part = tuple[NDArray[np.float32], Ints, Ints, Ints, Ints]
"""Of the probes of one group: x, clean, planted, trained and rows, as `Probes` has them."""


def join_probes(parts: Mapping[str, Part], absent: dict[str, str], population: dict[str, int]) -> Probes:
    """The probes of all groups, in the order of `GROUPS`, in one array; groups without a part are `absent`."""
    groups: dict[str, Ints] = {}
    ordered = [name for name in GROUPS if name in parts]
    begin = 0
    for name in ordered:
        groups[name] = np.arange(begin, begin + len(parts[name][1]))
        begin += len(parts[name][1])
    return Probes(
        x=np.concatenate([parts[name][0] for name in ordered]),
        clean=np.concatenate([parts[name][1] for name in ordered]),
        planted=np.concatenate([parts[name][2] for name in ordered]),
        trained=np.concatenate([parts[name][3] for name in ordered]),
        rows=np.concatenate([parts[name][4] for name in ordered]),
        groups=groups,
        absent=absent,
        population=population,
    )


def hold_out(n_test: int, planted: Planted, *, count: int, key: Key) -> Ints:
    """Choose the test examples that are set aside for methods, and are no probes.

    Instances of the behaviour and ordinary examples are chosen alike; where there are fewer than 2·`MIN_PROBES` of
    either, they all stay probes.

    Args:
        n_test: Number of test examples.
        planted: What was planted with all of them.
        count: How many, but at most a fifth of the test data.
        key: Determines which.

    Returns:
        Rows of the test data, sorted.
    """
    rows = np.arange(n_test)
    found = planted.unseen
    unseen = rows[:0] if found is None or found.rows is None else found.rows
    for group in (unseen, np.setdiff1d(rows, unseen)):
        if len(group) < 2 * MIN_PROBES:
            rows = np.setdiff1d(rows, group)
    count = min(count, n_test // 5, len(rows))
    return np.sort(generator(key, "validation").choice(rows, count, replace=False))


def _ordinary(planted: Planted, n_test: int) -> Ints:
    rows = np.arange(n_test)
    if planted.unseen is None or planted.unseen.rows is None:
        return rows
    rows = np.setdiff1d(rows, planted.unseen.rows)
    if planted.unseen.gone is not None:
        rows = np.setdiff1d(rows, planted.unseen.gone)
    if len(rows) == 0:
        raise ApplicabilityError(
            f"All {n_test} test examples are instances of the behaviour, so nothing ordinary is left to measure "
            "damage on. Choose a behaviour that leaves at least one class alone, or raise `data.test`."
        )
    return rows


def sample_rows(rows: Ints, limit: int, key: Key, name: str) -> Ints:
    """At most `limit` of the rows of a group, at random by `key`, in their order."""
    if len(rows) <= limit:
        return rows
    return np.sort(generator(key, "probes", name).choice(rows, limit, replace=False))


def strata(sizes: dict[str, int], population: dict[str, int] | None = None) -> dict[str, float]:
    """The weight of each probe group in overall figures; fixed strata, so that γ does not move them.

    1/3 behaviour (S and B∖S pooled per example), 1/3 unseen, 1/3 ordinary (mean of retain and test);
    without `unseen` 1/2 and 1/2. Groups of fewer than `MIN_PROBES` probes weigh nothing.

    Args:
        sizes: Number of probes per group; absent groups are left out.
        population: Examples behind `forget` and `undiscovered`, by which the two are pooled; None = their
            probes. A limit on the probes must not change what an example of B weighs.

    Returns:
        Weight per group, summing to 1.

    Example:
        >>> strata({"forget": 20, "undiscovered": 80, "retain": 400, "test": 397})["undiscovered"]
        0.4
    """
    enough = {name: count for name, count in sizes.items() if count >= MIN_PROBES}
    behaviour = [name for name in ("forget", "undiscovered") if name in enough]
    ordinary = [name for name in ("retain", "test") if name in enough]
    unseen = [name for name in ("unseen",) if name in enough]
    present = [stratum for stratum in (behaviour, unseen, ordinary) if stratum]
    weights = dict.fromkeys(sizes, 0.0)
    for stratum in present:
        counts = enough if population is None or stratum is not behaviour else population
        pooled = sum(counts[name] for name in stratum)
        for name in stratum:
            inside = 1 / len(stratum) if stratum is ordinary else counts[name] / pooled
            weights[name] = inside / len(present)
    return weights
