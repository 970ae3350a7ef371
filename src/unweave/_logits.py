"""Log-probabilities and margins from logits in float64: one formula for metrics and for attacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]


def check_logits(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Refuse logits that are not [models, examples, classes], and labels that are not one class per example.

    Raises:
        UserError: saying which of the two it is.
    """
    if logits.ndim != 3 or labels.shape != logits.shape[1:2]:
        raise UserError(
            f"Expected logits [models, examples, classes] and as many labels as examples, got {logits.shape} and "
            f"{labels.shape}."
        )
    if labels.size and not (0 <= labels.min() and labels.max() < logits.shape[2]):
        raise UserError(f"Expected labels in 0…{logits.shape[2] - 1}, got {labels.min()}…{labels.max()}.")


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log p_c = z_c − logsumexp z over the last axis, in float64."""
    z = logits.astype(np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def log_of_the_others(log_p: Floats) -> Floats:
    """log(1 − p_c) for each class c, as the logarithm of the sum of all others: no rounding to −∞ near p_c = 1."""
    classes = log_p.shape[-1]
    parts = [np.logaddexp.reduce(np.delete(log_p, c, axis=-1), axis=-1) for c in range(classes)]
    return np.minimum(np.stack(parts, axis=-1), 0.0)


def own(values: Floats, labels: NDArray[np.integer]) -> Floats:
    """The value of each row's own label: [models, n, classes] and [n] → [models, n]."""
    return values[:, np.arange(len(labels)), labels]


def label_margins(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """φ = z_y − logsumexp_{k≠y} z_k of each row's own label: [models, n, classes] and [n] → [models, n]."""
    z = logits.astype(np.float64)
    at = labels[None, :, None]
    label_logit = np.take_along_axis(z, at, axis=2)
    np.put_along_axis(z, at, -np.inf, axis=2)
    highest = z.max(axis=2, keepdims=True)
    return (label_logit - highest)[..., 0] - np.log(np.exp(z - highest).sum(axis=2))


def modified_entropy(log_p: Floats, labels: NDArray[np.integer]) -> Floats:
    """−(1 − p_y)·log p_y − Σ_{c≠y} p_c·log(1 − p_c) of each row's own label, [models, n]."""
    rest = log_of_the_others(log_p)
    terms = np.exp(log_p) * rest
    return -np.exp(own(rest, labels)) * own(log_p, labels) - (terms.sum(-1) - own(terms, labels))
