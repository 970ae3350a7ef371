"""LiRA: a naive oracle, closed forms on Gaussian toys, exchangeable examples, and the bugs of public code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from unweave._errors import UserError
from unweave.attacks import (
    Law,
    auc,
    lira_offline,
    lira_online,
    log_likelihood_ratio,
    log_tail,
    shadow_law,
    tpr_at_fpr,
)


def world(seed: int, *, models: int, n: int, effect: float, difficulty: float = 3.0):
    """φ = how hard the example is + effect where it is inside + N(0, 1); each model has half of the examples."""
    rng = np.random.default_rng(seed)
    inside = np.stack([rng.permutation(np.arange(n) < n // 2) for _ in range(models)])
    return rng.normal(0, difficulty, n) + effect * inside + rng.normal(0, 1, (models, n)), inside


def split(phi, inside, targets: int):
    blocks = np.arange(len(phi))
    return (
        (phi[:targets], phi[targets:], inside[targets:]),
        {"target_blocks": blocks[:targets], "shadow_blocks": blocks[targets:]},
        inside[:targets],
    )


def naive(targets, shadows, inside, target_blocks, shadow_blocks, *, online: bool):
    """One number after the other, by the laws of scipy."""
    found = np.empty(targets.shape)
    for k, row in enumerate(targets):
        for i, phi in enumerate(row):
            others = [m for m in range(len(shadows)) if shadow_blocks[m] != target_blocks[k]]
            on = [shadows[m, i] for m in others if inside[m, i]]
            off = [shadows[m, i] for m in others if not inside[m, i]]
            out = norm(np.mean(off), np.std(off, ddof=1))
            if online:
                found[k, i] = norm(np.mean(on), np.std(on, ddof=1)).logpdf(phi) - out.logpdf(phi)
            else:
                found[k, i] = -out.logsf(phi)
    return found


@pytest.mark.parametrize(("attack", "online"), [(lira_online, True), (lira_offline, False)])
def test_as_one_would_write_it_down(attack, online):
    phi, inside = world(0, models=14, n=6, effect=1.0)
    blocks = np.arange(14)
    blocks[9] = 2  # a shadow model that depends on target 2
    found = attack(phi[:4], phi, inside, target_blocks=blocks[:4], shadow_blocks=blocks)
    expected = naive(phi[:4], phi, inside, blocks[:4], blocks, online=online)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
def test_an_example_knows_of_no_other(attack):
    phi, inside = world(1, models=14, n=8, effect=1.0)
    arrays, blocks, _ = split(phi, inside, 3)
    whole = attack(*arrays, **blocks)
    some = [5, 2]
    np.testing.assert_allclose(attack(*(one[:, some] for one in arrays), **blocks), whole[:, some])


def test_for_pooled_laws_an_example_knows_of_no_other_once_they_are_fitted():
    phi, inside = world(1, models=14, n=8, effect=1.0)
    laws = [shadow_law(phi[3:], side[3:], spread="pooled") for side in (inside, ~inside)]
    whole = log_likelihood_ratio(phi[:3], *laws)
    alone = [Law(*(field[4:5] for field in law)) for law in laws]
    np.testing.assert_allclose(log_likelihood_ratio(phi[:3, 4:5], *alone), whole[:, 4:5])


# ---- closed forms ----


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
def test_auc_with_known_laws_is_that_of_the_effect(attack):
    """With 400 shadow models: Φ(μ/√2) = .760 for μ = 1, whatever the differences between examples."""
    phi, inside = world(2, models=430, n=60, effect=1.0)
    arrays, blocks, member = split(phi, inside, 30)
    scores = attack(*arrays, **blocks)
    by_example = auc(scores.T, member.T)  # over targets, example by example
    assert by_example.mean() == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.03)
    pooled_scores = auc(scores, member)
    assert pooled_scores.mean() == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.03)


def test_one_cut_for_all_finds_little_where_lira_finds_much():
    """Effect 2, differences between examples 6: Φ(2/√(2·37)) = .592 with one cut; LiRA: Φ(√2) = .921."""
    phi, inside = world(3, models=120, n=200, effect=2.0, difficulty=6.0)
    arrays, blocks, member = split(phi, inside, 20)
    assert auc(phi[:20], member).mean() == pytest.approx(norm.cdf(2 / math.sqrt(2 * 37)), abs=0.03)
    assert auc(lira_online(*arrays, **blocks), member).mean() == pytest.approx(norm.cdf(math.sqrt(2)), abs=0.03)


def test_log_likelihood_ratio_of_equal_spreads_is_linear():
    """μ·φ − μ²/2 for N(μ, 1) against N(0, 1)."""
    law = [Law(np.array([mean]), np.ones(1), np.array([9]), np.array([8])) for mean in (2.0, 0.0)]
    phi = np.linspace(-5, 5, 11)[:, None]
    np.testing.assert_allclose(log_likelihood_ratio(phi, *law), 2 * phi - 2)


@pytest.mark.parametrize(("m", "real"), [(8, 0.011), (16, 0.0045), (64, 0.0016)])
def test_the_plug_in_tail_is_too_short_and_student_s_is_right(m, real):
    """Nominal .1%: really 1.1%, .45%, .16% with 8, 16, 64 shadow models (closed form, and 40 000 draws)."""
    assert t.sf(norm.isf(0.001) / math.sqrt(1 + 1 / m), m - 1) == pytest.approx(real, rel=0.05)
    rng = np.random.default_rng(m)
    law = shadow_law(rng.normal(0, 1, (m, 40_000)), np.ones((m, 40_000), dtype=bool))
    new = rng.normal(0, 1, (1, 40_000))
    assert (log_tail(new, law) > -math.log(0.001)).mean() == pytest.approx(real, rel=0.25)
    assert (log_tail(new, law, student=True) > -math.log(0.001)).mean() == pytest.approx(0.001, abs=0.0006)


def test_student_s_tail_is_that_of_a_new_number():
    """t_{m−1} of (φ − μ)/(s·√(1 + 1/m)), as scipy has it."""
    rng = np.random.default_rng(0)
    phi, new = rng.normal(0, 1, (5, 7)), rng.normal(0, 3, (4, 7))
    expected = -t.logsf((new - phi.mean(0)) / (phi.std(0, ddof=1) * math.sqrt(1.2)), 4)
    found = log_tail(new, shadow_law(phi, np.ones((5, 7), dtype=bool)), student=True)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_tail_does_not_round():
    """1 − P[Z > φ] is 1 in float64 from 8.3 standard deviations on; −log P goes on, as scipy's logsf does."""
    law = Law(np.zeros(1), np.ones(1), np.array([9]), np.array([8]))
    phi = np.array([[-40.0], [0.0], [9.0], [30.0], [300.0]])
    found = log_tail(phi, law)
    np.testing.assert_allclose(found, -norm.logsf(phi), rtol=1e-9)
    assert (norm.cdf(phi[2:]) == 1).all() and (np.diff(found[:, 0]) > 0).all()


