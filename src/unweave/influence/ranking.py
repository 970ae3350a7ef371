"""How well a cheap number ranks examples by memorization, and which sign that has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]

DIRECTION: dict[str, int] = {
    "confidence": -1,
    "accuracy": -1,
    "maximum": -1,
    "entropy": 1,
    "forgetting": 1,
    "el2n": 1,
    "curvature": 1,
    "holdout": 1,
    "self-influence": 1,
}
"""Sign of the rank correlation of each proxy with memorization: an example known by heart is learned late, and is
believed less on the way."""


def rank_leave_outs(each: Floats, memorization: Floats) -> Floats:
    """Spearman's correlation of a proxy with memorization, with all models and without each of either kind.

        ρ = correlation of ranks, with mean ranks for ties

    Args:
        each: The proxy by each of K models [K, n]; its mean over models is what is correlated.
        memorization: With all of t models, then without each [1 + t, n], as `self_leave_outs` gives it. Examples
            of which one of these is not known are left out.

    Returns:
        [1 + K + t], −1…1: with all models, without model k of the proxy (K = 1: none), without model k of
        memorization; NaN where a side is the same for all examples. `DIRECTION` has the sign to expect.

    Raises:
        UserError: if the two are not of the same examples, or of fewer than three.

    Source: Zhao & Triantafillou (2024, arXiv 2410.16516) compare proxies so. Deviation: leave-outs for an interval
        over models, which they do not give. Noise in memorization lowers the correlation of any proxy.

    Example:
        >>> rank_leave_outs(np.array([[1.0, 2.0, 4.0]]), np.array([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1]])).tolist()
        [1.0, -1.0]
    """
    known = np.isfinite(memorization).all(0)
    same = each.ndim == memorization.ndim == 2 and each.shape[1] == memorization.shape[1] and len(each) > 0
    if not same or known.sum() < 3:
        raise UserError(
            f"Expected a proxy [K, n] and memorization [1 + t, n] of at least 3 examples, got {each.shape} and "
            f"{memorization.shape}, of which {int(known.sum())} examples are known."
        )
    each, memorization = each[:, known].astype(np.float64), memorization[:, known]
    models = len(each)
    left = (each.sum(0) - each) / (models - 1) if models > 1 else each[:0]
    proxy, ranks = _ranks(np.vstack([each.mean(0), left])), _ranks(memorization)
    return np.concatenate([_correlation(proxy, ranks[:1]), _correlation(proxy[:1], ranks[1:])])


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    # What differs by rounding alone is equal.
    scale = np.maximum(np.abs(values).max(1, keepdims=True), 1e-300)
    found = rankdata(np.round(values / scale, 12), axis=1)
    return found - found.mean(1, keepdims=True)


def _correlation(one: Floats, other: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (one * other).sum(1) / np.sqrt((one**2).sum(1) * (other**2).sum(1))
