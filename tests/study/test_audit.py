"""`audit`: its three values, when there is none of them, and that it repeats itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from unweave._errors import UserError
from unweave.learners.nets import build
from unweave.problem import BehaviourChoice, ForgetChoice, LearnerChoice
from unweave.records import from_json, to_json
from unweave.records.audit import Audit
from unweave.report.audit import audit_page, check_rows, legend
from unweave.stats.ranks import rank
from unweave.study.assemble import assemble
from unweave.study.audit_checks import checks_of
from unweave.study.audit_models import Answers, answers, questions
from unweave.training.engine import many


def test_the_original_is_distinguishable_for_both_aims_and_said_to_be_the_same_file(audited):
    found = audited.audit("original")
    assert found.verdicts == {"untraining": "distinguishable", "unlearning": "distinguishable"}
    assert [one.p for one in found.findings] == [1 / 20, 1 / 20]
    assert found.headline == "The edited model is the original, byte for byte."
    assert any("one and the same file" in one for one in found.warnings)
    assert found.versions.auc == 0.5 and found.versions.rest_worst == 0.0


@pytest.mark.parametrize(
    ("edited", "verdicts"),
    [
        ("untrained", {"untraining": "not distinguishable", "unlearning": "distinguishable"}),
        ("unlearned", {"untraining": "distinguishable", "unlearning": "not distinguishable"}),
    ],
)
def test_a_model_of_an_ideal_is_not_distinguishable_from_it_alone(audited, edited, verdicts):
    found = audited.audit(edited)
    assert found.verdicts == verdicts
    assert found.recipe_p > 0.05 and not found.warnings
    passed = next(one for one in found.findings if one.verdict == "not distinguishable")
    assert passed.original_p == 1 / 20 and passed.references == 19 and passed.fresh == 3
    assert passed.fresh_flagged in (0, 1, 2) and "19 models" in passed.reason
    assert found.relearned["original"][0] > found.relearned["edited"][0]
    assert found.versions.auc > 0.8 and found.versions.rest_references.n == 19


def test_the_record_holds_both_verdicts_and_every_check_and_survives_the_round_trip(audited):
    found = audited.audit()
    tree = json.loads(to_json(found))
    assert set(tree["verdicts"]) == {"untraining", "unlearning"} and tree["schema"] == "unweave.audit/1"
    assert {(one["name"], one["group"]) for one in tree["checks"]} >= {
        ("outputs", "forget"), ("margins", "forget"), ("relearned", "behaviour"), ("4 bit", "behaviour"),
        ("worst decile", "test"), ("classes", "test"), ("features", ""), ("probe", "forget"),
    }  # fmt: skip
    assert from_json(Audit, to_json(found)) == found
    for one in found.checks:
        assert 1 / 20 <= one.p <= 1 and one.references.n == 19 and one.references.low <= one.references.high


def test_the_second_run_trains_nothing_and_says_the_same(audited):
    first, again = audited.audit(), audited.audit()
    assert again.cost["models_trained"] == 0 and again.cost["models"] == 63
    assert replace(again, cost={}) == replace(first, cost={})


def test_s_of_ordinary_examples_has_no_power(audited, variant):
    # Three examples like all others: that a net of this size saw them leaves no trace among 19 references.
    ids = [int(one) for one in audited.assembly.setting.ids[:3]]
    case = variant(behaviour=BehaviourChoice("ids", ids=tuple(ids)), forget=ForgetChoice(ids=tuple(ids)))
    plain = replace(case, learner=replace(case.learner, checkpoint=None))
    other = audited._replace(case=plain, assembly=assemble(plain))
    original, edited = other.train("original", "plain", 3), other.train("untrained", "plain edited", 4)
    case = replace(case, learner=replace(case.learner, checkpoint=str(original)))
    found = audited.audit(edited, case)
    one = found.findings[0]
    assert one.verdict == "inconclusive" and one.reason.startswith("no power: the original itself")
    # Three examples are looked at all the same.
    assert ("outputs", "forget") in {(check.name, check.group) for check in found.checks}


def test_too_few_references_say_how_many_are_needed(audited):
    found = audited.audit("original", references=5)
    for one in found.findings:
        assert one.verdict == "inconclusive" and one.p == 1 / 6
        assert "smallest p-value is 0.167" in one.reason and "at least 19 are needed" in one.reason


def test_without_references_the_two_models_are_compared_all_the_same(audited, variant):
    known = audited.audit(references=0)
    unknown = audited.audit(case=variant(learner=LearnerChoice(checkpoint=str(audited.file("original")))))
    for found, why in ((known, "no references were asked for"), (unknown, "not known how the model was trained")):
        assert set(found.verdicts.values()) == {"inconclusive"} and not found.checks
        assert all(why in one.reason for one in found.findings)
        assert found.versions.auc > 0.8 and found.versions.references is None
        assert found.recipe_p is None and set(found.relearned) == {"original", "edited"}
        assert {one.name for one in found.utility} >= {"forget", "retain", "test"}
        assert found.cost["models"] == 0


def test_without_fresh_retrains_the_verdict_stands(audited):
    found = audited.audit(fresh=0)
    assert found.verdicts == audited.audit().verdicts
    assert [one.fresh_flagged for one in found.findings] == [None, None]
    assert "fresh retrains" not in audit_page(found)


def test_where_b_is_not_known_unlearning_is_inconclusive(audited, variant):
    ids = tuple(int(one) for one in audited.assembly.setting.ids[audited.assembly.forget])
    learner = replace(audited.case.learner, checkpoint=None)
    case = variant(behaviour=BehaviourChoice("unknown"), forget=ForgetChoice(ids=ids), learner=learner)
    other = audited._replace(assembly=assemble(case))
    original, edited = other.train("original", "of ids", 3), other.train("untrained", "of ids edited", 4)
    found = audited.audit(edited, replace(case, learner=replace(learner, checkpoint=str(original))))
    aim = found.findings[1]
    assert aim.verdict == "inconclusive" and "not declared" in aim.reason and found.behaviour is None
    assert any("rest of the behaviour" in one for one in found.unanswered)
    assert {one.aim for one in found.checks} == {"untraining"}
    assert "training on D∖S alone" in audit_page(found)
    assert {row[1] for row in check_rows(found, "untraining") if row[0] in ("relearned", "4 bit")} == {"S"}
    both = audited.audit()
    assert "unseen instances" in legend(both) and "unseen instances" not in legend(found)
    assert {row[1] for row in check_rows(both, "untraining") if row[0] == "relearned"} == {"behaviour"}


def test_a_model_retrained_by_another_recipe_is_told_apart_and_that_this_may_be_why_is_said(audited, variant):
    learner = replace(audited.case.learner, checkpoint=None, batch_size=16)
    other = audited._replace(assembly=assemble(variant(learner=learner)))
    found = audited.audit(other.train("untrained", "other recipe", 5))
    assert found.verdicts["untraining"] == "distinguishable" and not found.warnings  # the original's is the recipe
    assert any("by another recipe" in one for one in found.unanswered)
    for one in (audited.audit("original"), audited.audit(references=0)):
        assert not any("by another recipe" in said for said in one.unanswered)


def test_a_wrong_recipe_is_warned_of(audited, variant):
    found = audited.audit(case=variant(learner=replace(audited.case.learner, epochs=3)))
    assert found.recipe_p == 1 / 20
    assert any("not like models that its recipe trains" in one for one in found.warnings)


def _asked(audited) -> tuple[list, Answers, Answers]:
    """Checks, answers of 19 references, and of 60 more models of D∖S."""
    assembly = audited.assembly
    learner, asked = build(assembly.setting.learner), questions(assembly)
    x, y = (torch.from_numpy(one) for one in (assembly.setting.x, assembly.setting.y))
    rows = [assembly.worlds["untrained"].rows] * 79
    told = answers(assembly, asked, learner, many(learner, x, y, rows=rows, keys=list(range(79))))
    return checks_of(assembly, asked), told.of(slice(0, 19)), told.of(slice(19, 79))


@pytest.fixture(scope="module")
def fresh(audited) -> tuple[list, Answers, Answers]:
    return _asked(audited)


def test_fresh_models_are_flagged_at_the_level_over_all_checks_and_not_at_that_of_each(fresh):
    checks, references, others = fresh
    ranked = rank([one.measure(others, references) for one in checks])
    # One pool, so the 60 are not independent: the bound is wide, and still far from 13 tests at 5% each.
    assert (ranked.p <= 0.05).mean() <= 0.2
    assert np.allclose(ranked.each.min(1), ranked.p)


def test_no_reference_is_compared_with_itself_and_the_candidate_is_in_the_pool_of_each(fresh):
    checks, references, others = fresh
    for check in checks:
        pool = check.measure(others.of(slice(0, 1)), references)
        # A reference in the place of the candidate: among the same 20 each lies as far out as before.
        swapped = check.measure(references.of(slice(0, 1)), _with(references, others.of(slice(0, 1))))
        assert np.isclose(swapped.own[0], pool.others[0, 0], rtol=1e-6), check.name
        assert np.isclose(swapped.others[0, 0], pool.own[0], rtol=1e-6), check.name


def _with(references: Answers, one: Answers) -> Answers:
    """References of which the first is another model."""
    parts = {name: np.concatenate([one.logits[name], told[1:]]) for name, told in references.logits.items()}
    return Answers(parts, np.concatenate([one.features, references.features[1:]]))


def test_the_preflight_says_what_so_many_references_can_show(audited):
    said: list[str] = []
    audited.audit(references=5, on_message=said.append)
    assert any("level 0.05 cannot be reached; it needs 19" in one for one in said)
    said.clear()
    audited.audit(on_message=said.append)
    assert any("no p-value can be below 0.050" in one and "13" not in one.split(";")[0] for one in said)


def _net(audited, case, width: int) -> Path:
    other = audited._replace(case=case, assembly=assemble(case))
    return other.train("untrained", f"of width {width}", 1)


def test_bad_input_is_refused_before_anything_is_trained(audited, variant, tmp_path):
    plain = replace(audited.case, learner=replace(audited.case.learner, checkpoint=None))
    wide = replace(plain, learner=replace(plain.learner, width=32))
    deep = variant(learner=replace(audited.case.learner, depth=2))
    broken = load_file(audited.file("untrained"))
    broken["0.bias"][0] = torch.nan
    save_file(broken, tmp_path / "broken.safetensors")
    outside = variant(
        behaviour=BehaviourChoice("trigger"),
        forget=ForgetChoice(outside=True, count=20),
        data=replace(audited.case.data),
    )
    cases = [
        (tmp_path / "none.safetensors", audited.case, {}, "Cannot read the checkpoint"),
        (_net(audited, wide, 32), audited.case, {}, "has the shape"),
        (audited.file("untrained"), deep, {}, "does not fit"),
        (audited.file("untrained"), audited.case, {"references": 2}, "--references is 2; expected 0, or 3"),
        (audited.file("untrained"), audited.case, {"references": -1}, "--references is -1"),
        (audited.file("untrained"), audited.case, {"fresh": 1}, "--fresh is 1"),
        (audited.file("untrained"), outside, {}, "S lies outside D"),
        (audited.file("untrained"), plain, {}, "`learner.checkpoint` is missing"),
        (tmp_path / "broken.safetensors", audited.case, {}, "not finite"),
        (tmp_path / "outputs.npz", audited.case, {}, "is a file of outputs"),
        (audited.file("untrained"), audited.case, {"procedure": "scrubb"}, "Did you mean"),
    ]  # fmt: skip
    for edited, case, options, message in cases:
        with pytest.raises(UserError, match=message):
            audited.audit(edited, case, store=tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()
