"""How many of the candidates are of the behaviour, and of the flagged: a posterior over curves of membership."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._types import Estimate, Measured, NotMeasured

Floats = NDArray[np.float64]

LEAST_MEMBERS = 5
"""Fewest calibration members of which anything is estimated."""

_BINS = 200
_PLACES = 45
_SLOPES = np.geomspace(0.5, 30, 24)
_FLOORS = np.array([0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1])[:, None, None]
_TOPS = np.array([1.0, 0.8, 0.6, 0.4])[:, None, None, None]
_TRUST = np.array([0.6, 0.2, 0.1, 0.1])[:, None, None, None]
_SIDE = 0.025


class Mixture(NamedTuple):
    """Members of B among the candidates [0, m], and their share of the flagged [0, 1]; n = calibration members."""

    size: Measured
    precision: Measured


def mixture(members: Floats, others: Floats, threshold: float) -> Mixture:
    """Estimate how many candidates are of the behaviour, and which share of those at or above a cut-off.

        t(s) = −log((#{others ≥ s} + 1)/(m + 1)),   p(t) = ρ + (τ − ρ)/(1 + exp(−b(t − c)))
        log L(b, c, ρ, τ) = Σ_members log p(t) − n·log Σ_others p(t)

    p(t) is the probability that a candidate is of the behaviour: members are a sample of the candidates with
    weights p. On a grid L becomes a posterior: c even from the bottom of the ranking to two units above its top, b
    even in its logarithm from .5 to 30, ρ, members that the ranking does not see, from 0 to .1, and τ, the share
    at the top, 1, .8, .6 or .4 with weights .6, .2, .1 and .1. Numbers of members are sums of draws with
    probabilities p, by their normal approximation. Values are means; intervals hold 95% of the posterior.

    How high τ is the scores of members say hardly at all, so the weights matter: where much else scores as high as
    members everywhere, both are too large; where all that is flagged are members, both are too small.

    Args:
        members: Scores of the calibration members [n].
        others: Scores of the candidates, of which it is not known [m ≥ 1].
        threshold: Lowest score that is flagged; −∞ = all are.

    Returns:
        Both with 95% intervals; not measured below 5 members, and a precision where nothing is flagged.

    Source: members as a weighted sample of a mixture: Lancaster & Imbens (1996), case-control studies with
        contaminated controls; Ward et al. (2009), presence-only data. Deviations: the curve is logistic in the
        logarithm of the rank, has a floor and a top, and is averaged over its posterior, not maximised.

    Example:
        >>> members, others = np.linspace(3, 6, 20), np.concatenate([np.linspace(3, 6, 100), np.zeros(900)])
        >>> found = mixture(members, others, 3.0)
        >>> found.size.low < 100 < found.size.high, found.precision.high
        (True, 1.0)
    """
    n, m = len(members), len(others)
    if n < LEAST_MEMBERS:
        few = NotMeasured(f"{n} calibration members; expected at least {LEAST_MEMBERS}")
        return Mixture(few, few)
    place, flagged, top = _place(others, others), others >= threshold, float(np.log(m + 1))
    bins = np.minimum((place / top * _BINS).astype(np.int64), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    used = count > 0
    centre = np.bincount(bins, place, _BINS)[used] / count[used]
    rise = _rises(centre, top)
    own = _TOPS[..., None] - _FLOORS[..., None]
    of_members = np.log(_FLOORS[..., None] + own * _rises(_place(members, others), top)).sum(-1)
    expected, variance = _sums(rise, count[used])
    likelihood = of_members - n * np.log(expected) + np.log(_TRUST)
    weight = np.exp(likelihood - likelihood.max())
    size = _estimate(weight, expected, variance, m, n)
    if not flagged.any():
        return Mixture(size, NotMeasured("nothing is flagged"))
    above = np.bincount(bins[flagged], minlength=_BINS)[used]
    most = int(above.sum())
    found = _estimate(weight, *_sums(rise, above), most, n)
    value, low, high = (float(one or 0.0) / most for one in (found.value, found.low, found.high))
    return Mixture(size, Estimate(value, low, high, n))


def _place(scores: Floats, others: Floats) -> Floats:
    """t(s): 0 where all of the others score as high, log(m + 1) where none does."""
    above = len(others) - np.searchsorted(np.sort(others), scores, side="left")
    return -np.log((above + 1) / (len(others) + 1))


def _rises(place: Floats, top: float) -> Floats:
    """1/(1 + exp(−b(t − c))) of each curve [c, b, t]; never 0, so that no member rules all curves out."""
    steep = _SLOPES[:, None] * (place - np.linspace(0, top + 2, _PLACES)[:, None, None])
    return 1 / (1 + np.exp(-np.clip(steep, -50, 50)))


def _sums(rise: Floats, count: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Σ p and Σ p(1 − p) over so many examples at each place, for each curve of the grid [τ, ρ, c, b]."""
    once, twice = rise @ count, rise**2 @ count
    span = _TOPS - _FLOORS
    expected = _FLOORS * count.sum() + span * once
    return expected, expected - (_FLOORS**2 * count.sum() + 2 * _FLOORS * span * once + span**2 * twice)


def _estimate(weight: Floats, mean: Floats, variance: Floats, most: int, n: int) -> Estimate:
    """Mean and 95% of a mixture of normal laws, rounded to the whole numbers 0 … most."""
    from scipy.special import ndtr

    kept = weight > 1e-7  # of the largest, which is 1: what weighs nothing costs time only
    share, mean = weight[kept] / weight[kept].sum(), mean[kept]
    spread = np.sqrt(np.maximum(variance[kept], 1e-12))

    def smallest(probability: float) -> float:
        low, high = 0, most
        while low < high:
            middle = (low + high) // 2
            enough = bool(share @ ndtr((middle + 0.5 - mean) / spread) >= probability)
            low, high = (low, middle) if enough else (middle + 1, high)
        return float(low)

    return Estimate(float(share @ mean), smallest(_SIDE), smallest(1 - _SIDE), n)
