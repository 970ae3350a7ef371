"""How well scores tell members from others: one number per model, since the model is the unit of analysis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]
Member = NDArray[np.bool_]


def auc(scores: Floats, member: Member) -> Floats:
    """Area under the ROC curve: how often a member scores higher than a non-member of the same model.

        AUC_k = P[s_k(member) > s_k(other)] + ½·P[s_k(member) = s_k(other)]

    Args:
        scores: [models, n]; higher = more likely a member.
        member: Whether the example is a member, [n] for all models or [models, n].

    Returns:
        [models] in 0..1, .5 = no better than chance; NaN for a model without members, without others, or
        with a score that is NaN: a score that was not measured is never dropped in silence.

    Raises:
        UserError: the shapes do not fit.

    Source: Mann and Whitney (1947); ties count one half, as in Hanley and McNeil (1982).

    Example:
        >>> auc(np.array([[0.0, 1.0, 1.0, 2.0]]), np.array([False, False, True, True]))
        array([0.875])
    """
    return _by_model(scores, member, _auc)


def tpr_at_fpr(scores: Floats, member: Member, *, fpr: float) -> Floats:
    """Share of members above the lowest cut at which at most a share `fpr` of the non-members is above it.

    The cut is chosen on the non-members that are scored, as a point of the ROC curve is; `cut_at_fpr` is
    for calibrating on others.

    Args:
        scores: [models, n]; higher = more likely a member.
        member: Whether the example is a member, [n] for all models or [models, n].
        fpr: Share of false positives that is tolerated, in (0, 1], such as .001.

    Returns:
        [models] in 0..1, `fpr` = no better than chance; NaN where `auc` is, and for a model with fewer than
        1/fpr non-members, which cannot resolve that rate.

    Raises:
        UserError: the shapes do not fit, or the rate lies outside (0, 1].

    Source: Carlini et al. (2022), arXiv 2112.03570, section III: the rate at low false-positive rates.
        Deviation: their code reads the last point of the curve below the rate however few non-members there
        are.

    Example:
        >>> tpr_at_fpr(np.array([[0.0, 1.0, 0.5, 2.0]]), np.array([False, False, True, True]), fpr=0.5)
        array([1.])
    """
    _check_rate(fpr)

    def of_one(inside: Floats, outside: Floats) -> float:
        above = _whole(fpr * len(outside))
        if above < 1:
            return np.nan
        cut = np.sort(outside)[::-1][above] if above < len(outside) else -np.inf
        return float((inside > cut).mean())

    return _by_model(scores, member, of_one)


def cut_at_fpr(others: Floats, *, fpr: float) -> Floats:
    """Cut above which a new non-member of the same law lies with probability at most `fpr`.

        the k-th largest of b scores, k = ⌊fpr·(b + 1)⌋: P[new > cut] = k/(b + 1) ≤ fpr

    Args:
        others: Scores of non-members that are scored nowhere else [models, b].
        fpr: In (0, 1).

    Returns:
        [models], in the unit of the scores; NaN with fewer than 1/fpr − 1 of them, or where a score is NaN.

    Raises:
        UserError: the rate lies outside (0, 1].

    Source: split conformal ranks (Vovk et al. 2005): the law of the rank of a new exchangeable number.

    Example:
        >>> cut_at_fpr(np.arange(9.0)[None], fpr=0.1)
        array([8.])
    """
    _check_rate(fpr)
    rank = _whole(fpr * (others.shape[1] + 1))
    if not 1 <= rank <= others.shape[1]:
        return np.full(len(others), np.nan)
    cut = -np.sort(-others, axis=1)[:, rank - 1]
    return np.where(np.isnan(others).any(1), np.nan, cut)


def balanced_accuracy(called: Member, member: Member) -> Floats:
    """Mean of the shares of members and of non-members that are called what they are.

    Args:
        called: Whether an example is called a member, by a cut that was chosen on others [models, n].
        member: Whether it is one, [n] for all models or [models, n].

    Returns:
        [models] in 0..1, .5 = no better than chance; NaN for a model without members or without others.

    Raises:
        UserError: the shapes do not fit.

    Source: as in Yeom et al. (2018), arXiv 1709.01604: advantage = 2·(balanced accuracy) − 1.

    Example:
        >>> balanced_accuracy(np.array([[True, True, True]]), np.array([True, True, False]))
        array([0.5])
    """
    return _by_model(called.astype(np.float64), member, _balanced)


def _balanced(inside: Floats, outside: Floats) -> float:
    return float((inside.mean() + 1 - outside.mean()) / 2)


def _auc(inside: Floats, outside: Floats) -> float:
    outside = np.sort(outside)
    below = np.searchsorted(outside, inside, side="left") + np.searchsorted(outside, inside, side="right")
    return float(below.mean() / (2 * len(outside)))


def _by_model(scores: Floats, member: Member, of_one: Callable[[Floats, Floats], float]) -> Floats:
    if scores.ndim != 2 or member.shape not in (scores.shape, scores.shape[1:]):
        raise UserError(
            f"Expected scores [models, examples] and as many memberships, got {scores.shape} and {member.shape}."
        )
    found = np.full(len(scores), np.nan)
    for k, (row, inside) in enumerate(zip(scores, np.broadcast_to(member, scores.shape), strict=True)):
        if inside.any() and not inside.all() and not np.isnan(row).any():
            found[k] = of_one(row[inside], row[~inside])
    return found


def _whole(count: float) -> int:
    # .29 · 100 is a little below 29 in floating point.
    return int(np.floor(count + 1e-9))


def _check_rate(fpr: float) -> None:
    if not 0 < fpr <= 1:
        raise UserError(f"Expected a false-positive rate in (0, 1], got {fpr}.")
