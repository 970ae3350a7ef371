"""Fieller's interval: a worked example, its three shapes, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave._types import Estimate, NotMeasured
from unweave.stats import fieller, leave_outs, ratio, t_quantile


def test_worked_example():
    """The form with g = t²·v_b/b², as in Finney 1978, Statistical Method in Biological Assay, eq. 4.12."""
    a, b, v_a, v_b, c, df = 5.0, 2.0, 0.3, 0.1, 0.05, 14
    t = 2.144786687916928
    assert t_quantile(0.975, df) == pytest.approx(t)
    g = t**2 * v_b / b**2
    centre = a / b - g * c / v_b
    spread = t / b * np.sqrt(v_a - 2 * (a / b) * c + (a / b) ** 2 * v_b - g * (v_a - c**2 / v_b))
    low, high = fieller(a, b, variance_numerator=v_a, variance_denominator=v_b, covariance=c, df=df)
    assert low == pytest.approx((centre - spread) / (1 - g))
    assert high == pytest.approx((centre + spread) / (1 - g))


@given(
    st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 2), st.floats(0.01, 2), st.floats(-0.95, 0.95),
    st.floats(-20, 20),
)  # fmt: skip
def test_the_interval_holds_what_its_definition_says(a, b, s_a, s_b, correlation, rho):
    v_a, v_b, c = s_a**2, s_b**2, correlation * s_a * s_b
    low, high = fieller(a, b, variance_numerator=v_a, variance_denominator=v_b, covariance=c, df=9)
    distance = (a - rho * b) ** 2 - t_quantile(0.975, 9) ** 2 * (v_a - 2 * rho * c + rho**2 * v_b)
    if low is None or high is None:
        assert b**2 <= t_quantile(0.975, 9) ** 2 * v_b * (1 + 1e-9)
    elif abs(distance) > 1e-6 * (1 + rho**2):
        assert (low < rho < high) == (distance < 0)


def test_a_denominator_that_may_be_zero_leaves_no_ends():
    weak = {"variance_numerator": 1.0, "variance_denominator": 1.0, "covariance": 0.0, "df": 9}
    assert fieller(1.0, 1.0, **{**weak, "variance_numerator": 2.0}) == (None, None)
    # The set is the outside of an interval: a is far from 0, b is not.
    assert fieller(50.0, 1.0, **weak) == (None, None)
    # On the edge between the shapes the set is a half-line.
    edge = {"variance_numerator": 1.0, "variance_denominator": 0.0, "df": 9}
    t2 = t_quantile(0.975, 9) ** 2
    assert fieller(2.0, 0.0, covariance=1.0, **edge) == (None, (4 - t2) / (-2 * t2))
    assert fieller(2.0, 0.0, covariance=-1.0, **edge) == ((4 - t2) / (2 * t2), None)


@given(st.floats(-3, 3).filter(bool), st.floats(0, 5))
def test_one_estimate_over_itself_is_exactly_one(value, variance):
    same = {"variance_numerator": variance, "variance_denominator": variance, "covariance": variance}
    assert fieller(value, value, df=5, **same) == (1.0, 1.0)


def test_the_residual_of_a_method_that_does_nothing_is_exactly_one():
    design = leave_outs({"original": np.arange(5)})
    energy = np.random.default_rng(0).normal(0.1, 0.2, size=6)
    assert ratio(energy, energy.copy(), design) == Estimate(1.0, 1.0, 1.0, 5)
    nothing = np.zeros(6)
    assert isinstance(ratio(nothing, nothing, design), NotMeasured)
    assert isinstance(ratio(nothing, nothing - 1, design), NotMeasured)
    zero = ratio(nothing, nothing + 1, design)
    assert zero == Estimate(0.0, 0.0, 0.0, 5)
    with pytest.raises(UserError, match="statistics"):
        ratio(np.ones(3), np.ones(3), design)


def test_coverage_of_a_ratio_of_means():
    rng = np.random.default_rng(1)
    design = leave_outs({"a": np.arange(16)})
    weights = design.weights["a"] / design.weights["a"].sum(axis=1, keepdims=True)
    covered = 0
    for _ in range(800):
        x = rng.multivariate_normal([0.5, 1.0], [[0.5, 0.3], [0.3, 1.0]], size=16)
        found = ratio(weights @ x[:, 0], weights @ x[:, 1], design)
        assert isinstance(found, Estimate)
        covered += (found.low is None or found.low <= 0.5) and (found.high is None or found.high >= 0.5)
    assert 0.93 <= covered / 800 <= 0.97
