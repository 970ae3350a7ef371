"""Clusters of examples by their features alone: k-means, in an order that does not depend on chance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FITTED_ON = 2000
"""Most examples that centres are fitted on; of more a random part, so that 60 000 take seconds."""

_AT_ONCE = 2000


def flat(x: NDArray[np.float32]) -> Floats:
    """Features as one vector per example [n, d], in double precision."""
    return x.reshape(len(x), -1).astype(np.float64)


def different(x: NDArray[np.float32], at_most: int) -> Ints:
    """The rows of the first `at_most` examples of which no two have equal features; fewer where there are no more.

    Example:
        >>> different(np.array([[1.0], [1.0], [2.0], [3.0]], np.float32), 2).tolist()
        [0, 2]
    """
    found: dict[bytes, int] = {}
    for row, features in enumerate(x):
        if len(found) >= at_most:
            break
        # + 0: a negative zero is the same feature.
        found.setdefault(hashlib.blake2b((features + np.float32(0)).tobytes(), digest_size=16).digest(), row)
    return np.array(list(found.values()), dtype=np.int64)


def squared_distances(x: NDArray[np.float32], centre: Floats) -> Floats:
    """Squared Euclidean distance of each example to one point [n], in double precision and a part at a time.

    Example:
        >>> squared_distances(np.array([[1.0], [4.0]], np.float32), np.array([2.0])).tolist()
        [1.0, 4.0]
    """
    return np.concatenate([np.zeros(0), *(((flat(part) - centre) ** 2).sum(axis=1) for part in _parts(x))])


def _parts(x: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return (x[begin : begin + _AT_ONCE] for begin in range(0, len(x), _AT_ONCE))


def k_means(
    x: NDArray[np.float32], k: int, rng: np.random.Generator, *, name: str = "clusters"
) -> tuple[Ints, Floats]:
    """The k clusters of least squared distance to their centres, of ten starts; cluster 0 is the largest.

    Of more than 2 000 examples the centres are fitted on 2 000, drawn at random; each example then belongs to the
    nearest of them.

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
    apart = different(x, k)
    if k > len(apart):
        raise SpecError(f"`{name}` is {k}, but there are only {len(apart)} different examples to cluster.")
    from sklearn.cluster import KMeans  # slow to import, and few cases need it

    starts: Any = 10  # scikit-learn declares text alone
    means = KMeans(n_clusters=k, n_init=starts, random_state=int(rng.integers(2**31)))
    if len(x) <= FITTED_ON:
        labels = np.asarray(means.fit(flat(x)).labels_, dtype=np.int64)
    else:
        # With k different examples among them, so that no cluster is left without one.
        chosen = np.union1d(rng.choice(len(x), FITTED_ON, replace=False), apart)
        labels = nearest(x, np.asarray(means.fit(flat(x[chosen])).cluster_centers_, dtype=np.float64))
    first = np.array([np.flatnonzero(labels == one)[0] for one in range(k)])
    order = np.lexsort((first, -np.bincount(labels, minlength=k)))
    place = np.empty(k, dtype=np.int64)
    place[order] = np.arange(k)
    return place[labels], np.asarray(means.cluster_centers_, dtype=np.float64)[order]


def nearest(x: NDArray[np.float32], centres: Floats) -> Ints:
    """The nearest centre of each example [n], in Euclidean distance.

    Example:
        >>> nearest(np.array([[1.0], [8.0]], np.float32), np.array([[9.0], [0.0]])).tolist()
        [1, 0]
    """
    # ‖x − c‖² without ‖x‖², which is the same for all centres.
    offsets = (centres**2).sum(axis=1)
    parts = (flat(part) @ centres.T for part in _parts(x))
    return np.concatenate([np.zeros(0, np.int64), *((offsets - 2 * part).argmin(axis=1) for part in parts)])
