"""Linear datamodeling score: known values, and scores of the wrong sign, order or shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from unweave._errors import UserError
from unweave._types import Estimate, NotMeasured
from unweave.influence import linear_datamodeling_score
from unweave.references.subsampled import subsets


def drawn(seed: int = 0, t: int = 25, n: int = 12, p: int = 9):
    rng = np.random.default_rng(seed)
    inside, score = subsets(n, range(t), share=0.5, key=seed), rng.normal(size=(n, p))
    return score, inside, inside @ score + rng.normal(0, 0.5, (t, p))


@given(st.integers(0, 50))
def test_each_is_spearmans_correlation(seed):
    score, inside, value = drawn(seed)
    value = value.round(0)  # ties
    found = linear_datamodeling_score(score, inside, value)
    for j in range(9):
        sums = [sum(score[i, j] for i in range(12) if inside[k, i]) for k in range(25)]
        assert found.each[j] == pytest.approx(spearmanr(np.round(sums, 10), value[:, j]).statistic, abs=1e-9)


def test_the_mean_has_an_interval_over_probes():
    score, inside, value = drawn()
    found = linear_datamodeling_score(score, inside, value)
    assert isinstance(found.mean, Estimate)
    half = 2.306004 * found.each.std(ddof=1) / 3  # t of 8 degrees of freedom, from a table
    assert found.mean.value == pytest.approx(found.each.mean())
    assert found.mean.low == pytest.approx(found.each.mean() - half, abs=1e-6)
    assert found.mean.high == pytest.approx(min(1, found.each.mean() + half), abs=1e-6)
    assert found.mean.n == 25  # models, not probes


def check_foretold(score, inside, value) -> None:
    found = linear_datamodeling_score(score, inside, value).mean
    assert isinstance(found, Estimate)
    assert found.low is not None
    assert found.low > 0.8


def test_wrong_attributions_are_caught():
    score, inside, value = drawn(p=12)
    check_foretold(score, inside, value)
    for wrong in (-score, score.T, score[::-1], score[:, ::-1]):
        with pytest.raises(AssertionError):
            check_foretold(wrong, inside, value)
    with pytest.raises(AssertionError):
        check_foretold(score, ~inside, value)


def test_what_does_not_differ_is_not_measured():
    score, inside, value = drawn()
    value[:, :8] = 0.5
    found = linear_datamodeling_score(score, inside, value)
    assert np.isnan(found.each[:8]).all()
    assert np.isfinite(found.each[8])
    assert found.mean == NotMeasured("1 of 9 probes have outputs and sums that differ between models")
    assert isinstance(linear_datamodeling_score(np.ones((12, 9)), inside, drawn()[2]).mean, NotMeasured)


def test_shapes_that_do_not_fit_are_refused():
    score, inside, value = drawn()
    for wrong in (
        (score.T, inside, value),
        (score, inside.T, value),
        (score, inside, value.T),
        (score[0], inside, value),
    ):
        with pytest.raises(UserError, match=r"scores \[n, p\]"):
            linear_datamodeling_score(*wrong)
    with pytest.raises(UserError, match="at least 3"):
        linear_datamodeling_score(score, inside[:2], value[:2])
