"""Metrics and attacks by name: how they are written, what is refused before training, what is forced."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave._gate import AIMS, GROUPS
from unweave._types import Estimate
from unweave.attacks import ATTACKS
from unweave.metrics import METRICS
from unweave.problem import BehaviourChoice, ForgetChoice, ProbeChoice
from unweave.records import Result, from_json, rows_csv, to_json
from unweave.study import assemble, read_spec
from unweave.study.asked import Asked, MeasureChoice, read_measures
from unweave.study.gate import DEFAULT_MEASURES, asked_of

TINY = Case(
    name="tiny",
    behaviour=BehaviourChoice("mislabel"),
    learner=LearnerChoice(epochs=2),
    references=ReferenceChoice(models=4),
    probes=ProbeChoice(limit=40),
)
TRIGGER = replace(TINY, name="trigger", behaviour=BehaviourChoice("trigger"))
UNKNOWN = replace(TINY, name="unknown", behaviour=BehaviourChoice("unknown"), forget=ForgetChoice(ids=(0, 1, 3)))
NAMES = [*METRICS.names(), *ATTACKS.names()]


# ---- how they are written ----


@given(st.sampled_from([*NAMES, "all"]), st.sampled_from([None, *AIMS]), st.sampled_from(GROUPS))
def test_what_is_written_is_read_back(name, aim, group):
    choice = MeasureChoice(name, aim, group)
    assert read_measures(str(choice)) == (choice,)


def test_commas_spaces_and_lists():
    one, two = MeasureChoice("tow"), MeasureChoice("rmia", "unlearning", "unseen")
    assert read_measures("tow,rmia:unlearning@unseen") == (one, two)
    assert read_measures([" tow ", "rmia : unlearning @ unseen", "tow"]) == (one, two)
    assert read_measures("none") == () and read_measures(None) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "expected a list of NAME"),
        ("tow,,rmia", "expected a list of NAME"),
        ("tow,none", "Unknown metric or attack `none`"),
        ([], "expected a list of NAME"),
        (3, "expected a list of NAME"),
        (["tow", 3], "expected a list of NAME"),
        ("tow@", "expected NAME, NAME:AIM"),
        ("tow:", "expected NAME, NAME:AIM"),
        ("@forget", "expected NAME, NAME:AIM"),
        ("lira_ofline", "Did you mean `lira_offline`"),
        ("tow:untrain", "Unknown aim in `tow:untrain` `untrain`. Did you mean `untraining`"),
        ("tow@forgot", "Did you mean `forget`"),
    ],
)
def test_what_is_wrongly_written_is_refused_with_what_was_meant(given, said):
    with pytest.raises((SpecError, UnknownNameError)) as error:
        read_measures(given)
    assert said in str(error.value)


def test_a_spec_and_set_ask_as_well(tmp_path):
    file = tmp_path / "case.toml"
    file.write_text('measures = ["tow", "rmia:unlearning@unseen"]\nforce = true\n')
    spec = read_spec(file)
    assert [str(one) for one in spec.measures] == ["tow", "rmia:unlearning@unseen"] and spec.force
    changed = read_spec(file, settings=['measures="loss@retain"', "force=false"])
    assert [str(one) for one in changed.measures] == ["loss@retain"] and not changed.force
    for wrong in ("measures=3", "force=1"):
        with pytest.raises(SpecError, match=wrong.partition("=")[0]):
            read_spec(file, settings=[wrong])


# ---- the gate ----


@pytest.fixture(scope="module")
def tiny():
    return assemble(TINY)


def told(text: str, *assemblies, force: bool = False) -> list[str]:
    return [
        f"{one.name}:{one.aim}@{one.group} {one.status}"
        for one in asked_of(read_measures(text), assemblies, force=force)
    ]


def test_without_an_aim_every_one_that_it_may_be_asked_of(tiny):
    assert told("tow", tiny) == ["tow:untraining@forget allowed", "tow:unlearning@forget allowed"]
    assert told("lira_offline", tiny) == ["lira_offline:untraining@forget allowed"]
    assert told("lira_offline@undiscovered", tiny) == [
        "lira_offline:untraining@undiscovered allowed",
        "lira_offline:unlearning@undiscovered allowed",
    ]
    assert told("tow,tow:unlearning", tiny) == told("tow", tiny)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lira_offline:unlearning", "says nothing about unlearning"),
        ("energy_to_untrained:unlearning", "only a competitor for unlearning"),
        ("damage", "Ask it on retain, test"),
        ("rmia@test", "No model was trained on these examples"),
        ("tow@retain", "enter with the other two sets already"),
    ],
)
def test_what_does_not_apply_is_refused_with_the_gates_reason_and_a_way_out(tiny, text, said):
    with pytest.raises(ApplicabilityError) as error:
        asked_of(read_measures(text), [tiny])
    assert said in str(error.value) and str(error.value).endswith("and marked.")
    forced = asked_of(read_measures(text), [tiny], force=True)
    assert forced and all(one.status == "forced" and said in one.reason for one in forced)


def test_what_is_not_there_cannot_be_forced(tiny):
    for text, case, said in (
        ("zrf", tiny, "a net at its start"),
        ("tow:unlearning", assemble(UNKNOWN), "the behaviour B has to be declared"),
        ("lira_offline:unlearning@unseen", tiny, "it has no probes (random mislabels"),
    ):
        for force in (False, True):
            with pytest.raises(ApplicabilityError) as error:
                asked_of(read_measures(text), [case], force=force)
            assert said in str(error.value) and "--force" not in str(error.value)


def test_without_a_declared_behaviour_the_other_aim_is_left(tiny):
    assert told("tow", assemble(UNKNOWN)) == ["tow:untraining@forget allowed"]
    assert told("damage@forget", assemble(UNKNOWN), force=True) == ["damage:untraining@forget forced"]
    # Where one case of several has it, it is measured there.
    assert told("tow", assemble(UNKNOWN), tiny) == told("tow", tiny)
    assert told("lira_offline:unlearning@unseen", tiny, assemble(TRIGGER)) == [
        "lira_offline:unlearning@unseen allowed"
    ]


def test_all_is_all_that_applies(tiny):
    found = told("all", tiny)
    assert {one.partition(":")[0] for one in found} == set(NAMES) - {"zrf", "damage"}
    assert all(one.endswith("allowed") for one in found)
    assert told("all:unlearning@retain", tiny) and not any(
        "behaviour_rate" in one for one in told("all@retain", tiny)
    )


def test_the_default_ones_apply_as_far_as_they_can(tiny):
    names = [one.name for one in asked_of(None, [tiny])]
    assert list(dict.fromkeys(names)) == list(DEFAULT_MEASURES)
    assert [one.aim for one in asked_of(None, [assemble(UNKNOWN)])] == ["untraining"] * len(DEFAULT_MEASURES)
    assert asked_of((), [tiny]) == ()


def test_what_is_asked_survives_being_a_tasks_argument(tiny):
    for one in asked_of(read_measures("all"), [tiny]):
        assert Asked.from_json(json.loads(json.dumps(one.to_json()))) == one


# ---- in a comparison ----


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def test_a_refusal_comes_before_anything_is_trained(tmp_path):
    with pytest.raises(ApplicabilityError):
        compare(TINY, methods=["noop"], measures="lira_offline:unlearning", store=tmp_path, workers=1)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_rows_have_what_was_asked_and_say_what_was_forced(store):
    study = compare(
        TINY,
        methods=["noop", ("gradient_ascent", {"lr": 1e30, "epochs": 1})],
        measures=["tow", "lira_offline:unlearning"],
        force=True,
        store=store,
        workers=1,
    )
    rows = {row.id: row for row in study.result.cases[0].rows}
    assert [(one.name, one.aim, one.status) for one in rows["noop"].measures] == [
        ("tow", "untraining", "allowed"),
        ("tow", "unlearning", "allowed"),
        ("lira_offline", "unlearning", "forced"),
    ]
    assert all(isinstance(one.value, Estimate) for row in rows.values() for one in row.measures)
    assert [one.value for one in rows["noop"].measures] == [one.value for one in rows["original"].measures]
    assert "says nothing about unlearning" in rows["noop"].measures[2].reason
    failed = next(row for row in rows.values() if row.status == "failed")
    assert failed.measures == ()
    assert from_json(Result, to_json(study.result)) == study.result
    head, *lines = rows_csv(study.result).splitlines()
    assert "lira_offline_unlearning_forget_forced" in head and any("says nothing about" in line for line in lines)
    spec = study.result.provenance.spec
    assert spec["measures"] == ["tow", "lira_offline:unlearning"] and spec["force"] is True


def test_other_measures_train_nothing_anew_and_change_no_other_number(store):
    plain = compare(TINY, methods=["noop"], measures="none", store=store, workers=1)
    more = compare(TINY, methods=["noop"], measures="all@undiscovered", store=store, workers=1)
    assert more.result.provenance.models_trained == 0 and len(more.result.cases[0].rows[0].measures) > 20
    bare = [replace(row, measures=()) for row in more.result.cases[0].rows]
    assert tuple(bare) == plain.result.cases[0].rows
    assert plain.result.provenance.spec["measures"] == ["none"]
