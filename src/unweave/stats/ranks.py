"""One model against a pool of references: exact ranks, over several measurements at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]

_LEAST = 1e-6
"""A standard deviation of distances, in probability, nats or accuracy, below which nobody sees a difference."""


class Pool(NamedTuple):
    """How far each model of a pool of R references and one candidate lies from the others of that pool.

    Attributes:
        own: Of the candidate [C], one pool for each of C candidates.
        others: Of the references in the pool of that candidate [C, R].
        among: Of the references among themselves, without any candidate [R]; none where that was not asked for.
    """

    own: Floats
    others: Floats
    among: Floats = np.zeros(0)


class Ranked(NamedTuple):
    """What ranks say of C candidates, over m measurements.

    Attributes:
        p: P-value over all measurements together [C].
        each: P-value of each measurement, adjusted for all of them [C, m].
        deviation: Of each measurement, in robust standard deviations of the pool [C, m]; higher = farther out.
    """

    p: Floats
    each: Floats
    deviation: Floats


def pool_of_distances(between: Floats, to: Floats) -> Pool:
    """Mean distance of each model to all others of the pool it is in.

        own_c = mean_r d(c, r)        others_cr = (Σ_{r'≠r} d(r, r') + d(c, r)) / R

    The candidate is one of the pool when a reference is looked at, so that all R + 1 are treated alike: where the
    candidate is of the law of the references, every rank of it is equally likely.

    Args:
        between: Distances between references [R, R], symmetric, 0 on the diagonal.
        to: Distances of candidates to references [C, R].

    Returns:
        The pools, in the unit of the distances; higher = farther from the others.

    Raises:
        UserError: the shapes do not fit.

    Source: full conformal ranks, Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, §2.2.

    Example:
        >>> pool_of_distances(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[5.0, 6.0]]))
        Pool(own=array([5.5]), others=array([[3. , 3.5]]), among=array([1., 1.]))
    """
    if between.ndim != 2 or between.shape[0] != between.shape[1] or to.shape[1:] != between.shape[:1]:
        raise UserError(f"Expected distances [R, R] and [C, R], got {between.shape} and {to.shape}.")
    count = len(between)
    return Pool(to.mean(1), (between.sum(1) + to) / count, between.sum(1) / max(1, count - 1))


def pool_of_values(values: Floats, candidates: Floats) -> Pool:
    """How far one number of each model lies from the mean of the others in its pool, in either direction.

    Args:
        values: One number per reference [R].
        candidates: One per candidate [C].

    Returns:
        The pools, in the unit of the numbers; higher = farther out.

    Example:
        >>> pool_of_values(np.array([0.0, 2.0]), np.array([4.0]))
        Pool(own=array([3.]), others=array([[3., 0.]]), among=array([2., 2.]))
    """
    count, total = len(values), values.sum()
    rest = (total - values[None] + candidates[:, None]) / count
    among = np.abs(values - (total - values) / max(1, count - 1)) if count > 1 else np.zeros(count)
    return Pool(np.abs(candidates - total / count), np.abs(values[None] - rest), among)


def rank(pools: list[Pool]) -> Ranked:
    """Rank candidates among references over several measurements at once.

    Each measurement is put on one scale, (value − median)/spread of the pool, with a spread of 1e-6 or more, and a
    model counts by its largest:

        p_c = (1 + #{r : max_m z_rm ≥ max_m z_cm}) / (R + 1),   each_cm = (1 + #{r : max_m z_rm ≥ z_cm}) / (R + 1)

    If a candidate is of the law of the references, P(p ≤ α) ≤ α holds exactly, whatever the number of measurements
    and however they depend on each other. `each` is the single-step adjustment for all measurements (Westfall &
    Young 1993, §2.3). No p-value is below 1/(R + 1).

    Args:
        pools: One for each of m ≥ 1 measurements, all of the same C candidates and R references.

    Returns:
        P-values in (0, 1]; small = distinguishable from the references.

    Raises:
        UserError: if there is no measurement, the shapes do not fit, or numbers are not finite.

    Source: full conformal ranks as in `pool_of_distances`; the maximum over studentised measurements: Westfall &
        Young (1993), Resampling-Based Multiple Testing.

    Example:
        >>> rank([Pool(np.array([9.0]), np.array([[1.0, 2.0, 3.0]]))]).p
        array([0.25])
    """
    if not pools or len({(pool.own.shape, pool.others.shape) for pool in pools}) != 1:
        raise UserError("Expected one pool per measurement, of the same candidates and references.")
    if not all(np.isfinite(pool.own).all() and np.isfinite(pool.others).all() for pool in pools):
        # NaN is above nothing, which would be the smallest p-value there is.
        raise UserError("Expected finite numbers in the pools, got NaN or infinity.")
    own, others = zip(*(_standardised(pool) for pool in pools), strict=True)
    candidate, references = np.stack(own, axis=1), np.stack(others, axis=2).max(2)
    count = references.shape[1] + 1
    largest = candidate.max(1)
    p = (1 + (references >= largest[:, None]).sum(1)) / count
    each = (1 + (references[:, :, None] >= candidate[:, None, :]).sum(1)) / count
    return Ranked(p, each, candidate)


def _standardised(pool: Pool) -> tuple[Floats, Floats]:
    """In robust standard deviations of the pool, candidate included; 0 where all of it is one number.

    No deviation counts as less than `_LEAST`: probabilities that are 0 or 1 but for 1e-12 lie many of their own
    standard deviations apart, and the largest of all measurements would be theirs whatever the others say.
    """
    everything = np.concatenate([pool.own[:, None], pool.others], axis=1)
    centre = np.median(everything, axis=1, keepdims=True)
    # In all of a pool, so that no model is treated otherwise than the others.
    spread = 1.4826 * np.median(np.abs(everything - centre), axis=1, keepdims=True)
    # Numbers that differ by rounding alone are equal; a candidate so far out that all others do is not.
    rounding = 1e-12 * np.maximum(np.abs(centre), 1e-300)
    spread = np.where(spread > rounding, spread, everything.std(axis=1, keepdims=True))
    flat = spread <= rounding
    z = np.where(flat, 0.0, (everything - centre) / np.maximum(np.where(flat, 1.0, spread), _LEAST))
    return z[:, 0], z[:, 1:]


def references_needed(alpha: float, checks: int = 1) -> int:
    """How many references a rank needs to be able to fall below α, each of several checks judged by itself.

        R = ⌈checks/α⌉ − 1

    With `rank` all checks are one, so `checks` stays 1; after Holm's adjustment the first of m needs p ≤ α/m.

    Args:
        alpha: Level, in (0, 1).
        checks: How many p-values are adjusted for each other.

    Example:
        >>> references_needed(0.05), references_needed(0.05, 5)
        (19, 99)
    """
    return math.ceil(checks / alpha - 1e-9) - 1
