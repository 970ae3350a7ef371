"""Distances between models: every pair, reduced over probes while they are computed.

Nothing of size models × models × probes is kept. What remains is one small matrix per probe group,
on which all else is arithmetic (see `unweave.metrics.energy`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

# 32 768 float64 numbers are 256 KiB: the running sum and the difference stay in the L2 cache.
_BLOCK = 1 << 15
# At most 64 MiB for the channel-first copies of one chunk of probes.
_COPY = 1 << 23


class PairDistances(NamedTuple):
    """Distances between all models of two samples, reduced over probes.

    `norm` and `squared` are [G, K, L]: weighted means over the probes of each group of ‖p_k − q_l‖ and of
    ‖p_k − q_l‖². `by_probe` is [n]: the mean of ‖p_k − q_l‖ over admissible pairs at each probe. `linear`
    is [F, n]: Σ_kl c_f[k, l] ‖p_k − q_l‖ at each probe, of each matrix of coefficients. Both are None where
    they were not asked for.
    """

    norm: NDArray[np.float64]
    squared: NDArray[np.float64]
    by_probe: NDArray[np.float64] | None
    linear: NDArray[np.float32] | None

    @property
    def stacked(self) -> NDArray[np.float64]:
        """Distance of the stacked outputs of a group, sqrt(mean over probes of ‖p_k − q_l‖²), [G, K, L]."""
        return np.sqrt(self.squared)


class _Block(NamedTuple):
    probes: slice
    rows: slice
    columns: slice
    squared: NDArray[np.float64]


def probe_weights(groups: Mapping[str, NDArray[np.integer]], n: int) -> NDArray[np.float64]:
    """Weights that average over each group of probes: w_g(x) = 1/|g| for x in g, else 0.

    Args:
        groups: indices of the probes of each group, values in 0..n−1, none empty.
        n: number of probes.

    Returns:
        [G, n], rows in the order of `groups`, each summing to 1.

    Raises:
        UserError: a group is empty, or holds a probe outside 0..n−1 or one twice.

    Source: the probe groups of the paper's evaluation (arXiv 2604.07962); plain means.

    >>> probe_weights({"forget": np.array([0, 2]), "test": np.array([1])}, 3)
    array([[0.5, 0. , 0.5],
           [0. , 1. , 0. ]])
    """
    weights = np.zeros((len(groups), n))
    for row, (name, index) in zip(weights, groups.items(), strict=True):
        if index.size == 0:
            raise UserError(f"Expected at least one probe in group `{name}`, got none: leave the group out.")
        if index.min() < 0 or index.max() >= n or np.unique(index).size != index.size:
            raise UserError(f"Expected distinct probes of 0..{n - 1} in group `{name}`: check its indices.")
        row[index] = 1 / index.size
    return weights


def admissible_pairs(blocks_p: NDArray[np.integer], blocks_q: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pairs of models that are independent of each other: A[k, l] = (b_k ≠ b_l).

    Models with one block id depend on each other (a method's model and the original it grew from, worlds
    trained with paired seeds). Within one sample this drops the diagonal, between dependent samples the
    pairs k = l: keeping those would bias a distance downwards.

    Args:
        blocks_p: [K] block id of each model of the first sample.
        blocks_q: [L] block id of each model of the second.

    Returns:
        [K, L], true where the pair may enter a mean.

    >>> admissible_pairs(np.array([7, 8]), np.array([7, 8, 9]))
    array([[False,  True,  True],
           [ True, False,  True]])
    """
    return blocks_p[:, None] != blocks_q[None, :]


