"""Two batches of one reference are told apart at most at the nominal rate."""

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("null_trials", Path(__file__).with_name("null_trials.py"))
null_trials = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(null_trials)


@pytest.mark.slow
def test_at_most_7_of_60_null_trials_are_flagged():
    # P(more than 7 of 60 | rate .05) = .9%; a true rate of .15 fails this with probability .70.
    flagged = sum(p <= null_trials.ALPHA for p in null_trials.p_values(0, 60))
    assert flagged <= 7


def test_the_same_trials_flag_another_training_set():
    assert all(p <= null_trials.ALPHA for p in null_trials.p_values(0, 3, shift=True))
