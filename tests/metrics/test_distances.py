"""Pair distances against triple loops, and their promises: exact zeros, bounded memory, speed."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unweave.metrics.distances as distances_module
from unweave._errors import UserError
from unweave.metrics import admissible_pairs, pair_distances, probe_weights


def loop_distances(p: np.ndarray, q: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norm = np.zeros((len(weights), len(p), len(q)))
    squared = np.zeros_like(norm)
    for g, row in enumerate(weights):
        for k, one in enumerate(p):
            for m, other in enumerate(q):
                for x, w in enumerate(row):
                    d2 = sum((float(a) - float(b)) ** 2 for a, b in zip(one[x], other[x], strict=True))
                    norm[g, k, m] += w * d2**0.5
                    squared[g, k, m] += w * d2
    return norm, squared


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6),
    st.sampled_from([1, 4, 64, 1 << 15]),
)  # fmt: skip
def test_distances_equal_a_triple_loop_at_any_block_size(k, m, n, c, seed, block):
    rng = np.random.default_rng(seed)
    p, q = rng.normal(size=(k, n, c)).astype(np.float32), rng.normal(size=(m, n, c))
    weights = rng.dirichlet(np.ones(n), size=2)
    blocks_p, blocks_q = rng.integers(0, 4, k), rng.integers(0, 4, m)
    blocks_p[0], blocks_q[0] = 0, 1
    admissible = admissible_pairs(blocks_p, blocks_q)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances_module, "_BLOCK", block)
        patch.setattr(distances_module, "_COPY", 8 * block)
        cross = pair_distances(p, q, weights=weights, admissible=admissible)
        within = pair_distances(q, weights=weights)
    norm, squared = loop_distances(p, q, weights)
    np.testing.assert_allclose(cross.norm, norm, atol=1e-12)
    np.testing.assert_allclose(cross.squared, squared, atol=1e-12)
    np.testing.assert_allclose(cross.stacked, np.sqrt(squared), atol=1e-12)
    one_by_one = loop_distances(p, q, np.eye(n))[0]
    np.testing.assert_allclose(cross.by_probe, one_by_one[:, admissible].mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(within.norm, loop_distances(q, q, weights)[0], atol=1e-12)
    assert within.by_probe is None
    assert np.array_equal(within.norm, within.norm.transpose(0, 2, 1))


def test_by_probe_within_a_sample_counts_each_pair_once():
    rng = np.random.default_rng(0)
    p = rng.normal(size=(5, 7, 2))
    admissible = admissible_pairs(np.array([0, 0, 1, 2, 3]), np.array([0, 0, 1, 2, 3]))
    found = pair_distances(p, weights=np.full((1, 7), 1 / 7), admissible=admissible).by_probe
    expected = loop_distances(p, p, np.eye(7))[0][:, admissible].mean(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(1, 3), st.integers(0, 10**6),
    st.sampled_from([1, 4, 64, 1 << 15]),
)  # fmt: skip
def test_sums_at_each_probe_are_those_of_a_loop(k, m, n, sums, seed, block):
    rng = np.random.default_rng(seed)
    p, q = rng.normal(size=(2, 5, n, 3))
    p, q, weights = p[:k], q[:m], np.full((1, n), 1 / n)
    across = rng.normal(size=(sums, k, m)).astype(np.float32)
    across[:, rng.random((k, m)) < 0.3] = 0
    within = np.triu(rng.normal(size=(sums, k, k)), 1).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances_module, "_BLOCK", block)
        patch.setattr(distances_module, "_COPY", 8 * block)
        found = pair_distances(p, q, weights=weights, coefficients=across).linear
        found_within = pair_distances(p, weights=weights, coefficients=within).linear
    np.testing.assert_allclose(
        found, np.einsum("fkm,xkm->fx", across, loop_distances(p, q, np.eye(n))[0]), atol=1e-4
    )
    expected = np.einsum("fkm,xkm->fx", within, loop_distances(p, p, np.eye(n))[0])
    np.testing.assert_allclose(found_within, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_models_are_at_distance_exactly_zero(dtype):
    p = np.random.default_rng(2).dirichlet(np.ones(10), size=(8, 300)).astype(dtype)
    twins = np.concatenate([p, p])
    weights = np.full((1, 300), 1 / 300)
    assert (np.diag(pair_distances(p, p.copy(), weights=weights).norm[0]) == 0).all()
    within = pair_distances(twins, weights=weights).norm[0]
    assert (np.diag(within[:8, 8:]) == 0).all() and (np.diag(within) == 0).all()
    pick = np.zeros((8, 16, 16), dtype=np.float32)
    pick[np.arange(8), np.arange(8), np.arange(8, 16)] = 1
    assert (pair_distances(twins, weights=weights, coefficients=pick).linear == 0).all()


def test_inputs_that_do_not_fit_are_refused():
    p, weights = np.zeros((3, 4, 2)), np.full((1, 4), 0.25)
    with pytest.raises(UserError, match="same probes"):
        pair_distances(p, np.zeros((3, 5, 2)), weights=weights)
    with pytest.raises(UserError, match="finite"):
        pair_distances(np.full((3, 4, 2), np.nan), weights=weights)
    with pytest.raises(UserError, match="sum to 1"):
        pair_distances(p, weights=2 * weights)
    with pytest.raises(UserError, match="weights"):
        pair_distances(p, weights=np.ones((1, 3)) / 3)
    with pytest.raises(UserError, match="independent models"):
        pair_distances(p, weights=weights, admissible=np.zeros((3, 3), dtype=bool))
    with pytest.raises(UserError, match="shape"):
        pair_distances(p, weights=weights, admissible=np.ones((2, 3), dtype=bool))
    with pytest.raises(UserError, match="coefficients"):
        pair_distances(p, weights=weights, coefficients=np.ones((2, 3, 4), dtype=np.float32))
    with pytest.raises(UserError, match="at least one probe"):
        probe_weights({"forget": np.array([], dtype=int)}, 4)
    for index in ([0, 0], [4], [-1]):
        with pytest.raises(UserError, match="distinct probes"):
            probe_weights({"forget": np.array(index)}, 4)


@pytest.mark.slow
def test_a_large_comparison_takes_seconds_and_little_memory():
    """100 × 100 models, 10 000 probes, 10 classes: at most 5 s of one thread and 1 GB."""
    rng = np.random.default_rng(3)
    p, q = rng.random((2, 100, 10_000, 10), dtype=np.float32)
    ids = np.arange(100)
    weights = np.full((6, 10_000), 1e-4)
    started = time.thread_time()
    pair_distances(p, q, weights=weights, admissible=admissible_pairs(ids, ids))
    assert time.thread_time() - started < 5
    tracemalloc.start()
    pair_distances(p[:, :3000], q[:, :3000], weights=np.full((6, 3000), 1 / 3000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e8
