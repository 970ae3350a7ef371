"""The registry of measures of language models, and what all of them ask of their arrays."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import Measurement, register
from unweave._registry import Registry

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MEASURES: Registry[Measurement] = Registry("measure of language models")
measure = partial(register, MEASURES)
"""Register a measure: a pure function from arrays to numbers, with what it declares, as metrics and attacks do."""

ROUNDING = 1e-5
"""How far above 0 a log-probability may lie that was computed in single precision."""


def check_tokens(values: NDArray[np.generic], mask: Mask) -> None:
    """Refuse values that are not [models, documents, tokens], and a mask that is not [documents, tokens].

    Raises:
        UserError: saying what was given.
    """
    if values.ndim != 3 or mask.shape != values.shape[1:]:
        raise UserError(
            "Expected values [models, documents, tokens] and a mask [documents, tokens], got "
            f"{values.shape} and {mask.shape}."
        )


def check_log_p(log_p: NDArray[np.floating], mask: Mask | None = None) -> None:
    """Refuse logarithms of probabilities above 0: they are losses, with the sign the other way round.

    Raises:
        UserError: naming the highest.
    """
    found = log_p if mask is None else np.where(mask, log_p, -np.inf)
    if (found > ROUNDING).any():
        raise UserError(
            f"Expected log-probabilities, 0 or less, got {np.nanmax(found):.4g}: losses are their negatives."
        )


def total_over(values: NDArray[np.floating], mask: Mask) -> Floats:
    """Sum over the tokens of each document that count: [K, n, T] and [n, T] → [K, n]; NaN where there are none.

    What lies outside the mask may be anything, even NaN.

    Example:
        >>> total_over(np.array([[[1.0, 2.0, np.nan]]]), np.array([[True, True, False]]))
        array([[3.]])
    """
    check_tokens(values, mask)
    total = np.where(mask, values.astype(np.float64), 0.0).sum(-1)
    return np.where(mask.any(-1), total, np.nan)


def mean_over(values: NDArray[np.floating], mask: Mask) -> Floats:
    """Mean over the tokens of each document that count: [K, n, T] and [n, T] → [K, n]; NaN where there are none.

    Each document has its own mean; a mean over documents is the caller's.

    Example:
        >>> mean_over(np.array([[[1.0, 2.0, np.nan]]]), np.array([[True, True, False]]))
        array([[1.5]])
    """
    return total_over(values, mask) / np.maximum(mask.sum(-1), 1)
