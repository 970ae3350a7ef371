"""Permutation of whole models: size, power, pairs, and the same answer probe by probe."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from unweave._errors import UserError
from unweave.metrics import distances_by_probe, energy, pair_distances
from unweave.stats import permutation_test, permutation_test_by_probe


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


@pytest.mark.parametrize("paired", [False, True])
def test_probe_by_probe_is_the_same_test(paired):
    rng = np.random.default_rng(4)
    p, q = rng.normal(size=(6, 5, 3)), rng.normal(size=(7, 5, 3))
    q[:, 2] += 3
    blocks = np.arange(6), np.arange(7) + (0 if paired else 6)
    found = permutation_test_by_probe(
        distances_by_probe(np.concatenate([p, q])), *blocks, permutations=499, rng=np.random.default_rng(5)
    )
    for x in range(5):
        alone = permutation_test(
            pooled(p[:, [x]], q[:, [x]]), *blocks, permutations=499, rng=np.random.default_rng(5)
        )
        assert found[x] == pytest.approx(alone, abs=1e-9)
    assert found[2] <= 0.02


def test_chunks_of_permutations_change_nothing(monkeypatch):
    rng = np.random.default_rng(6)
    d = pooled(rng.normal(size=(5, 3, 1)), rng.normal(size=(5, 3, 1)))
    ids = np.arange(5)
    whole = permutation_test(d, ids, ids + 5, permutations=99, rng=np.random.default_rng(7))
    monkeypatch.setattr("unweave.stats.permutation._COEFFICIENTS", 100)
    assert permutation_test(d, ids, ids + 5, permutations=99, rng=np.random.default_rng(7)) == whole


def test_ties_count_against_the_claim():
    assert permutation_test(np.zeros((8, 8)), np.arange(4), np.arange(4, 8), rng=np.random.default_rng(8)) == 1
    # All models alike but for rounding: every partition gives the same statistic.
    d = np.full((8, 8), 0.1) * (1 - np.eye(8))
    assert permutation_test(d, np.arange(4), np.arange(4, 8), rng=np.random.default_rng(9)) == 1


def test_what_cannot_be_permuted_is_refused():
    rng, ids = np.random.default_rng(10), np.arange(3)
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
