"""Discovery: the promised recall holds by simulation, and not where the cut is chosen on its own members."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import UserError
from unweave._errors import ApplicabilityError
from unweave._types import NotMeasured
from unweave.influence.discovery import (
    SCORERS,
    Evidence,
    blocks_of,
    calibrate,
    confident_rank,
    in_rounds,
    mean_rank,
    mixture,
    out_of_fold,
)
from unweave.influence.discovery.scores import discriminant, nearest_cosine, whitened

DRAWS = 200


def toy(seed, *, n=160, members=60, shift=1.5, embedding=False):
    """Evidence of known law: members are trained on label 0 and predicted as 1 by models that did not see them."""
    rng = np.random.default_rng(seed)
    member = np.arange(n) < members
    labels = np.where(member, 0, rng.integers(0, 3, n))
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    logits[member, 1] += shift + 1.5
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    inside = np.clip(p[np.arange(n), labels] + rng.uniform(0, 0.3, n) + 0.3 * member, 0, 1)
    phi = rng.normal(size=(n, 6)) + 2.5 * member[:, None] * np.eye(6)[0] if embedding else None
    attribution = rng.normal(size=(n, members)) + 2 * member[:, None]
    return Evidence(labels, p, inside, phi, attribution, np.arange(members)), member


def recall_of(evidence, member, seeds, calibration, *, rounds=1, target=0.8, key=0):
    scores = in_rounds(SCORERS.get("expansion").factory, evidence, seeds, rounds=rounds, key=key)
    cut = calibrate(scores[calibration], target=target)
    rest = np.setdiff1d(np.flatnonzero(member), np.union1d(seeds, calibration))
    return float((scores[rest] >= cut.threshold).mean())


def draws(count, rounds=1, *, shared=False):
    """Recall over seeded draws of S; `shared` plants the bug: fitted and calibrated on the same members."""
    found = []
    for seed in range(count):
        evidence, member = toy(7)
        forget = np.random.default_rng(seed).permutation(np.flatnonzero(member))[:20]
        seeds, calibration = (forget, forget) if shared else (forget[:8], forget[8:])
        if shared:
            scores = _in_sample(evidence, forget)
            cut = calibrate(scores[forget], target=0.8)
            rest = np.setdiff1d(np.flatnonzero(member), forget)
            found.append(float((scores[rest] >= cut.threshold).mean()))
        else:
            found.append(recall_of(evidence, member, seeds, calibration, rounds=rounds, key=seed))
    return np.array(found)


def _in_sample(evidence, forget):
    """The direction that tells S from the rest best, with its scores of S themselves."""
    return discriminant(whitened(blocks_of(evidence)["all"]), forget)


def bound(found):
    return 3 * found.std() / math.sqrt(len(found))


@pytest.mark.parametrize(("rounds", "count"), [(1, DRAWS), (2, 40)])
def test_mean_recall_is_as_promised_over_draws_of_the_forget_set(rounds, count):
    found = draws(count, rounds)
    assert 0.8 - bound(found) <= found.mean() <= 0.8 + 0.1


def test_calibrating_on_the_members_that_the_ranking_was_learnt_from_breaks_the_promise():
    found = draws(DRAWS, shared=True)
    assert found.mean() < 0.8 - bound(found)


def test_recall_with_95_percent_confidence_over_draws_of_a_known_law():
    rng = np.random.default_rng(0)
    for n, target in ((30, 0.9), (60, 0.9), (20, 0.8)):
        found = []
        for _ in range(DRAWS):
            cut = calibrate(rng.normal(size=n), target=target, confident=True)
            found.append(0.5 * math.erfc(cut.threshold / math.sqrt(2)))  # P(a member scores above)
        share = np.mean(np.array(found) >= target)
        assert share >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / DRAWS)


def test_ranks_of_the_cut_are_the_known_ones():
    # 1 − .9^n ≥ .95 first at n = 29: the smallest calibration set that promises 90% with confidence.
    assert confident_rank(28, 0.9) == 29 and confident_rank(29, 0.9) == 29
    assert [mean_rank(n, 0.9) for n in (8, 9, 10, 19, 29)] == [9, 9, 10, 18, 27]
    assert calibrate(np.ones(28), target=0.9, confident=True).threshold == -math.inf


@given(st.integers(0, 80), st.floats(0.05, 0.99))
def test_ranks_promise_the_target_and_no_smaller_rank_does(n, target):
    k = mean_rank(n, target)
    assert k / (n + 1) >= target - 1e-6 and (k - 1) / (n + 1) < target
    assert min(confident_rank(n, target), n + 1) >= min(k, n + 1) - 1 or target < 0.5


@given(st.lists(st.integers(-3, 3), min_size=9, max_size=40))
def test_as_many_members_lie_above_the_cut_as_its_rank_says(scores):
    values = np.array(scores, float)
    cut = calibrate(values, target=0.8)
    assert (values >= cut.threshold).sum() >= cut.rank  # ties are flagged


def test_a_target_out_of_range_is_refused():
    for target in (0.0, 1.0, 90.0):
        with pytest.raises(UserError, match="expected a share above 0 and below 1"):
            calibrate(np.ones(5), target=target)


@pytest.mark.parametrize("name", SCORERS.names())
def test_scorers_are_higher_for_members_and_follow_a_permutation(name):
    evidence, member = toy(3, n=300, members=40, shift=2.5, embedding=True)
    score, seeds = SCORERS.get(name).factory, np.arange(12)
    found = score(evidence, seeds, key=5)
    assert found.shape == (300,) and np.isfinite(found).all()
    assert found[12:40].mean() > np.quantile(found[40:], 0.6), "higher = more likely of B"
    order = np.random.default_rng(0).permutation(300)
    place = np.argsort(order)
    moved = Evidence(
        evidence.labels[order],
        evidence.outside[order],
        evidence.inside[order],
        evidence.embedding[order],
        evidence.attribution[order],
        place[evidence.forget],
    )
    again = score(moved, place[seeds], key=5)
    if name == "expansion":  # folds of seeds are drawn by their order, so that its pairs may be others
        assert np.corrcoef(again[place], found)[0, 1] > 0.9
    else:
        np.testing.assert_allclose(again[place], found, atol=1e-8)
    assert SCORERS.get(name).summary and score.__doc__.count("Example:") == 1


@pytest.mark.parametrize("name", [one.name for one in SCORERS if "embedding" in one.declared.needs])
def test_what_is_missing_is_said(name):
    evidence, _ = toy(0)
    with pytest.raises(ApplicabilityError, match="only outputs are known"):
        SCORERS.get(name).factory(evidence, np.arange(3), key=0)


def test_nothing_but_the_seeds_is_told_from_the_rest():
    """Who of the rest is a known member changes no score: on that the promise rests."""
    evidence, _ = toy(2, embedding=True)
    other = evidence._replace(forget=evidence.forget[::-1], attribution=evidence.attribution[:, ::-1])
    for name in SCORERS.names():
        score = SCORERS.get(name).factory
        for seeds in (np.arange(5), np.arange(30, 35)):
            one, two = (score(found, seeds, key=1) for found in (evidence, other))
            np.testing.assert_allclose(one, two)


def test_out_of_fold_is_the_naive_mean():
    rng = np.random.default_rng(1)
    inside = np.array([[True, False, True], [False, True, False], [True, True, False], [False, False, True]])
    p, labels = rng.dirichlet(np.ones(2), (4, 3)), np.array([0, 1, 1])
    found = out_of_fold(p, inside, labels)
    for i in range(3):
        for values, outside, own in ((p, *found[:2]), (np.log(p + 1e-6), *found[2:])):
            np.testing.assert_allclose(
                outside[i], np.mean([values[k, i] for k in range(4) if not inside[k, i]], 0)
            )
            np.testing.assert_allclose(
                own[i], np.mean([values[k, i, labels[i]] for k in range(4) if inside[k, i]])
            )
    with pytest.raises(UserError, match="complementary halves"):
        out_of_fold(p[:1], inside[:1], labels)


def test_scores_are_the_naive_ones():
    rng = np.random.default_rng(4)
    block = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3))
    block -= block.mean(0)
    seeds = np.array([3, 9, 20])
    unit = block / np.linalg.norm(block, axis=1, keepdims=True)
    near = nearest_cosine(block, seeds)
    assert near[0] == pytest.approx(np.mean(unit[0] @ unit[seeds].T))
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(block, assume_centered=True)[0]
    rest = np.delete(block, seeds, 0).mean(0)
    w = np.linalg.solve(covariance, block[seeds].mean(0) - rest)
    np.testing.assert_allclose(discriminant(whitened(block), seeds), block @ w, atol=1e-9)


def test_members_above_a_cut_are_estimated_with_an_interval_that_holds_them():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(30):
        member = np.arange(2000) < 200
        others = rng.normal(3 * member, 1)
        found = mixture(rng.normal(3, 1, 30), others, 2.0)
        true = member[others >= 2].mean()
        held += found.precision.low <= true <= found.precision.high
        assert found.size.n == 30 and found.size.low < found.size.value < found.size.high
        assert abs(found.precision.value - true) < 0.35
    assert held >= 26


def test_what_a_mixture_cannot_say_is_not_measured():
    few = mixture(np.ones(4), np.ones(9), 0.5)
    assert isinstance(few.size, NotMeasured) and isinstance(few.precision, NotMeasured)
    none = mixture(np.arange(9.0), np.arange(20.0) / 10, 5.0)
    assert isinstance(none.precision, NotMeasured) and none.size.high <= 20
    # All that is flagged is all there is: the share of the flagged is the size over their number.
    every = mixture(np.arange(9.0), np.arange(20.0), -math.inf)
    assert every.precision.value == pytest.approx(every.size.value / 20)


@given(st.lists(st.integers(0, 6), min_size=5, max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_shares_are_shares_whatever_the_scores(members, others):
    found = mixture(np.array(members, float), np.array(others, float), 3.0)
    assert 0 <= found.size.low <= found.size.high <= len(others)
    if not isinstance(found.precision, NotMeasured):
        assert 0 <= found.precision.low <= found.precision.high <= 1 and 0 <= found.precision.value <= 1


def test_seeds_that_join_stand_above_all_others():
    evidence, member = toy(5, n=200)
    seeds = np.arange(8)
    score = SCORERS.get("expansion").factory
    once = in_rounds(score, evidence, seeds, rounds=1, key=0)
    np.testing.assert_array_equal(once, score(evidence, seeds, key=0))
    twice = in_rounds(score, evidence, seeds, rounds=2, key=0)
    joined = np.flatnonzero(twice > 1)
    assert len(joined) and member[joined].mean() > member.mean()
    np.testing.assert_array_equal(np.argsort(-twice[joined]), np.argsort(-once[joined]))
