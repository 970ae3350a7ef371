"""Sums and shares over many cells whose models are partly the same: the model stays the unit of analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._types import Estimate, Measured, NotMeasured
from unweave.stats.fieller import ratio
from unweave.stats.jackknife import Design, interval, jackknife, leave_outs

Floats = NDArray[np.float64]


class Term(NamedTuple):
    """The mean over models of one number, as one part of a sum.

    Attributes:
        models: Names the batch of models; terms of one name are deleted together, model by model.
        values: One number per model [K], K ≥ 1.
        weight: What the mean is multiplied by.
    """

    models: str
    values: Floats
    weight: float = 1.0


def pooled_mean(terms: Sequence[Term]) -> Measured:
    """A weighted sum of means over models, with a delete-one-model interval.

        θ = Σ_j w_j · mean_k v_jk,      θ_(−i of batch s) = θ with model i left out of every term of batch s

    Batches are independent strata: the variances of batches add up. A model that occurs in several terms (the
    original of several methods, a reference of several cells) is left out of all of them at once.

    Args:
        terms: The parts of the sum, at least one; batches of one name have one size.

    Returns:
        `Estimate` in the unit of the values, or `NotMeasured` where a batch has fewer than 3 models.

    Raises:
        UserError: if there is no term, or batches of one name differ in size.

    Source: Arvesen 1969 (jackknife of several samples).

    Example:
        >>> pooled_mean([Term("a", np.array([1.0, 2.0, 3.0])), Term("b", np.array([0.0, 1.0, 2.0]), -1.0)]).value
        1.0
    """
    found = _leave_outs([terms])
    return found if isinstance(found, NotMeasured) else interval(jackknife(found[0][0], found[1]))


def pooled_share(numerator: Sequence[Term], denominator: Sequence[Term]) -> Measured:
    """Ratio of two sums of means over models, with Fieller's interval from delete-one-model leave-outs.

        θ = Σ_j w_j · mean_k v_jk / Σ_l w_l · mean_k u_lk

    The share of the gap closed by a method M over cells c, score s = utility × healed accuracy:

        θ = Σ_c (s̄_c(M) − s̄_c(A(D∖S))) / Σ_c (s̄_c(A(D∖B)) − s̄_c(A(D∖S)))

    1: as good as the ideal of unlearning; 0: as retraining without S; below 0: worse than that.

    Args:
        numerator: Parts of the sum above, at least one.
        denominator: Parts of the sum below, at least one; the same models have the same name as above.

    Returns:
        `Estimate` without unit; `NotMeasured` where the 95% interval of the denominator reaches 0 or below, or a
        batch has fewer than 3 models.

    Raises:
        UserError: if there is no term, or batches of one name differ in size.

    Source: Fieller 1954; jackknife as in `pooled_mean`.

    Example:
        >>> high, low = np.array([0.8, 0.9, 1.0]), np.array([0.1, 0.0, 0.2])
        >>> pooled_share([Term("m", low + 0.4), Term("r", low, -1.0)], [Term("b", high), Term("r", low, -1.0)]).n
        3
    """
    found = _leave_outs([numerator, denominator])
    if isinstance(found, NotMeasured):
        return found
    (above, below), design = found
    gap = interval(jackknife(below, design))
    if gap.low is not None and gap.low <= 0:
        return NotMeasured(f"no gap to close: {gap}, which is not shown to be above 0")
    return ratio(above, below, design)


class Share(NamedTuple):
    """A ratio of two sums of means over models, as `pooled_share` takes it."""

    numerator: Sequence[Term]
    denominator: Sequence[Term]


def pooled_difference(first: Share, second: Share) -> Measured:
    """Difference of two ratios of sums of means over models, which may share models.

        θ = a₁/b₁ − a₂/b₂,      θ_(−i of batch s) = both ratios with model i left out of every term of batch s

    What one selection of S costs against another: the share of the gap that a method closed under each.

    Args:
        first: What is compared.
        second: What it is compared with; the same models have the same name in both.

    Returns:
        `Estimate` without unit, above 0 where the first ratio is larger; `NotMeasured` where the 95% interval of a
        denominator reaches 0 or below, or a batch has fewer than 3 models.

    Raises:
        UserError: if there is no term, or batches of one name differ in size.

    Source: Arvesen 1969 (jackknife of functions of several samples); Student's t as in `pooled_mean`.

    Example:
        >>> high, low = np.array([0.8, 0.9, 1.0]), np.array([0.1, 0.0, 0.2])
        >>> gap = [Term("b", high), Term("r", low, -1.0)]
        >>> half, none = [Term("b", high / 2), Term("r", low / 2, -1.0)], [Term("r", low), Term("r", low, -1.0)]
        >>> pooled_difference(Share(half, gap), Share(none, gap)).value
        0.5
    """
    found = _leave_outs([*first, *second])
    if isinstance(found, NotMeasured):
        return found
    sums, design = found
    for below in (sums[1], sums[3]):
        gap = interval(jackknife(below, design))
        if gap.low is not None and gap.low <= 0:
            return NotMeasured(f"no gap to close: {gap}, which is not shown to be above 0")
    return interval(jackknife(sums[0] / sums[1] - sums[2] / sums[3], design))


def _leave_outs(sums: Sequence[Sequence[Term]]) -> tuple[list[Floats], Design] | NotMeasured:
    """Each sum with all models, then without each model of each batch in turn [1+L]."""
    sizes: dict[str, int] = {}
    for terms in sums:
        if not terms:
            raise UserError("Expected at least one term in a pooled sum, got none.")
        for one in terms:
            if one.values.ndim != 1 or sizes.setdefault(one.models, len(one.values)) != len(one.values):
                raise UserError(f"Expected one number per model of `{one.models}`, got {one.values.shape}.")
    begin, blocks = 0, dict[str, NDArray[np.int64]]()
    for name, size in sizes.items():
        blocks[name], begin = np.arange(begin, begin + size), begin + size
    design = leave_outs(blocks)
    if isinstance(design, NotMeasured):
        return design
    return [_theta(terms, sizes) for terms in sums], design


def _theta(terms: Sequence[Term], sizes: dict[str, int]) -> Floats:
    batches = {name: np.zeros(size) for name, size in sizes.items()}
    for one in terms:
        batches[one.models] += one.weight * one.values
    total = sum(float(values.mean()) for values in batches.values())
    without = [total - values.mean() + (values.sum() - values) / (len(values) - 1) for values in batches.values()]
    return np.concatenate([[total], *without])


def share_over_clusters(
    above: Sequence[int], below: Sequence[int], *, least: float = 0.0, what: str = "clusters"
) -> Measured:
    """Ratio of two sums of counts over clusters, with an interval from deleting one cluster at a time.

        θ = Σ_s a_s / Σ_s b_s,      v = (C − 1)/C · Σ_s (θ_(−s) − θ̄)²,      Student's t with C − 1

    A cluster holds all that shares luck; within it there may be any dependence. Where v = 0, as where every
    cluster says 0, spread says nothing: each cluster then counts as one trial, and the interval goes as far
    towards `least` and 1 as C trials that all agree cannot rule out, by the share 1 − .025^(1/C).

    Args:
        above: Counts [C], one per cluster, between `least` times and once that of `below`.
        below: Counts [C], at least 0; clusters without any are left out.
        least: The smallest that a ratio can be: 0, or −1.
        what: What the clusters are called in a reason.

    Returns:
        `Estimate` within `least`…1 whose n is C; `NotMeasured` where nothing was counted, or C < 3.

    Source: Efron & Tibshirani 1993, ch. 11 (jackknife by groups); Clopper & Pearson 1934 where v = 0.

    Example:
        >>> share_over_clusters([1, 2, 3], [4, 4, 4]).value
        0.5
        >>> round(share_over_clusters([0, 0, 0], [4, 1, 2]).high, 4)  # 1 − .025^(1/3)
        0.7076
    """
    counts = np.asarray(below, dtype=np.float64)
    known = counts > 0
    a, b = np.asarray(above, dtype=np.float64)[known], counts[known]
    if not len(b):
        return NotMeasured("nothing was counted")
    design = leave_outs({what: np.arange(len(b))})
    if isinstance(design, NotMeasured):
        few = f"a single one of the {what} is" if len(b) == 1 else f"{len(b)} {what} are"
        return NotMeasured(f"{few} too few for an interval, which needs 3")
    weights = design.weights[what]
    found = interval(jackknife(weights @ a / (weights @ b), design))
    low, high = found.low, found.high
    if low is None or high is None or high - low <= 1e-12:
        reach = 1 - 0.025 ** (1 / len(b))
        low, high = found.value - reach * (found.value - least), found.value + reach * (1 - found.value)
    return Estimate(found.value, max(low, least), min(high, 1.0), len(b))


def mean_of_estimates(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates, each half of the interval from the halves of theirs.

        θ = mean_c θ_c,      θ − low = √(Σ_c (θ_c − low_c)²)/C,      high − θ likewise

    One estimate stays as it is; an end is None where that of any estimate is.

    Args:
        estimates: At least one.

    Returns:
        The mean in their unit; n is the smallest of theirs.

    Example:
        >>> mean_of_estimates([Estimate(0.0, -3.0, 3.0, 8), Estimate(1.0, -3.0, 5.0, 8)])
        Estimate(value=0.5, low=-2.0, high=3.0, n=8)
    """
    count = len(estimates)
    centre = sum(one.value for one in estimates) / count
    lows = [None if one.low is None else one.value - one.low for one in estimates]
    highs = [None if one.high is None else one.high - one.value for one in estimates]
    low, high = (
        None if None in halves else sum(half**2 for half in halves if half is not None) ** 0.5 / count
        for halves in (lows, highs)
    )
    return Estimate(
        centre,
        None if low is None else centre - low,
        None if high is None else centre + high,
        min(one.n for one in estimates),
    )


