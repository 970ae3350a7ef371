"""Every kind of behaviour runs through the main job, small."""

from dataclasses import replace

import numpy as np
import pytest

from unweave import LearnerChoice, ReferenceChoice, compare
from unweave._types import Estimate, NotMeasured
from unweave.problem import BehaviourChoice, Case, ForgetChoice, ProbeChoice
from unweave.study import CASES, assemble

SMALL = {
    "learner": LearnerChoice(epochs=4),
    "references": ReferenceChoice(models=4),
    "probes": ProbeChoice(limit=60),
}
IDS = tuple(int(one) for one in assemble(Case()).data.train.ids[:60])
OTHERS = [
    Case(name="systematic", behaviour=BehaviourChoice("systematic", source=1, target=7), **SMALL),
    Case(name="duplicates", behaviour=BehaviourChoice("duplicates"), **SMALL),
    Case(name="ids", behaviour=BehaviourChoice("ids", ids=IDS), forget=ForgetChoice(count=20), **SMALL),
    *[
        Case(name=how, behaviour=BehaviourChoice("confusion"), forget=ForgetChoice(selection=how), **SMALL)
        for how in ("clustered", "easiest", "hardest")
    ],
]
NEW = ("digits-confusion", "digits-class", "digits-subclass")


def _rows(case: Case, tmp_path) -> dict:
    study = compare(case, methods=["noop", "finetune"], store=tmp_path / "store", workers=1)
    study.save(tmp_path / "out")
    return {row.id: row for row in study.result.cases[0].rows}


@pytest.mark.parametrize("case", [*[replace(CASES[name], **SMALL) for name in NEW], *OTHERS], ids=lambda c: c.name)
def test_runs_from_spec_to_files(case, tmp_path):
    rows = _rows(case, tmp_path)
    assert all(row.status == "ok" for row in rows.values())
    assert set(rows) >= {"original", "untrained", "unlearned", "noop", "finetune"}
    planted = assemble(case).planted
    same = bool((planted.y == planted.clean)[planted.members].all())
    for name in ("forget", "undiscovered"):
        group = rows["original"].groups[name]
        assert isinstance(group.behaviour_rate, Estimate)
        assert isinstance(group.accuracy, NotMeasured) == same
    for name in ("retain", "test"):
        assert isinstance(rows["original"].groups[name].accuracy, Estimate)


@pytest.mark.parametrize("name", NEW)
def test_a_case_has_probes_enough_for_a_verdict_on_every_group(name):
    groups = assemble(CASES[name]).probes.groups
    assert list(groups) == ["forget", "undiscovered", "unseen", "retain", "test"]
    assert min(len(at) for at in groups.values()) >= 20


def test_without_a_class_no_reference_predicts_it(tmp_path):
    rows = _rows(replace(CASES["digits-class"], **SMALL | {"learner": LearnerChoice(epochs=15)}), tmp_path)
    assert rows["unlearned"].groups["unseen"].behaviour_rate.value == 0
    assert rows["untrained"].groups["unseen"].behaviour_rate.value > 0.8
    assert rows["original"].groups["forget"].behaviour_rate.value > 0.9


def test_the_probes_of_a_class_are_of_no_other_group():
    probes = assemble(CASES["digits-class"]).probes
    for name, at in probes.groups.items():
        shown = probes.planted[at]
        assert (probes.clean[at] == 8).all() == (name not in ("retain", "test"))
        np.testing.assert_array_equal(shown, -1 if name in ("retain", "test") else 8)
