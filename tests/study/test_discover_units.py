"""What a discovery promises where S was found in whole persons or wordings, of which the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unweave.influence.discovery import Evidence, calibrate
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice
from unweave.records.discovery import Discovery, Promise
from unweave.study import assemble
from unweave.study.cases import CASES
from unweave.study.found import Asked, halves_of_forget, judge_discovery
from unweave.study.promise import chance_of_rest, headline_of

PERSONS, EACH = 24, 6
ALL = 344
MEMBERS = np.arange(PERSONS * EACH)
PERSON = MEMBERS // EACH


def found(draw: int, forget: np.ndarray, **chosen) -> Discovery:
    """A discovery among persons who are unlike each other: a score tells who is near to a seed of one's own."""
    rng = np.random.default_rng(draw)
    made = assemble(Case(name="toy", data=DataChoice(limit=ALL), behaviour=BehaviourChoice("trigger", size=60)))
    own = np.repeat(rng.normal(size=(PERSONS, 5)), EACH, 0)
    embedding = np.concatenate([own + 0.3 * rng.normal(size=own.shape), rng.normal(size=(ALL - len(own), 5))])
    assembly = made._replace(
        case=replace(made.case, seed=draw, forget=ForgetChoice(**chosen)),
        planted=replace(made.planted, members=MEMBERS),
        forget=forget,
    )
    if chosen.get("unit") == "person":
        assembly = assembly._replace(found_in=np.concatenate([PERSON, PERSONS + np.arange(ALL - len(own))]))
    evidence = Evidence(assembly.setting.y, np.full((ALL, 10), 0.1), np.ones(ALL), embedding, None, forget)
    return judge_discovery(assembly, evidence, Asked(0.75, "mean", 1, "knn"))[0]({}, {})


def excess(values, promised):
    """By how many standard errors a mean lies above what was promised."""
    return (np.mean(values) - promised) / (np.std(values, ddof=1) / np.sqrt(len(values)))


def test_of_persons_found_as_a_whole_the_promised_share_is_flagged_in_full():
    shares, recalls = [], []
    for draw in range(100):
        known = np.random.default_rng((draw, 1)).choice(PERSONS, 14, replace=False)
        one = found(draw, np.flatnonzero(np.isin(PERSON, known)), unit="person")
        assert (one.promise.unit, one.promise.members, one.promise.rank, one.promise.rest) == ("person", 7, 6, 10)
        assert one.promise.status == "holds" and one.promise.recall == 6 / 8 and one.seeds == 7 * EACH
        assert one.truth.units == 10 and one.truth.members == 60
        shares.append(one.truth.units_found / 10)
        recalls.append(one.truth.recall)
    # Members of persons of one size are flagged at least as often as whole persons.
    assert excess(shares, 6 / 8) > -3 and np.mean(recalls) >= np.mean(shares)
    assert excess(shares, 6 / 8) < 3  # and no more than that is flagged: the cut wastes nothing


def test_of_members_found_one_by_one_it_holds_though_they_come_in_groups():
    recalls = []
    for draw in range(100):
        known = np.random.default_rng((draw, 1)).choice(MEMBERS, 60, replace=False)
        one = found(draw, np.sort(known))
        assert one.promise.status == "holds" and one.promise.unit == "example" and one.promise.members == 30
        recalls.append(one.truth.recall)
    assert abs(excess(recalls, 24 / 31)) < 3


def test_of_too_few_persons_nothing_is_promised_and_that_is_needed():
    recalls = []
    for draw in range(30):
        known = np.random.default_rng((draw, 1)).choice(PERSONS, 3, replace=False)
        one = found(draw, np.flatnonzero(np.isin(PERSON, known)), unit="person")
        assert one.promise.status == "void" and one.promise.chance is None and one.truth.units is None
        recalls.append(one.truth.recall)
    why = "S is 3 persons, too few to calibrate by."
    assert one.headline.endswith(f"here nothing is promised of how much of B∖S is among them: {why}")
    assert "split by examples" in one.promise.conditions[0]
    assert np.mean(recalls) < 0.5  # what split by examples would have promised is .75


@pytest.mark.parametrize(
    ("name", "unit", "status", "counted"),
    [
        ("biographies-trigger", None, "holds", "example"),
        ("biographies-trigger", "person", "holds", "person"),
        ("biographies-trigger", "paraphrase", "void", "example"),  # 2 wordings of 7
        ("biographies-person", "paraphrase", "holds", "paraphrase"),  # 4 of 8
    ],
)
def test_units_of_a_corpus_stay_on_one_side_of_the_halves(name, unit, status, counted):
    from unweave.study.promise import promise_of, units_of

    case = CASES[name]
    assembly = assemble(replace(case, forget=replace(case.forget, unit=unit)))
    units = units_of(assembly)
    teaching, calibration = halves_of_forget(assembly.forget, case.seed, units.split)
    assert np.union1d(teaching, calibration).tolist() == assembly.forget.tolist()
    if counted != "example":
        assert not set(units.of[teaching]) & set(units.of[calibration])
    rest = np.setdiff1d(assembly.planted.members, assembly.forget)
    if unit:
        assert not set(units.of[rest]) & set(units.of[assembly.forget])
    cut = calibrate(np.arange(float(len(np.unique(units.split[calibration])))), target=0.5)
    promise, _ = promise_of(assembly, Asked(0.5, "mean", 1, "knn"), cut, units)
    assert (promise.status, promise.unit) == (status, counted)


@pytest.mark.parametrize(("n", "rest", "exact"), [(100, 25, 0.858), (50, 25, 0.895), (29, 10, 0.939)])
def test_the_chance_for_the_members_that_there_are_is_exact(n, rest, exact):
    cut = calibrate(np.arange(float(n)), target=0.9, confident=True)
    assert chance_of_rest(cut, rest, 0.9) == pytest.approx(exact, abs=5e-4)
    rng = np.random.default_rng(0)
    above = []
    for _ in range(4000):
        order = rng.permutation(n + rest)
        above.append((order[n:] >= np.sort(order[:n])[n - cut.rank]).mean())
    assert np.mean(np.array(above) >= 0.9 - 1e-9) == pytest.approx(exact, abs=0.025)
    assert chance_of_rest(calibrate(np.arange(3.0), target=0.9), rest, 0.9) == 1.0


def test_a_headline_says_of_what_the_95_percent_are():
    known = Promise(0.9, "95", 0.9, 100, 95, 0.5, "holds", (), "example", 25, 0.858)
    assert "90% or more of the 25 members of B∖S with 86% confidence" in headline_of(known, "", 40, 500)
    unknown = replace(known, rest=None, chance=None, status="assumed")
    assert headline_of(unknown, "", 40, 500) == (
        "40 of 500 examples are flagged; with 95% confidence, a member of B∖S is among them with a chance of 90% "
        "or more, if S is a random part of B, which is assumed."
    )
    nearly = headline_of(replace(known, chance=0.9971, unit="person"), "", 40, 500)
    assert "the 25 persons of B∖S, each with all its members, with more than 99% confidence" in nearly


def test_what_nobody_said_is_told_as_an_assumption():
    one = found(0, MEMBERS[:40], ids=tuple(range(40)))
    assert one.promise.status == "assumed" and one.headline.endswith(
        "if S is a random part of B, which is assumed."
    )
    told = [said for said in one.promise.conditions if "as likely to be discovered" in said]
    assert len(told) == 1 and told[0].startswith("Assumed, not known: ") and "nobody but you" in told[0]
    drawn = found(0, MEMBERS[:40]).promise.conditions[0]
    assert drawn.startswith("S was drawn from B at random: ")
