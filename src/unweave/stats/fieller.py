"""Fieller's interval for a ratio, which stays honest where the denominator may be 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unweave._types import Estimate, Measured, NotMeasured
from unweave.stats.jackknife import Design, jackknife_vector, t_quantile


def fieller(
    numerator: float,
    denominator: float,
    *,
    variance_numerator: float,
    variance_denominator: float,
    covariance: float,
    df: int,
    level: float = 0.95,
) -> tuple[float | None, float | None]:
    """Confidence set of a ratio ρ = a/b of two correlated estimates.

        {ρ : (a − ρb)² ≤ t² · (v_a − 2ρ·c + ρ²·v_b)},        t = t_df((1 + level)/2)

    Where b differs from 0 at the level this is an interval; otherwise it has no end on one or both sides.
    Where a = b and all three variances agree, numerator and denominator are one estimate: exactly (1, 1).

    Args:
        numerator: estimate a.
        denominator: estimate b, in the same unit.
        variance_numerator: v_a.
        variance_denominator: v_b.
        covariance: c of a and b.
        df: degrees of freedom of the variances.
        level: coverage in 0..1.

    Returns:
        (low, high), None where unbounded. A set that is the outside of an interval is (None, None).

    Source: Fieller 1954, Some problems in interval estimation, J. R. Stat. Soc. B 16:175–185.

    >>> low, high = fieller(
    ...     2.0, 4.0, variance_numerator=0.01, variance_denominator=0.04, covariance=0.0, df=10**9
    ... )
    >>> round(low, 3), round(high, 3)
    (0.435, 0.575)
    """
    if numerator == denominator and variance_numerator == variance_denominator == covariance:
        return 1.0, 1.0
    t2 = t_quantile((1 + level) / 2, df) ** 2
    # The set is {ρ : square·ρ² − 2·half·ρ + constant ≤ 0}.
    square = denominator**2 - t2 * variance_denominator
    half = numerator * denominator - t2 * covariance
    constant = numerator**2 - t2 * variance_numerator
    if square > 0:
        # Rounding alone can push this below 0: a/b itself always belongs to the set.
        root = math.sqrt(max(half**2 - square * constant, 0.0))
        return (half - root) / square, (half + root) / square
    if square == 0 and half != 0:
        end = constant / (2 * half)
        return (end, None) if half > 0 else (None, end)
    return None, None


def ratio(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], design: Design, *, level: float = 0.95
) -> Measured:
    """Ratio of two statistics of the same models with Fieller's interval over training seeds.

    The residual of a method is ratio(E²(M, R), E²(O, R)): the share of the way from the original that is
    still to go. 1: as the original; 0: indistinguishable from the reference; above 1: worse than doing
    nothing. A method that leaves every model as it was has exactly 1, with the interval [1, 1].

    Args:
        numerator: [1+L] leave-outs, in the order of `design`.
        denominator: [1+L] leave-outs in the same unit.
        design: from `leave_outs`.
        level: coverage in 0..1.

    Returns:
        `Estimate` without unit, an end None where unbounded; `NotMeasured` where the denominator is not
        above 0.

    Raises:
        UserError: the arrays do not fit the design, or are not finite.

    Source: Fieller 1954; variances by the jackknife.

    >>> from unweave.stats.jackknife import leave_outs
    >>> same = np.array([2.0, 2.1, 1.8, 2.1])
    >>> ratio(same, same, leave_outs({"original": np.arange(3)}))
    Estimate(value=1.0, low=1.0, high=1.0, n=3)
    """
    jack = jackknife_vector(np.stack([numerator, denominator], axis=1), design)
    top, bottom = float(jack.value[0]), float(jack.value[1])
    if bottom != 0 and np.array_equal(numerator, denominator):
        return Estimate(1.0, 1.0, 1.0, jack.n)
    if bottom <= 0:
        return NotMeasured(f"no ratio: the denominator is {bottom:.3g}, not above 0")
    low, high = fieller(
        top,
        bottom,
        variance_numerator=float(jack.covariance[0, 0]),
        variance_denominator=float(jack.covariance[1, 1]),
        covariance=float(jack.covariance[0, 1]),
        df=jack.df,
        level=level,
    )
    return Estimate(top / bottom, low, high, jack.n)