def pair_distances(
    p: NDArray[np.floating],
    q: NDArray[np.floating] | None = None,
    *,
    weights: NDArray[np.float64],
    admissible: NDArray[np.bool_] | None = None,
    coefficients: NDArray[np.float32] | None = None,
) -> PairDistances:
    """Distances between all models of two samples, ‖p_k(x) − q_l(x)‖, averaged over groups of probes.

        norm[g, k, l] = Σ_x w_g(x) ‖p_k(x) − q_l(x)‖        squared[g, k, l] = Σ_x w_g(x) ‖p_k(x) − q_l(x)‖²

    Differences are taken before they are squared, so equal outputs are at distance exactly 0.

    Args:
        p: [K, n, C] outputs of the first sample (probabilities in 0..1, or margins in nats with C = 1).
        q: [L, n, C] outputs of the second; None measures `p` against itself, at half the cost.
        weights: [G, n] non-negative, rows summing to 1 (`probe_weights`): all groups in one pass.
        admissible: [K, L] pairs that enter the mean at each probe (`admissible_pairs`); None: no `by_probe`.
        coefficients: [F, K, L] of sums that are wanted at each probe, by products in float32; with q None only
            those above the diagonal may differ from 0. None: no `linear`.

    Returns:
        `PairDistances`, in the unit of the outputs (squared: its square); 0 means equal.

    Raises:
        UserError: the shapes do not fit, an output is not finite, weights are no averages, or no pair is
            admissible.

    Source: Székely & Rizzo 2013, Energy statistics (the distance matrices of the energy distance).

    >>> p = np.array([[[0.0, 0.0]], [[3.0, 4.0]]])
    >>> pair_distances(p, weights=np.ones((1, 1))).norm
    array([[[0., 5.],
            [5., 0.]]])
    """
    other = p if q is None else q
    _check_outputs(p, other)
    _check_weights(weights, p.shape[1])
    pairs = (len(p), len(other))
    if admissible is not None and admissible.shape != pairs:
        raise UserError(f"Expected `admissible` of shape {pairs}, got {admissible.shape}.")
    if admissible is not None and not admissible.any():
        raise UserError("Expected at least one pair of independent models, got none: give other blocks.")
    if coefficients is not None and coefficients.shape[1:] != pairs:
        raise UserError(
            f"Expected `coefficients` of shape [sums, {pairs[0]}, {pairs[1]}], got {coefficients.shape}."
        )
    sums = None if coefficients is None else _Sums(coefficients, p.shape[1])

    norm = np.zeros((*pairs, len(weights)))
    squared = np.zeros((*pairs, len(weights)))
    by_probe = None if admissible is None else np.zeros(p.shape[1])
    counted = None if admissible is None else admissible.astype(np.float64)
    if q is None and counted is not None:
        # Only pairs above the diagonal are computed: each stands for itself and its mirror image.
        counted = np.triu(counted + np.tril(counted, -1).T)
    for block in _squared_blocks(p, other, symmetric=q is None):
        group_weights = weights[:, block.probes].T
        squared[block.rows, block.columns] += block.squared @ group_weights
        distance = np.sqrt(block.squared, out=block.squared)
        norm[block.rows, block.columns] += distance @ group_weights
        if by_probe is not None and counted is not None:
            chosen = counted[block.rows, block.columns].ravel()
            by_probe[block.probes] += chosen @ distance.reshape(chosen.size, -1)
        if sums is not None:
            sums.add(block, distance)
    if q is None:
        norm, squared = _mirror(norm), _mirror(squared)
    if by_probe is not None and counted is not None:
        by_probe /= counted.sum()
    return PairDistances(
        np.ascontiguousarray(np.moveaxis(norm, -1, 0)),
        np.ascontiguousarray(np.moveaxis(squared, -1, 0)),
        by_probe,
        None if sums is None else sums.linear,
    )


