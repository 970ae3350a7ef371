"""E² and V²: unbiased at any number of models, paired or not; and what other distances get wrong."""

from __future__ import annotations

from math import erf, exp, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.metrics import (
    admissible_pairs,
    energy,
    energy_by_probe,
    energy_distance,
    generality,
    margins,
    mean_shift,
    mean_shift_distance,
    off_line_squared,
    pair_distances,
    pair_means,
    worst_off,
)


def gaussian_energy(shift: float) -> float:
    """E² between N(0, 1) and N(shift, 1): E|X − Y| is the mean of a folded normal with variance 2."""
    across = 2 / sqrt(pi) * exp(-(shift**2) / 4) + shift * erf(shift / 2)
    return 2 * across - 4 / sqrt(pi)


def both_distances(p, q, blocks_p, blocks_q):
    """E² and V² of every repetition; repetitions take the place of probes."""
    weights = np.eye(p.shape[1])
    cross, within_p, within_q = (pair_distances(a, b, weights=weights) for a, b in ((p, q), (p, None), (q, None)))
    e = energy(cross.norm, within_p.norm, within_q.norm, blocks_p=blocks_p, blocks_q=blocks_q)
    v = mean_shift(cross.squared, within_p.squared, within_q.squared, blocks_p=blocks_p, blocks_q=blocks_q)
    return e[:, 0], v[:, 0]


def assert_unbiased(values: np.ndarray, truth: float) -> None:
    assert abs(values.mean() - truth) < 4 * values.std(ddof=1) / sqrt(len(values))


@pytest.mark.parametrize("models", [4, 8, 16, 64])
@pytest.mark.parametrize("shift", [0.0, 0.8])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_both_distances_are_unbiased(models, shift, correlation):
    """Independent samples, and samples paired by seed, with the pairs k = l left out."""
    repetitions = 400
    rng = np.random.default_rng([models, int(10 * shift), int(10 * correlation)])
    p = rng.normal(size=(models, repetitions, 1))
    q = shift + correlation * p + sqrt(1 - correlation**2) * rng.normal(size=p.shape)
    ids = np.arange(models)
    e, v = both_distances(p, q, ids, ids if correlation else ids + models)
    assert_unbiased(e, gaussian_energy(shift))
    assert_unbiased(v, shift**2)


@pytest.mark.parametrize("models", [4, 16])
def test_keeping_dependent_pairs_would_bias_both_distances(models):
    rng = np.random.default_rng(models)
    p = rng.normal(size=(models, 400, 1))
    q = 0.9 * p + sqrt(1 - 0.9**2) * rng.normal(size=p.shape)
    ids = np.arange(models)
    for values in both_distances(p, q, ids, ids + models):
        assert values.mean() < -8 * values.std(ddof=1) / sqrt(len(values))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_distances_follow_their_formulas(k, m, n, seed, paired):
    rng = np.random.default_rng(seed)
    p, q = rng.normal(size=(k, n, 3)), rng.normal(size=(m, n, 3))
    blocks_p, blocks_q = np.arange(k), np.arange(m) + (0 if paired else k)

    def mean(a, b, blocks_a, blocks_b, power):
        found = [
            np.mean(np.linalg.norm(a[i] - b[j], axis=-1) ** power)
            for i in range(len(a))
            for j in range(len(b))
            if blocks_a[i] != blocks_b[j]
        ]
        return sum(found) / len(found)

    for power, found in (
        (1, energy_distance(p, q, blocks_p=blocks_p, blocks_q=blocks_q)),
        (2, 2 * mean_shift_distance(p, q, blocks_p=blocks_p, blocks_q=blocks_q)),
    ):
        expected = 2 * mean(p, q, blocks_p, blocks_q, power)
        expected -= mean(p, p, blocks_p, blocks_p, power) + mean(q, q, blocks_q, blocks_q, power)
        assert found == pytest.approx(expected, abs=1e-12)
    if not paired:
        shift = ((p.mean(0) - q.mean(0)) ** 2).sum(-1).mean()
        noise = p.var(0, ddof=1).sum(-1).mean() / k + q.var(0, ddof=1).sum(-1).mean() / m
        assert mean_shift_distance(p, q) == pytest.approx(shift - noise, abs=1e-12)


