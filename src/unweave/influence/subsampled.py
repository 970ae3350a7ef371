"""Self- and cross-influence of all examples at once, from models that were each trained on a random part of D."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Inside = NDArray[np.bool_]


class Influences(NamedTuple):
    """Estimates of influence and how sure they are; NaN where an example was in all models, or in none.

    Attributes:
        value: Influence, in the unit of what was measured; for correctness or a probability −1…1.
        standard_error: Of each value, ≥ 0.
    """

    value: Floats
    standard_error: Floats


def self_influence(inside: Inside, value: Floats, *, bounded: bool = True) -> Influences:
    """Memorization of every example: what a model does better on it for having been trained on it.

    mem(i) = mean of value_k(i) over models with i in their training set − the same over models without it. With
    value = 1 where the label is predicted, it is P[h(x_i) = y_i | i in] − P[h(x_i) = y_i | i out]. The estimand is
    that of training sets of the size of these, and not of all of D.

    Args:
        inside: Whether example i is in the training set of model k [t, n].
        value: What model k makes of example i: 0/1 for correctness (hard), the probability of its label (soft), or
            its mean accuracy over tokens (counterfactual memorization of a sequence) [t, n], in [0, 1]. Where
            models do not fit all labels, φ in nats tells examples apart that are never predicted right.
        bounded: Whether values are in [0, 1]; False for φ.

    Returns:
        Values and standard errors [n]; near 0 = not memorized, 1 (of φ: several nats) = known by heart.

    Source: Feldman (2020, arXiv 1906.05271) eq. 1; Feldman & Zhang (2020, arXiv 2008.03703) algorithm 1; Zhang et
        al. (2023, arXiv 2112.12938) for sequences. Deviation: standard errors, which they do not give.

    Example:
        >>> inside = np.array([[True], [True], [False], [False]])
        >>> self_influence(inside, np.array([[1.0], [1.0], [0.0], [1.0]])).value.item()
        0.5
    """
    sides = [_moments(one, one * value, one * value**2) for one in (inside, ~inside)]
    return _difference(*sides, bounded=bounded)


def cross_influence(inside: Inside, value: Floats, *, bounded: bool = True) -> Influences:
    """Influence of every example on every probe: the same as memorization, with the value on the probe.

    infl(i→j) = mean of value_k(j) over models with i − the same over models without i.

    Args:
        inside: Whether example i is in the training set of model k [t, n].
        value: What model k makes of probe j [t, p], in [0, 1].
        bounded: As in `self_influence`.

    Returns:
        Values and standard errors [n, p]; positive = i helps j to be predicted, negative = it is in the way.

    Source: Feldman & Zhang (2020, arXiv 2008.03703) section 2.

    Example:
        >>> inside = np.array([[True, False], [False, True]])
        >>> cross_influence(inside, np.array([[1.0], [0.0]])).value.ravel().tolist()
        [1.0, -1.0]
    """
    sides = []
    for one in (inside, ~inside):
        weight = one.astype(np.float64).T
        count = one.sum(0)[:, None]
        sides.append(_Side(count, weight @ value, weight @ value**2))
    return _difference(*sides, bounded=bounded)


class _Side(NamedTuple):
    models: NDArray[np.int64]
    total: Floats
    squares: Floats


def _moments(inside: Inside, value: Floats, squares: Floats) -> _Side:
    return _Side(inside.sum(0), value.sum(0), squares.sum(0))


def _difference(seen: _Side, unseen: _Side, *, bounded: bool) -> Influences:
    """Difference of two means, with its standard error.

    Variances of numbers in [0, 1] are those with half an observation more at each end of the range: twenty models
    that are all right leave room for one that is wrong, where the plain variance is 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        value = seen.total / seen.models - unseen.total / unseen.models
        error = np.sqrt(sum(_variance_of_mean(one, bounded=bounded) for one in (seen, unseen)))
    known = (seen.models > 0) & (unseen.models > 0)
    return Influences(np.where(known, value, np.nan), np.where(known, error, np.nan))


def _variance_of_mean(side: _Side, *, bounded: bool) -> Floats:
    if not bounded:
        mean = side.total / side.models
        return np.maximum(side.squares / side.models - mean**2, 0) / (side.models - 1)
    mean = (side.total + 0.5) / (side.models + 1)
    return np.maximum((side.squares + 0.5) / (side.models + 1) - mean**2, 0) / side.models


def mean_leave_outs(inside: Inside, value: Floats) -> Floats:
    """Mean memorization of a set of examples, with all models and without each: what a jackknife is made of.

    Args:
        inside: As in `self_influence`, the columns of the set alone [t, s].
        value: As there [t, s].

    Returns:
        [1 + t]: the mean over the set of mem(i) of all models, then of all but model k. Examples that all but one
        model were trained with, or without, are left out; NaN where that leaves none.

    Example:
        >>> inside = np.array([[True], [True], [False], [False]])
        >>> mean_leave_outs(inside, np.array([[1.0], [0.0], [0.0], [0.0]])).tolist()
        [0.5, 0.0, 1.0, 0.5, 0.5]
    """
    found = self_leave_outs(inside, value)
    known = np.isfinite(found).all(0)
    return found[:, known].mean(1) if known.any() else np.full(len(found), np.nan)


def self_leave_outs(inside: Inside, value: Floats) -> Floats:
    """Memorization of each example, with all models and without each.

    Args:
        inside: As in `self_influence` [t, s].
        value: As there [t, s].

    Returns:
        [1 + t, s]: mem(i) of all models, then of all but model k; NaN where all of these were trained with the
        example, or all without it.

    Example:
        >>> inside = np.array([[True], [True], [False], [False]])
        >>> self_leave_outs(inside, np.array([[1.0], [0.0], [0.0], [0.0]])).ravel().tolist()
        [0.5, 0.0, 1.0, 0.5, 0.5]
    """
    means: list[Floats] = []
    for one in (inside, ~inside):
        total, models = (one * value).sum(0), one.sum(0)
        left = models - one
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(np.vstack([total / models, (total - one * value) / left]))
    return means[0] - means[1]
