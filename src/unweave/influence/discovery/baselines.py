"""Scorers of the literature under the interface of discovery: higher = more likely of B, always."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError
from unweave._random import Key
from unweave.influence.discovery.contract import scorer
from unweave.influence.discovery.evidence import Evidence, normalised_margin, principal, residuals
from unweave.influence.discovery.scores import nearest_cosine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CLUSTERED = 10
_ITERATIONS = 100


def _embedding(evidence: Evidence) -> Floats:
    if evidence.embedding is None:
        raise ApplicabilityError("It needs features of the last hidden layer, and only outputs are known here.")
    return evidence.embedding


@scorer(name="knn", needs={"embedding"}, cite="")
def knn(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """Mean cosine to the nearest 5 seeds in the centred embedding.

    Args:
        evidence: With an embedding.
        seeds: Rows of known members.
        key: Not used.

    Returns:
        Cosines in [−1, 1] [n], higher = more likely of B.

    Example:
        >>> made = Evidence(np.zeros(3, np.int64), np.ones((3, 1)), np.ones(3),
        ...     np.array([[1.0, 0], [0.9, 0], [-2, 0]]), None, np.array([0]))
        >>> knn(made, np.array([0]), key=0)[1:].tolist()
        [1.0, -1.0]
    """
    del key
    embedding = _embedding(evidence)
    return nearest_cosine(embedding - embedding.mean(0), seeds)


@scorer(name="gradient-cosine", needs={"embedding", "outside"}, cite="")
def gradient_cosine(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """Cosine of the last layer's gradient to the mean gradient of the seeds.

        g_i = (p_out(x_i) − onehot(y_i)) ⊗ (φ(x_i), 1),   score_i = g_i·ḡ / (‖g_i‖·‖ḡ‖)

    Args:
        evidence: With an embedding.
        seeds: Rows of known members.
        key: Not used.

    Returns:
        Cosines in [−1, 1] [n], higher = more likely of B.

    Example:
        >>> made = Evidence(np.array([0, 0, 1]), np.array([[0.1, 0.9], [0.2, 0.8], [0.5, 0.5]]), np.ones(3),
        ...     np.ones((3, 1)), None, np.array([0]))
        >>> gradient_cosine(made, np.array([0]), key=0).round(3).tolist()
        [1.0, 1.0, -1.0]
    """
    del key
    embedding, residual = _embedding(evidence), residuals(evidence)
    phi = np.hstack([embedding, np.ones((len(embedding), 1))])
    mean = residual[seeds].T @ phi[seeds] / len(seeds)  # ḡ as a matrix [classes, d + 1]
    along = np.einsum("nc,cd,nd->n", residual, mean, phi, optimize=True)
    lengths = np.linalg.norm(residual, axis=1) * np.linalg.norm(phi, axis=1) * np.linalg.norm(mean)
    return along / np.where(lengths > 0, lengths, 1.0)


@scorer(name="trak", needs={"attribution"}, cite="park2023trak")
def trak_to_forget(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """What an example adds to the margins of the seeds, by TRAK: mean over the seeds.

    Args:
        evidence: With attributions to S.
        seeds: Rows of known members, all of S.
        key: Not used.

    Returns:
        In logits [n], higher = helps the seeds to get their labels.

    Raises:
        ApplicabilityError: where attributions are not there, or a seed is not of S.

    Source: Park et al. (2023), arXiv 2303.14186, as `unweave.influence.trak`.

    Example:
        >>> made = Evidence(np.zeros(2, np.int64), np.ones((2, 1)), np.ones(2), None,
        ...     np.array([[1.0, 5.0], [3.0, 0.0]]), np.array([0, 1]))
        >>> trak_to_forget(made, np.array([0]), key=0).tolist()
        [1.0, 3.0]
    """
    del key
    if evidence.attribution is None:
        raise ApplicabilityError("It needs attributions to S, and there are none here.")
    columns = np.flatnonzero(np.isin(evidence.forget, seeds))
    if len(columns) != len(seeds):
        raise ApplicabilityError("Attributions are to S alone, so no other example can be a seed.")
    return evidence.attribution[:, columns].mean(1)


@scorer(name="spectral", needs={"embedding"}, cite="tran2018spectral", reads_forget=False)
def spectral_signatures(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """Squared projection on the first principal direction of the embedding within the label.

        score_i = ((φ(x_i) − mean_y)·v_y)², v_y the top right singular vector of the centred rows of label y

    Args:
        evidence: With an embedding.
        seeds: Not used: S is not looked at.
        key: Not used.

    Returns:
        In squared units of the embedding [n], higher = further out in its class.

    Source: Tran, Li & Madry (2018), arXiv 1811.00636, algorithm 1; scores of different labels are compared as they
        stand, as in the paper all labels but one hold no poison.

    Example:
        >>> made = Evidence(np.zeros(3, np.int64), np.ones((3, 1)), np.ones(3),
        ...     np.array([[0.0], [0.0], [3.0]]), None, np.array([2]))
        >>> spectral_signatures(made, np.array([2]), key=0).round(3).tolist()
        [1.0, 1.0, 4.0]
    """
    del seeds, key
    embedding, found = _embedding(evidence), np.zeros(len(evidence.labels))
    for label in np.unique(evidence.labels):
        own = np.flatnonzero(evidence.labels == label)
        found[own] = principal(embedding[own], 1)[:, 0] ** 2
    return found


@scorer(name="activation-clustering", needs={"embedding"}, cite="chen2018activation", reads_forget=False)
def activation_clustering(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """How small the example's cluster is, of two of its label, and how far the example is on that side.

        score_i = (1 − n_c/n_y) + ½·(d_other − d_own)/(d_other + d_own)

    with d the distances to the two centres of 2-means in the embedding's first 10 principal components.

    Args:
        evidence: With an embedding.
        seeds: Not used: S is not looked at.
        key: Not used: 2-means begins at the two ends of the first component.

    Returns:
        In [−½, 1½] [n], higher = in a smaller cluster.

    Source: Chen et al. (2018), arXiv 1811.03728, the relative size criterion. Deviation: principal in place of
        independent components, and the distance, without which all of a cluster would score the same.

    Example:
        >>> made = Evidence(np.zeros(4, np.int64), np.ones((4, 1)), np.ones(4),
        ...     np.array([[0.0], [0.1], [0.2], [9.0]]), None, np.array([3]))
        >>> int(activation_clustering(made, np.array([3]), key=0).argmax())
        3
    """
    del seeds, key
    embedding, found = _embedding(evidence), np.zeros(len(evidence.labels))
    for label in np.unique(evidence.labels):
        own = np.flatnonzero(evidence.labels == label)
        if len(own) > 2:
            found[own] = _two_means(principal(embedding[own], _CLUSTERED))
    return found


def _two_means(points: Floats) -> Floats:
    centres = points[[points[:, 0].argmin(), points[:, 0].argmax()]]
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    for _ in range(_ITERATIONS):
        side = distance.argmin(1)
        if len(np.unique(side)) < 2:
            break
        moved = np.stack([points[side == one].mean(0) for one in (0, 1)])
        if np.array_equal(moved, centres):
            break
        centres = moved
        distance = np.linalg.norm(points[:, None] - centres, axis=2)
    side = distance.argmin(1)
    share = np.bincount(side, minlength=2)[side] / len(side)
    own, other = distance.min(1), distance.max(1)
    return 1 - share + 0.5 * (other - own) / np.where(other + own > 0, other + own, 1.0)


@scorer(name="confident-learning", needs={"outside"}, cite="northcutt2021confident", reads_forget=False)
def confident_learning(evidence: Evidence, seeds: Ints, *, key: Key) -> Floats:
    """Normalised margin of the label out of fold, against the confidence that its class usually has.

        score_i = max_{k≠y_i} (p_k(x_i) − t_k) − (p_{y_i}(x_i) − t_{y_i}),   t_k = mean of p_k over label k

    Args:
        evidence: See there.
        seeds: Not used: S is not looked at.
        key: Not used.

    Returns:
        Differences of probabilities [n], higher = the label is more likely wrong.

    Source: Northcutt, Jiang & Chuang (2021), arXiv 1911.00068: ranking by normalised margin, with the thresholds
        of its confident joint; the official code ranks by the margin and prunes by the joint.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
        >>> made = Evidence(np.array([0, 0, 1]), p, np.ones(3), None, None, np.array([1]))
        >>> int(confident_learning(made, np.array([1]), key=0).argmax())
        1
    """
    del seeds, key
    return normalised_margin(evidence)
