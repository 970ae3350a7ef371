"""Samples of a case: tests at single probes, and what is kept of a sample, against doing it again each time."""

from __future__ import annotations

import numpy as np
import pytest

from unweave._random import generator
from unweave.metrics import admissible_pairs, energy, mean_shift, pair_distances
from unweave.stats import benjamini_hochberg, labellings, leave_outs, permutation_test
from unweave.study.differing import PROBE_PERMUTATIONS, ProbeTests, differing
from unweave.study.samples import Distances, Sample, design_of, probabilities

N, GROUPS = 7, np.array([[0.5, 0.5, 0, 0, 0, 0, 0], [0, 0, 0.2, 0.2, 0.2, 0.2, 0.2]])


def sample(name: str, blocks: np.ndarray, *, shift: float = 0.0, seed: int = 0) -> Sample:
    rng = np.random.default_rng([seed, len(name), ord(name[0])])
    logits = rng.normal(size=(len(blocks), N, 3))
    logits[:, :3, 0] += shift
    return Sample(name, probabilities(logits.astype(np.float32)), blocks)


def against(references: list[Sample], key: int = 5) -> tuple[Distances, ProbeTests]:
    distances = Distances(GROUPS)
    return distances, ProbeTests(distances, references, key)


@pytest.mark.parametrize("paired", [False, True])
def test_p_values_are_those_of_each_probe_by_itself(paired):
    ids = np.arange(6)
    row = sample("row", ids, shift=4.0)
    references = [sample("a", ids + 6 * (not paired)), sample("b", ids + 12 * (not paired))]
    found = against(references)[1].p_values(row)
    assert list(found) == ["a", "b"]
    for reference in references:
        both = np.concatenate([row.outputs, reference.outputs])
        for x in range(N):
            pooled = pair_distances(both[:, [x]], weights=np.ones((1, 1))).norm[0]
            rng = generator(5, "probes")
            alone = permutation_test(
                pooled, row.blocks, reference.blocks, permutations=PROBE_PERMUTATIONS, rng=rng
            )
            assert found[reference.name][x] == pytest.approx(alone, abs=1e-9)
        assert (found[reference.name][:3] < 0.05).all()


def test_the_names_of_blocks_change_nothing_and_the_order_of_rows_does_not_either():
    ids = np.arange(5)
    reference, other = sample("reference", ids + 50), sample("other", ids + 70)
    early, late = sample("early", ids), sample("late", ids + 90)
    one, two = against([reference, other])[1], against([reference, other])[1]
    first = [one.p_values(row) for row in (early, late)]
    second = [two.p_values(row) for row in (late, early)][::-1]
    for a, b in zip(first, second, strict=True):
        for name in ("reference", "other"):
            np.testing.assert_array_equal(a[name], b[name])
    renamed = Sample("early", early.outputs, ids + 200)
    np.testing.assert_array_equal(against([reference])[1].p_values(renamed)["reference"], first[0]["reference"])


def test_pairs_are_told_from_independent_samples():
    """The same numbers: with pairs kept only 2⁵ labellings exist."""
    ids = np.arange(5)
    outputs = sample("row", ids, shift=9.0).outputs
    reference = sample("a", ids)
    tests = against([reference])[1]
    paired = tests.p_values(Sample("paired", outputs, ids))["a"]
    apart = tests.p_values(Sample("apart", outputs, ids + 5))["a"]
    assert paired.min() > 1 / 32 and apart.min() < 1 / 32
    # Which model is whose partner counts as well.
    turned = Sample("turned", outputs, ids[::-1].copy())
    np.testing.assert_array_equal(tests.p_values(turned)["a"], against([reference])[1].p_values(turned)["a"])


def test_distances_measured_with_a_test_are_the_same_distances():
    ids = np.arange(4)
    row, reference = sample("row", ids), sample("a", ids + 4)
    tested, tests = against([reference])
    tests.p_values(row)
    plain = Distances(GROUPS)
    for pair in ((row, reference), (row, row), (reference, reference)):
        one, other = tested.pairs(*pair), plain.pairs(*pair)
        for a, b in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.linear is None
    np.testing.assert_array_equal(tested.by_probe(row, reference), plain.by_probe(row, reference))


def test_energies_of_all_groups_are_kept_apart_by_kind_samples_and_design():
    ids = np.arange(4)
    a, b, c = sample("a", ids), sample("b", ids + 4), sample("c", ids, shift=1.0)
    distances = Distances(GROUPS)
    for design in (design_of(a, b), design_of(a, b, c)):
        for one, other in ((a, b), (b, a), (c, b)):
            if one.name not in design.weights:
                continue
            cross, left, right = (
                pair_distances(p.outputs, q.outputs, weights=GROUPS)
                for p, q in ((one, other), (one, one), (other,) * 2)
            )
            shared = {
                "blocks_p": one.blocks, "blocks_q": other.blocks,
                "weights_p": design.weights[one.name], "weights_q": design.weights[other.name],
            }  # fmt: skip
            for group in (0, 1):
                for kind in ("norm", "squared", "stacked"):
                    parts = [getattr(part, kind)[group] for part in (cross, left, right)]
                    found = distances.energy(one, other, design, group=group, kind=kind)
                    np.testing.assert_allclose(found, energy(*parts, **shared), atol=1e-12)
                parts = [part.squared[group] for part in (cross, left, right)]
                found = distances.shift(one, other, design, group=group)
                np.testing.assert_allclose(found, mean_shift(*parts, **shared), atol=1e-12)


def test_designs_are_those_of_the_samples_that_are_asked_for():
    ids = np.arange(4)
    a, b, c = sample("a", ids), sample("b", ids), sample("c", ids + 3)
    for samples in ((a,), (a, b), (b, a), (a, c), (a, c, a), (c,)):
        found, expected = design_of(*samples), leave_outs({one.name: one.blocks for one in samples})
        assert list(found.weights) == list(expected.weights)
        np.testing.assert_array_equal(found.stratum, expected.stratum)
        for name in found.weights:
            np.testing.assert_array_equal(found.weights[name], expected.weights[name])
    with pytest.raises(ValueError, match="too few models"):
        design_of(sample("a", np.arange(2)))


def test_probabilities_and_predictions():
    logits = np.random.default_rng(2).normal(size=(3, 5, 4)).astype(np.float32)
    exact = np.exp(logits.astype(np.float64))
    exact /= exact.sum(axis=-1, keepdims=True)
    one = Sample("one", probabilities(logits), np.arange(3))
    np.testing.assert_allclose(one.outputs, exact, rtol=1e-13)
    np.testing.assert_array_equal(one.predictions, logits.argmax(axis=-1))


def test_differing_probes_are_found_within_each_group():
    p_values = np.random.default_rng(3).random(30) ** 4
    groups = [np.arange(10), np.arange(10, 30)]
    found = differing(p_values, groups)
    for rows in groups:
        np.testing.assert_array_equal(found[rows], benjamini_hochberg(p_values[rows]) <= 0.05)
    assert found.any() and not found.all()


def test_sums_are_not_kept():
    ids = np.arange(4)
    a, b = sample("a", ids), sample("b", ids + 4)
    drawn = labellings(a.blocks, b.blocks, permutations=9, rng=np.random.default_rng(0))
    distances = Distances(GROUPS)
    found = distances.sums(a, b, drawn.cross)
    expected = pair_distances(
        a.outputs, b.outputs, weights=GROUPS, coefficients=drawn.cross,
        admissible=admissible_pairs(a.blocks, b.blocks),
    ).linear  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    assert distances.pairs(a, b).linear is None
