"""The jackknife against statistics recomputed from scratch on arrays without the deleted models."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave._types import NotMeasured
from unweave.metrics import energy, energy_distance, pair_distances
from unweave.stats import (
    Design,
    Jackknife,
    interval,
    jackknife,
    jackknife_vector,
    leave_outs,
    lower_bound,
    p_above,
    p_below,
    t_quantile,
    upper_bound,
)


def design_of(**blocks: np.ndarray) -> Design:
    design = leave_outs(blocks)
    assert isinstance(design, Design)
    return design


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_dependent_samples_are_deleted_together(seed):
    """A residual of three samples: a method on some of the originals, and an independent reference."""
    rng = np.random.default_rng(seed)
    outputs = {"method": rng.normal(size=(4, 3, 2)), "original": rng.normal(size=(5, 3, 2)),
               "reference": rng.normal(size=(6, 3, 2))}  # fmt: skip
    ids = {
        "method": np.array([13, 10, 12, 14]),
        "original": np.arange(10, 15),
        "reference": np.arange(20, 26),
    }
    design = design_of(**ids)
    third = np.full((1, 3), 1 / 3)

    def leave_out_energy(a, b):
        pairs = ((a, b), (a, None), (b, None))
        c, p, q = (pair_distances(outputs[x], outputs[y] if y else None, weights=third).norm[0] for x, y in pairs)
        return energy(c, p, q, blocks_p=ids[a], blocks_q=ids[b],
                      weights_p=design.weights[a], weights_q=design.weights[b])  # fmt: skip

    theta = leave_out_energy("method", "reference") - 0.1 * leave_out_energy("original", "reference")
    found = jackknife(theta, design)

    def from_scratch(deleted):
        kept = {name: outputs[name][blocks != deleted] for name, blocks in ids.items()}
        return energy_distance(kept["method"], kept["reference"]) - 0.1 * energy_distance(
            kept["original"], kept["reference"]
        )

    value, variance, corrected = from_scratch(None), 0.0, from_scratch(None)
    for stratum in (range(10, 15), range(20, 26)):
        deleted = np.array([from_scratch(block) for block in stratum])
        size = len(deleted)
        variance += (size - 1) / size * ((deleted - deleted.mean()) ** 2).sum()
        corrected -= (size - 1) * (deleted.mean() - value)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-9)
    assert found.bias_corrected == pytest.approx(corrected, abs=1e-10)
    assert (found.df, found.n) == (4, 4)


def test_samples_that_share_ids_through_others_form_one_stratum():
    design = design_of(a=np.arange(4), far=np.arange(50, 53), b=np.arange(10, 15), link=np.array([3, 10, 20]))
    assert design.sizes.tolist() == [3, 10]
    assert (design.df, design.n) == (2, 3)
    assert [w.shape for w in design.weights.values()] == [(14, 4), (14, 3), (14, 5), (14, 3)]
    # The joint block 10 is lacking in both samples that hold it, and in no other.
    row = 1 + 3 + 4
    assert [w[row].tolist() for w in design.weights.values()] == [
        [1, 1, 1, 1], [1, 1, 1], [0, 1, 1, 1, 1], [1, 0, 1],
    ]  # fmt: skip


def test_several_models_of_one_block_are_deleted_at_once():
    design = design_of(a=np.array([0, 0, 1, 1, 2]))
    np.testing.assert_array_equal(design.weights["a"][1:], [[0, 0, 1, 1, 1], [1, 1, 0, 0, 1], [1, 1, 1, 1, 0]])
    assert (design.df, design.n) == (2, 5)


def test_a_mean_has_its_textbook_variance_and_no_bias_and_a_square_loses_its_bias():
    x = np.random.default_rng(0).normal(size=12)
    design = design_of(a=np.arange(12))
    means = design.weights["a"] @ x / design.weights["a"].sum(axis=1)
    both = jackknife_vector(np.stack([means, means**2], axis=1), design)
    assert both[0].variance == pytest.approx(x.var(ddof=1) / 12)
    assert both[0].bias_corrected == pytest.approx(x.mean())
    assert both[1].bias_corrected == pytest.approx(x.mean() ** 2 - x.var(ddof=1) / 12)
    assert both[1] == jackknife(means**2, design)
    assert both.covariance[0, 1] == both.covariance[1, 0]
    assert interval(both[1], debiased=True).value == both[1].bias_corrected


def test_covariances_of_several_numbers():
    x = np.random.default_rng(1).normal(size=(9, 3))
    design = design_of(a=np.arange(9))
    w = design.weights["a"]
    found = jackknife_vector(w @ x / w.sum(axis=1, keepdims=True), design).covariance
    np.testing.assert_allclose(found, np.cov(x.T) / 9, atol=1e-12)


@pytest.mark.parametrize("ids", [[0], [0, 1], [0, 0, 1, 1]])
def test_too_few_models_are_not_measured(ids):
    found = leave_outs({"original": np.arange(9), "method": np.array(ids)})
    assert isinstance(found, NotMeasured)
    assert found.not_measured.startswith("too few models for an interval: `method`")


def test_what_does_not_fit_is_refused():
    design = design_of(a=np.arange(3))
    with pytest.raises(UserError, match="no|none"):
        leave_outs({})
    with pytest.raises(UserError, match="one block id per model"):
        leave_outs({"a": np.zeros((3, 1), dtype=int)})
    with pytest.raises(UserError, match="jackknife_vector"):
        jackknife(np.zeros((4, 1)), design)
    with pytest.raises(UserError, match=r"\[4, statistics\]"):
        jackknife(np.zeros(3), design)
    with pytest.raises(UserError, match="finite"):
        jackknife(np.array([0.0, np.nan, 0, 0]), design)


def test_bounds_and_p_values_agree():
    jack = Jackknife(value=-0.3, bias_corrected=-0.3, variance=0.04, df=15, n=16)
    p = p_below(jack)
    assert upper_bound(jack, level=1 - p) == pytest.approx(0, abs=1e-9)
    assert p_above(jack) == pytest.approx(1 - p)
    assert lower_bound(jack) == pytest.approx(-0.3 - 1.7530503556925547 * 0.2)
    estimate = interval(jack, level=0.9)
    assert (estimate.low, estimate.high) == pytest.approx((lower_bound(jack), upper_bound(jack)))
    assert p_below(jack, threshold=-0.3) == pytest.approx(0.5)
    assert t_quantile(0.975, 31) == pytest.approx(2.0395, abs=1e-4)


def test_without_variance_a_claim_is_certain_or_unsupported():
    def certain(value):
        return Jackknife(value=value, bias_corrected=value, variance=0.0, df=3, n=4)

    assert (p_below(certain(-1.0)), p_below(certain(0.0)), p_below(certain(1.0))) == (0, 1, 1)
    assert (p_above(certain(-1.0)), p_above(certain(0.0)), p_above(certain(1.0))) == (1, 1, 0)
    assert sqrt(certain(0.0).variance) == certain(0.0).se == 0
