"""What is known of each example of D from a handful of models of random halves of D, as blocks of features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COLUMNS = 32
_PRODUCT_COLUMNS = 64


class Evidence(NamedTuple):
    """What scorers read of D.

    Attributes:
        labels: Labels that models are trained on [n].
        outside: Mean probabilities of the models that were not trained on the example [n, classes].
        inside: Mean probability of its label over the models that were [n].
        embedding: Penultimate features of one original [n, d]; None where only outputs are known.
        attribution: What each example adds to the margins of each of S, by TRAK [n, |S|]; None = not asked for.
        forget: Rows of S, in the order of the columns of `attribution`.
    """

    labels: Ints
    outside: Floats
    inside: Floats
    embedding: Floats | None
    attribution: Floats | None
    forget: Ints


def out_of_fold(probabilities: Floats, inside: NDArray[np.bool_], labels: Ints) -> tuple[Floats, Floats]:
    """Means over the models that were not trained on an example, and over those that were.

        outside_i = mean_{k: i ∉ D_k} p_k(x_i),   inside_i = mean_{k: i ∈ D_k} p_k(y_i | x_i)

    Args:
        probabilities: Of each model on all of D [K, n, classes].
        inside: Whether example i is in the training set of model k [K, n].
        labels: [n].

    Returns:
        Probabilities [n, classes] and the probability of the label [n].

    Raises:
        UserError: if an example is in the training set of all models, or of none.

    Example:
        >>> p = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])
        >>> out_of_fold(p, np.array([[True], [False]]), np.array([0]))
        (array([[0.5, 0.5]]), array([0.9]))
    """
    if inside.all(0).any() or not inside.any(0).all():
        raise UserError("An example is in the parts of all models, or of none; train on complementary halves.")
    weight = inside.astype(np.float64)
    outside = np.einsum("kn,knc->nc", 1 - weight, probabilities) / (1 - weight).sum(0)[:, None]
    own = np.take_along_axis(probabilities, labels[None, :, None], 2)[:, :, 0]
    return outside, (own * weight).sum(0) / weight.sum(0)


def residuals(evidence: Evidence) -> Floats:
    """Out-of-fold probabilities minus the one-hot label [n, classes]."""
    return evidence.outside - one_hot(evidence.labels, evidence.outside.shape[1])


def one_hot(labels: Ints, classes: int) -> Floats:
    """Labels as rows of 0 and 1 [n, classes]."""
    return np.eye(classes)[labels]


def blocks_of(evidence: Evidence) -> dict[str, Floats]:
    """The blocks of features that scorers of the expansion choose from, each column standardised.

    With r_i = p_out(x_i) − onehot(y_i), φ the embedding on its first 32 principal components and a constant:
    `residual` r; `confidence` (p_out(y), p_in(y) − p_out(y), which is memorization); `margin` that of
    confident learning; `label` onehot(y) beside
    both; `embedding` φ; `label embedding` onehot(y) ⊗ φ and `gradient` r ⊗ φ on their first 64 principal
    components; `all` together. Without an embedding the first four and `all`.

    `gradient` is the gradient of the last layer with the residual of out-of-fold models and the features of one
    original: features of different models have no axes in common.

    Args:
        evidence: See there.

    Returns:
        Features [n, ·] by name.

    Example:
        >>> p = np.array([[0.5, 0.5], [0.1, 0.9]])
        >>> made = Evidence(np.array([0, 1]), p, np.ones(2), None, None, np.array([0]))
        >>> {name: block.shape[1] for name, block in blocks_of(made).items()}
        {'residual': 2, 'confidence': 2, 'margin': 1, 'label': 6, 'all': 6}
    """
    labels, residual = one_hot(evidence.labels, evidence.outside.shape[1]), residuals(evidence)
    own = evidence.outside[np.arange(len(labels)), evidence.labels]
    confidence = np.stack([own, evidence.inside - own], 1)
    margin = normalised_margin(evidence)[:, None]
    found = {
        "residual": residual,
        "confidence": confidence,
        "margin": margin,
        "label": np.hstack([labels, residual, confidence]),
    }
    if evidence.embedding is not None:
        reduced = principal(evidence.embedding, _COLUMNS)
        phi = np.hstack([standardised(reduced), np.ones((len(labels), 1))])
        found["embedding"] = reduced
        for name, factor in (("label embedding", labels), ("gradient", residual)):
            found[name] = principal((factor[:, :, None] * phi[:, None]).reshape(len(labels), -1), _PRODUCT_COLUMNS)
    every = [block for name, block in found.items() if name not in ("residual", "confidence", "margin")]
    found["all"] = np.hstack(every)
    return {name: standardised(block) for name, block in found.items()}


def normalised_margin(evidence: Evidence) -> Floats:
    """max_{k≠y} (p_k − t_k) − (p_y − t_y) out of fold [n], t_k the mean of p_k over label k."""
    p, labels = evidence.outside, evidence.labels
    known = np.unique(labels)
    threshold = np.ones(p.shape[1])  # a class without examples is nobody's likely label
    threshold[known] = [p[labels == label, label].mean() for label in known.tolist()]
    over = p - threshold
    own = over[np.arange(len(labels)), labels].copy()
    over[np.arange(len(labels)), labels] = -np.inf
    return over.max(1) - own if p.shape[1] > 1 else -own


def standardised(block: Floats) -> Floats:
    """Columns with mean 0 and standard deviation 1; a constant one becomes 0."""
    spread = block.std(0)
    return (block - block.mean(0)) / np.where(spread > 1e-12, spread, 1.0)


def principal(block: Floats, columns: int) -> Floats:
    """Centred rows on the first principal components [n, ≤ columns]."""
    centred = block - block.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    kept = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-300))[::-1][:columns]
    return centred @ vectors[:, kept] if len(kept) else centred[:, :1]
