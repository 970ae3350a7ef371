"""TOFU's numbers: by hand, against loops and scipy, and the forms that public code and the paper tell apart."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hmean, ks_2samp

from unweave._errors import UserError
from unweave.language.measures import (
    advantage_of_truth,
    answer_probability,
    choice_probability,
    forget_quality_effect,
    forget_quality_leave_outs,
    forget_quality_p,
    model_utility,
    nearness_to_one,
    share_of_truth,
    truth_ratio,
)
from unweave.stats import interval, jackknife, leave_outs


def losses_of(seed, models=2, questions=6, wrong=5):
    rng = np.random.default_rng(seed)
    return -rng.exponential(2, (models, questions)), -rng.exponential(2, (models, questions, wrong))


# ---- per question ----


def test_probability_is_a_mean_over_an_answers_own_tokens():
    log_p = np.log([[[0.5, 0.125, 1.0], [0.25, 0.9, 0.9]]])
    mask = np.array([[True, True, False], [True, False, False]])
    assert answer_probability(log_p, mask) == pytest.approx(np.array([[0.25, 0.25]]))
    assert np.isnan(answer_probability(log_p, mask & False)).all()


@given(st.integers(0, 1000))
def test_choice_and_ratio_are_those_of_the_loop(seed):
    right, wrong = losses_of(seed)
    choice = choice_probability(right, wrong)
    geometric, arithmetic = (truth_ratio(right, wrong, average=how) for how in ("geometric", "arithmetic"))
    for k, i in np.ndindex(right.shape):
        p, others = math.exp(right[k, i]), [math.exp(one) for one in wrong[k, i]]
        assert choice[k, i] == pytest.approx(p / (p + sum(others)))
        assert geometric[k, i] == pytest.approx(math.prod(others) ** (1 / len(others)) / p)
        assert arithmetic[k, i] == pytest.approx(sum(others) / len(others) / p)
    assert (geometric <= arithmetic * (1 + 1e-12)).all()


def test_the_forms_of_one_ratio():
    """Right at .5; wrong at .4 and .1: the paper's ratio is .5, that of the code .4."""
    right, wrong = np.log([[0.5]]), np.log([[[0.4, 0.1]]])
    assert truth_ratio(right, wrong, average="arithmetic") == pytest.approx(0.5)
    ratio = truth_ratio(right, wrong)
    assert ratio == pytest.approx(0.4)
    assert nearness_to_one(ratio) == nearness_to_one(1 / ratio) == pytest.approx(0.4)
    assert advantage_of_truth(ratio) == pytest.approx(0.6) and advantage_of_truth(1 / ratio) == 0
    assert share_of_truth(ratio) == pytest.approx(1 / 1.4)


def test_ratios_are_taken_before_means():
    """A ratio of means over questions, or a mean over wrong answers of other ratios, is another number."""
    right, wrong = np.log([[0.5, 0.05]]), np.log([[[0.1, 0.1], [0.1, 0.1]]])
    ratios = truth_ratio(right, wrong)
    assert ratios == pytest.approx(np.array([[0.2, 2.0]]))
    assert advantage_of_truth(ratios).mean() == pytest.approx(0.4)
    of_means = np.exp(wrong).mean() / np.exp(right).mean()
    assert max(0, 1 - of_means) == pytest.approx(0.6364, abs=1e-4)
    assert max(0, 1 - ratios.mean()) == 0


def test_what_no_answer_has_is_no_number():
    never = np.full((1, 1), -np.inf)
    assert np.isnan(truth_ratio(never, np.full((1, 1, 2), -np.inf)))
    assert truth_ratio(never, np.zeros((1, 1, 2))) == np.inf
    assert np.isnan(choice_probability(never, np.full((1, 1, 2), -np.inf)))
    assert choice_probability(np.full((1, 1), -5000.0), np.full((1, 1, 1), -5000.0)) == 0.5
    assert np.isnan(truth_ratio(np.array([[np.nan]]), np.zeros((1, 1, 2))))


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (np.zeros((1, 2)), np.zeros((1, 3, 2)), "of one answer"),
        (np.zeros((1, 2)), np.zeros((1, 2, 0)), "of one answer"),
        (np.zeros(2), np.zeros((1, 2, 2)), "of one answer"),
        (np.ones((1, 1)), np.zeros((1, 1, 2)), "losses are their negatives"),
        (np.zeros((1, 1)), np.ones((1, 1, 2)), "losses are their negatives"),
    ],
)
def test_what_does_not_fit_is_refused(right, wrong, said):
    for ask in (truth_ratio, choice_probability):
        with pytest.raises(UserError, match=said):
            ask(right, wrong)


# ---- utility ----


@given(st.integers(0, 1000))
def test_utility_is_the_harmonic_mean(seed):
    parts = np.random.default_rng(seed).random((4, 3, 3)) + 1e-6
    parts /= parts.max()
    found = model_utility(parts)
    assert found == pytest.approx(hmean(parts.reshape(4, 9), axis=1))
    assert (found <= parts.mean((1, 2)) + 1e-12).all(), "an arithmetic mean would be higher"


