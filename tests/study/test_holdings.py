"""What a run holds in the store: nothing of it is removed meanwhile, and what could not be used is said."""

from dataclasses import replace

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import DivergedError, UserError
from unweave.problem import ProbeChoice
from unweave.references import Store, gc, key_of, keys, stored_objects
from unweave.references.leases import live_leases
from unweave.references.locks import alone
from unweave.study import assemble, tasks
from unweave.study.holdings import needed
from unweave.study.spec import MethodChoice, case_to_tree

TINY = Case(learner=LearnerChoice(epochs=1), references=ReferenceChoice(models=3), probes=ProbeChoice(limit=40))


@pytest.mark.parametrize(
    "case",
    [
        TINY,
        Case(
            name="opaque",
            learner=LearnerChoice("forest", trees=3),
            references=ReferenceChoice(models=3),
            probes=ProbeChoice(limit=40),
        ),
    ],
    ids=["mlp", "forest"],
)
def test_a_run_needs_what_it_writes_and_nothing_else(tmp_path, case):
    compare(case, methods=["noop"], store=tmp_path, workers=1)
    written = {row.key for row in stored_objects(Store(tmp_path)) if row.kind != "analysis"}
    wanted = needed([assemble(case)], {case.name: [MethodChoice("noop", {})]})
    # Of an opaque learner no models are kept.
    assert written == {key for key in wanted if Store(tmp_path).has(key)} and written <= wanted
    if not assemble(case).setting.learner.opaque:
        assert written == wanted


def test_gc_beside_a_run_removes_nothing_of_it(tmp_path):
    store, seen = Store(tmp_path), []

    def clean(stage, done, total):
        seen.append((stage, gc(store, stale=lambda fields, notes: fields["kind"] != "analysis", unused_days=0.0)))

    first = compare(TINY, methods=["noop"], store=tmp_path, workers=1, on_progress=clean)
    assert len(seen) > 6 and all(one.objects.keys() <= {"analysis"} for _, one in seen)
    assert max(one.leased for _, one in seen) == len([r for r in stored_objects(store) if r.kind != "analysis"])
    with alone(tmp_path):
        assert live_leases(tmp_path) == []
    again = compare(TINY, methods=["noop"], store=tmp_path, workers=1)
    assert again.result.cases == first.result.cases and again.result.provenance.models_trained == 0


def test_a_run_says_when_it_used_what(tmp_path):
    compare(TINY, methods=["noop"], store=tmp_path, workers=1)
    assert all(row.used > 0 for row in stored_objects(Store(tmp_path)) if row.kind != "analysis")


def test_models_of_other_versions_are_not_mixed_and_the_run_says_so(tmp_path, monkeypatch):
    compare(TINY, methods=["noop"], store=tmp_path, workers=1)
    torch = keys.installed("torch")
    monkeypatch.setattr(keys, "installed", lambda name: "99.0" if name == "torch" else "1")
    said = []
    found = compare(TINY, methods=["noop"], store=tmp_path, workers=1, on_message=said.append)
    assert found.result.provenance.models_trained == 15
    assert len(said) == 1 and said[0].startswith(f"15 models of {TINY.name} are in the store, but of ")
    assert f"torch {torch}" in said[0] and "99.0" not in said[0]


def test_data_that_change_under_a_run_stop_it(tmp_path):
    assembly = assemble(TINY)
    where = {"store": str(tmp_path), "data": "0" * 64, "trusted": {}, "device": "cpu", "shared": None}
    with pytest.raises(UserError, match="changed while the run was at work"):
        tasks.train_world(case_to_tree(TINY), where, "original")
    assert list(Store(tmp_path).keys()) == []
    where["data"] = assembly.setting.fingerprint
    assert tasks.train_world(case_to_tree(TINY), where, "original") == 3
    assert Store(tmp_path).has(key_of(keys.outputs_fields(assembly.setting, assembly.worlds["original"])))


def test_a_failed_task_is_told_at_once_and_stops_no_other(tmp_path):
    wild = replace(TINY, name="wild", learner=LearnerChoice(epochs=1, lr=1e6, weight_decay=1.0))
    cases, said = [wild, replace(TINY, name="tame")], []
    with pytest.raises(DivergedError) as caught:
        compare(cases, methods=["noop"], store=tmp_path, workers=1, on_message=said.append)
    assert len(said) == 5
    assert all(one.startswith("A task failed, and the others go on: Training on ") for one in said)
    assert "5 of 10 tasks failed. The other 5 tasks are done and what they made is stored." in str(caught.value)
    assert "Lower `learner.lr`" in str(caught.value)
    assert sum(row.kind == "model" for row in stored_objects(Store(tmp_path))) == 15
