"""The rule of the verdict, case by case."""

from __future__ import annotations

import itertools

import pytest

from unweave._errors import UserError
from unweave.metrics import conjunction, label, outcome

OUTCOMES = ("reached", "missed", "inconclusive", "no power", "not measured")


@pytest.mark.parametrize(
    ("p_power", "p_adjusted", "excess_lower", "expected"),
    [
        (0.001, 0.05, -1.0, "reached"),
        (0.001, 0.051, -1.0, "inconclusive"),
        (0.001, 0.9, 0.01, "missed"),
        (0.001, 0.9, 0.0, "inconclusive"),
        (0.05, 0.01, -1.0, "reached"),
        (0.051, 0.0, -1.0, "no power"),
        (0.6, None, None, "no power"),
        (0.6, 0.9, 1.0, "no power"),
        (None, 0.01, -1.0, "not measured"),
        (0.001, None, -1.0, "not measured"),
        (0.001, None, 1.0, "missed"),
        (0.001, 0.2, None, "not measured"),
    ],
)
def test_outcomes(p_power, p_adjusted, excess_lower, expected):
    assert outcome(p_power=p_power, p_adjusted=p_adjusted, excess_lower=excess_lower) == expected


def test_labels():
    for untraining, unlearning in itertools.product(OUTCOMES, OUTCOMES):
        found = label(untraining, unlearning)
        both = {untraining, unlearning}
        if untraining == unlearning == "reached":
            assert found == "both"
        elif untraining == "reached":
            assert found == "untrained"
        elif unlearning == "reached":
            assert found == "unlearned"
        elif both & {"inconclusive", "not measured"}:
            assert found == "inconclusive"
        elif both == {"no power"}:
            assert found == "no power"
        else:
            assert found == "neither" and "missed" in both


def test_a_conjunction_is_as_weak_as_its_weakest_part():
    assert conjunction([0.01, 0.2, 0.03]) == 0.2
    assert conjunction([0.01, None]) is None
    with pytest.raises(UserError, match="at least one part"):
        conjunction([])
