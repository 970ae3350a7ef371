"""PrivLeak: how far a membership attack is from where it stands on models that never saw the forget set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave.attacks.contract import MEMBERSHIP, NOT_ON
from unweave.language.measures.contract import Floats, measure


@measure(
    name="privleak",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "population"},
    better="reference",
    unit="percent",
    bounds=(-np.inf, np.inf),
    cite="shi2025muse",
    not_on=NOT_ON,
)
def privleak(aucs: NDArray[np.floating], references: NDArray[np.floating]) -> Floats:
    """Relative distance of the AUC of a membership attack from that of the aim's reference, in percent.

        PrivLeak_k = 100 · ((1 − AUC_k) − (1 − AŪC_r))/(1 − AŪC_r),   AŪC_r the mean over the references

    The AUC tells the forget set (members) from texts that no model saw, and higher scores mean member, as
    all scores here do: an original that knows S by heart has AUC 1 and PrivLeak −100. Public tables with
    AUC towards non-members agree once theirs is subtracted from 1.

    Args:
        aucs: `attacks.auc` of the scores of each model [K], in 0..1.
        references: The same of models of the aim's reference [M], M ≥ 1.

    Returns:
        [K]: 0 = as the reference; below 0 S is still told as members, above 0 it is told by being *less*
        likely than unseen texts, which betrays it as well. NaN where an AUC is, or the references' mean is
        1.

    Raises:
        UserError: the shapes do not fit, there is no reference, or an AUC is not in 0..1.

    Source: Shi et al. (2025), arXiv 2407.06460, section 3 (C3), on Min-K%. Deviation: the mean over many
    references. Texts of S and unseen ones that differ in date or style give the references an AUC away from
    .5, by which all is divided: look at that AUC first.

    Example:
        >>> privleak(np.array([1.0, 0.5, 0.2]), np.array([0.5])).round(1).tolist()
        [-100.0, 0.0, 60.0]
    """
    _check(aucs, references)
    return _relative(aucs.astype(np.float64), np.asarray(references.astype(np.float64).mean()))


def privleak_leave_outs(
    aucs: NDArray[np.floating], references: NDArray[np.floating], weights: Floats, reference_weights: Floats
) -> Floats:
    """PrivLeak of the mean AUC, for every leave-out at once: that the references scatter counts as well.

    Args:
        aucs: [K], as for `privleak`.
        references: [M], the same.
        weights: [1+L, K] inclusion 0/1 of each model in each leave-out.
        reference_weights: [1+L, M] the same of the references.

    Returns:
        [1+L] in percent, for a jackknife by the design that made the weights.

    Raises:
        UserError: as `privleak` does, the weights do not fit, or a leave-out holds no model.

    Source: as `privleak`.

    Example:
        >>> weights = np.array([[1.0, 1.0], [0.0, 1.0]])
        >>> privleak_leave_outs(np.array([1.0, 0.5]), np.array([0.5]), weights, np.ones((2, 1)))
        array([-50.,   0.])
    """
    _check(aucs, references)
    for name, values, of in (("models", aucs, weights), ("references", references, reference_weights)):
        if of.ndim != 2 or of.shape[1:] != values.shape or (of.sum(1) <= 0).any():
            raise UserError(
                f"Expected weights [leave-outs, {len(values)}] of the {name}, one of them in each, got {of.shape}."
            )
    if len(weights) != len(reference_weights):
        raise UserError(f"Expected as many leave-outs, got {len(weights)} and {len(reference_weights)}.")
    mean = weights @ aucs / weights.sum(1)
    return _relative(mean, reference_weights @ references / reference_weights.sum(1))


def _relative(aucs: Floats, reference: Floats) -> Floats:
    left = 1 - reference
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, 100 * (reference - aucs) / left, np.nan)


def _check(aucs: NDArray[np.floating], references: NDArray[np.floating]) -> None:
    if aucs.ndim != 1 or references.ndim != 1 or not len(references):
        raise UserError(
            f"Expected AUCs of models and of one or more references, got {aucs.shape} and {references.shape}."
        )
    for one in (aucs, references):
        if (one < 0).any() or (one > 1).any():
            raise UserError(f"Expected AUCs from 0 to 1, got {np.nanmin(one):g}..{np.nanmax(one):g}.")
