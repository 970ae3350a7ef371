"""The regimes of untraining, and the entanglement of S with the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.influence import Margins, Range, entanglement, level, regime_of, unseen_share

HIGH, LOW, OPEN = Range(0.5, 0.4, 0.6), Range(0.0, -0.01, 0.01), Range(0.2, -0.1, 0.5)
NEGATIVE = Range(-0.3, -0.4, -0.2)
SILENT, TELLING, WEAK = Margins(0.6, 0.77), Margins(0.002, 0.77), Margins(0.6, 1.5)


@pytest.mark.parametrize(
    ("memorization", "on_forget", "others", "name"),
    [
        (LOW, LOW, {"test": LOW}, "no-op"),
        (HIGH, HIGH, {"test": LOW}, "S alone"),
        (HIGH, HIGH, {"test": LOW, "undiscovered": HIGH}, "S and others"),
        (HIGH, HIGH, {"test": LOW, "undiscovered": NEGATIVE}, "S and others"),
        (LOW, LOW, {"test": HIGH}, "others alone"),
        (LOW, HIGH, {"test": LOW}, "S alone"),  # copies of one example: nothing one by one, all together
        (OPEN, LOW, {"test": LOW}, "undecided"),
        (HIGH, HIGH, {"test": LOW, "undiscovered": OPEN}, "undecided"),
        (HIGH, HIGH, {"test": HIGH, "undiscovered": OPEN}, "S and others"),
    ],
)
def test_regimes(memorization, on_forget, others, name):
    found = regime_of(memorization, on_forget, others, SILENT)
    assert found.name == name
    assert ("test" in found.text) == (name in ("S and others", "others alone") and "test" in found.groups)


@pytest.mark.parametrize(
    ("own", "margins", "unseen", "name", "said"),
    [
        (
            LOW,
            SILENT,
            0.0,
            "no-op",
            "changes by at most 0.01 and on others by at most 0.02; margins on S do not tell",
        ),
        (LOW, SILENT, 0.089, "no-op", "at most 0.09 and on others"),
        (LOW, TELLING, 0.0, "little", "margins on S tell whether a model was trained on it (p = 0.002)"),
        (LOW, WEAK, 0.0, "undecided", "so few models find only a shift of 1.5 standard deviations"),
        (LOW, None, 0.0, "undecided", "whether margins on S tell, which was not tested"),
        (LOW, SILENT, 0.31, "undecided", "whether accuracy on S changes by less than 0.1 (it may by 0.31"),
        (Range(0.2, 0.17, 0.23), SILENT, 0.0, "little", "accuracy on S does change, by 0.20"),
        (Range(0.2, 0.17, 0.23), SILENT, 0.0, "little", "changes by at most 0.23"),
        (Range(-0.2, -0.23, -0.17), SILENT, 0.0, "little", "changes by at most 0.23"),
        (Range(0.08, 0.04, 0.12), SILENT, 0.0, "undecided", "it may by 0.12"),
        (Range(0.08, 0.04, 0.12), TELLING, 0.0, "little", "at most 0.12"),
    ],
)
def test_a_no_op_needs_bounds_and_margins_that_could_tell_and_do_not(own, margins, unseen, name, said):
    others = {"test": Range(0.0, -0.01, 0.01), "retain": Range(0.0, -0.02, 0.01)}
    found = regime_of(LOW, own, others, margins, unseen=unseen)
    assert found.name == name and said in found.text and "as it does with it" not in found.text


def test_what_is_memorized_one_by_one_is_no_no_op():
    assert regime_of(Range(0.15, 0.12, 0.18), LOW, {"test": LOW}, SILENT).name == "little"
    assert regime_of(Range(0.09, 0.05, 0.13), LOW, {"test": LOW}, SILENT).name == "undecided"


@pytest.mark.parametrize("models", [32, 64])
def test_a_tenth_of_models_that_lose_all_of_s_is_seldom_called_a_no_op(models):
    """S of examples that stand and fall together, lost by one model in ten: by binomial law, without a draw."""
    called = 0.0
    for lost in range(models):
        value, rate = lost / models, math.comb(models, lost) * 0.1**lost * 0.9 ** (models - lost)
        half = 2.04 * math.sqrt(value * (1 - value) / (models - 1))
        own = Range(value, value - half, value + half)
        called += rate * (regime_of(own, own, {}, SILENT, unseen=unseen_share(models)).name == "no-op")
    assert 0 < called <= 0.05
    assert unseen_share(29) < 0.1 <= unseen_share(28)  # as the sentence says
    naive = sum(math.comb(models, k) * 0.1**k * 0.9 ** (models - k) for k in (0, 1))
    assert models > 32 or naive > 0.1  # what an interval over models that are all right would let through


def test_what_is_open_is_named():
    found = regime_of(OPEN, LOW, {"test": OPEN})
    assert "whether S is known by heart; its influence on test" in found.text


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0.01, 0.5))
def test_a_level_is_decided_by_the_whole_interval(value, half, threshold):
    found = level(Range(value, value - half, value + half), threshold)
    if found == "high":
        assert abs(value) - half >= threshold
    elif found == "low":
        assert abs(value) + half < threshold
    else:
        assert abs(value) - half < threshold <= abs(value) + half or half == 0


def naive(own: np.ndarray, others: np.ndarray) -> float:
    """METRICS' formula, example by example."""
    mu_s, mu_r, mu = own.mean(0), others.mean(0), np.vstack([own, others]).mean(0)
    spread = sum(np.linalg.norm(x - mu_r) ** 2 for x in others) / len(others)
    spread += sum(np.linalg.norm(x - mu_s) ** 2 for x in own) / len(own)
    return spread / (0.5 * (np.linalg.norm(mu_r - mu) ** 2 + np.linalg.norm(mu_s - mu) ** 2))


def test_entanglement_is_the_formula_and_falls_with_distance():
    rng = np.random.default_rng(0)
    own, others = rng.normal(size=(20, 3)), rng.normal(size=(50, 3))
    assert entanglement(own, others) == pytest.approx(naive(own, others))
    values = [entanglement(own + shift, others) for shift in (1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert entanglement(own * 7, others * 7) == pytest.approx(entanglement(own, others))  # no unit


def test_entanglement_of_a_part_of_the_rest_is_that_of_all_of_it():
    """By the size of the part the mean over both sets would move towards S: 1.5 here in place of 1.0."""
    rng = np.random.default_rng(0)
    own, others = rng.normal(size=(500, 8)) + 2, rng.normal(size=(50_000, 8))
    whole, part = entanglement(own, others), others[::25]
    assert entanglement(own, part, rest=50_000) == pytest.approx(whole, rel=0.02)
    assert entanglement(own, part) > 1.4 * whole
    assert entanglement(own, others, rest=50_000) == whole


def test_entanglement_of_nothing_or_of_one_centre():
    assert entanglement(np.zeros((2, 1)), np.zeros((3, 1))) == float("inf")
    with pytest.raises(UserError, match="one of them is empty"):
        entanglement(np.zeros((0, 1)), np.zeros((3, 1)))
