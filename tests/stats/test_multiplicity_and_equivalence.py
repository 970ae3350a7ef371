"""Adjusted p-values by hand and by definition; equivalence by its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.stats import (
    Jackknife,
    benjamini_hochberg,
    equivalence,
    holm,
    lower_bound,
    upper_bound,
)

# The 15 p-values of Benjamini & Hochberg 1995, section 3.2 (myocardial infarction trial).
TRIAL = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
     0.6528, 0.7590, 1.0]
)  # fmt: skip
some_p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


def test_published_example():
    """At .05 the paper rejects the first 4 by its procedure and the first 3 by Hochberg's (and Holm's)."""
    assert (benjamini_hochberg(TRIAL) <= 0.05).sum() == 4
    assert (holm(TRIAL) <= 0.05).sum() == 3
    np.testing.assert_allclose(benjamini_hochberg(TRIAL)[:4], [0.0015, 0.003, 0.0095, 0.035625])
    np.testing.assert_allclose(holm(TRIAL)[:4], [0.0015, 0.0056, 0.0247, 0.114])


def test_by_hand():
    p = np.array([0.04, 0.01, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.06, 0.03, 0.06, 0.02])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.04, 0.02, 0.04, 0.02])
    assert holm(np.array([])).size == benjamini_hochberg(np.array([])).size == 0


@given(some_p_values, st.floats(0.001, 0.5))
def test_adjusted_values_reject_what_the_stepwise_procedures_reject(p, level):
    ordered = np.sort(p)
    m = len(p)
    failures = np.flatnonzero(ordered > level / np.arange(m, 0, -1))
    by_holm = failures[0] if failures.size else m
    passes = np.flatnonzero(ordered <= level * np.arange(1, m + 1) / m)
    by_bh = passes[-1] + 1 if passes.size else 0
    close = (np.abs(holm(p) - level) < 1e-12).any() or (np.abs(benjamini_hochberg(p) - level) < 1e-12).any()
    if not close:
        assert (holm(p) <= level).sum() == by_holm
        assert (benjamini_hochberg(p) <= level).sum() == by_bh
    assert (holm(p) >= benjamini_hochberg(p) - 1e-15).all()
    assert (benjamini_hochberg(p) >= p - 1e-15).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_no_p_values_are_refused(adjust):
    for bad in ([0.1, np.nan], [-0.1], [1.1]):
        with pytest.raises(UserError, match="p-values in"):
            adjust(np.array(bad))


@given(st.floats(-0.03, 0.03), st.floats(1e-4, 0.02), st.floats(0.001, 0.03))
def test_equivalent_iff_the_interval_lies_within_the_margin(value, se, margin):
    jack = Jackknife(value=value, bias_corrected=value, variance=se**2, df=15, n=16)
    p = equivalence(jack, margin)
    inside = -margin < lower_bound(jack) and upper_bound(jack) < margin
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == inside


def test_equivalence_without_variance_and_without_margin():
    exact = Jackknife(value=0.004, bias_corrected=0.004, variance=0.0, df=15, n=16)
    assert equivalence(exact, 0.01) == 0
    assert equivalence(exact, 0.004) == 1
    with pytest.raises(UserError, match="margin above 0"):
        equivalence(exact, 0.0)
