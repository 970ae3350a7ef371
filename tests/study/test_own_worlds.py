"""Methods that need a training algorithm of their own: worlds, map and verdicts of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unweave import Case, DataChoice, LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError
from unweave.problem import BehaviourChoice
from unweave.study import MethodChoice
from unweave.study.assemble import assemble
from unweave.study.methods import refusal
from unweave.study.own_worlds import panels

TINY = Case(
    name="tiny",
    data=DataChoice(limit=300),
    behaviour=BehaviourChoice("trigger", size=60, target=0),
    learner=LearnerChoice(epochs=2, width=8),
    references=ReferenceChoice(models=3),
)
REM = MethodChoice("rem_etd", {"epochs": 0.5})
NOOP, FINETUNE = MethodChoice("noop", {}), MethodChoice("finetune", {})


def of(case: Case, *methods: MethodChoice):
    return panels([assemble(case)], methods, again=assemble)


def test_such_a_method_gets_the_same_case_with_other_models():
    found = of(TINY, NOOP, REM, FINETUNE)
    assert found.methods == {"tiny": (NOOP, FINETUNE), "tiny-etd": (NOOP, REM)}
    plain, tied = found.assemblies
    assert plain.case == TINY
    assert replace(tied.case, name="tiny", learner=TINY.learner) == TINY
    assert not plain.setting.learner.tied
    assert tied.setting.learner.config == {"width": 8, "depth": 1, "etd": 0.2, "p_gen": 0.5}
    assert tied.setting.fingerprint == plain.setting.fingerprint
    assert (tied.forget == plain.forget).all() and (tied.setting.probes == plain.setting.probes).all()
    for name, world in plain.worlds.items():
        assert tied.worlds[name].keys == world.keys and (tied.worlds[name].rows == world.rows).all()
    assert len(found.notes) == 1 and "worlds of their own (tiny-etd)" in found.notes[0]


def test_without_such_a_method_nothing_is_added():
    found = of(TINY, NOOP, FINETUNE)
    assert found.methods == {"tiny": (NOOP, FINETUNE)} and len(found.assemblies) == 1 and not found.notes


def test_a_case_that_no_method_is_left_for_is_not_run():
    assert of(TINY, REM).methods == {"tiny-etd": (NOOP, REM)}


def test_a_learner_that_is_trained_so_runs_all_methods():
    own = replace(TINY, learner=replace(TINY.learner, etd=0.3, p_gen=0.25))
    found = of(own, NOOP, REM, FINETUNE)
    assert found.methods == {"tiny": (NOOP, REM, FINETUNE)}
    (assembly,) = found.assemblies
    assert assembly.setting.learner.config["etd"] == 0.3
    assert refusal(assembly.setting.learner, "rem_etd", validation=0) == ""


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (LearnerChoice("softmax", epochs=2), "softmax has no hidden units"),
        (LearnerChoice("resnet9", epochs=1, width=2), "resnet9 has no hidden units"),
        (LearnerChoice("mlp", epochs=2, width=1), "a layer of one unit"),
        (LearnerChoice("mlp", epochs=2, width=8, clip=1.0), "private gradients"),
        (LearnerChoice("forest", trees=2), "needs gradients"),
    ],
)
def test_where_there_is_no_such_variant_the_method_is_refused(learner, said):
    found = of(replace(TINY, learner=learner), NOOP, REM)
    assert found.methods == {"tiny": (NOOP, REM)}
    assert said in refusal(found.assemblies[0].setting.learner, "rem_etd", validation=0)


def test_a_name_that_is_taken_is_refused():
    other = assemble(replace(TINY, name="tiny-etd", seed=1))
    with pytest.raises(SpecError, match="A case is called tiny-etd"):
        panels([assemble(TINY), other], [REM], again=assemble)


def test_a_comparison_has_both_panels(tmp_path):
    said: list[str] = []
    softmax = replace(TINY, name="linear", learner=LearnerChoice("softmax", epochs=2))
    methods = ["noop", ("rem_etd", {"epochs": 0.5})]
    result = compare([TINY, softmax], methods=methods, store=tmp_path, workers=1, on_message=said.append).result
    rows = {one.name: {row.name: row for row in one.rows if row.kind == "method"} for one in result.cases}
    assert {name: list(one) for name, one in rows.items()} == {
        "tiny": ["noop"],
        "tiny-etd": ["noop", REM.id],
        "linear": ["noop", REM.id],
    }
    tied = rows["tiny-etd"]
    assert tied[REM.id].status == "ok" and tied[REM.id].groups != tied["noop"].groups
    assert rows["linear"][REM.id].status == "refused" and "no hidden units" in rows["linear"][REM.id].reason
    plain, own, _ = result.cases
    assert own.case["learner_full"]["config"]["etd"] == 0.2 and "etd" not in plain.case["learner_full"]["config"]
    assert own.geometry != plain.geometry and own.case["sizes"] == plain.case["sizes"]
    assert any("worlds of their own" in one for one in said) and result.provenance.notes == tuple(said)
    assert [one["name"] for one in result.provenance.spec["cases"]] == ["tiny", "linear"]
    # All of it is stored.
    again = compare([TINY, softmax], methods=methods, store=tmp_path, workers=1)
    assert again.result.provenance.models_trained == 0