def sum_of_dependent(estimates: Sequence[tuple[Estimate, float]]) -> Estimate:
    """Weighted sum of estimates that may depend on each other in any way: the halves of the intervals add up.

        θ = Σ_j w_j θ_j,      θ − low = Σ_j |w_j| · (θ_j − low_j if w_j > 0, high_j − θ_j if w_j < 0)

    The standard error of a sum is at most the sum of standard errors, whatever the correlation: at least the
    coverage of the parts, and wider than needed where models are shared.

    Args:
        estimates: Estimate and weight, at least one.

    Returns:
        The sum in their unit; an end is None where one of the parts has none there; n is the smallest of theirs.

    Example:
        >>> sum_of_dependent([(Estimate(3.0, 2.0, 5.0, 8), 1.0), (Estimate(1.0, 0.5, 1.25, 8), -1.0)])
        Estimate(value=2.0, low=0.75, high=4.5, n=8)
    """
    value = sum(one.value * weight for one, weight in estimates)
    ends: list[float | None] = []
    for low_end in (True, False):
        halves = [_half(one, below=(weight > 0) == low_end) for one, weight in estimates if weight]
        weights = [abs(weight) for _, weight in estimates if weight]
        known = [half * weight for half, weight in zip(halves, weights, strict=True) if half is not None]
        side = -1.0 if low_end else 1.0
        ends.append(value + side * sum(known) if len(known) == len(halves) else None)
    return Estimate(value, ends[0], ends[1], min(one.n for one, _ in estimates))


def _half(one: Estimate, *, below: bool) -> float | None:
    end = one.low if below else one.high
    return None if end is None else abs(one.value - end)
