"""The regime that `diagnose` predicts is the one measured on fresh models; and the check of that can fail."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from unweave import LearnerChoice, ReferenceChoice

_spec = importlib.util.spec_from_file_location("regimes", Path(__file__).with_name("regimes.py"))
regimes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(regimes)

# Of the forty the cheapest to tell: copies of which half stay, wrong labels, and all copies.
CHOSEN = {3: "little", 6: "S alone", 13: "S and others"}


def quick(place: int):
    """One of the requests, with a third of the references, and of the training but where it must know by heart."""
    case = regimes.requests(1)[place]
    learner = case.learner if place == 6 else LearnerChoice(epochs=14)
    return replace(case, learner=learner, references=ReferenceChoice(models=10))


@pytest.mark.parametrize("place", CHOSEN)
def test_the_regime_predicted_is_the_one_measured(place):
    found = regimes.judged(quick(place), models=20, fresh=12)
    assert found.predicted == found.measured == CHOSEN[place], found


def test_the_check_fails_where_four_of_forty_and_one_more_disagree():
    right = regimes.Verdict("a request", "no-op", "no-op", regimes.Influence({"forget": 0.0}, 0.5))
    wrong = right._replace(predicted="undecided")
    assert regimes.enough([right] * 36 + [wrong] * 4)
    assert not regimes.enough([right] * 35 + [wrong] * 5)
    table = regimes.table([right, wrong])
    assert "missed: a request: predicted undecided, measured no-op (forget 0.000; margins p 0.500)" in table
    assert table.splitlines()[1].split() == ["no-op", "1", "0", "0", "0", "0", "1"]


def test_a_request_measured_without_leaving_out_s_is_seen():
    """The planted bug: both sides are models of D."""
    case = quick(6)
    assert regimes.measured_regime(regimes.influence(case, models=6)) == "S alone"
    assert regimes.measured_regime(regimes.influence(case, models=6, worlds=("original", "original"))) == "no-op"


def test_forty_requests_cover_all_regimes_as_one_would_expect():
    cases = [case for seed in regimes.SEEDS for case in regimes.requests(seed)]
    assert len(cases) == len({(case.name, case.seed) for case in cases}) == 40
    assert {case.references.models for case in cases} == {regimes.REFERENCES}
    assert {case.behaviour.kind for case in cases} == {
        "trigger", "class", "subclass", "duplicates", "unknown", "mislabel", "confusion",
    }  # fmt: skip
