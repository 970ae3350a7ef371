"""The regimes of untraining, and the entanglement of S with the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.influence import Range, entanglement, level, regime_of

HIGH, LOW, OPEN = Range(0.5, 0.4, 0.6), Range(0.0, -0.01, 0.01), Range(0.2, -0.1, 0.5)
NEGATIVE = Range(-0.3, -0.4, -0.2)


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
    found = regime_of(memorization, on_forget, others)
    assert found.name == name
    assert ("test" in found.text) == (name in ("S and others", "others alone") and "test" in found.groups)


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


def test_entanglement_of_nothing_or_of_one_centre():
    assert entanglement(np.zeros((2, 1)), np.zeros((3, 1))) == float("inf")
    with pytest.raises(UserError, match="one of them is empty"):
        entanglement(np.zeros((0, 1)), np.zeros((3, 1)))
