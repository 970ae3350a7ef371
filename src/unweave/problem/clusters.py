"""Clusters of examples by their features alone: k-means, in an order that does not depend on chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError

Ints = NDArray[np.int64]
Centres = NDArray[np.float64]


def flat(x: NDArray[np.float32]) -> Centres:
    """Features as one vector per example [n, d], in double precision."""
    return x.reshape(len(x), -1).astype(np.float64)


def k_means(
    x: NDArray[np.float32], k: int, rng: np.random.Generator, *, name: str = "clusters"
) -> tuple[Ints, Centres]:
    """The k clusters of least squared distance to their centres, of ten starts; cluster 0 is the largest.

    Args:
        x: Features [n, ...].
        k: Number of clusters, 1 to the number of different examples.
        rng: Determines the starts.
        name: The key k stands under, for the message.

    Returns:
        The cluster of each example [n] (clusters of equal size in the order of their first example), and
        the centres [k, d].

    Raises:
        SpecError: for more clusters than different examples.

    Example:
        >>> x = np.array([[0.0], [9.0], [9.1], [8.9]], np.float32)
        >>> k_means(x, 2, np.random.default_rng(0))[0].tolist()
        [1, 0, 0, 0]
    """
    points = flat(x)
    different = len(np.unique(points, axis=0))
    if k > different:
        raise SpecError(f"`{name}` is {k}, but there are only {different} different examples to cluster.")
    from sklearn.cluster import KMeans  # slow to import, and few cases need it

    starts: Any = 10  # scikit-learn declares text alone
    fitted = KMeans(n_clusters=k, n_init=starts, random_state=int(rng.integers(2**31))).fit(points)
    labels = np.asarray(fitted.labels_, dtype=np.int64)
    first = np.array([np.flatnonzero(labels == one)[0] for one in range(k)])
    order = np.lexsort((first, -np.bincount(labels, minlength=k)))
    place = np.empty(k, dtype=np.int64)
    place[order] = np.arange(k)
    return place[labels], np.asarray(fitted.cluster_centers_, dtype=np.float64)[order]


def nearest(x: NDArray[np.float32], centres: Centres) -> Ints:
    """The nearest centre of each example [n], in Euclidean distance.

    Example:
        >>> nearest(np.array([[1.0], [8.0]], np.float32), np.array([[9.0], [0.0]])).tolist()
        [1, 0]
    """
    points = flat(x)
    squared = np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
    return squared.argmin(axis=1)
