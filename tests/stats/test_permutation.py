"""Permutation of whole models: size, power, pairs, and the same answer probe by probe."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from unweave._errors import UserError
from unweave.metrics import energy, pair_distances
from unweave.stats import labellings, permutation_p_values, permutation_test


def pooled(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    both = np.concatenate([p, q])
    return pair_distances(both, weights=np.full((1, both.shape[1]), 1 / both.shape[1])).norm[0]


def test_against_all_partitions_by_the_definition():
    """With many random permutations the p-value is that of the 70 partitions of 8 models."""
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2)) + 0.4
    d = pooled(p, q)

    def statistic(first):
        one = np.array(first)
        two = np.setdiff1d(np.arange(8), one)
        parts = d[np.ix_(one, two)], d[np.ix_(one, one)], d[np.ix_(two, two)]
        return energy(*parts, blocks_p=one, blocks_q=two)[0]

    observed = statistic(range(4))
    exact = np.mean([statistic(c) >= observed - 1e-12 for c in itertools.combinations(range(8), 4)])
    found = permutation_test(d, np.arange(4), np.arange(4, 8), permutations=20_000, rng=rng)
    assert found == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("paired", [False, True])
def test_size_is_nominal_where_the_laws_agree(paired):
    rng = np.random.default_rng([1, paired])
    sets, models = 600, 8
    ids = np.arange(models)
    flags = {0.05: 0, 0.01: 0}
    for _ in range(sets):
        effect = rng.normal(size=(2, models, 1, 2))
        if paired:
            effect[1] = effect[0]
        p, q = effect + 0.5 * rng.normal(size=(2, models, 6, 2))
        found = permutation_test(pooled(p, q), ids, ids if paired else ids + models, permutations=199, rng=rng)
        for level in flags:
            flags[level] += found <= level
    for level, count in flags.items():
        assert binom.cdf(count, sets, level) < 0.999
        assert count > 0


def test_pairs_only_swap_with_each_other_and_that_gives_power():
    """A small shift under a large seed effect shows only where the pairs are kept."""
    rng = np.random.default_rng(2)
    effect = 2 * rng.normal(size=(20, 1, 1))
    p = effect + 0.1 * rng.normal(size=(20, 4, 1))
    q = effect + 0.7 + 0.1 * rng.normal(size=(20, 4, 1))
    ids = np.arange(20)
    order = rng.permutation(20)
    assert permutation_test(pooled(p, q[order]), ids, ids[order], rng=rng) < 0.01
    assert permutation_test(pooled(p, q), ids, ids + 20, rng=rng) > 0.2


def test_samples_that_share_only_some_seeds():
    rng = np.random.default_rng(3)
    p, q = rng.normal(size=(6, 4, 1)), 3 + rng.normal(size=(5, 4, 1))
    assert permutation_test(pooled(p, q), np.arange(6), np.arange(3, 8), rng=rng) < 0.05


def by_probe(p: np.ndarray, q: np.ndarray, blocks_p, blocks_q, *, seed: int, permutations: int) -> np.ndarray:
    """P-values at each probe, from the sums that `pair_distances` takes."""
    rng, n = np.random.default_rng(seed), p.shape[1]
    drawn = labellings(blocks_p, blocks_q, permutations=permutations, rng=rng)
    weights = np.full((1, n), 1 / n)
    parts = [
        pair_distances(one, other, weights=weights, coefficients=coefficients).linear
        for one, other, coefficients in ((p, None, drawn.within_p), (p, q, drawn.cross), (q, None, drawn.within_q))
    ]
    return permutation_p_values(sum(parts), np.ones(n))


@given(
    st.integers(2, 6), st.integers(2, 6), st.integers(0, 6), st.integers(1, 4), st.integers(1, 40),
    st.integers(0, 10**6),
)  # fmt: skip
def test_probe_by_probe_is_the_test_of_that_probe_alone(k, m, shared, n, permutations, seed):
    """Two ways to the same statistic: sums over labelled models, and coefficients of single pairs."""
    rng = np.random.default_rng(seed)
    p, q = rng.normal(size=(k, n, 3)), rng.normal(size=(m, n, 3)) + rng.normal(size=(n, 1))
    blocks = rng.permutation(k), rng.permutation(m) + max(0, k - shared)
    try:
        alone = [
            permutation_test(
                pooled(p[:, [x]], q[:, [x]]), *blocks, permutations=permutations, rng=np.random.default_rng(seed)
            )
            for x in range(n)
        ]
    except UserError:
        with pytest.raises(UserError, match="at least 2"):
            labellings(*blocks, permutations=permutations, rng=np.random.default_rng(seed))
        return
    # In single precision what is nearly a tie counts as one, which can only raise a p-value.
    found = by_probe(p, q, *blocks, seed=seed, permutations=permutations)
    assert (found >= np.array(alone) - 1e-12).all()


def test_probe_by_probe_gives_the_same_p_values():
    """Of 400 tests with known seeds next to all agree to the bit; the others are nearly ties."""
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(5, 400, 3)), rng.normal(size=(6, 400, 3)) + 0.5 * rng.normal(size=(400, 1))
    blocks = np.arange(5), np.arange(5, 11)
    alone = [
        permutation_test(pooled(p[:, [x]], q[:, [x]]), *blocks, permutations=99, rng=np.random.default_rng(1))
        for x in range(400)
    ]
    assert (by_probe(p, q, *blocks, seed=1, permutations=99) == alone).mean() >= 0.99


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 3), st.integers(0, 10**6))
def test_coefficients_are_those_of_the_energy_distance(k, m, shared, seed):
    rng = np.random.default_rng(seed)
    blocks_p, blocks_q = np.arange(k), np.arange(m) + k - min(shared, k - 1, m - 1)
    if min(k, m) == 2 and shared:
        blocks_q = np.arange(m) + k
    d = np.abs(rng.normal(size=(k + m, k + m)))
    d = d + d.T
    drawn = labellings(blocks_p, blocks_q, permutations=20, rng=rng)
    true = energy(d[:k, k:], d[:k, :k], d[k:, k:], blocks_p=blocks_p, blocks_q=blocks_q)
    sums = [
        (part * block).sum(axis=(1, 2))
        for part, block in ((drawn.within_p, d[:k, :k]), (drawn.cross, d[:k, k:]), (drawn.within_q, d[k:, k:]))
    ]
    assert sum(sums)[0] == pytest.approx(true[0], abs=1e-5)
    # Under any labelling means of equal numbers cancel: 2 − 1 − 1.
    total = sum(part.sum(axis=(1, 2), dtype=np.float64) for part in drawn)
    np.testing.assert_allclose(total, 0, atol=1e-5)
    assert all((np.tril(part) == 0).all() for part in (drawn.within_p, drawn.within_q))


def test_p_values_count_what_reaches_the_true_labelling():
    rng = np.random.default_rng(11)
    statistic = rng.normal(size=(40, 6))
    expected = [(1 + sum(one >= column[0] for one in column[1:])) / 40 for column in statistic.T]
    np.testing.assert_allclose(permutation_p_values(statistic, np.ones(6)), expected)
    # What differs by rounding alone is a tie, as far as the distances it comes from are large.
    close = np.array([[1.0, 1.0], [1.0 - 1e-15, 1.0 - 1e-12]])
    np.testing.assert_allclose(permutation_p_values(close, np.ones(2)), [1, 0.5])


def test_ties_count_against_the_claim():
    assert permutation_test(np.zeros((8, 8)), np.arange(4), np.arange(4, 8), rng=np.random.default_rng(8)) == 1
    # All models alike but for rounding: every partition gives the same statistic.
    d = np.full((8, 8), 0.1) * (1 - np.eye(8))
    assert permutation_test(d, np.arange(4), np.arange(4, 8), rng=np.random.default_rng(9)) == 1


def test_what_cannot_be_permuted_is_refused():
    rng, ids = np.random.default_rng(10), np.arange(3)
    with pytest.raises(UserError, match="one scale per probe"):
        permutation_p_values(np.zeros((1, 2)), np.ones(2))
    with pytest.raises(UserError, match="at most once"):
        labellings(np.array([0, 0, 1]), ids + 3, rng=rng)
    with pytest.raises(UserError, match="pooled distances"):
        permutation_test(np.zeros((5, 5)), ids, ids + 3, rng=rng)
    with pytest.raises(UserError, match="at most once"):
        permutation_test(np.zeros((6, 6)), np.array([0, 0, 1]), ids + 3, rng=rng)
    with pytest.raises(UserError, match="at least one permutation"):
        permutation_test(np.zeros((6, 6)), ids, ids + 3, permutations=0, rng=rng)
    with pytest.raises(UserError, match="at least 2"):
        permutation_test(np.zeros((2, 2)), np.array([0]), np.array([1]), rng=rng)
    with pytest.raises(UserError, match="at least 2"):
        permutation_test(np.zeros((0, 0)), ids[:0], ids[:0], rng=rng)
