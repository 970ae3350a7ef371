"""Where the probability of an answer went, leak@k, and retraining on T."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.language.measures import folds_of, leak_at_k, paraphrase_mass_ratio, rtt, sequence_log_p

BEFORE = np.log([[0.5, 0.4]]), np.log([[[0.2, 0.1], [0.3, 0.1]]])


def test_sequences_are_sums_over_tokens_and_no_means():
    log_p = np.array([[[-1.0, -2.0, np.nan], [-1.0, -1.0, -1.0]]])
    mask = np.array([[True, True, False], [False, False, False]])
    found = sequence_log_p(log_p, mask)
    assert found[0, 0] == -3 and np.isnan(found[0, 1])
    with pytest.raises(UserError, match="losses are their negatives"):
        sequence_log_p(-log_p, mask)


def test_squeezing_by_hand():
    """The answer falls to a tenth; its paraphrases rise to twice what they had: a factor of twenty."""
    found = paraphrase_mass_ratio(BEFORE[0] - math.log(10), BEFORE[1] + math.log(2), *BEFORE)
    assert found == pytest.approx(np.full((1, 2), math.log(20)))


@given(st.floats(-20, -0.1))
def test_what_falls_together_is_not_squeezed(fall):
    answer, paraphrases = BEFORE
    assert paraphrase_mass_ratio(answer + fall, paraphrases + fall, *BEFORE) == pytest.approx(0, abs=1e-9)
    assert (paraphrase_mass_ratio(answer, paraphrases + fall, *BEFORE) < 0).all()


def test_how_many_paraphrases_are_listed_or_how_likely_they_were_does_not_enter():
    answer, paraphrases = BEFORE
    fewer = paraphrase_mass_ratio(answer - 3, paraphrases[..., :1] - 1, answer, paraphrases[..., :1])
    assert fewer == pytest.approx(paraphrase_mass_ratio(answer - 3, paraphrases - 1, *BEFORE))
    absent = np.concatenate([paraphrases, np.full((1, 2, 1), -np.inf)], -1)
    assert paraphrase_mass_ratio(answer - 3, absent - 1, answer, absent) == pytest.approx(fewer)


def test_one_original_for_all_or_one_for_each():
    answer, paraphrases = (np.concatenate([one, one - 1]) for one in BEFORE)
    by_one = paraphrase_mass_ratio(answer, paraphrases, *BEFORE)
    by_each = paraphrase_mass_ratio(answer, paraphrases, answer, paraphrases)
    assert by_one.shape == by_each.shape == (2, 2) and by_each == pytest.approx(0)


def test_nothing_by_nothing_is_not_measured():
    never = np.full((1, 2, 2), -np.inf)
    assert np.isnan(paraphrase_mass_ratio(BEFORE[0], never, BEFORE[0], never)).all()
    assert (paraphrase_mass_ratio(BEFORE[0], never, *BEFORE) == -np.inf).all()


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ((BEFORE[0][0], BEFORE[1]), "of an answer"),
        ((BEFORE[0], BEFORE[1][..., :0]), "of an answer"),
        ((BEFORE[0][:, :1], BEFORE[1]), "of an answer"),
        ((-BEFORE[0], BEFORE[1]), "losses are their negatives"),
        ((BEFORE[0], -BEFORE[1]), "losses are their negatives"),
    ],
)
def test_what_does_not_fit_is_refused(given_, said):
    with pytest.raises(UserError, match=said):
        paraphrase_mass_ratio(*given_, *BEFORE)
    with pytest.raises(UserError, match=said):
        paraphrase_mass_ratio(*BEFORE, *given_)


def test_originals_of_another_number_of_models_are_refused():
    three = [np.repeat(one, 3, 0) for one in BEFORE]
    two = [np.repeat(one, 2, 0) for one in BEFORE]
    with pytest.raises(UserError, match="one original for each of 3 models"):
        paraphrase_mass_ratio(*three, *two)


# ---- leak@k ----


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.4), st.integers(1, 6))
def test_leaks_are_counted_over_all_that_k_samples_may_be(one, two, k):
    """All sequences of k answers out of three, two of which leak."""
    law = [one, two, 1 - one - two]
    leaks = sum(
        math.prod(law[i] for i in drawn) for drawn in itertools.product(range(3), repeat=k) if min(drawn) < 2
    )
    assert leak_at_k(np.log([[[one, two]]]), k=k) == pytest.approx(leaks)


def test_leaks_at_the_ends():
    assert leak_at_k(np.array([[[0.0]]]), k=1) == 1 and leak_at_k(np.array([[[-np.inf]]]), k=10**6) == 0
    # 1 − p rounds to 1 here.
    assert leak_at_k(np.array([[[-60.0]]]), k=1000) == pytest.approx(1000 * math.exp(-60))
    assert np.isnan(leak_at_k(np.array([[[np.nan, -1.0]]]), k=2))
    rising = [leak_at_k(np.array([[[-3.0]]]), k=k).item() for k in (1, 4, 16, 64)]
    assert rising == sorted(rising) and rising[0] == pytest.approx(math.exp(-3))


@pytest.mark.parametrize(
    ("log_p", "k", "said"),
    [
        (np.log([[[0.7, 0.7]]]), 1, "add up to 1.4"),
        (np.zeros((1, 1)), 1, r"\[models, questions, answers\]"),
        (np.zeros((1, 1, 0)), 1, r"\[models, questions, answers\]"),
        (np.zeros((1, 1, 1)), 0, "k of 1 or more"),
    ],
)
def test_what_cannot_be_sampled_is_refused(log_p, k, said):
    with pytest.raises(UserError, match=said):
        leak_at_k(log_p, k=k)


# ---- retraining on T ----


@given(st.integers(0, 1000), st.integers(2, 4))
def test_groups_stay_together_and_folds_are_even(seed, parts):
    groups = np.random.default_rng(seed).integers(0, 6, 30)
    groups[:6] = np.arange(6)
    folds = folds_of(groups, parts=parts, seed=seed)
    assert set(folds.tolist()) == set(range(parts))
    of_group = [set(folds[groups == g].tolist()) for g in range(6)]
    assert all(len(one) == 1 for one in of_group)
    dealt = np.bincount([one.pop() for one in of_group], minlength=parts)
    assert np.ptp(dealt) <= 1
    np.testing.assert_array_equal(folds, folds_of(groups, parts=parts, seed=seed))


def test_other_seeds_deal_otherwise():
    groups = np.arange(30)
    assert (folds_of(groups, parts=2, seed=0) != folds_of(groups, parts=2, seed=1)).any()


def test_facts_are_read_only_where_they_were_not_taught():
    """Two models: one hides all and any teaching brings it back, one knows what it is taught alone."""
    folds = folds_of(np.arange(7), parts=3, seed=0)
    asked = []

    def relearn(taught):
        asked.append(set(taught.tolist()))
        known = np.zeros((2, 7))
        known[0] = 1
        known[1, taught] = 1
        return known

    assert rtt(relearn, folds).tolist() == [1.0, 0.0]
    assert [set(range(7)) - one for one in asked] == [set(np.flatnonzero(folds == f).tolist()) for f in range(3)]


def test_folds_count_alike_and_what_diverged_is_not_measured():
    folds = np.array([0, 0, 0, 1])
    assert rtt(lambda taught: np.array([[1.0, 1.0, 1.0, 0.0]]), folds) == 0.5
    assert np.isnan(rtt(lambda taught: np.array([[1.0, np.nan, 1.0, 0.0]]), folds))


@pytest.mark.parametrize(
    ("relearn", "folds", "said"),
    [
        (lambda taught: np.zeros((1, 2)), np.array([0, 0]), "two folds or more"),
        (lambda taught: np.zeros((1, 3)), np.array([0, 1]), "Expected `relearn` to return"),
        (lambda taught: np.zeros(2), np.array([0, 1]), "Expected `relearn` to return"),
        (lambda taught: np.zeros((1 + taught[0], 2)), np.array([0, 1]), "Expected `relearn` to return"),
    ],
)
def test_what_cannot_be_relearned_is_refused(relearn, folds, said):
    with pytest.raises(UserError, match=said):
        rtt(relearn, folds)


def test_folds_that_cannot_be_dealt_are_refused():
    for groups, parts in ((np.zeros(5, np.int64), 2), (np.arange(5), 1), (np.arange(5), 6)):
        with pytest.raises(UserError, match="folds of"):
            folds_of(groups, parts=parts, seed=0)
