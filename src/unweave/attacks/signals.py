"""Membership signals: one number per example and model, from its logits alone; higher = more likely a member."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import UNBOUNDED
from unweave._logits import check_logits, label_margins, log_softmax, modified_entropy, own
from unweave.attacks.contract import MEMBERSHIP, NOT_ON, attack

Floats = NDArray[np.float64]

_signal = partial(attack, aims=MEMBERSHIP, better="reference", not_on=NOT_ON)


@_signal(
    name="scaled_confidence",
    needs={"logits", "labels", "reference"},
    unit="nats",
    bounds=UNBOUNDED,
    cite="carlini2022lira",
)
def scaled_confidence_score(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Logit-scaled confidence, φ = z_y − logsumexp_{k≠y} z_k.

    It is log(p_y/(1 − p_y)) without the rounding of p_y to 1, and nearly Gaussian over models, as LiRA
    needs it.

    Args:
        logits: [models, n, classes], 2 or more classes.
        labels: Label of each example as it was trained on [n].

    Returns:
        [models, n] in nats, finite; higher = more likely a member.

    Raises:
        UserError: the shapes do not fit, a label is no class, or a logit is not finite.

    Source: Carlini et al. (2022), arXiv 2112.03570, section V (the stable form of the official code).
        Deviation: float64 logits throughout, where the code takes logarithms of probabilities.

    Example:
        >>> scaled_confidence_score(np.array([[[2.0, 0.0, 0.0]]]), np.array([0])).round(4)
        array([[1.3069]])
    """
    _check(logits, labels)
    return label_margins(logits, labels)


@_signal(
    name="loss",
    needs={"logits", "labels", "reference"},
    unit="nats",
    bounds=(-np.inf, 0.0),
    cite="yeom2018privacy",
)
def loss_score(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Negative cross-entropy of the label, log p_y.

    Args:
        logits: [models, n, classes].
        labels: Label of each example as it was trained on [n].

    Returns:
        [models, n] in nats, ≤ 0; higher = more likely a member.

    Raises:
        UserError: the shapes do not fit, a label is no class, or a logit is not finite.

    Source: Yeom et al. (2018), arXiv 1709.01604, adversary 2 (threshold on the loss). Deviation: the sign,
        so that high means member.

    Example:
        >>> loss_score(np.log([[[0.9, 0.1]]]), np.array([1])).round(4)
        array([[-2.3026]])
    """
    _check(logits, labels)
    return own(log_softmax(logits), labels)


@_signal(
    name="entropy", needs={"logits", "reference"}, unit="nats", bounds=(-np.inf, 0.0), cite="salem2019mlleaks"
)
def entropy_score(logits: NDArray[np.floating]) -> Floats:
    """Negative entropy of the prediction, Σ_c p_c·log p_c: knows of no label.

    Args:
        logits: [models, n, classes].

    Returns:
        [models, n] in nats, −log(classes)…0; higher = more likely a member.

    Raises:
        UserError: the shapes do not fit, or a logit is not finite.

    Source: Salem et al. (2019), arXiv 1806.01246, adversary 3 (threshold on the entropy); Song and Mittal
        (2021), arXiv 2003.10595. Deviation: the sign, so that high means member.

    Example:
        >>> entropy_score(np.zeros((1, 1, 2))).round(4)
        array([[-0.6931]])
    """
    _check(logits, np.zeros(logits.shape[1:2], dtype=np.int64))
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    return np.where(p > 0, p * np.where(p > 0, log_p, 0.0), 0.0).sum(-1)


@_signal(
    name="modified_entropy",
    needs={"logits", "labels", "reference"},
    unit="nats",
    bounds=(-np.inf, 0.0),
    cite="song2021systematic",
)
def modified_entropy_score(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Negative modified entropy, (1 − p_y)·log p_y + Σ_{c≠y} p_c·log(1 − p_c).

    Args:
        logits: [models, n, classes].
        labels: Label of each example as it was trained on [n].

    Returns:
        [models, n] in nats, ≤ 0; higher = more likely a member.

    Raises:
        UserError: the shapes do not fit, a label is no class, or a logit is not finite.

    Source: Song and Mittal (2021), arXiv 2003.10595, equation of the modified prediction entropy.
        Deviation: the sign. Public code that indexes `[:, labels]` gives a row the labels of all others;
        here it has its own.

    Example:
        >>> modified_entropy_score(np.log([[[0.5, 0.5]]]), np.array([0])).round(4)
        array([[-0.6931]])
    """
    _check(logits, labels)
    return -modified_entropy(log_softmax(logits), labels)


@_signal(
    name="correctness",
    needs={"logits", "labels", "reference"},
    unit="0 or 1",
    bounds=(0.0, 1.0),
    cite="yeom2018privacy",
)
def correctness_score(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Whether the label is predicted: the gap attack, which knows predicted classes only.

    Args:
        logits: [models, n, classes].
        labels: Label of each example as it was trained on [n].

    Returns:
        [models, n], 0 or 1; 1 = more likely a member.

    Raises:
        UserError: the shapes do not fit, a label is no class, or a logit is not finite.

    Source: Yeom et al. (2018), arXiv 1709.01604, adversary 1 (bounded loss).

    Example:
        >>> correctness_score(np.array([[[2.0, 0.0], [2.0, 0.0]]]), np.array([0, 1]))
        array([[1., 0.]])
    """
    _check(logits, labels)
    return (logits.argmax(-1) == labels).astype(np.float64)


def _check(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    check_logits(logits, labels)
    if logits.shape[2] < 2:
        raise UserError(f"Expected logits of 2 or more classes, got {logits.shape[2]}.")
    if not np.isfinite(logits).all():
        raise UserError("Expected finite logits, got NaN or infinity: leave out the models that diverged.")
