"""Copies of examples, exact and near, by their features alone, and groups of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

NEAR = 0.5
"""Largest distance of near copies, relative to how far examples ordinarily are apart; see `copy_groups`."""

NEIGHBOURS = 20
"""Rank of the neighbour whose distance says how dense D is around an example."""

_SAMPLED = 1000  # rows by which the ordinary distance is known
_PROJECTED = 64  # dimensions in which most pairs are found to be far
_PART = 4096
_AT_ONCE = 1 << 24  # distances in memory at a time
_SLACK = 1e-5  # of squared norms: what products in single precision may be off by


class Pairs(NamedTuple):
    """Pairs of rows of D, in the order of the second.

    Attributes:
        first: Row of D [p].
        second: Row of D [p].
        distance: Euclidean distance of their features [p]; 0 for exact copies.
    """

    first: Ints
    second: Ints
    distance: Floats


class Left(NamedTuple):
    """Copies of S that stay in D∖S: each once, as second of a pair, beside the example of S nearest to it.

    Attributes:
        exact: Those with equal features.
        near: Those that are near copies, and exact ones of none.
        within: Rows of S that have a copy, exact or near, in S itself.
    """

    exact: Pairs
    near: Pairs
    within: Ints


def copies_left(x: NDArray[np.float32], forget: Ints, *, near: float = NEAR, neighbours: int = NEIGHBOURS) -> Left:
    """Find the copies of S that stay in D when S is removed: what S taught, they still teach.

    What is near is defined in `copy_groups`. Costs |S|·n distances.

    Args:
        x: Features of D [n, ...], numbers of a table standardised.
        forget: Rows of S.
        near: As in `copy_groups`; 0 = exact copies only.
        neighbours: As there.

    Returns:
        Pairs (row of S, row of D∖S, distance), and who of S has copies in S. Labels play no part.

    Raises:
        SpecError: as `copy_groups` does.

    Example:
        >>> x = np.array([[0.0], [0.0], [5.0], [9.0], [14.0]], np.float32)
        >>> copies_left(x, np.array([0])).exact.second.tolist()
        [1]
    """
    _check(near, neighbours)
    known = _known(x)
    number, rows = known.number, known.first
    times = np.bincount(number[forget], minlength=len(rows))
    asked = np.flatnonzero(times)
    kept = np.setdiff1d(np.arange(len(x)), forget)
    member = np.zeros(len(rows), dtype=np.int64) - 1
    member[number[forget][::-1]] = forget[::-1]  # of equal rows of S the first
    same = kept[member[number[kept]] >= 0]
    exact = Pairs(member[number[same]], same, np.zeros(len(same)))
    first, second, distance = _near_pairs(known, asked, near=near, neighbours=neighbours)
    outside = member[second] < 0
    # Of several examples of S the nearest: the last one that is written stays.
    order = np.argsort(-distance[outside], kind="stable")
    nearest = np.full(len(rows), -1)
    of = np.zeros(len(rows))
    nearest[second[outside][order]], of[second[outside][order]] = first[outside][order], distance[outside][order]
    beside = kept[nearest[number[kept]] >= 0]
    twins = np.isin(number[forget], np.concatenate([second[~outside], np.flatnonzero(times > 1)]))
    return Left(exact, Pairs(member[nearest[number[beside]]], beside, of[number[beside]]), np.sort(forget[twins]))


def copy_groups(x: NDArray[np.float32], *, near: float = NEAR, neighbours: int = NEIGHBOURS) -> Ints:
    """Group examples that are copies of each other: exact copies, and near ones.

    With d₁ the distance of an example to the nearest other one that is no exact copy, and r(i) that of i to its
    20th such neighbour, i and j are near copies where

        ‖x_i − x_j‖ ≤ near · min(median d₁, r(i), r(j))

    The median is scale-free; r keeps dense regions apart, as of a digit 1, where everything is close to
    everything. Groups are the connected components of these pairs, but no chain: a component that no single
    member is a near copy of all others of is cut into the neighbourhoods of those with the most near copies, so
    that two members of a group are at most 2·near·median apart. All exact copies of an example share its group.

    Args:
        x: Features of D [n, ...], numbers of a table standardised.
        near: Largest relative distance, 0 ≤ near < 1; 0 = exact copies only. 0.5 suits images; rows of a table, of
            which many are alike without being copies, want 0.1.
        neighbours: Rank of the neighbour of r, at least 2. More than that many different near copies of one
            example are a dense region, and not found.

    Returns:
        A number per example [n]: the first row of its group, hence its own where it is alone.

    Raises:
        SpecError: for a `near` or `neighbours` out of range.

    Example:
        >>> x = np.array([[0.0], [9.0], [0.0], [9.1], [20.0], [40.0], [55.0]], np.float32)
        >>> copy_groups(x).tolist()
        [0, 1, 0, 1, 4, 5, 6]
    """
    _check(near, neighbours)
    known = _known(x)
    group = _stars(_near_pairs(known, None, near=near, neighbours=neighbours), len(known.first))
    # Numbers of distinct examples are in the order of their first rows.
    return known.first[group][known.number]


def _check(near: float, neighbours: int) -> None:
    if not 0 <= near < 1:
        raise SpecError(
            f"`near` is {near:g}; expected 0 (exact copies only) or more and below 1, in ordinary distances of D."
        )
    if neighbours < 2:
        raise SpecError(f"`neighbours` is {neighbours}; expected at least 2.")


def _distinct(x: NDArray[np.float32]) -> tuple[Ints, Ints]:
    """The number of the distinct example that each row is [n], and the first row of each distinct one [m]."""
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    found = np.empty(len(x), dtype=np.int64)
    for row, features in enumerate(x):
        # + 0: a negative zero is the same feature.
        key = hashlib.blake2b((features + np.float32(0)).tobytes(), digest_size=16).digest()
        found[row] = numbers.setdefault(key, len(first))
        if found[row] == len(first):
            first.append(row)
    return found, np.array(first, dtype=np.int64)


class _Known(NamedTuple):
    """Distinct examples.

    Attributes:
        number: Which of them each row of D is [n].
        first: The first row of D that each is [m].
        x: Their features about the mean, at most 2 [m, d]: squares lose fewer digits, and none is infinite.
        scale: What these are to be multiplied by.
    """

    number: Ints
    first: Ints
    x: Singles
    scale: float


def _known(x: NDArray[np.float32]) -> _Known:
    number, first = _distinct(x)
    some = x.reshape(len(x), int(np.prod(x.shape[1:])))[first]
    scale = float(max(some.max(), -some.min())) if some.size and some.any() else 1.0
    middle = some.sum(axis=0, dtype=np.float64) / max(1, len(some)) / scale
    made = np.empty_like(some)
    for begin in range(0, len(some), _PART):  # in double precision all of D would be twice what it is
        made[begin : begin + _PART] = some[begin : begin + _PART] / scale - middle
    return _Known(number, first, made, scale)


def _near_pairs(known: _Known, asked: Ints | None, *, near: float, neighbours: int) -> Pairs:
    """Near copies among distinct examples, each pair in both directions, the first one of those asked about."""
    x, none = known.x, Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    rank = min(neighbours, len(x) - 1)
    if near == 0 or rank < 2:
        return none
    ordinary = float(np.median(_nearest(x, np.arange(0, len(x), max(1, len(x) // _SAMPLED)), 1)[1]))
    limit = near * ordinary
    some = _with_a_neighbour(x, limit) if asked is None else asked
    others, distance = _nearest(x, some, rank)
    place = np.full(len(x), -1)
    place[some] = np.arange(len(some))
    # A pair is near by the density around both: that of the other side may still be unknown.
    more = np.unique(others[distance <= limit])
    more = more[place[more] < 0]
    place[more] = len(some) + np.arange(len(more))
    radius = np.concatenate([distance[:, -1], _nearest(x, more, rank)[1][:, -1]])
    bound = np.minimum(ordinary, np.minimum(radius[: len(some), None], radius[place[others]]))
    # What is not near by the first two conditions may have no place, and any radius will do.
    found = (distance <= limit) & (distance <= near * bound)
    first, second = np.broadcast_to(some[:, None], others.shape)[found], others[found]
    order = np.argsort(second, kind="stable")
    return Pairs(first[order], second[order], distance[found][order] * known.scale)


def _nearest(x: Singles, rows: Ints, rank: int) -> tuple[Ints, Floats]:
    """The nearest other examples of some [r, rank] and their distances in double precision, nearest first."""
    squares = (x**2).sum(axis=1)
    found = np.empty((len(rows), rank), dtype=np.int64)
    distance = np.empty((len(rows), rank))
    for begin, end in _blocks(len(rows), len(x)):
        own = rows[begin:end]
        off = squares - 2 * (x[own] @ x.T)  # + ‖x_own‖², which is the same for all of a row
        off[np.arange(len(own)), own] = np.inf
        kept = np.argpartition(off, rank - 1, axis=1)[:, :rank]
        for column in range(rank):
            apart = x[own].astype(np.float64) - x[kept[:, column]]
            distance[begin:end, column] = np.sqrt((apart**2).sum(axis=1))
        order = np.argsort(distance[begin:end], axis=1, kind="stable")
        found[begin:end] = np.take_along_axis(kept, order, axis=1)
        distance[begin:end] = np.take_along_axis(distance[begin:end], order, axis=1)
    return found, distance


def _with_a_neighbour(x: Singles, limit: float) -> Ints:
    """Rows that may have another within a distance, and all that have one.

    On orthonormal directions differences are no longer than they are: what is far there need not be looked at.
    """
    z = x @ _directions(x) if x.shape[1] > _PROJECTED else x
    squares = (z**2).sum(axis=1)
    slack = _SLACK * squares.max() if len(z) else 0.0
    found = np.zeros(len(z), dtype=np.bool_)
    for begin, end in _blocks(len(z), len(z)):
        # Each pair once: with what comes after it.
        off = z[begin:end] @ z[begin:].T
        off *= -2
        off += squares[begin:]
        off += squares[begin:end, None]
        np.fill_diagonal(off, np.inf)
        close = off <= limit**2 + slack
        found[begin:end] |= close.any(axis=1)
        found[begin:] |= close.any(axis=0)
    return np.flatnonzero(found)


def _directions(x: Singles) -> Singles:
    """Orthonormal directions [d, 64] in which examples differ most, nearly: one step of power iteration."""
    some = x[:: max(1, len(x) // _SAMPLED)]
    # Any start will do, and this one is no matter of chance.
    start = some[:: max(1, len(some) // _PROJECTED)][:_PROJECTED]
    return np.linalg.qr(some.T @ (some @ start.T))[0].astype(np.float32)


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    size = max(1, _AT_ONCE // max(1, columns))
    return ((begin, min(begin + size, rows)) for begin in range(0, rows, size))


def _stars(pairs: Pairs, count: int) -> Ints:
    """Groups [count] of who is near to whom: the one with the most near others takes them, and so on."""
    group = np.arange(count)
    near: dict[int, set[int]] = {}
    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    waiting = [(-len(others), one) for one, others in near.items()]
    heapify(waiting)
    while waiting:
        most, centre = heappop(waiting)
        if not near[centre]:  # taken, or all that were near are
            continue
        if most != -len(near[centre]):
            heappush(waiting, (-len(near[centre]), centre))
            continue
        star = sorted({centre, *near[centre]})
        group[star] = star[0]
        for member in star:
            for other in near[member]:
                near[other].discard(member)
            near[member] = set()
    return group