# ---- nothing to find ----


def check_nothing_to_find(attack) -> None:
    """Membership that changes nothing: AUC .5, and a tenth of the members above a tenth of the others.

    Means over 4 worlds of 16 models; with the target among its shadow models, offline scores of non-members are
    drawn to the middle on both sides, which shows in the tail and not in the AUC.
    """
    areas, rates = [], []
    for seed in range(4):
        phi, inside = world(seed, models=16, n=400, effect=0.0)
        scores = attack(phi, inside)
        known = np.isfinite(scores).all(0)
        areas.append(auc(scores[:, known], inside[:, known]).mean())
        rates.append(tpr_at_fpr(scores[:, known], inside[:, known], fpr=0.1).mean())
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)
    assert np.mean(rates) == pytest.approx(21 / 201, abs=0.02)


def each_left_out(attack):
    return lambda phi, inside: attack(phi, phi, inside, target_blocks=np.arange(16), shadow_blocks=np.arange(16))


def target_among_its_shadows(attack):
    return lambda phi, inside: attack(
        phi, phi, inside, target_blocks=np.arange(16), shadow_blocks=np.arange(16, 32)
    )


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
def test_exchangeable_examples_give_one_half(attack):
    check_nothing_to_find(each_left_out(attack))


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
def test_a_target_among_its_own_shadow_models_is_caught(attack):
    with pytest.raises(AssertionError):
        check_nothing_to_find(target_among_its_shadows(attack))


# ---- public code ----


