"""Adjusted p-values for many claims at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm-adjusted p-values: rejecting all adjusted p ≤ α keeps P(any false rejection) ≤ α.

        p̃_(i) = max_{j≤i} min(1, (m − j + 1) · p_(j))

    Args:
        p_values: [m] in 0..1, under any dependence.

    Returns:
        [m] in 0..1, in the order given, none below its p-value.

    Raises:
        UserError: a p-value lies outside 0..1.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6:65–70.

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    _check(p_values)
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini–Hochberg-adjusted p-values: among those ≤ q at most a share q is false, on average.

        p̃_(i) = min_{j≥i} min(1, m/j · p_(j))

    Args:
        p_values: [m] in 0..1, independent or positively dependent.

    Returns:
        [m] in 0..1, in the order given, none below its p-value.

    Raises:
        UserError: a p-value lies outside 0..1.

    Source: Benjamini & Hochberg 1995, Controlling the false discovery rate, J. R. Stat. Soc. B 57:289–300.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.04, 0.04])
    """
    _check(p_values)
    order = np.argsort(p_values, kind="stable")[::-1]
    factors = len(p_values) / np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.minimum.accumulate(p_values[order] * factors), 1)
    return adjusted


def _check(p_values: NDArray[np.float64]) -> None:
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise UserError("Expected one axis of p-values in 0..1: leave out claims that were not measured.")
