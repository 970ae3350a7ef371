"""`discover` on digits: what it finds is true, nothing is trained twice, and it says where it promises nothing."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from unweave import Case, LearnerChoice, UserError
from unweave._types import Estimate
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice
from unweave.records import from_json, to_json
from unweave.records.discovery import Discovery, Ranked, ranking_csv
from unweave.report.discovery import discovery_page, print_discovery
from unweave.study import assemble
from unweave.study.discover import discover

TRIGGER = Case(
    name="backdoor",
    data=DataChoice(limit=500),
    behaviour=BehaviourChoice("trigger", size=60, target=0),
    forget=ForgetChoice(count=24),
    learner=LearnerChoice(epochs=15),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def made(store):
    return discover(TRIGGER, store=store, workers=1)


def test_recall_and_precision_are_those_of_the_ranking(made):
    found, ranking = made
    assembly = assemble(TRIGGER)
    rest = {str(one) for one in assembly.setting.ids[np.setdiff1d(assembly.planted.members, assembly.forget)]}
    flagged = {one.id for one in ranking if one.flagged}
    assert found.truth.members == len(rest) == 36 and found.truth.found == len(flagged & rest)
    assert found.truth.recall == len(flagged & rest) / 36
    assert found.truth.precision == len(flagged & rest) / len(flagged)
    assert found.flagged == len(flagged) and found.candidates == len(ranking) == 500 - 24
    assert not {one.id for one in ranking} & {str(one) for one in assembly.setting.ids[assembly.forget]}
    assert [one.rank for one in ranking] == list(range(1, 477))
    assert (np.diff([one.score for one in ranking]) <= 0).all()
    assert found.promise.members == 12 and found.promise.rank == 12 and found.promise.status == "holds"
    assert found.promise.recall == 12 / 13 and isinstance(found.precision, Estimate)
    assert found.cost["retrainings"] == 6 and found.cost["models_trained"] == 11


def test_a_backdoor_is_found_at_about_the_promised_recall_over_seeds(store):
    found = [discover(replace(TRIGGER, seed=seed), store=store, workers=1)[0].truth for seed in range(6)]
    assert np.mean([one.recall for one in found]) >= 0.85
    assert np.mean([one.precision for one in found]) > 3 * 36 / 476  # three times what chance gives


def test_nothing_is_trained_twice_and_the_answer_is_the_same(made, store):
    again, ranking = discover(TRIGGER, store=store, workers=1)
    assert again.cost["models_trained"] == 0 and ranking == made[1]
    more, _ = discover(TRIGGER, store=store, workers=1, halves=12)
    assert more.cost["models_trained"] == 2


def test_rounds_methods_and_confirmed_examples(made, store):
    found, ranking = made
    ids = tuple(one.id for one in ranking[:5])
    further, rest = discover(TRIGGER, store=store, workers=1, confirmed=ids)
    assert further.confirmed and set(further.confirmed) == set(ids) and further.candidates == found.candidates - 5
    assert not {one.id for one in rest} & set(ids)
    assert further.promise.status == "void" and "earlier ranking" in " ".join(further.promise.conditions)
    assert "here nothing is promised" in further.headline
    assert discover(TRIGGER, store=store, workers=1, rounds=2)[0].promise.status == "holds"
    trak, _ = discover(TRIGGER, store=store, workers=1, method="trak")
    assert trak.cost["models"] == 14 and trak.method == "trak"


def test_rejected_examples_are_no_candidates_and_change_nothing_else(made, store):
    found, ranking = made
    assembly = assemble(TRIGGER)
    members = {str(one) for one in assembly.setting.ids[assembly.planted.members]}
    others = tuple(one.id for one in ranking if one.flagged and one.id not in members)[:4]
    member = next(one.id for one in ranking if one.flagged and one.id in members)
    again, rest = discover(TRIGGER, store=store, workers=1, rejected=(*others, member))
    gone = {*others, member}
    assert set(again.rejected) == gone and again.candidates == found.candidates - len(gone)
    # The promise is kept: cut and scores are those of before, a member rejected by mistake is missed.
    assert again.promise.threshold == found.promise.threshold and again.promise.status == "holds"
    assert {one.id: one.score for one in rest} == {one.id: one.score for one in ranking if one.id not in gone}
    assert again.flagged == found.flagged - len(gone)
    assert (again.truth.members, again.truth.found) == (found.truth.members, found.truth.found - 1)
    assert "rejected examples are no candidates" in discovery_page(again)


def test_the_last_above_the_cut_are_asked_about(made, store):
    found, ranking = made
    again, _ = discover(TRIGGER, store=store, workers=1, ask=7)
    assert found.questions == () and "Look at these next" not in discovery_page(found)
    last = [one.rank for one in again.questions]
    assert last == list(range(max(found.flagged - 7, 0) + 1, max(found.flagged, 7) + 1))
    page = discovery_page(again)
    assert page.count("<fieldset data-id=") == len(found.shown) + sum(rank > 200 for rank in last)
    assert [one.id for one in ranking][last[0] - 1] == again.questions[0].example.id


def test_what_is_promised_depends_on_how_the_forget_set_was_found(store):
    biased = replace(TRIGGER, forget=ForgetChoice(count=24, selection="clustered"))
    found, _ = discover(biased, store=store, workers=1)
    assert found.promise.status == "void" and "`clustered`" in " ".join(found.promise.conditions)
    assembly = assemble(TRIGGER)
    named = replace(
        TRIGGER,
        behaviour=BehaviourChoice("unknown"),
        data=DataChoice(limit=500),
        forget=ForgetChoice(ids=tuple(int(one) for one in assembly.setting.ids[assembly.forget][:6])),
    )
    few, ranking = discover(named, store=store, workers=1)
    assert few.promise.status == "assumed" and few.truth is None and "if S is a random part" in few.headline
    # Three members to calibrate on promise no 90%: all is flagged, and it says so.
    assert few.flagged == few.candidates and few.promise.threshold is None and "3 calibration" in few.warnings[0]
    assert all(one.flagged for one in ranking)


def test_a_learner_without_gradients(tmp_path):
    forest = replace(TRIGGER, learner=LearnerChoice("forest", trees=10), data=DataChoice(limit=300))
    found, _ = discover(forest, store=tmp_path, workers=1, halves=4)
    assert found.cost["retrainings"] == 2 and found.flagged
    with pytest.raises(UserError, match="only the outputs are known"):
        discover(forest, store=tmp_path, workers=1, method="knn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "expanson"}, "Unknown discovery method `expanson`. Did you mean `expansion`"),
        ({"target": 90.0}, "`target` is 90.0; expected a recall above 0 and below 1"),
        ({"rounds": 0}, "`rounds` is 0; expected 1 to 20"),
        ({"halves": 7}, "`models` is 7; expected an even number"),
        ({"method": "spectral", "rounds": 2}, "rounds change nothing"),
        ({"confirmed": (10**9,)}, "1 of 1 confirmed ids are not in the training data"),
        ({"rejected": (10**9,)}, "1 of 1 rejected ids are not in the training data"),
        ({"ask": -1}, "`ask` is -1; expected how many"),
    ],
)
def test_bad_input_is_one_message_before_anything_is_trained(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        discover(TRIGGER, store=tmp_path, **change)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("forget", "message"),
    [
        (ForgetChoice(count=3), "S has 3 examples; expected at least 4"),
        (ForgetChoice(count=5, outside=True), "lies"),
    ],
)
def test_a_forget_set_that_says_too_little_is_refused(tmp_path, forget, message):
    with pytest.raises(UserError, match=message):
        discover(replace(TRIGGER, forget=forget), store=tmp_path)


def test_an_example_is_of_the_behaviour_or_it_is_not(tmp_path):
    setting = assemble(TRIGGER)
    own, other = (str(setting.setting.ids[one]) for one in (setting.forget[0], 0))
    assert 0 not in setting.forget
    with pytest.raises(UserError, match="1 of 2 rejected ids are in S"):
        discover(TRIGGER, store=tmp_path, rejected=(other, own))
    with pytest.raises(UserError, match="1 of 1 rejected ids are confirmed as well"):
        discover(TRIGGER, store=tmp_path, rejected=(other,), confirmed=(other,))
    every = [str(one) for one in setting.setting.ids.tolist()]
    rest = sorted(set(every) - {str(one) for one in setting.setting.ids[setting.forget]})
    with pytest.raises(UserError, match="nothing is left to rank"):
        discover(TRIGGER, store=tmp_path, rejected=rest)
    assert not list(tmp_path.iterdir())


def test_the_record_and_the_table_come_back(made):
    found, ranking = made
    assert from_json(Discovery, to_json(found)) == found
    rows = list(csv.DictReader(StringIO(ranking_csv(ranking))))
    assert [row["id"] for row in rows] == [one.id for one in ranking]
    assert [row["flagged"] == "1" for row in rows] == [one.flagged for one in ranking]
    risky = ranking_csv([Ranked('=HYPERLINK("x")', 1.0, 1, True, "a,b")])
    assert risky.splitlines()[1] == '"\'=HYPERLINK(""x"")",1,1,1,"a,b"'


def test_the_page_asks_for_every_candidate_and_runs_one_script(made):
    found = replace(made[0], headline="<script>alert(1)</script>")
    page = discovery_page(found)
    assert page.count("<script>") == 1 and "&lt;script&gt;" in page and "default-src 'none'" in page
    assert page.count("<fieldset data-id=") == len(found.shown) and page.count('<img src="data:image/png') == 200
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


@pytest.mark.parametrize("width", [40, 120])
def test_the_terminal_says_the_same(made, width):
    from rich.console import Console

    console = Console(width=width, record=True, file=StringIO())
    print_discovery(console, made[0])
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "calibrate" in text and "recall" in text
