"""Rates and margins of single models, and their means over every leave-out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH, UNBOUNDED
from unweave._logits import label_margins
from unweave.metrics.contract import ON_THE_BEHAVIOUR, metric


@metric(
    name="behaviour_rate",
    aims=BOTH,
    needs={"logits", "planted labels", "reference"},
    better="reference",
    unit="share of the group",
    bounds=(0.0, 1.0),
    cite="gu2017badnets",
    not_on=ON_THE_BEHAVIOUR,
    what="Share of probes whose output shows the behaviour: the planted label is predicted.",
)
@metric(
    name="accuracy",
    aims=BOTH,
    needs={"logits", "clean labels", "reference"},
    better="reference",
    unit="share of the group",
    bounds=(0.0, 1.0),
    cite="",
    what="Share of probes whose clean label is predicted; on S neither 0 nor chance is the goal.",
)
def rate(predictions: NDArray[np.integer], target: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of probes on which each model answers the target.

        rate_k = mean_x [prediction_k(x) = target(x)]

    With clean labels it is accuracy, with planted labels the behaviour's rate. The model is the unit of
    analysis: intervals come from the spread of these rates, never from counting examples.

    Args:
        predictions: [K, n] predicted class of each model at each probe.
        target: [n] class that counts.

    Returns:
        [K] in 0..1; for accuracy high is good, for the behaviour that of the reference is.

    Raises:
        UserError: the shapes do not fit, or there is no probe.

    Source: plain shares; with planted labels the attack success rate of Gu et al. 2017 (arXiv 1708.06733).

    >>> rate(np.array([[0, 1], [1, 1]]), np.array([0, 1]))
    array([1. , 0.5])
    """
    if predictions.ndim != 2 or target.shape != predictions.shape[1:] or target.size == 0:
        raise UserError(
            f"Expected predictions [models, probes] and as many targets, at least one, "
            f"got {predictions.shape} and {target.shape}."
        )
    return (predictions == target).mean(axis=1)


def leave_out_means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over models of a per-model number, for every leave-out at once.

        mean_i = Σ_k w[i, k]·v_k / Σ_k w[i, k]

    Differences of such means between worlds are differences of these arrays; dependent worlds are deleted
    together by the design that made the weights.

    Args:
        values: [K] one number per model.
        weights: [1+L, K] inclusion 0/1 of each model in each leave-out.

    Returns:
        [1+L] in the unit of the values.

    Raises:
        UserError: the shapes do not fit, or a leave-out holds no model.

    >>> leave_out_means(np.array([0.0, 1.0]), np.array([[1.0, 1.0], [0.0, 1.0]]))
    array([0.5, 1. ])
    """
    if values.ndim != 1 or weights.ndim != 2 or weights.shape[1] != len(values):
        raise UserError(
            f"Expected values [models] and weights [leave-outs, models], got {values.shape} and {weights.shape}."
        )
    held = weights.sum(axis=1)
    if (held <= 0).any():
        raise UserError("Expected at least one model in every leave-out, got none: use more models.")
    return weights @ values / held


@metric(
    name="margins",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="nats",
    bounds=UNBOUNDED,
    cite="carlini2022lira",
)
def margins(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Log-odds margin of the label, φ = z_y − logsumexp_{k≠y} z_k, which does not saturate.

    Taken from float64 logits, never from probabilities: between margins N(6, 1) and N(9, 1) the energy
    distance is 3.8 on φ and .0045 on p.

    Args:
        logits: [K, n, C] float64, C ≥ 2.
        labels: [n] in 0..C−1.

    Returns:
        [K, n] in nats; high: the model is sure of the label.

    Raises:
        UserError: the shapes do not fit, a label is out of range, or a logit is not finite.

    Source: Carlini et al. 2022 (LiRA), the logit scaling φ = log(p/(1 − p)), in the stable form.

    >>> margins(np.array([[[2.0, 0.0, 0.0]]]), np.array([0])).round(4)
    array([[1.3069]])
    """
    if logits.ndim != 3 or logits.shape[2] < 2 or labels.shape != logits.shape[1:2]:
        raise UserError(
            f"Expected logits [models, probes, 2 or more classes] and one label per probe, "
            f"got {logits.shape} and {labels.shape}."
        )
    if labels.size and (labels.min() < 0 or labels.max() >= logits.shape[2]):
        raise UserError(f"Expected labels in 0..{logits.shape[2] - 1}, got {labels.min()}..{labels.max()}.")
    if not np.isfinite(logits).all():
        raise UserError("Expected finite logits, got NaN or infinity: leave out the models that diverged.")
    return label_margins(logits, labels)
