"""The audit flags fresh retrains at most at its level, and cheats that leave S in the model."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from unweave.problem import ForgetChoice

_spec = importlib.util.spec_from_file_location("audit_trials", Path(__file__).with_name("audit_trials.py"))
audit_trials = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = audit_trials
_spec.loader.exec_module(audit_trials)


@pytest.mark.slow
def test_at_most_7_of_60_fresh_retrains_are_flagged():
    # With 19 references a model is flagged where it is the farthest of 20: at a rate of 5%, exactly.
    flagged = sum(p <= audit_trials.ALPHA for p in audit_trials.null_p_values(0, 60, 19))
    assert flagged <= 7


def test_the_same_trials_flag_originals():
    assert all(p <= audit_trials.ALPHA for p in audit_trials.null_p_values(0, 3, 19, world="original"))


def test_every_cheat_is_caught():
    found = audit_trials.caught(3, 32)
    assert found == dict.fromkeys(audit_trials.CHEATS, 3)


def test_a_single_record_is_looked_at():
    # Checks on other examples alone catch one of twenty originals with one mislabelled record in S.
    case = replace(audit_trials.CASE, forget=ForgetChoice(count=1))
    assert audit_trials.caught(3, 32, ("identity",), case) == {"identity": 3}