def test_inclusion_weights_delete_models():
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(5, 3, 2)), rng.normal(size=(4, 3, 2))
    third = np.full((1, 3), 1 / 3)
    cross, within_p, within_q = (pair_distances(a, b, weights=third) for a, b in ((p, q), (p, None), (q, None)))
    keep_p, keep_q = np.array([1.0, 1, 0, 1, 1]), np.array([0.0, 1, 1, 1])
    found = energy(
        cross.norm, within_p.norm, within_q.norm, blocks_p=np.arange(5), blocks_q=np.arange(5, 9),
        weights_p=np.stack([np.ones(5), keep_p]), weights_q=np.stack([np.ones(4), keep_q]),
    )  # fmt: skip
    assert found.shape == (1, 2)
    assert found[0, 0] == pytest.approx(energy_distance(p, q))
    assert found[0, 1] == pytest.approx(energy_distance(p[keep_p > 0], q[keep_q > 0]))


def test_the_mean_over_probes_is_the_distance_of_the_group():
    rng = np.random.default_rng(1)
    p, q = rng.normal(size=(5, 30, 2)), rng.normal(size=(6, 30, 2))
    a, b = np.arange(5), np.arange(5, 11)
    weights = np.full((1, 30), 1 / 30)
    by_probe = energy_by_probe(
        *(
            pair_distances(x, y, weights=weights, admissible=admissible_pairs(i, j)).by_probe
            for x, y, i, j in ((p, q, a, b), (p, None, a, a), (q, None, b, b))
        )
    )
    assert by_probe.mean() == pytest.approx(energy_distance(p, q))
    assert by_probe[7] == pytest.approx(energy_distance(p[:, 7:8], q[:, 7:8]))
    assert worst_off(by_probe) == pytest.approx(np.percentile(by_probe, 95))


def test_stacked_energy_sees_a_joint_law_that_single_probes_do_not():
    """Two probes, each a fair coin in both samples: independent of each other in P, equal in Q."""
    rng = np.random.default_rng(2)
    coins = rng.integers(0, 2, size=(400, 2, 1)).astype(float)
    equal = np.repeat(rng.integers(0, 2, size=(400, 1, 1)), 2, axis=1).astype(float)
    half = np.full((1, 2), 0.5)
    c, a, b = (pair_distances(x, y, weights=half) for x, y in ((coins, equal), (coins, None), (equal, None)))
    ids = {"blocks_p": np.arange(400), "blocks_q": np.arange(400, 800)}
    assert abs(energy(c.norm, a.norm, b.norm, **ids)[0, 0]) < 0.01
    assert energy(c.stacked, a.stacked, b.stacked, **ids)[0, 0] > 0.03


def test_half_way_models_are_on_the_line_of_the_map_but_not_in_energy():
    rng = np.random.default_rng(3)
    repetitions, models, classes = 200, 16, 4
    centre = rng.normal(size=(2, 1, 1, classes))

    def fresh(world):
        z = centre[world] + 0.5 * rng.normal(size=(models, repetitions, classes))
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True)

    half_way = (fresh(0) + fresh(1)) / 2
    samples = {"S": fresh(0), "B": fresh(1), "half": half_way, "fresh S": fresh(0), "fresh B": fresh(1)}
    ids = {name: np.arange(models) + models * i for i, name in enumerate(samples)}

    def distance(a, b):
        e, v = both_distances(samples[a], samples[b], ids[a], ids[b])
        return np.array([e.mean()]), np.array([v.mean()])

    gap_energy, gap = distance("S", "B")
    for name, position in (("half", 0.5), ("fresh S", 0.0), ("fresh B", 1.0)):
        (energy_s, shift_s), (energy_b, shift_b) = distance(name, "S"), distance(name, "B")
        assert generality(shift_s, shift_b, gap=gap)[0] == pytest.approx(position, abs=0.02)
        assert off_line_squared(shift_s, shift_b, gap=gap)[0] == pytest.approx(0, abs=0.02)
        off_line_in_energy = off_line_squared(energy_s, energy_b, gap=gap_energy)[0]
        if name == "half":
            assert off_line_in_energy > 0.1
        else:
            assert off_line_in_energy == pytest.approx(0, abs=0.02)


