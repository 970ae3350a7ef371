"""The cheapest sufficient method: what `compare` judged is what is said, and nothing is run by both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError, compare
from unweave._types import Estimate, NotMeasured
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.records.diagnosis import Tried
from unweave.report.diagnosis import diagnosis_page, tried_rows
from unweave.study import DEFAULT_METHODS, MethodChoice, Spec, assemble
from unweave.study.cheapest import cheapest_of, choose
from unweave.study.diagnose import diagnose

CASE = Case(
    name="wrong labels",
    data=DataChoice(limit=240),
    behaviour=BehaviourChoice("mislabel", size=40),
    forget=ForgetChoice(count=20),
    learner=LearnerChoice(epochs=4),
    references=ReferenceChoice(models=4),
    probes=ProbeChoice(limit=40),
)
METHODS = ["noop", "finetune"]


def totals(told: list[tuple[str, int]]):
    return lambda stage, done, total: told.append((stage, total))


def test_compare_finds_all_of_it_stored_and_the_other_way_round(tmp_path):
    found = diagnose(CASE, models=20, methods=METHODS, store=tmp_path / "a", workers=1)
    assert [one.method for one in found.tried] == METHODS and found.tried[0].cost == 0
    told: list[tuple[str, int]] = []
    study = compare(CASE, methods=METHODS, store=tmp_path / "a", workers=1, on_progress=totals(told))
    assert {("train", 0), ("methods", 0)} <= set(told) and study.result.provenance.models_trained == 0
    rows = {row.id: row for row in study.result.cases[0].rows}
    for one in found.tried:
        assert one.untraining == rows[one.method].verdict_untraining.outcome
        assert one.residual_unlearning == rows[one.method].residual_unlearning
        assert one.cost == rows[one.method].cost.gradient_ratio
    told.clear()
    again = diagnose(CASE, models=20, methods=METHODS, store=tmp_path / "a", workers=1, on_progress=totals(told))
    assert {("train", 0), ("methods", 0), ("subsets", 0)} <= set(told)
    assert replace(again, cost=found.cost) == found
    assert found.advice[:2] == tuple(one.text for one in found.cheapest)
    page = diagnosis_page(found)
    assert "Methods tried on the originals" in page and len(tried_rows(found)) == 2


def test_without_methods_none_is_run_and_the_advice_names_the_option(tmp_path):
    found = diagnose(CASE, models=20, store=tmp_path, workers=1)
    assert found.tried == found.cheapest == () and found.cost["models"] == 20 + 12
    assert any("--methods default" in one for one in found.advice)
    assert "Methods tried" not in diagnosis_page(found)


def tried(name: str, cost: float, untraining: str, unlearning: str = "missed") -> Tried:
    residual = Estimate(0.5, 0.4, 0.6, 32)
    return Tried(name, cost, untraining, unlearning, residual, residual, "")


def said(found: list[Tried], case: Case = CASE, *, no_op: bool = False):
    return {one.aim: one for one in cheapest_of(assemble(case), found, no_op=no_op)}


def test_the_cheapest_of_those_that_reach_an_aim():
    found = [
        tried("dear", 0.4, "reached"),
        tried("cheap", 0.08, "reached"),
        tried("free", 0.0, "missed", "inconclusive"),
    ]
    one = said(found)
    untraining, unlearning = one["untraining"], one["unlearning"]
    assert (untraining.status, untraining.method, untraining.cost, untraining.reached) == (
        "found",
        "cheap",
        0.08,
        2,
    )
    assert untraining.text.startswith(
        "For untraining the cheapest sufficient method is cheap, at .08 of one retraining"
    )
    assert "1 dearer" in untraining.text
    assert (unlearning.status, unlearning.undecided) == ("none", 1)
    assert "from S alone none of the 3 methods" in unlearning.text and "discover more" in unlearning.text
    assert "at no cost" in said([tried("noop", 0.0, "reached")])["untraining"].text


def test_where_none_reaches_untraining_retraining_does_by_definition():
    text = said([tried("a", 0.1, "missed"), tried("b", 0.1, "inconclusive")])["untraining"].text
    assert "none of the 2 methods tried is shown to reach A(D∖S), 1 of them undecided" in text
    assert "retraining without S does by definition" in text


def test_where_there_is_nothing_to_do_nothing_is_named():
    found = [tried("a", 0.1, "reached", "missed")]
    one = said(found, no_op=True)["untraining"]
    assert one.status == "nothing to do" and "nothing need be done" in one.text and "bounded" in one.text


def test_that_models_are_not_told_apart_does_not_show_that_there_is_nothing_to_do():
    one = said([tried("a", 0.1, "no power", "no power")])
    assert one["untraining"].status == one["unlearning"].status == "not measured"
    assert all("nothing need be done" not in each.text for each in one.values())
    assert "4 models of D are not told from A(D∖B), which does not show" in one["unlearning"].text
    assert "retraining without S does by definition" in one["untraining"].text


def test_an_undeclared_behaviour_and_runs_without_verdicts_are_not_measured():
    ids = tuple(int(one) for one in assemble(CASE).data.train.ids[:20])
    unknown = replace(CASE, behaviour=BehaviourChoice("unknown"), forget=ForgetChoice(ids=ids))
    assert said([tried("a", 0.1, "reached", "not measured")], unknown)["unlearning"].status == "not measured"
    both = said([tried("a", 0.1, "not measured", "not measured")])
    assert {one.status for one in both.values()} == {"not measured"}
    assert cheapest_of(assemble(CASE), [], no_op=False) == ()


def test_all_of_b_is_unlearned_by_retraining_without_s():
    whole = replace(CASE, forget=ForgetChoice(discovery=1.0))
    assert "which is all of B, does by definition" in said([tried("a", 0.1, "missed")], whole)["unlearning"].text


def test_what_needs_another_training_is_left_out_with_the_reason():
    spec = Spec((CASE,), (MethodChoice("rem_etd", {}), MethodChoice("default", {})))
    found = choose(spec, assemble(CASE))
    assert tuple(one.name for one in found.methods) == DEFAULT_METHODS
    assert "trained for it from the beginning" in found.left_out["rem_etd"]
    missing = Tried("rem_etd", None, "not measured", "not measured", NotMeasured("x"), NotMeasured("x"), "x")
    assert said([tried("a", 0.1, "reached"), missing])["untraining"].tried == 1


def test_where_all_are_left_out_the_page_says_why(tmp_path):
    found = diagnose(CASE, models=20, methods=["rem_etd"], store=tmp_path, workers=1)
    assert [one.method for one in found.tried] == ["rem_etd"] and found.cheapest == ()
    assert "trained for it from the beginning" in diagnosis_page(found)


def test_wrong_names_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(UserError, match="Unknown method `?'?nop"):
        diagnose(CASE, methods=["nop"], store=tmp_path)
    assert not list(tmp_path.iterdir())
