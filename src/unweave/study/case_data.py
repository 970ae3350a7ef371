"""What every source of data makes of a case: examples, the behaviour in them, S, and what is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key
from unweave.data import Dataset
from unweave.learners import LearnerSpec
from unweave.problem import Case, Planted, Probes, choose_probes

Ints = NDArray[np.int64]


class CaseData(NamedTuple):
    """A case as arrays, before its worlds are planned.

    Attributes:
        data: The data before planting.
        planted: The training data with the behaviour in it.
        forget: Rows of S.
        aside: Rows of the test data that are no probes.
        probes: Probes of all groups.
        dropped: Ids of S that are not in D, where that was allowed.
        learner: What goes on training a checkpoint; None where the case names one to train from scratch.
        found_in: The unit of each row of D that S was discovered in, all of it or nothing [n]; None where each row
            is found by itself.
    """

    data: Dataset
    planted: Planted
    forget: Ints
    aside: Ints
    probes: Probes
    dropped: tuple[int | str, ...] = ()
    learner: LearnerSpec | None = None
    found_in: Ints | None = None


def with_probes(
    case: Case,
    data: Dataset,
    planted: Planted,
    forget: Ints,
    aside: Ints,
    *,
    dropped: tuple[int | str, ...] = (),
    found_in: Ints | None = None,
    key: Key,
) -> CaseData:
    """What is asked, chosen from D and from the test data that were not set aside.

    Args:
        case: The case.
        data: The data before planting.
        planted: The behaviour, its unseen instances as rows of what was not set aside.
        forget: Rows of S.
        aside: Rows of the test data that methods may learn from.
        dropped: Ids of S that are not in D.
        found_in: The unit of each row that S was discovered in, if any.
        key: Determines the choice.
    """
    kept = np.setdiff1d(np.arange(len(data.test)), aside)
    test = data.test.x[kept], data.test.y[kept]
    probes = choose_probes(planted, forget, test, limit=case.probes.limit, key=key)
    unseen = planted.unseen
    if unseen is not None and unseen.rows is not None:
        gone = None if unseen.gone is None else kept[unseen.gone]
        planted = replace(planted, unseen=replace(unseen, rows=kept[unseen.rows], gone=gone))
    rows = probes.rows.copy()
    rows[probes.groups["test"]] = kept[rows[probes.groups["test"]]]
    return CaseData(data, planted, forget, aside, replace(probes, rows=rows), dropped, found_in=found_in)