def histogram_divergence(a: np.ndarray, b: np.ndarray) -> float:
    """KL of 20-bin histograms on the joint range, empty bins floored at 1e-5: KLoM as published."""
    edges = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()), 21)
    p, q = (np.histogram(x, edges)[0] / len(x) for x in (a, b))
    q = np.where((p > 0) & (q < 1e-5), 1e-5, q)
    return float((p[p > 0] * np.log(p[p > 0] / (q / q.sum())[p > 0])).sum())


@pytest.mark.parametrize(
    ("models", "known"), [(5, 7.94), (10, 5.68), (20, 3.05), (50, 0.88), (100, 0.34), (200, 0.14)]
)
def test_a_histogram_divergence_is_biased_where_energy_reads_zero(models, known):
    rng = np.random.default_rng(models)
    repetitions = 600
    p, q = rng.normal(size=(2, models, repetitions, 1))
    divergence = np.array([histogram_divergence(p[:, r, 0], q[:, r, 0]) for r in range(repetitions)])
    error = divergence.std(ddof=1) / sqrt(repetitions)
    assert divergence.mean() == pytest.approx(known, abs=4 * error + 0.01)
    a, b = np.arange(models), np.arange(models, 2 * models)
    uniform = np.full((1, repetitions), 1 / repetitions)
    e = energy_by_probe(
        *(
            pair_distances(x, y, weights=uniform, admissible=admissible_pairs(i, j)).by_probe
            for x, y, i, j in ((p, q, a, b), (p, None, a, a), (q, None, b, b))
        )
    )
    assert_unbiased(e, 0.0)
    assert abs(e.mean()) < 0.05 * divergence.mean() + 0.01


def test_probabilities_saturate_where_margins_do_not():
    """Margins N(6, 1) against N(9, 1): AUC .98, energy .0045 on probability vectors, 3.7 on φ."""
    rng = np.random.default_rng(4)
    phi = rng.normal(size=(2, 1500, 1)) + np.array([6.0, 9.0])[:, None, None]
    logits = np.stack([phi, np.zeros_like(phi)], axis=-1)
    found = [margins(z, np.array([0])) for z in logits]
    np.testing.assert_allclose(found[0], phi[0], atol=1e-12)
    probability = 1 / (1 + np.exp(-phi))
    vectors = np.stack([probability, 1 - probability], axis=-1)
    assert energy_distance(vectors[0], vectors[1]) == pytest.approx(0.0045, abs=0.0006)
    assert energy_distance(found[0][..., None], found[1][..., None]) == pytest.approx(3.75, abs=0.15)
    assert gaussian_energy(3.0) == pytest.approx(3.78, abs=0.01)
    assert (found[0] < found[1].T).mean() == pytest.approx(0.98, abs=0.01)


def test_samples_without_independent_pairs_are_refused():
    one, two = np.array([0]), np.array([0, 1])
    with pytest.raises(UserError, match="independent models"):
        pair_means(np.zeros((1, 1)), one, one)
    with pytest.raises(UserError, match="Expected distances"):
        pair_means(np.zeros((2, 1)), two, two)
    with pytest.raises(UserError, match="one design"):
        pair_means(np.zeros((2, 2)), two, two, weights_p=np.ones((3, 2)))
    with pytest.raises(UserError, match="both samples or of neither"):
        energy_distance(np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), blocks_p=two)
    with pytest.raises(UserError, match="at least one probe"):
        worst_off(np.array([]))