def check_two_sides(attack) -> None:
    """Far above the non-members is a member, far below is none."""
    rng = np.random.default_rng(6)
    shadows = rng.normal(0, 1, (40, 1))
    none = np.zeros((40, 1), dtype=bool)
    targets = np.array([[-6.0], [0.0], [6.0]])
    low, middle, high = attack(targets, shadows, none)[:, 0]
    assert low < middle < high


def test_far_below_is_no_member():
    check_two_sides(
        lambda targets, shadows, inside: lira_offline(
            targets, shadows, inside, target_blocks=np.arange(3), shadow_blocks=np.arange(3, 43)
        )
    )


def test_a_density_in_place_of_the_tail_is_caught():
    """The official offline code scores by −log N(φ), which is as high far below as far above."""
    with pytest.raises(AssertionError):
        check_two_sides(lambda targets, shadows, _: -norm.logpdf(targets, shadows.mean(0), shadows.std(0)))


def test_the_other_sign_is_caught():
    with pytest.raises(AssertionError):
        check_two_sides(lambda targets, shadows, _: norm.logcdf(targets, shadows.mean(0), shadows.std(0)) * -1)


def check_pooled(law) -> None:
    """Spread 1 inside, 2 outside, examples 5 apart from each other: pooled spreads are 1 and 2."""
    rng = np.random.default_rng(9)
    phi, inside = rng.normal(0, 1, (12, 4000)), rng.random((12, 4000)) < 0.5
    phi = np.where(inside, phi, 2 * phi) + rng.normal(0, 5, 4000)
    found = [law(phi, side) for side in (inside, ~inside)]
    assert found == [pytest.approx(1, abs=0.02), pytest.approx(2, abs=0.04)]


def test_the_pooled_spread_is_within_examples_and_of_either_kind():
    check_pooled(lambda phi, side: shadow_law(phi, side, spread="pooled").spread[0])
    for wrong in (
        lambda phi, side: phi[side].std(),  # the differences between examples are in it
        lambda phi, side: np.sqrt(((phi - shadow_law(phi, side).mean)[side] ** 2).mean()),  # m where m − 1 belongs
    ):
        with pytest.raises(AssertionError):
            check_pooled(wrong)


def test_few_shadow_models_are_better_pooled():
    phi, inside = world(10, models=24, n=150, effect=1.5)
    arrays, blocks, member = split(phi, inside, 18)
    pooled = lira_online(*arrays, **blocks, spread="pooled")
    assert np.isfinite(pooled).mean() > 0.9
    known = np.isfinite(lira_online(*arrays, **blocks)).all(0)
    per_example = lira_online(*(one[:, known] for one in arrays), **blocks)
    assert auc(pooled[:, known], member[:, known]).mean() > auc(per_example, member[:, known]).mean() + 0.02


# ---- what cannot be measured, and bad input ----


def test_too_few_shadow_models_are_not_measured():
    inside = np.array([[True, True, False], [True, False, False], [False, True, False], [False, False, False]])
    shadows = np.arange(12.0).reshape(4, 3) ** 1.5
    blocks = {"target_blocks": np.array([9]), "shadow_blocks": np.arange(4)}
    target = np.zeros((1, 3))
    assert np.isnan(lira_online(target, shadows, inside, **blocks)).tolist() == [[False, False, True]]
    assert np.isnan(lira_offline(target, shadows, inside, **blocks)).tolist() == [[False, False, False]]
    for student in (False, True):
        nobody = lira_offline(target, shadows, ~inside | True, **blocks, student=student)
        assert np.isnan(nobody).all()
        same = lira_offline(target, np.ones((4, 3)), inside, **blocks, student=student)
        assert np.isnan(same).all(), "shadow models that all say the same are no law"
    own = {"target_blocks": np.array([0]), "shadow_blocks": np.zeros(4, dtype=int)}
    assert np.isnan(lira_online(target, shadows, inside, **own)).all()


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
def test_what_does_not_fit_is_refused(attack):
    shadows, inside = np.zeros((4, 3)), np.zeros((4, 3), dtype=bool)
    blocks = {"target_blocks": np.arange(1), "shadow_blocks": np.arange(4)}
    for targets, given in [
        (np.zeros((1, 2)), blocks),
        (np.zeros((2, 3)), blocks),
        (np.full((1, 3), np.nan), blocks),
        (np.zeros((1, 3)), {**blocks, "shadow_blocks": np.arange(5)}),
    ]:
        with pytest.raises(UserError, match="Expected"):
            attack(targets, shadows, inside, **given)
