"""Permutation of whole models: do two samples of models follow one law?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError


class Labellings(NamedTuple):
    """Ways to say which models are of P: the true one first, then random ones.

    E² under each labelling is linear in the distances of independent pairs of models. These are its
    coefficients: of pairs within P [1 + permutations, K, K] and within Q [1 + permutations, L, L], each above
    the diagonal, and of pairs across [1 + permutations, K, L].
    """

    within_p: NDArray[np.float32]
    cross: NDArray[np.float32]
    within_q: NDArray[np.float32]


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
    models = len(blocks_p) + len(blocks_q)
    if distances.shape != (models, models):
        raise UserError(f"Expected pooled distances [{models}, {models}], got {distances.shape}.")
    labels = _labels(blocks_p, blocks_q, permutations, rng)
    blocks = np.concatenate([blocks_p, blocks_q])
    admissible = blocks[:, None] != blocks[None, :]
    counts = _counts(admissible, labels)
    parts = _sums(np.where(admissible, distances, 0.0), labels)
    cross, within_p, within_q = (part / count for part, count in zip(parts, counts, strict=True))
    statistic = 2 * cross - within_p - within_q
    scale = np.abs(distances[admissible]).mean(keepdims=True)
    return float(permutation_p_values(statistic[:, None], scale)[0])


def labellings(
    blocks_p: NDArray[np.integer],
    blocks_q: NDArray[np.integer],
    *,
    permutations: int = 999,
    rng: np.random.Generator,
) -> Labellings:
    """Draw the labellings of a permutation test; one draw serves any number of probes and of samples.

    Tests with the same labellings share their luck: each p-value is as valid as with a draw of its own, but
    they depend on each other more than their data do.

    Args:
        blocks_p: [K] block ids of P, each once.
        blocks_q: [L] block ids of Q, each once.
        permutations: number of random permutations.
        rng: source of the permutations.

    Returns:
        `Labellings`; they hold 4·(1 + permutations)·(K² + KL + L²) bytes.

    Raises:
        UserError: an id occurs twice in a sample, or there is nothing to permute.

    Source: as `permutation_test`.

    >>> drawn = labellings(np.arange(2), np.arange(2, 4), permutations=9, rng=np.random.default_rng(0))
    >>> drawn.cross[0].tolist(), float(drawn.within_p[0, 0, 1])
    ([[0.5, 0.5], [0.5, 0.5]], -1.0)
    """
    labels = _labels(blocks_p, blocks_q, permutations, rng)
    blocks = np.concatenate([blocks_p, blocks_q])
    admissible = blocks[:, None] != blocks[None, :]
    counts, entering, size = _counts(admissible, labels), np.triu(admissible), len(blocks_p)
    p, q = slice(size), slice(size, None)
    return Labellings(
        *(
            _coefficients(labels[:, one], labels[:, other], entering[one, other], counts)
            for one, other in ((p, p), (p, q), (q, q))
        )
    )


def permutation_p_values(statistic: NDArray[np.floating], scale: NDArray[np.floating]) -> NDArray[np.float64]:
    """Permutation p-value at every probe, with the same permutations for all probes.

    As `permutation_test`. The p-values of probes depend on each other as the probes do; adjust them with
    `benjamini_hochberg` and choose enough permutations for that.

    Args:
        statistic: [1 + permutations, n] E² under each of the `labellings`, the true one first.
        scale: [n] mean distance at each probe: differences below 64 roundings of it are ties.

    Returns:
        [n] in (0, 1]; low: the laws differ at this probe.

    Raises:
        UserError: the shapes do not fit.

    Source: as `permutation_test`.

    >>> permutation_p_values(np.array([[3.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.ones(2))
    array([0.33333333, 1.        ])
    """
    if statistic.ndim != 2 or len(statistic) < 2 or scale.shape != statistic.shape[1:]:
        raise UserError(
            f"Expected statistics [labellings, probes], at least two of them, and one scale per probe, "
            f"got {statistic.shape} and {scale.shape}."
        )
    # Distances of equal sets summed in another order differ by rounding: such a tie counts as T* ≥ T.
    needed = statistic[0] - 64 * np.finfo(statistic.dtype).eps * scale
    return (1 + (statistic[1:] >= needed).sum(axis=0)) / len(statistic)


def _labels(
    blocks_p: NDArray[np.integer], blocks_q: NDArray[np.integer], permutations: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which models count as P, [1 + permutations, K+L]: the true labels, then random ones."""
    if permutations < 1:
        raise UserError(f"Expected at least one permutation, got {permutations}.")
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


def _sums(matrix: NDArray[np.float64], labels: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Sums over the pairs across, within P and within Q of a symmetric matrix, under each labelling.

    Pairs within a sample are counted from both ends, pairs across from one.
    """
    of_p, of_q = labels.astype(np.float64), (~labels).astype(np.float64)
    from_p, from_q = of_p @ matrix, of_q @ matrix
    return [(from_p * of_q).sum(axis=1), (from_p * of_p).sum(axis=1), (from_q * of_q).sum(axis=1)]


def _counts(admissible: NDArray[np.bool_], labels: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    counts = _sums(admissible.astype(np.float64), labels)
    if any((count == 0).any() for count in counts):
        raise UserError("Expected at least 2 independent models in each sample: use more models.")
    return counts


def _coefficients(
    left: NDArray[np.bool_],
    right: NDArray[np.bool_],
    entering: NDArray[np.bool_],
    counts: list[NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Coefficients of the pairs of some models (labels [labellings, K] and [labellings, L]) that enter [K, L]."""
    one, other = left[:, :, None], right[:, None, :]
    # Each pair enters once here; `counts` hold pairs within a sample from both ends.
    of = [weight.astype(np.float32)[:, None, None] for weight in (2 / counts[0], 2 / counts[1], 2 / counts[2])]
    table = np.where(one, np.where(other, -of[1], of[0]), np.where(other, of[0], -of[2]))
    table *= entering
    return table