def test_one_lost_part_takes_all_utility():
    parts = np.full((1, 3, 3), 0.9)
    parts[0, 1, 2] = 0
    assert model_utility(parts) == 0
    parts[0, 1, 2] = np.nan
    assert np.isnan(model_utility(parts))
    assert model_utility(np.array([[[0.5, 0.25]]])) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (np.full((3, 3), 0.5), "as published"),
        (np.zeros((1, 0, 3)), "as published"),
        (np.full((1, 3, 3), 50.0), "from 0 to 1"),
        (np.full((1, 3, 3), -0.1), "from 0 to 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, said):
    with pytest.raises(UserError, match=said):
        model_utility(parts)


# ---- forget quality ----


def naive_distance(one, other):
    return max(
        abs(sum(r <= x for r in one) / len(one) - sum(r <= x for r in other) / len(other)) for x in [*one, *other]
    )


@pytest.mark.filterwarnings("ignore:ks_2samp:RuntimeWarning")
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 9))
def test_the_effect_is_that_of_the_loop_at_any_two_numbers_of_questions(seed, n, m):
    rng = np.random.default_rng(seed)
    # Few values, so that there are ties.
    ratios, references = rng.integers(0, 5, (2, n)) / 4, rng.integers(0, 5, (3, m)) / 4
    effect, p = forget_quality_effect(ratios, references), forget_quality_p(ratios, references)
    for k, j in np.ndindex(2, 3):
        assert effect[k, j] == pytest.approx(naive_distance(ratios[k], references[j]))
        test = ks_2samp(ratios[k], references[j])
        assert (effect[k, j], p[k, j]) == pytest.approx((test.statistic, test.pvalue))


@given(st.integers(0, 1000))
def test_order_and_monotone_functions_do_not_enter(seed):
    """The official code compares 1/R where the definition has R."""
    rng = np.random.default_rng(seed)
    ratios, references = rng.lognormal(0, 1, (1, 12)), rng.lognormal(0.5, 1, (1, 7))
    effect = forget_quality_effect(ratios, references)
    for change in (lambda r: 1 / r, np.log, lambda r: -(r**2), rng.permuted):
        assert forget_quality_effect(change(ratios), change(references)) == pytest.approx(effect)
    assert forget_quality_effect(references, ratios) == pytest.approx(effect.T)


def test_pairs_of_equal_rank_would_be_another_number():
    """Of unequal numbers, ranks do not go together: a difference of sorted values is no distance of laws."""
    one, other = np.array([[0.0, 1.0, 2.0, 3.0]]), np.array([[0.0, 3.0]])
    assert forget_quality_effect(one, other) == 0.25
    assert forget_quality_effect(np.repeat(one, 5, 1), np.repeat(other, 3, 1)) == 0.25


def test_a_p_value_is_no_effect_size():
    """The same D = .35 at three numbers of questions; exact p by scipy 1.17, `ks_2samp(method="exact")`."""
    for n, p in ((40, 0.01430), (200, 2.887e-11), (400, 3.905e-22)):
        one = np.arange(n) / n
        found = forget_quality_effect(one[None], one[None] + 0.35)
        assert found == pytest.approx(0.35)
        assert forget_quality_p(one[None], one[None] + 0.35)[0, 0] == pytest.approx(p, rel=1e-3)


def test_what_was_not_measured_stays_so():
    ratios = np.array([[1.0, np.nan], [1.0, 2.0]])
    for ask in (forget_quality_effect, forget_quality_p):
        found = ask(ratios, np.array([[3.0]]))
        assert np.isnan(found[0, 0]) and found[1, 0] == pytest.approx(
            1.0 if ask is forget_quality_effect else 2 / 3
        )
        assert np.isnan(ask(ratios, np.zeros((1, 0)))).all() and ask(np.zeros((0, 2)), ratios).shape == (0, 2)
        with pytest.raises(UserError, match="Expected truth ratios"):
            ask(ratios[0], ratios)


def compared(ratios, references):
    k, m = len(ratios), len(references)
    blocks, others = np.arange(k), 100 + np.arange(m)
    design = leave_outs({"models": blocks, "references": others})
    found = forget_quality_leave_outs(
        ratios,
        references,
        blocks=blocks,
        reference_blocks=others,
        weights=design.weights["models"],
        reference_weights=design.weights["references"],
    )
    return found, design


def test_leave_outs_are_those_of_the_loop():
    rng = np.random.default_rng(0)
    ratios, references = rng.lognormal(0.3, 1, (4, 20)), rng.lognormal(0, 1, (5, 20))
    found, _ = compared(ratios, references)

    def naive(u, r):
        effect = np.mean([naive_distance(a, b) for a in u for b in r])
        return effect, np.mean([naive_distance(a, b) for a, b in itertools.combinations(r, 2)])

    samples = [(ratios, references)]
    samples += [(np.delete(ratios, i, 0), references) for i in range(4)]
    samples += [(ratios, np.delete(references, i, 0)) for i in range(5)]
    for i, sample in enumerate(samples):
        assert (found.effect[i], found.floor[i]) == pytest.approx(naive(*sample))
    assert found.excess == pytest.approx(found.effect - found.floor)


def test_a_method_that_reaches_the_references_has_no_excess_and_another_has():
    """The effect itself is far from 0 for both, and its interval excludes 0 at any number of models."""
    rng = np.random.default_rng(1)
    questions = rng.normal(0, 1, 60)
    models = [np.exp(questions + rng.normal(shift, 0.7, (8, 60))) for shift in (0.0, 0.0, 0.9)]
    reached, design = compared(models[0], models[1])
    estimate = interval(jackknife(reached.effect, design))
    assert estimate.low > 0.05
    excess = interval(jackknife(reached.excess, design))
    assert excess.low < 0 < excess.high and excess.n == 8
    far, design = compared(models[2], models[1])
    assert interval(jackknife(far.excess, design)).low > 0.1


def test_leave_outs_need_the_same_questions():
    r = np.ones((3, 4))
    with pytest.raises(UserError, match="same questions"):
        compared(r, r[:, :3])
