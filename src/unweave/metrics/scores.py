"""Scores of single examples that public code often gets wrong: confidence, modified entropy, divergence, ZRF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH
from unweave._logits import check_logits, log_softmax, modified_entropy, own
from unweave.metrics.contract import metric

Floats = NDArray[np.float64]


@metric(
    name="confidences",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="probability",
    bounds=(0.0, 1.0),
    cite="yeom2018privacy",
)
def confidences(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Probability that each model gives the label of each example.

        c_k(x_i) = softmax(z_k(x_i))_{y_i}

    Row i is asked for label i and for no other: its value does not hang on the other rows.

    Args:
        logits: [K, n, classes].
        labels: [n] in 0…classes−1.

    Returns:
        [K, n] in 0..1; higher where the label is believed more, as it is of members of the training set.

    Raises:
        UserError: the shapes do not fit, or a label is no class.

    Source: Yeom et al. (2018), arXiv 1709.01604; the row's own label against `probs[:, labels]`.

    >>> confidences(np.log([[[0.9, 0.1], [0.2, 0.8]]]), np.array([0, 1])).round(3)
    array([[0.9, 0.8]])
    """
    check_logits(logits, labels)
    return np.exp(own(log_softmax(logits), labels))


@metric(
    name="modified_entropies",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="nats",
    bounds=(0.0, np.inf),
    cite="song2021systematic",
)
def modified_entropies(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Entropy of a prediction that knows which class is right.

        M(p, y) = −(1 − p_y)·log p_y − Σ_{c≠y} p_c·log(1 − p_c)

    0 for all probability on y, without bound as all of it goes to another class; the entropy of Shannon is
    0 for both. Logarithms are of float64 logits: 1 − p_c is the sum over the other classes, and does not
    round to 0 where p_c is nearly 1.

    Args:
        logits: [K, n, classes].
        labels: [n] in 0…classes−1.

    Returns:
        [K, n] in nats, ≥ 0; lower for members of the training set.

    Raises:
        UserError: the shapes do not fit, or a label is no class.

    Source: Song and Mittal (2021), arXiv 2003.10595, modified prediction entropy.

    >>> modified_entropies(np.log([[[0.5, 0.5], [0.5, 0.5]]]), np.array([0, 1])).round(4)
    array([[0.6931, 0.6931]])
    """
    check_logits(logits, labels)
    return modified_entropy(log_softmax(logits), labels)


@metric(
    name="jensen_shannon",
    aims=BOTH,
    needs={"logits", "reference"},
    better="lower",
    unit="nats",
    bounds=(0.0, float(np.log(2))),
    cite="lin1991divergence",
)
def jensen_shannon(p_logits: NDArray[np.floating], q_logits: NDArray[np.floating]) -> Floats:
    """Jensen–Shannon divergence of the predictions of two models on each example.

        JS(p, q) = ½·KL(p‖m) + ½·KL(q‖m),   m = (p + q)/2

    Args:
        p_logits: [..., classes].
        q_logits: Of the same shape.

    Returns:
        [...] in nats, 0 (equal) to log 2 (no class in common).

    Raises:
        UserError: the shapes differ.

    Source: Lin (1991), equation 4.1 with equal weights. Deviation: public code hands log p and m to a function
    that takes them for KL(m‖p), and averages over classes; this is the textbook's.

    >>> jensen_shannon(np.array([[0.0, -1e9]]), np.array([[-1e9, 0.0]])).round(4)
    array([0.6931])
    """
    if p_logits.shape != q_logits.shape or p_logits.ndim < 1:
        raise UserError(f"Expected logits of one shape [..., classes], got {p_logits.shape} and {q_logits.shape}.")
    log_p, log_q = log_softmax(p_logits), log_softmax(q_logits)
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    return np.maximum((_kl(log_p, log_m) + _kl(log_q, log_m)) / 2, 0.0)


@metric(
    name="zrf",
    aims=BOTH,
    needs={"logits", "start"},
    better="none",
    unit="1 − nats",
    bounds=(1 - float(np.log(2)), 1.0),
    cite="chundawat2023badteacher",
)
def zrf(logits: NDArray[np.floating], ignorant: NDArray[np.floating]) -> Floats:
    """Zero retrain forgetting: how like a net that never learned anything each model is on S.

        ZRF_k = 1 − mean_i JS(p_k(x_i), p_d(x_i)),   d a net at its start

    No reference model enters it: a high value says that the predictions on S are a guess, which is no aim of
    untraining, where the reference often predicts S well. Shown, never a verdict.

    Args:
        logits: [K, n, classes] of the models on S.
        ignorant: [n, classes] of the net that never learned, or [K, n, classes] of one for each.

    Returns:
        [K] from 1 − log 2 to 1 (predictions as those of the ignorant net).

    Raises:
        UserError: the shapes do not fit, or there is no example.

    Source: Chundawat et al. (2023), arXiv 2205.08096, ZRF metric. Deviation: natural logarithm and the textbook's
    JS (see `jensen_shannon`); the official code has neither.

    >>> zrf(np.zeros((2, 3, 4)), np.zeros((3, 4)))
    array([1., 1.])
    """
    if logits.ndim != 3 or logits.shape[1] == 0 or ignorant.shape not in (logits.shape, logits.shape[1:]):
        raise UserError(
            "Expected logits [models, examples, classes] and [examples, classes] of the ignorant net, of at least "
            f"one example, got {logits.shape} and {ignorant.shape}."
        )
    return 1 - jensen_shannon(logits, np.broadcast_to(ignorant, logits.shape)).mean(1)


def _kl(log_p: Floats, log_q: Floats) -> Floats:
    # 0·log 0 = 0, also where a logarithm is −∞.
    p = np.exp(log_p)
    return np.where(p > 0, p * (np.where(p > 0, log_p, 0.0) - np.where(p > 0, log_q, 0.0)), 0.0).sum(-1)
