"""How far to grow S: an order of D∖S, a ladder of cuts through it, and the rule that chooses the rung."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._random import Key, derive, generator
from unweave.influence.discovery.evidence import Evidence
from unweave.influence.discovery.expansion import expansion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RUNGS = 4
"""Most rungs of a ladder, each of which costs a training."""

_FOLDS = 5
_TOLERANCE = 0.05


class Order(NamedTuple):
    """Candidates for Ŝ ⊇ S.

    Attributes:
        rows: D∖S, best first [m].
        cuts: The ladder, at most `RUNGS` rungs: how many of `rows` join S at each, increasing.
    """

    rows: Ints
    cuts: tuple[int, ...]


def order_of(evidence: Evidence, forget: Ints, *, key: Key) -> Order:
    """Order D∖S by likeness to S, and set a ladder of cuts by where members of S fall that were held out.

    Each fold of S is ranked among D∖S by scores learnt from the others. With q(a) the rank that a share a of the
    members reaches, rungs are evenly spread, by their ratio, over

        min(q(.97), 1.6·q(.85))  …  1.3·q(.97) + 200,

    and none makes Ŝ more than half of D.

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
        >>> sorted(order.rows[:3].tolist()), order.cuts
        ([3, 4, 5], (2, 3, 4, 7))
    """
    n, most = len(evidence.labels), len(evidence.labels) // 2 - len(forget)
    if len(forget) < 2 or most < 1:
        raise UserError(f"S has {len(forget)} of {n} examples; expected at least 2, and less than half of D.")
    scores = expansion(evidence, forget, key=derive(key, "all of S"))
    rest = np.setdiff1d(np.arange(n), forget)
    # Of those that score the same none comes first by its place in D.
    shuffled = generator(key, "ties").permutation(rest)
    rows = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    ranks = _held_out_ranks(evidence, forget, rest, key)
    nearly, mostly = (float(np.quantile(ranks, share)) for share in (0.97, 0.85))
    return Order(rows, _ladder(min(nearly, 1.6 * mostly), 1.3 * nearly + 200, most))


def _held_out_ranks(evidence: Evidence, forget: Ints, rest: Ints, key: Key) -> Floats:
    """How many of D∖S score above each member of S by what the other folds teach, and half of those that tie."""
    order = generator(key, "folds of S").permutation(np.sort(forget))
    found: list[Floats] = []
    for number, fold in enumerate(np.array_split(order, min(_FOLDS, len(order)))):
        scores = expansion(evidence, np.setdiff1d(forget, fold), key=derive(key, "fold", number))
        others = np.sort(scores[rest])
        below, above = (np.searchsorted(others, scores[fold], side=side) for side in ("left", "right"))
        found.append(len(others) - (below + above) / 2)
    return np.concatenate(found)


def _ladder(start: float, end: float, most: int) -> tuple[int, ...]:
    """Whole numbers from start to end, of about the same ratio, none below 1 or above the most.

    Example:
        >>> _ladder(10.0, 270.0, 1000), _ladder(0.0, 200.0, 100), _ladder(500.0, 700.0, 300)
        ((10, 30, 90, 270), (1, 5, 22, 100), (300,))
    """
    first = min(max(start, 1.0), most)
    last = min(max(end, first), most)
    return tuple(sorted({round(first * (last / first) ** (rung / (RUNGS - 1))) for rung in range(RUNGS)}))


def choose_cut(order: Order, on_forget: Floats) -> int:
    """Choose the rung: S itself is a probe of whether what is left of the behaviour still teaches it.

    The smallest rung whose model believes the labels of S hardly more than that of any other rung:

        min {l : p̄_l ≤ min_k p̄_k + .05},    p̄_l = mean over S of the probability of the planted label

    A behaviour that does not generalise is believed at no rung, and so is left at the first.

    Args:
        order: What the rungs are of.
        on_forget: Probability of the label that each of S was trained on, by the model of each rung [L, |S|].

    Returns:
        Index of the rung, in 0…L−1.

    Raises:
        UserError: where there is not one row for each rung.

    Example:
        >>> order = Order(np.arange(9), (2, 4, 8))
        >>> choose_cut(order, np.array([[0.9, 0.8], [0.1, 0.2], [0.1, 0.1]]))
        1
    """
    if on_forget.shape[0] != len(order.cuts):
        raise UserError(f"Models of {on_forget.shape[0]} rungs were given for a ladder of {len(order.cuts)}.")
    means = on_forget.mean(1)
    return int(np.flatnonzero(means <= means.min() + _TOLERANCE)[0])
