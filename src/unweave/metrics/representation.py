"""What features know: likeness of two models' features, and what a linear probe reads out of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]


def centred_gram(features: Floats) -> Floats:
    """Inner products of centred features, (X − x̄)(X − x̄)ᵀ: what `linear_cka` compares.

    Args:
        features: Of one model [n, d].

    Returns:
        [n, n], symmetric.

    Example:
        >>> centred_gram(np.array([[1.0], [3.0]]))
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    x = features - features.mean(0)
    return x @ x.T


def linear_cka(grams: Floats, others: Floats) -> Floats:
    """Linear centred kernel alignment of the features that models have of the same examples, for all pairs.

        CKA = ⟨K, L⟩ / (‖K‖·‖L‖),   K, L the centred inner products

    Unmoved by rotations and by a common scale of either, so models of different seeds can be compared.

    Args:
        grams: `centred_gram` of each of some models [a, n, n].
        others: Of each of others, on the same examples [b, n, n].

    Returns:
        [a, b] in 0..1; 1 = the same up to rotation and scale. Constant features are like nothing: 0.

    Raises:
        UserError: if they are not of the same examples.

    Source: Kornblith et al. (2019), Similarity of Neural Network Representations Revisited, arXiv 1905.00414, §3.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> linear_cka(centred_gram(x)[None], centred_gram(3 * x[:, ::-1])[None]).round(6)
        array([[1.]])
    """
    if grams.ndim != 3 or grams.shape[1:] != others.shape[1:]:
        raise UserError(f"Expected inner products of the same examples, got {grams.shape} and {others.shape}.")
    flat = [one.reshape(len(one), -1) for one in (grams, others)]
    scaled = [one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-300) for one in flat]
    return np.clip(scaled[0] @ scaled[1].T, 0.0, 1.0)


def probe_confidence(features: Floats, labels: NDArray[np.integer], asked: NDArray[np.integer]) -> float:
    """How well a linear probe on the features gets the labels of some examples that it was fitted on with others.

    Ridge regression of one-hot labels on standardised features, with λ a hundredth of the number of examples; the
    score is the mean over the asked examples of the fitted value of their own label less the largest of another.

    Features of a model that knows these examples by heart let a probe tell them from their neighbours; features of
    one that never saw them do so less. There is no scale but that of reference models on the same examples.

    Args:
        features: Of one model [n, d].
        labels: Labels [n], in 0..C−1.
        asked: Rows of the examples that are asked about.

    Returns:
        About −1..1; higher = the features know the labels of the asked examples better.

    Raises:
        UserError: if nothing is asked, or the shapes do not fit.

    Source: linear probes, Alain & Bengio (2016), arXiv 1610.01644; probing of unlearned representations as IDI,
        Jeon et al. (2024), arXiv 2405.17878, asks mutual information where this asks a margin.

    Example:
        >>> x = np.array([[1.0], [1.1], [-1.0], [-1.1]])
        >>> bool(probe_confidence(x, np.array([0, 0, 1, 1]), np.array([0])) > 0)
        True
    """
    if len(asked) == 0 or len(labels) != len(features):
        raise UserError(f"Expected labels of {len(features)} examples and some to ask, got {len(labels)}.")
    x = features - features.mean(0)
    spread = x.std(0)
    x = np.where(spread > 1e-12, x / np.where(spread > 1e-12, spread, 1.0), 0.0)
    y = np.eye(int(labels.max()) + 1)[labels]
    centre = y.mean(0)
    gram = x.T @ x + 0.01 * len(x) * np.eye(x.shape[1])
    fitted = x[asked] @ np.linalg.solve(gram, x.T @ (y - centre)) + centre
    own = fitted[np.arange(len(asked)), labels[asked]]
    fitted[np.arange(len(asked)), labels[asked]] = -np.inf
    return float((own - fitted.max(1)).mean())
