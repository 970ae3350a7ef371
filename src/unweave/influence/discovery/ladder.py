"""How far to grow S: an order of D∖S, a ladder of cuts through it, and the rule that chooses the rung."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._random import Key, derive, generator
from unweave.influence.discovery.evidence import Evidence
from unweave.influence.discovery.expansion import Pair, likeness, pairs_of
from unweave.influence.discovery.scores import best_first, count_above

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RUNGS = 3
"""Most rungs of a ladder, each of which costs a training; the model that is kept is one more."""

_FOLDS = 5
_TOLERANCE = 0.03
_BELIEVED = 0.5
_LEAST = (0.03, 0.012, 0.005)
"""The posterior of being a member down to which each rung goes, for an example whose label no model expects."""
_EXPECTED = (0.3, 0.1, 0.03)
"""What is added to it for one whose label all models expect: what they learn from it, if it is none, is lost."""
_LOSABLE = (0.15, 0.2, 0.3)
"""The share of a class that each rung may take out in vain."""


class Order(NamedTuple):
    """Candidates for Ŝ ⊇ S.

    Attributes:
        rows: D∖S, best first [m].
        joins: The rung from which on each of them is in Ŝ [m]; the number of rungs for those that never are.
        cuts: How many are in Ŝ at each rung, at most `RUNGS` of them, increasing.
    """

    rows: Ints
    joins: Ints
    cuts: tuple[int, ...]

    def at(self, rung: int) -> Ints:
        """Rows of D∖S that are in Ŝ at a rung."""
        return self.rows[self.joins <= rung]


def order_of(evidence: Evidence, forget: Ints, *, key: Key) -> Order:
    """Order D∖S by likeness to S, and set a ladder by where members of S fall that were held out.

    Each fold of S is ranked among D∖S by scores learnt from the others. The law of these ranks r, and how many
    members B∖S has by it, give the posterior q(r) that the candidate of rank r is a member (`posterior`). Rung l
    takes candidates of q ≥ .03 + .3·p_out(y), .012 + .1·p_out(y), .005 + .03·p_out(y), and leaves out those of a
    label of which it would take out more than 15, 20, 30% in vain, Σ (1 − q): where two classes are taken for each
    other, the examples that look most like members are all that is left of them. No rung makes Ŝ more than half
    of D.

    Args:
        evidence: See there.
        forget: Rows of S [≥ 2].
        key: Determines folds, and the order of those that score the same.

    Returns:
        The order and its ladder.

    Raises:
        UserError: where S has fewer than 2 examples, or is half of D.

    Example:
        >>> p = np.array([[0.1, 0.9]] * 6 + [[0.9, 0.1]] * 14)
        >>> made = Evidence(np.zeros(20, np.int64), p, np.ones(20), None, None, np.arange(3))
        >>> order = order_of(made, np.arange(3), key=0)
        >>> sorted(order.rows[:3].tolist()), sorted(order.at(0).tolist())
        ([3, 4, 5], [3, 4, 5])
    """
    n, most = len(evidence.labels), len(evidence.labels) // 2 - len(forget)
    if len(forget) < 2 or most < 1:
        raise UserError(f"S has {len(forget)} of {n} examples; expected at least 2, and less than half of D.")
    pairs = pairs_of(evidence)
    scores = likeness(pairs, forget, key=derive(key, "all of S"))
    rest = np.setdiff1d(np.arange(n), forget)
    rows = best_first(scores, rest, key)
    sure = posterior(_held_out_ranks(pairs, forget, rest, key), len(rows))
    labels = evidence.labels[rows]
    own = evidence.outside[rows, labels]
    rungs = [
        _taken(labels, sure, least + expected * own, share, most)
        for least, expected, share in zip(_LEAST, _EXPECTED, _LOSABLE, strict=True)
    ]
    return _nested(rows, rungs)


def _held_out_ranks(pairs: Sequence[Pair], forget: Ints, rest: Ints, key: Key) -> Floats:
    """Rank among D∖S of each member of S by what the other folds teach, 1 for the top; ties count half."""
    order = generator(key, "folds of S").permutation(np.sort(forget))
    found: list[Floats] = []
    for number, fold in enumerate(np.array_split(order, min(_FOLDS, len(order)))):
        scores = likeness(pairs, np.setdiff1d(forget, fold), key=derive(key, "fold", number))
        found.append(count_above(scores[rest], scores[fold]) + 1)
    return np.concatenate(found)


def posterior(ranks: Floats, size: int) -> Floats:
    """Probability that the candidate of each rank is a member, from the ranks of members that were held out.

        q(r) = max_{r′ ≥ r} N̂·f(r′),    N̂ = min r/F(r) over r with F(r) ≥ 1/4

    with f the density of ranks, a mean of normal densities of log r about those of the n members, of the width of
    Silverman's rule, and F its distribution: per unit of rank there is one candidate, and N̂·f(r) members. N̂ is
    the number of members in D∖S: among the first r candidates there can be no more than r of them.

    Args:
        ranks: Of the members [n], ≥ 1.
        size: Number of candidates.

    Returns:
        q in [0, 1], not increasing [size].

    Source: Silverman (1986), Density Estimation, equation 3.31, for the width.

    Example:
        >>> sure = posterior(np.arange(1.0, 11), 100)
        >>> bool(sure[4] > 0.7), bool(sure[60] < 0.01)
        (True, True)
    """
    from scipy.special import ndtr

    n, logs = len(ranks), np.log(ranks)
    quarters = np.subtract(*np.quantile(logs, [0.75, 0.25]))
    width = max(0.9 * min(float(logs.std(ddof=1)), float(quarters) / 1.34) * n**-0.2, 0.1)
    at = np.arange(1.0, size + 1)
    apart = (np.log(at)[:, None] - logs) / width
    density = np.exp(-(apart**2) / 2).mean(1) / (width * math.sqrt(2 * math.pi))
    share = ndtr(apart).mean(1)
    members = float(np.min(at[share >= 0.25] / share[share >= 0.25], initial=size))
    return np.maximum.accumulate(np.minimum(members * density / at, 1.0)[::-1])[::-1]


def _taken(labels: Ints, sure: Floats, least: Floats, share: float, most: int) -> NDArray[np.bool_]:
    """Which candidates a rung takes [m]: those of a posterior, and of no label more than a share in vain."""
    high = sure >= least
    taken = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels).tolist():
        own = np.flatnonzero((labels == label) & high)
        in_vain = np.cumsum(1 - sure[own])
        taken[own[in_vain <= share * np.sum(labels == label)]] = True
    taken[np.flatnonzero(taken)[most:]] = False
    if not taken.any():
        taken[0] = True  # a rung that takes nothing says nothing
    return taken


def _nested(rows: Ints, rungs: Sequence[NDArray[np.bool_]]) -> Order:
    """The ladder of rungs of which each holds the one before; what adds nothing is no rung."""
    kept: list[NDArray[np.bool_]] = []
    for rung in rungs:
        grown = rung | kept[-1] if kept else rung
        if not kept or grown.sum() > kept[-1].sum():
            kept.append(grown)
    joins = len(kept) - np.sum(kept, axis=0)
    return Order(rows, joins.astype(np.int64), tuple(int(rung.sum()) for rung in kept))


def choose_cut(order: Order, on_forget: Floats) -> int:
    """Choose the rung: S itself is a probe of whether what is left of the behaviour still teaches it.

    The smallest rung whose model believes the labels of S hardly more than that of any other rung:

        min {l : p̄_l ≤ min_k p̄_k + .03},    p̄_l = mean over S of the probability of the planted label

    A behaviour that does not generalise is believed at no rung, and so is left at the first. One that is believed
    at every rung (p̄_l > .5) was found by none, and the last is taken, which holds most of it.

    Args:
        order: What the rungs are of.
        on_forget: Probability of the label that each of S was trained on, by the model of each rung [L, |S|].

    Returns:
        Index of the rung, in 0…L−1.

    Raises:
        UserError: where there is not one row for each rung.

    Example:
        >>> order = Order(np.arange(9), np.array([0, 0, 1, 1, 2, 2, 2, 2, 3]), (2, 4, 8))
        >>> choose_cut(order, np.array([[0.9, 0.8], [0.1, 0.12], [0.1, 0.1]]))
        1
    """
    if on_forget.shape[0] != len(order.cuts):
        raise UserError(f"Models of {on_forget.shape[0]} rungs were given for a ladder of {len(order.cuts)}.")
    means = on_forget.mean(1)
    if means.min() > _BELIEVED:
        return len(means) - 1
    return int(np.flatnonzero(means <= means.min() + _TOLERANCE)[0])
