"""What is known of each example of D from a handful of models of random halves of D, as blocks of features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOOR = 1e-6
"""Added to a probability before its logarithm: below it models differ by chance."""

_COLUMNS = 32
_PRODUCT_COLUMNS = 64
_WIDE = 1024


class Evidence(NamedTuple):
    """What scorers read of D.

    Attributes:
        labels: Labels that models are trained on [n].
        outside: Mean probabilities of the models that were not trained on the example [n, classes].
        inside: Mean probability of its label over the models that were [n].
        embedding: Penultimate features of one original [n, d]; None where only outputs are known.
        attribution: What each example adds to the margins of each of S, by TRAK [n, |S|]; None = not asked for.
        forget: Rows of S, in the order of the columns of `attribution`.
        log_outside: Mean logarithm of the probabilities of the models that were not [n, classes]: in probabilities
            one model that is unsure hides all others. None = the logarithm of the mean.
        log_inside: Mean logarithm of the probability of its label over the models that were [n]; None = likewise.
        inputs: What models see of the example [n, d]; None where it is no vector of numbers.
    """

    labels: Ints
    outside: Floats
    inside: Floats
    embedding: Floats | None
    attribution: Floats | None
    forget: Ints
    log_outside: Floats | None = None
    log_inside: Floats | None = None
    inputs: Floats | None = None


class OutOfFold(NamedTuple):
    """Means over models that were not trained on an example, and over those that were; as in `Evidence`."""

    outside: Floats
    inside: Floats
    log_outside: Floats
    log_inside: Floats


def out_of_fold(probabilities: Floats, inside: NDArray[np.bool_], labels: Ints) -> OutOfFold:
    """Means over the models that were not trained on an example, and over those that were.

        outside_i = mean_{k: i ∉ D_k} p_k(x_i),   inside_i = mean_{k: i ∈ D_k} p_k(y_i | x_i)

    and the same of log(p + 10⁻⁶).

    Args:
        probabilities: Of each model on all of D [K, n, classes].
        inside: Whether example i is in the training set of model k [K, n].
        labels: [n].

    Returns:
        Probabilities [n, classes] and the probability of the label [n], and both as mean logarithms.

    Raises:
        UserError: if an example is in the training set of all models, or of none.

    Example:
        >>> p = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])
        >>> out_of_fold(p, np.array([[True], [False]]), np.array([0]))[:2]
        (array([[0.5, 0.5]]), array([0.9]))
    """
    if inside.all(0).any() or not inside.any(0).all():
        raise UserError("An example is in the parts of all models, or of none; train on complementary halves.")
    weight = inside.astype(np.float64)
    found: list[Floats] = []
    for values in (probabilities, np.log(probabilities + FLOOR)):
        own = np.take_along_axis(values, labels[None, :, None], 2)[:, :, 0]
        found.append(np.einsum("kn,knc->nc", 1 - weight, values) / (1 - weight).sum(0)[:, None])
        found.append((own * weight).sum(0) / weight.sum(0))
    return OutOfFold(*found)


def residuals(evidence: Evidence) -> Floats:
    """Out-of-fold probabilities minus the one-hot label [n, classes]."""
    return evidence.outside - one_hot(evidence.labels, evidence.outside.shape[1])


def one_hot(labels: Ints, classes: int) -> Floats:
    """Labels as rows of 0 and 1 [n, classes]."""
    return np.eye(classes)[labels]


def blocks_of(evidence: Evidence) -> dict[str, Floats]:
    """The blocks of features that scorers of the expansion choose from, each column standardised.

    With r_i = p_out(x_i) − onehot(y_i), l_i the mean logarithm of p_out(x_i), φ the embedding on its first 32
    principal components and a constant, ξ the same of the inputs:

    `residual` r; `confidence` (p_out(y), p_in(y) − p_out(y), which is memorization); `margin` that of
    confident learning; `label` onehot(y) beside both; `log odds` l; `log confidence` l(y);
    `log margin` max_{k≠y} l(k) − l(y); `log memorization` (l(y), p_out(y), l_in(y) − l(y), max_{k≠y} l(k));
    `input` the inputs on their first 64 principal components and `label input` onehot(y) ⊗ ξ; `embedding` φ;
    `label embedding` onehot(y) ⊗ φ and `gradient` r ⊗ φ on their first 64 principal components; `all` is `label`,
    `embedding`, `label embedding` and `gradient` together. What needs an embedding or inputs is left out where
    there are none.

    `gradient` is the gradient of the last layer with the residual of out-of-fold models and the features of one
    original: features of different models have no axes in common.

    Args:
        evidence: See there.

    Returns:
        Features [n, ·] by name.

    Example:
        >>> p = np.array([[0.5, 0.5], [0.1, 0.9]])
        >>> made = Evidence(np.array([0, 1]), p, np.ones(2), None, None, np.array([0]))
        >>> {name: block.shape[1] for name, block in blocks_of(made).items() if "log" not in name}
        {'residual': 2, 'confidence': 2, 'margin': 1, 'label': 6, 'all': 6}
    """
    rows, y = np.arange(len(evidence.labels)), evidence.labels
    labels, residual = one_hot(y, evidence.outside.shape[1]), residuals(evidence)
    own = evidence.outside[rows, y]
    confidence = np.stack([own, evidence.inside - own], 1)
    found = {
        "residual": residual,
        "confidence": confidence,
        "margin": normalised_margin(evidence)[:, None],
        "label": np.hstack([labels, residual, confidence]),
    }
    together = [found["label"]]
    if evidence.embedding is not None:
        reduced = principal(evidence.embedding, _COLUMNS)
        found["embedding"] = reduced
        found["label embedding"] = _product(labels, reduced)
        found["gradient"] = _product(residual, reduced)
        together += [found[name] for name in ("embedding", "label embedding", "gradient")]
    found["all"] = np.hstack(together)
    found |= _logarithms(evidence)
    if evidence.inputs is not None:
        found["input"] = principal(evidence.inputs, _PRODUCT_COLUMNS)
        found["label input"] = _product(labels, found["input"][:, :_COLUMNS])
    return {name: standardised(block) for name, block in found.items()}


def _logarithms(evidence: Evidence) -> dict[str, Floats]:
    """The blocks that stand on mean logarithms."""
    rows, y = np.arange(len(evidence.labels)), evidence.labels
    outside = np.log(evidence.outside + FLOOR) if evidence.log_outside is None else evidence.log_outside
    inside = np.log(evidence.inside + FLOOR) if evidence.log_inside is None else evidence.log_inside
    own, rival = outside[rows, y], outside.copy()
    rival[rows, y] = -np.inf
    highest = rival.max(1) if outside.shape[1] > 1 else np.zeros(len(y))
    return {
        "log odds": outside,
        "log confidence": own[:, None],
        "log margin": (highest - own)[:, None],
        "log memorization": np.stack([own, evidence.outside[rows, y], inside - own, highest], 1),
    }


def _product(factor: Floats, reduced: Floats) -> Floats:
    """Each column of a factor times each feature and a constant, on the first principal components."""
    phi = np.hstack([standardised(reduced), np.ones((len(reduced), 1))])
    return principal((factor[:, :, None] * phi[:, None]).reshape(len(reduced), -1), _PRODUCT_COLUMNS)


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
    """Centred rows on the first principal components [n, ≤ columns]; of very wide rows by a randomised method."""
    centred = block - block.mean(0)
    if centred.shape[1] > _WIDE:
        from sklearn.utils.extmath import randomized_svd

        left, lengths, _ = randomized_svd(centred, columns, random_state=0)
        return left * lengths
    values, vectors = np.linalg.eigh(centred.T @ centred)
    kept = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-300))[::-1][:columns]
    return centred @ vectors[:, kept] if len(kept) else centred[:, :1]
