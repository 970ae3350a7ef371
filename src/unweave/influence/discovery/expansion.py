"""Our own scorer: the scores and blocks of features that find held-out seeds best, averaged; and rounds of any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key, derive, generator
from unweave.influence.discovery.contract import scorer
from unweave.influence.discovery.evidence import Evidence, blocks_of
from unweave.influence.discovery.scores import PAIRS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BEST = 4
_FOLDS = 5


@scorer(name="expansion", needs={"outside", "inside"}, cite="")
def expansion(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """Mean rank over the four best pairs of block and score.

    Pairs are those of `blocks_of` with the direction of a shrunken discriminant analysis and with the cosine to
    the nearest seeds. The best four place held-out seeds highest: seeds in five folds, each scored by the other
    four, and the mean number of non-seeds above them counts: not the mean of its logarithm, since recall is lost
    in the tail. The score is 1 − mean rank / number of examples that are no seeds; seeds themselves score 1.

    Args:
        evidence: See there.
        seeds: Rows of the members that it learns from [≥ 1]; all others are treated as unlabelled.
        key: Determines the folds.

    Returns:
        Scores in [0, 1] [n], higher = more likely of B.

    Example:
        >>> p = np.array([[0.1, 0.9]] * 4 + [[0.9, 0.1]] * 8)
        >>> made = Evidence(np.zeros(12, np.int64), p, np.ones(12), None, None, np.arange(2))
        >>> scores = expansion(made, np.arange(2), key=0)
        >>> bool(scores[2:4].min() > scores[4:].max())
        True
    """
    ready = [(turn(block), score) for block in blocks_of(evidence).values() for turn, score in PAIRS.values()]
    rest = np.setdiff1d(np.arange(len(evidence.labels)), seeds)
    folds = _folds(seeds, key)
    if folds:
        costs = [_cost(block, score, seeds, folds, rest) for block, score in ready]
        best = np.argsort(costs, kind="stable")[:_BEST]
    else:
        best = np.arange(len(ready))  # one seed chooses nothing
    places = np.mean([_ranks(ready[at][1](ready[at][0], seeds)[rest]) for at in best.tolist()], axis=0)
    found = np.ones(len(evidence.labels))
    found[rest] = 1 - places / len(rest)
    return found


def _folds(seeds: Ints, key: Key) -> list[Ints]:
    if len(seeds) < 2:
        return []
    order = generator(key, "folds of seeds").permutation(np.sort(seeds))
    return np.array_split(order, min(_FOLDS, len(order)))


def _cost(
    block: Floats, score: Callable[[Floats, Ints], Floats], seeds: Ints, folds: list[Ints], rest: Ints
) -> float:
    above: list[Floats] = []
    for fold in folds:
        own = score(block, np.setdiff1d(seeds, fold))
        others = np.sort(own[rest])
        # Half of those that score the same: a block that tells nothing apart is no good one.
        high = len(others) - np.searchsorted(others, own[fold], side="right")
        same = np.searchsorted(others, own[fold], side="right") - np.searchsorted(others, own[fold])
        above.append(high + same / 2)
    return float(np.concatenate(above).mean())


def _ranks(scores: Floats) -> Floats:
    """Place from the top, 1 for the highest; the mean of those that score the same."""
    _, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[inverse]


@runtime_checkable
class Scorer(Protocol):
    """What `SCORERS` holds."""

    def __call__(self, evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
        """Scores of all of D [n] by seeds, higher = more likely of B."""
        ...


def in_rounds(score: Scorer, evidence: Evidence, seeds: Ints, *, rounds: int, key: Key) -> Floats:
    """Score D by seeds, take what scores above half of the held-out seeds as further seeds, and so on.

    Which examples join the seeds depends on the first seeds and on the rest of D as a set, not on who of the
    rest is known to be a member: so held-out members and undiscovered ones stay exchangeable, and the
    cut-off that is calibrated afterwards keeps its promise.

    Args:
        score: A scorer.
        evidence: What it reads.
        seeds: Rows of known members [≥ 2 where there is more than one round].
        rounds: How often D is scored, ≥ 1.
        key: Determines folds.

    Returns:
        Scores [n]; those that joined the seeds stand above all others, in the order of the round before.

    Example:
        >>> def near(evidence, seeds, *, key):
        ...     return -np.abs(np.arange(6.0) - seeds.mean())
        >>> p = np.ones((6, 1))
        >>> made = Evidence(np.zeros(6, np.int64), p, p[:, 0], None, None, np.array([0, 2]))
        >>> in_rounds(near, made, np.array([0, 2]), rounds=2, key=0).argsort().tolist()
        [5, 4, 3, 0, 2, 1]
    """
    seeds = np.sort(seeds)
    found, current = score(evidence, seeds, key=key), seeds
    for number in range(1, rounds):
        held_out = np.empty(len(seeds))
        for fold in _folds(seeds, derive(key, "held-out seeds", number)):
            places = np.searchsorted(seeds, fold)
            held_out[places] = score(evidence, np.setdiff1d(current, fold), key=key)[fold]
        current = np.union1d(seeds, np.flatnonzero(found > np.median(held_out)))
        joined, rest = np.setdiff1d(current, seeds), np.setdiff1d(np.arange(len(found)), current)
        before, found = found, score(evidence, current, key=key)
        if len(joined) and len(rest):
            found[joined] = found[rest].max() + 1 + before[joined] - before[joined].min()
    return found
