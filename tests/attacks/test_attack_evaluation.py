"""AUC, TPR at low FPR, balanced accuracy: naive oracles, closed forms, rates that cannot be resolved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from unweave._errors import UserError
from unweave.attacks import auc, balanced_accuracy, cut_at_fpr, tpr_at_fpr


def naive_auc(row, member) -> float:
    won = [(a > b) + (a == b) / 2 for a in row[member] for b in row[~member]]
    return sum(won) / len(won)


def cases(seed: int, n: int = 12, models: int = 3):
    """Small whole numbers, so that there are ties; one member and one other at least."""
    rng = np.random.default_rng(seed)
    member = rng.permutation(np.arange(n) < rng.integers(1, n))
    return rng.integers(0, 4, (models, n)).astype(float), member


@given(st.integers(0, 10_000))
def test_auc_is_that_of_all_pairs(seed):
    scores, member = cases(seed)
    np.testing.assert_allclose(auc(scores, member), [naive_auc(row, member) for row in scores])
    np.testing.assert_allclose(auc(-scores, member), 1 - auc(scores, member))
    np.testing.assert_allclose(auc(np.exp(scores), member), auc(scores, member))


def trapezia_without_ties(scores, member):
    """Ties count as won: what `>=` in place of `>` makes of them."""
    return np.array([np.mean(row[member][:, None] >= row[~member]) for row in scores])


def check_ties(function) -> None:
    assert function(np.zeros((1, 4)), np.array([True, True, False, False])).tolist() == [0.5]


def test_all_equal_is_one_half():
    check_ties(auc)
    with pytest.raises(AssertionError):
        check_ties(trapezia_without_ties)


@pytest.mark.parametrize("mu", [0.0, 0.5, 2.0])
def test_auc_of_two_gaussians(mu):
    """N(0, 1) against N(μ, 1): Φ(μ/√2), within four standard errors over models."""
    rng = np.random.default_rng(7)
    member = np.arange(600) < 300
    scores = rng.normal(0, 1, (40, 600)) + mu * member
    found = auc(scores, member)
    assert abs(found.mean() - norm.cdf(mu / math.sqrt(2))) < 4 * found.std(ddof=1) / math.sqrt(40)


@pytest.mark.parametrize("mu", [1.0, 3.0])
def test_tpr_at_fpr_of_two_gaussians(mu):
    """Φ(μ − z_{1−fpr}), with a thousand non-members to resolve .001, and many models."""
    rng = np.random.default_rng(8)
    member = np.arange(4000) < 2000
    scores = rng.normal(0, 1, (40, 4000)) + mu * member
    for fpr in (0.01, 0.1):
        found = tpr_at_fpr(scores, member, fpr=fpr)
        assert abs(found.mean() - norm.cdf(mu - norm.isf(fpr))) < 0.02


def naive_tpr(row, member, fpr) -> float:
    """The best of all cuts at scores of non-members, and below all, whose rate of false positives is allowed."""
    best = 0.0
    for cut in [-np.inf, *row[~member]]:
        if np.mean(row[~member] > cut) <= fpr:
            best = max(best, np.mean(row[member] > cut))
    return best


@given(st.integers(0, 10_000), st.sampled_from([0.25, 0.5, 1.0]))
def test_tpr_is_that_of_the_best_allowed_cut(seed, fpr):
    scores, member = cases(seed)
    found = tpr_at_fpr(scores, member, fpr=fpr)
    for row, value in zip(scores, found, strict=True):
        if (~member).sum() * fpr < 1:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(naive_tpr(row, member, fpr))


def test_a_rate_that_floating_point_rounds_down_is_still_reached():
    """.29 · 100 = 28.999… in floating point; 29 of 100 non-members may lie above the cut all the same."""
    assert int(0.29 * 100) == 28
    member = np.arange(300) < 200
    scores = np.random.default_rng(1).normal(0, 1, (1, 300))
    assert tpr_at_fpr(scores, member, fpr=0.29)[0] == naive_tpr(scores[0], member, 0.29)


@pytest.mark.parametrize(("others", "known"), [(999, False), (1000, True)])
def test_a_rate_that_the_non_members_cannot_resolve_is_not_measured(others, known):
    """999 non-members do not resolve .001; 1000 do."""
    member = np.arange(others + 5) < 5
    scores = np.random.default_rng(0).normal(0, 1, (2, others + 5)) + 9 * member
    assert np.isfinite(tpr_at_fpr(scores, member, fpr=0.001)).all() == known


def check_calibrated(cut_of) -> None:
    """Over 4000 draws of 20 non-members, a new one lies above the cut for .1 in a tenth of them at most."""
    rng = np.random.default_rng(3)
    others, new = rng.normal(0, 1, (4000, 20)), rng.normal(0, 1, 4000)
    above = (new > cut_of(others)).mean()
    assert 0.08 < above < 0.115, above


def test_a_cut_holds_on_new_non_members():
    """k = ⌊.1·21⌋ = 2: a new one exceeds the second largest of 20 with probability 2/21 = .095 (exact)."""
    check_calibrated(lambda others: cut_at_fpr(others, fpr=0.1))


def test_a_point_of_the_curve_in_place_of_a_calibrated_cut_is_caught():
    """The curve lets 2 of 20 through, above the third largest; a new one lies there in 3/21 = .143 of cases."""
    with pytest.raises(AssertionError, match=r"0\.14"):
        check_calibrated(lambda others: -np.sort(-others, axis=1)[:, 2])


def test_a_cut_needs_enough_non_members():
    assert np.isnan(cut_at_fpr(np.zeros((2, 8)), fpr=0.1)).all()
    assert np.isfinite(cut_at_fpr(np.zeros((2, 9)), fpr=0.1)).all()
    assert np.isnan(cut_at_fpr(np.array([[np.nan, *range(9)]]), fpr=0.1)).all()


def test_balanced_accuracy_does_not_hang_on_how_many_there_are():
    """All called members: .5, be there one member or ninety of a hundred; plain accuracy says .01 and .9."""
    for members in (1, 90):
        member = np.arange(100) < members
        assert balanced_accuracy(np.ones((1, 100), dtype=bool), member).tolist() == [0.5]
    called = np.array([[True, False, False, False]])
    assert balanced_accuracy(called, np.array([True, True, False, False])).tolist() == [0.75]


def test_what_cannot_be_measured_is_nan():
    scores = np.array([[0.0, 1.0], [np.nan, 1.0]])
    one_each = np.array([True, False])
    assert np.isnan(auc(scores, one_each)).tolist() == [False, True]
    for nobody in (np.zeros(2, dtype=bool), np.ones(2, dtype=bool)):
        assert np.isnan(auc(scores, nobody)).all()
        assert np.isnan(tpr_at_fpr(scores, nobody, fpr=1.0)).all()
        assert np.isnan(balanced_accuracy(scores > 0, nobody)).all()
    assert np.isnan(auc(np.zeros((2, 0)), np.zeros(0, dtype=bool))).all()


def test_members_may_differ_from_model_to_model():
    scores = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert auc(scores, np.array([[False, True], [True, False]])).tolist() == [1.0, 0.0]


def test_exchangeable_members_give_one_half_within_the_interval():
    """Ten repetitions; over 30 models the 95% t interval holds .5 in at least seven (P < .001 otherwise)."""
    held = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        difficulty = rng.normal(0, 3, 80)
        scores = difficulty + rng.normal(0, 1, (30, 80))
        member = np.stack([rng.permutation(np.arange(80) < 40) for _ in range(30)])
        found = auc(scores, member)
        held += abs(found.mean() - 0.5) < 2.045 * found.std(ddof=1) / math.sqrt(30)
    assert held >= 7


@pytest.mark.parametrize(
    "call",
    [
        lambda: auc(np.zeros(3), np.zeros(3, dtype=bool)),
        lambda: auc(np.zeros((1, 3)), np.zeros(2, dtype=bool)),
        lambda: tpr_at_fpr(np.zeros((1, 3)), np.zeros(3, dtype=bool), fpr=0.0),
        lambda: cut_at_fpr(np.zeros((1, 3)), fpr=2.0),
        lambda: balanced_accuracy(np.zeros((2, 3), dtype=bool), np.zeros((3, 2), dtype=bool)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(UserError, match="Expected"):
        call()
