"""Scores of likeness to seeds within one block of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key, generator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAREST = 5
_AT_A_TIME = 4096


def whitened(block: Floats) -> Floats:
    """Rows times Σ^{-1/2}, Σ the covariance of all rows shrunk towards a multiple of the identity.

    Shrinkage is Ledoit and Wolf's (2004), by which Σ is invertible however few rows there are.

    Args:
        block: Centred features [n, d].

    Example:
        >>> whitened(np.array([[1.0], [-1.0]])).ravel().tolist()
        [1.0, -1.0]
    """
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(block, assume_centered=True)[0]
    values, vectors = np.linalg.eigh(covariance)
    return block @ (vectors / np.sqrt(np.maximum(values, 1e-12 * max(values[-1], 1e-300))))


def discriminant(white: Floats, seeds: Ints) -> Floats:
    """Projection on the direction of linear discriminant analysis, seeds against the rest [n].

        w = Σ⁻¹·(μ_seeds − μ_rest)

    Args:
        white: Rows after `whitened` [n, d], in which w is a difference of means.
        seeds: Rows of the seeds, not all.

    Example:
        >>> discriminant(np.array([[2.0], [1.0], [-3.0]]), np.array([0])).tolist()
        [6.0, 3.0, -9.0]
    """
    rest = (white.sum(0) - white[seeds].sum(0)) / (len(white) - len(seeds))
    return white @ (white[seeds].mean(0) - rest)


def nearest_cosine(block: Floats, seeds: Ints) -> Floats:
    """Mean cosine to the nearest 5 seeds, or to as many as there are [n]; a seed does not count for itself.

    Example:
        >>> rows = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> nearest_cosine(rows, np.array([0])).tolist()
        [0.0, 1.0, 0.0]
    """
    lengths = np.linalg.norm(block, axis=1, keepdims=True)
    unit = block / np.where(lengths > 0, lengths, 1.0)
    found = np.empty(len(block))
    place = np.full(len(block), -1)
    place[seeds] = np.arange(len(seeds))
    count = min(NEAREST, len(seeds))
    for begin in range(0, len(block), _AT_A_TIME):
        cosine = unit[begin : begin + _AT_A_TIME] @ unit[seeds].T
        at = place[begin : begin + _AT_A_TIME]
        own = np.flatnonzero(at >= 0)
        cosine[own, at[own]] = 0.0 if len(seeds) == 1 else -1.0
        found[begin : begin + _AT_A_TIME] = np.sort(cosine, 1)[:, -count:].mean(1)
    return found


def best_first(scores: Floats, rows: Ints, key: Key) -> Ints:
    """Rows from the highest score down; of those that score the same none comes first by its place in D.

    Example:
        >>> best_first(np.array([0.1, 0.9, 0.5]), np.array([0, 1, 2]), 0).tolist()
        [1, 2, 0]
    """
    shuffled = generator(key, "ties").permutation(rows)
    return shuffled[np.argsort(-scores[shuffled], kind="stable")]


def count_above(of: Floats, values: Floats) -> Floats:
    """How many of some scores lie above each value, ties counting half.

    Example:
        >>> count_above(np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0])).tolist()
        [3.0, 1.0]
    """
    ordered = np.sort(of)
    below, up_to = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return len(of) - (below + up_to) / 2


PAIRS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats, Ints], Floats]]] = {
    "discriminant": (whitened, discriminant),
    "nearest": (lambda block: block, nearest_cosine),
}
"""What turns a block once, and what scores it for seeds, by name."""
