"""The promised recall is kept in real discoveries, and the check of that sees a ranking that knows its members."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hypergeom

from unweave import Case, LearnerChoice
from unweave.problem import BehaviourChoice, DataChoice
from unweave.study import found as found_room

_spec = importlib.util.spec_from_file_location("discovery_trials", Path(__file__).with_name("discovery_trials.py"))
trials_of = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = trials_of
_spec.loader.exec_module(trials_of)

HALF = trials_of.Setting(0.5, target=0.8)
SEEDS = range(8)


@pytest.fixture(scope="module")
def worlds():
    case = Case(
        name="mislabel",
        data=DataChoice(limit=400),
        behaviour=BehaviourChoice("mislabel", size=60),
        learner=LearnerChoice(epochs=8),
    )
    cases = [replace(case, seed=seed) for seed in SEEDS]
    return [(one, trials_of.world(one, halves=4)) for one in cases]


def run(worlds):
    return [next(trials_of.trials(case, evidence, [HALF])) for case, evidence in worlds]


def test_the_promise_is_kept_over_seeds(worlds):
    found = run(worlds)
    assert trials_of.kept(found), trials_of.line(found)
    assert {one.members for one in found} == {30} and {one.calibration for one in found} == {15}


def test_calibrating_on_the_members_that_teach_is_seen(monkeypatch, worlds):
    """The planted bug: both halves of S are all of it, so that its members are seeds and score highest."""

    def same(forget, seed, of):
        return np.sort(forget), np.sort(forget)

    honest = run(worlds)
    monkeypatch.setattr(found_room, "halves_of_forget", same)
    found = run(worlds)
    assert not trials_of.kept(found)
    assert np.mean([one.recall for one in found]) < np.mean([one.recall for one in honest]) - 0.2


def test_the_expected_share_is_that_of_a_random_order():
    """R members of B∖S above the k-th of n, where all n + M are in random order, by counting."""
    base = trials_of.Trial("mislabel", 0, trials_of.Setting(0.5, target=0.8), 12, 11, 9, 8, 20, None)
    rng = np.random.default_rng(0)
    above = [(order < np.sort(order[:12])[::-1][10])[12:].sum() for order in _orders(rng, 21)]
    reached = np.mean(9 - np.array(above) >= 0.8 * 9)
    assert trials_of.expected_share(base) == pytest.approx(reached, abs=0.02)
    # The k-th of n has r of the M above it: the last of k draws without return is a member of the n.
    r = 9
    last = hypergeom.pmf(10, 21, 12, 10 + r) * (12 - 10) / (21 - 10 - r)
    assert trials_of.expected_share(base._replace(setting=base.setting._replace(target=1.0))) == pytest.approx(
        last
    )
    assert trials_of.expected_share(base._replace(rank=13)) == 1.0 and trials_of.promised_mean(base) == 11 / 13


def _orders(rng, size):
    return [rng.permutation(size) for _ in range(4000)]


def test_intervals_are_the_known_ones():
    # Clopper and Pearson (1934): 0 of 10 has the upper limit 1 − .025^(1/10).
    low, high = trials_of.clopper_pearson(0, 10)
    assert low == 0 and high == pytest.approx(1 - 0.025**0.1)
    assert trials_of.clopper_pearson(10, 10) == pytest.approx((1 - high, 1.0))
    mean, low, high = trials_of.mean_with_interval([0.0, 1.0])
    assert mean == 0.5 and high - mean == pytest.approx(12.706 * 0.5, rel=1e-3) and low < 0


def test_a_share_of_runs_that_is_too_small_breaks_the_promise():
    sure = trials_of.Trial("mislabel", 0, trials_of.Setting(0.7, "random", "95"), 35, 35, 30, 30, 40, None)
    missed = sure._replace(found=20)
    assert trials_of.kept([sure] * 190 + [missed] * 10)
    assert not trials_of.kept([sure] * 170 + [missed] * 30)