class _Sums:
    """Linear sums of the distances at each probe: one product for all pairs of a chunk of probes."""

    def __init__(self, coefficients: NDArray[np.float32], n: int) -> None:
        flat = coefficients.reshape(len(coefficients), -1)
        self._shape = coefficients.shape[1:]
        self._entering = np.flatnonzero((flat != 0).any(axis=0))
        self._coefficients = flat if len(self._entering) == flat.shape[1] else flat[:, self._entering]
        self._distances = np.zeros((*self._shape, 0), dtype=np.float32)
        self.linear = np.empty((len(flat), n), dtype=np.float32)

    def add(self, block: _Block, distance: NDArray[np.float64]) -> None:
        """Take up one block; the last one of a chunk of probes makes the sums."""
        width = distance.shape[-1]
        if self._distances.shape[-1] != width:
            self._distances = np.zeros((*self._shape, width), dtype=np.float32)
        self._distances[block.rows, block.columns] = distance
        if block.rows.stop == self._shape[0]:
            flat = self._distances.reshape(-1, width)
            entering = flat if self._coefficients.shape[1] == len(flat) else flat[self._entering]
            np.matmul(self._coefficients, entering, out=self.linear[:, block.probes])


def _squared_blocks(p: NDArray[np.floating], q: NDArray[np.floating], *, symmetric: bool) -> Iterator[_Block]:
    """Yield ‖p_k − q_l‖² in blocks [rows, columns, probes] that fit the cache; the buffer is reused.

    Where `symmetric`, pairs below the diagonal are skipped (up to the width of a block of rows).
    """
    (models, n, channels), others = p.shape, len(q)
    chunk = min(n, max(1, _COPY // (channels * (models + others))), max(_BLOCK // others, 64))
    chunk = -(-n // -(-n // chunk))  # all alike: a short one at the end would be slow
    rows = min(models, max(1, _BLOCK // (others * chunk)))
    sums, differences = np.empty((2, rows * others * chunk))
    for start in range(0, n, chunk):
        probes = slice(start, min(start + chunk, n))
        width = probes.stop - start
        # Channel first, so that each pass runs over contiguous probes; float64 from here on.
        left = np.ascontiguousarray(np.moveaxis(p[:, probes], -1, 0), dtype=np.float64)
        right = left if symmetric else np.ascontiguousarray(np.moveaxis(q[:, probes], -1, 0), dtype=np.float64)
        for top in range(0, models, rows):
            row = slice(top, min(top + rows, models))
            column = slice(top if symmetric else 0, others)
            shape = (row.stop - top, column.stop - column.start, width)
            size = shape[0] * shape[1] * width
            total, difference = sums[:size].reshape(shape), differences[:size].reshape(shape)
            for channel in range(channels):
                out = difference if channel else total
                np.subtract(left[channel, row, None], right[channel, None, column], out=out)
                np.multiply(out, out, out=out)
                if channel:
                    np.add(total, difference, out=total)
            yield _Block(probes, row, column, total)


def _mirror(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Copy the upper triangle of the first two axes to the lower one."""
    upper = np.triu(np.ones(matrix.shape[:2], dtype=bool))[..., None]
    return np.where(upper, matrix, np.swapaxes(matrix, 0, 1))


def _check_outputs(p: NDArray[np.floating], q: NDArray[np.floating]) -> None:
    if p.ndim != 3 or q.ndim != 3 or p.shape[1:] != q.shape[1:] or 0 in p.shape or 0 in q.shape:
        raise UserError(
            f"Expected outputs [models, probes, classes] with the same probes and classes, none of them 0, "
            f"got {p.shape} and {q.shape}: take both samples' outputs on the same probes."
        )
    for sample in (p,) if q is p else (p, q):
        if not np.isfinite(sample).all():
            raise UserError("Expected finite outputs, got NaN or infinity: leave out the models that diverged.")


def _check_weights(weights: NDArray[np.float64], n: int) -> None:
    if weights.ndim != 2 or weights.shape[1] != n:
        raise UserError(f"Expected `weights` [groups, {n}], got {weights.shape}: see `probe_weights`.")
    if (weights < 0).any() or not np.allclose(weights.sum(axis=1), 1):
        raise UserError("Expected `weights` that are not negative and whose rows sum to 1: see `probe_weights`.")
