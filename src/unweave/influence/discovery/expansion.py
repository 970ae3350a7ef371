"""Our own scorer: scores in many blocks of features, weighed by what finds held-out seeds; and rounds of any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key, derive, generator
from unweave.influence.discovery.contract import scorer
from unweave.influence.discovery.evidence import Evidence, blocks_of
from unweave.influence.discovery.scores import PAIRS, count_above

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BEST = 4
_FOLDS = 5
_PENALTY = 0.003
"""Inverse strength of the ridge of the logistic regression: strong, since members are few and pairs are alike."""


class Pair(NamedTuple):
    """A block of features, turned once for a score, and that score."""

    name: str
    block: Floats
    score: Callable[[Floats, Ints], Floats]


def pairs_of(evidence: Evidence) -> list[Pair]:
    """All pairs of block and score; a single column has no directions, so no cosine to the nearest seeds."""
    return [
        Pair(f"{name} {kind}", turn(block), score)
        for name, block in blocks_of(evidence).items()
        for kind, (turn, score) in PAIRS.items()
        if block.shape[1] > 1 or kind == "discriminant"
    ]


@scorer(name="expansion", needs={"outside", "inside"}, cite="")
def expansion(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """Likeness to the seeds by many pairs of block and score, of which held-out seeds say how much each counts.

    Pairs are those of `blocks_of` with the direction of a shrunken discriminant analysis and with the cosine to
    the nearest seeds. Of each, the share of non-seeds that score as high, its tail u ∈ (0, 1), is known for every
    non-seed, and for seeds in five folds, each scored by the others. Two orders come of it:

        the mean rank in the 4 pairs with the smallest mean u of held-out seeds;
        a logistic regression of seed against non-seed on −log₁₀ u of all pairs, strongly penalised,

    and the score is 1 − (rank in one + rank in the other) / (2·non-seeds); seeds themselves score 1. The first is
    the better one where seeds are few, the second where they are many.

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
    return likeness(pairs_of(evidence), seeds, key=key)


def likeness(pairs: Sequence[Pair], seeds: Ints, *, key: Key) -> Floats:
    """The scores of `expansion` from pairs that were made before [n]."""
    n = len(pairs[0].block)
    rest, folds = np.setdiff1d(np.arange(n), seeds), _folds(seeds, key)
    tails = [_tails(pair, seeds, rest, folds) for pair in pairs]
    of_rest, of_seeds = np.array([one for one, _ in tails]), np.array([one for _, one in tails])
    best = np.argsort(of_seeds.mean(1), kind="stable")[:_BEST]
    places = _ranks(-np.mean([_ranks(-of_rest[at]) for at in best.tolist()], axis=0))
    if folds:
        places = (places + _ranks(_stacked(-np.log10(of_rest), -np.log10(of_seeds)))) / 2
    found = np.ones(n)
    found[rest] = 1 - places / len(rest)
    return found


def _folds(seeds: Ints, key: Key) -> list[Ints]:
    if len(seeds) < 2:
        return []
    order = generator(key, "folds of seeds").permutation(np.sort(seeds))
    return np.array_split(order, min(_FOLDS, len(order)))


def _tails(pair: Pair, seeds: Ints, rest: Ints, folds: Sequence[Ints]) -> tuple[Floats, Floats]:
    """Share of the rest that scores at least as high, of each of the rest [m] and of each held-out seed."""
    own = pair.score(pair.block, seeds)
    if not folds:  # one seed chooses nothing: all pairs are equally good
        return _share_above(own[rest], own[rest]), np.zeros(1)
    held: list[Floats] = []
    for fold in folds:
        scores = pair.score(pair.block, np.setdiff1d(seeds, fold))
        held.append(_share_above(scores[rest], scores[fold]))
    return _share_above(own[rest], own[rest]), np.concatenate(held)


def _share_above(of: Floats, values: Floats) -> Floats:
    """Share of some scores above each value, half of those that tie, and half an example: never 0 or 1."""
    return (count_above(of, values) + 0.5) / (len(of) + 1)


def _stacked(of_rest: Floats, of_seeds: Floats) -> Floats:
    """Log-odds of being a seed [m], by features of the rest [pairs, m] and of held-out seeds [pairs, s]."""
    from sklearn.linear_model import LogisticRegression

    centre, spread = of_rest.mean(1, keepdims=True), of_rest.std(1, keepdims=True)
    of_rest, of_seeds = ((one - centre) / np.where(spread > 1e-12, spread, 1.0) for one in (of_rest, of_seeds))
    seed = np.arange(of_seeds.shape[1] + of_rest.shape[1]) < of_seeds.shape[1]
    model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=500)
    model.fit(np.hstack([of_seeds, of_rest]).T, seed)
    return model.decision_function(of_rest.T)


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
