"""Permutation of whole models: do two samples of models follow one law?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

# About 64 MiB of coefficients at a time.
_COEFFICIENTS = 1 << 23


def permutation_test(
    distances: NDArray[np.floating],
    blocks_p: NDArray[np.integer],
    blocks_q: NDArray[np.integer],
    *,
    permutations: int = 999,
    rng: np.random.Generator,
) -> float:
    """Permutation p-value of the claim that two samples of models differ in law, by the energy distance.

        p = (1 + #{T* ≥ T}) / (1 + permutations),        T = E²(P, Q)

    Whole models change sides. Two models with one block id (paired seeds, a method and its original) are
    a pair: they only ever swap with each other, and their distance does not enter T.

    Args:
        distances: [K+L, K+L] symmetric, models of P first; the mean over the probes of a group.
        blocks_p: [K] block ids of P, each once.
        blocks_q: [L] block ids of Q, each once.
        permutations: number of random permutations.
        rng: source of the permutations.

    Returns:
        In (0, 1], at least 1/(1 + permutations); low: the laws differ. P(p ≤ α) ≤ α where they agree.

    Raises:
        UserError: the shapes do not fit, an id occurs twice in a sample, or there is nothing to permute.

    Source: Székely & Rizzo 2013, Energy statistics; the +1 as in Phipson & Smyth 2010.

    >>> x = np.array([0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3])
    >>> d = np.abs(x[:, None] - x[None, :])
    >>> permutation_test(d, np.arange(4), np.arange(4, 8), rng=np.random.default_rng(0)) < 0.05
    True
    """
    p_values = permutation_test_by_probe(distances[None], blocks_p, blocks_q, permutations=permutations, rng=rng)
    return float(p_values[0])


def permutation_test_by_probe(
    distances: NDArray[np.floating],
    blocks_p: NDArray[np.integer],
    blocks_q: NDArray[np.integer],
    *,
    permutations: int = 999,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Permutation p-value at every probe, with the same permutations for all probes.

    As `permutation_test`. The p-values of probes depend on each other as the probes do; adjust them with
    `benjamini_hochberg` and choose enough permutations for that.

    Args:
        distances: [n, K+L, K+L] symmetric distances at each probe, models of P first.
        blocks_p: [K] block ids of P, each once.
        blocks_q: [L] block ids of Q, each once.
        permutations: number of random permutations.
        rng: source of the permutations.

    Returns:
        [n] in (0, 1]; low: the laws differ at this probe.

    Raises:
        UserError: the shapes do not fit, an id occurs twice in a sample, or there is nothing to permute.

    Source: as `permutation_test`.

    >>> d = np.zeros((2, 6, 6), dtype=np.float32)
    >>> permutation_test_by_probe(d, np.arange(3), np.arange(3, 6), rng=np.random.default_rng(0))
    array([1., 1.])
    """
    models = len(blocks_p) + len(blocks_q)
    if distances.ndim != 3 or distances.shape[1:] != (models, models):
        raise UserError(f"Expected pooled distances [..., {models}, {models}], got {distances.shape}.")
    if permutations < 1:
        raise UserError(f"Expected at least one permutation, got {permutations}.")
    labels = _labels(blocks_p, blocks_q, permutations, rng)
    first, second = np.triu_indices(models, k=1)
    blocks = np.concatenate([blocks_p, blocks_q])
    admissible = blocks[first] != blocks[second]
    first, second = first[admissible], second[admissible]
    upper = distances[:, first, second]
    # Distances of equal sets summed in another order differ by rounding: such a tie counts as T* ≥ T.
    tie = 64 * np.finfo(upper.dtype).eps * np.abs(upper).mean(axis=1)
    observed = upper @ _coefficients(labels[:1], first, second).astype(upper.dtype)
    reached = np.zeros(len(upper), dtype=np.int64)
    chunk = max(1, _COEFFICIENTS // len(first))
    for start in range(1, 1 + permutations, chunk):
        coefficients = _coefficients(labels[start : start + chunk], first, second).astype(upper.dtype)
        reached += (upper @ coefficients >= observed - tie[:, None]).sum(axis=1)
    return (1 + reached) / (1 + permutations)


def _labels(
    blocks_p: NDArray[np.integer], blocks_q: NDArray[np.integer], permutations: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which models count as P, [1 + permutations, K+L]: the true labels, then random ones."""
    if np.unique(blocks_p).size != blocks_p.size or np.unique(blocks_q).size != blocks_q.size:
        raise UserError("Expected every block id at most once per sample: such models cannot be permuted.")
    size = len(blocks_p)
    labels = np.zeros((1 + permutations, size + len(blocks_q)), dtype=bool)
    labels[:, :size] = True
    shared, in_p, in_q = np.intersect1d(blocks_p, blocks_q, return_indices=True)
    swap = rng.random((permutations, shared.size)) < 0.5
    labels[1:, in_p] = ~swap
    labels[1:, size + in_q] = swap
    alone = np.setdiff1d(np.arange(labels.shape[1]), np.concatenate([in_p, size + in_q]))
    labels[1:, alone] = rng.permuted(labels[1:, alone], axis=1)
    if (labels[1:] == labels[0]).all():
        raise UserError("Expected models to permute, got too few: give at least 2 models per sample.")
    return labels


def _coefficients(
    labels: NDArray[np.bool_], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Coefficients with which E² under each labelling is linear in the distances, [pairs, labellings]."""
    left, right = labels[:, first], labels[:, second]
    within_p, within_q = left & right, ~(left | right)
    cross = left ^ right
    counts = [part.sum(axis=1, keepdims=True) for part in (cross, within_p, within_q)]
    if any((count == 0).any() for count in counts):
        raise UserError("Expected at least 2 independent models in each sample: use more models.")
    # A matrix of signs and counts: float32 holds it as well, and half the traffic is half the time.
    table = cross * (2 / counts[0]).astype(np.float32)
    table -= within_p * (1 / counts[1]).astype(np.float32)
    table -= within_q * (1 / counts[2]).astype(np.float32)
    return table.T
