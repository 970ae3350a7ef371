"""`expand(NAME)` on digits: rows are what their parts make, nothing is trained twice, keys say what Ŝ comes of."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave import Case, LearnerChoice, ReferenceChoice, compare, sweep
from unweave._errors import SpecError, UnknownNameError
from unweave._random import derive
from unweave.influence.discovery import RUNGS
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, run
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.references import Store, key_of
from unweave.references.ensure import forward, load_models
from unweave.references.index import stored_objects
from unweave.study import MethodChoice, assemble, expansion, read_spec
from unweave.study.ahead import ahead_sizes, expansion_work, read_ahead
from unweave.study.citing import bibtex
from unweave.study.discover import discover
from unweave.study.fair import why_not_expanded, why_refused
from unweave.study.holdings import needed
from unweave.study.preflight import _to_write
from unweave.study.tasks import method_fields, stored_method
from unweave.training.engine import many

TINY = Case(
    name="tiny",
    data=DataChoice(limit=300),
    behaviour=BehaviourChoice("trigger", size=40, target=0),
    forget=ForgetChoice(count=12),
    learner=LearnerChoice(epochs=6, width=8),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=40),
)
NPO, RETRAIN = MethodChoice("expand(npo)", {"lr": 0.05}), MethodChoice("expand( retrain )", {})


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    assembly = assemble(TINY)
    before = needed([assembly], {"tiny": [NPO, RETRAIN]}), _to_write(Store(folder), assembly, [NPO, RETRAIN])
    told: list[tuple[str, int, int]] = []
    methods = [("expand(npo)", {"lr": 0.05}), "expand( retrain )", "npo"]
    study = compare(TINY, methods=methods, store=folder, workers=1, on_progress=lambda *one: told.append(one))
    return study, Store(folder), before, told


def found_in(store, case=TINY):
    return expansion.found_of(store, assemble(case), NPO)


def kinds(store) -> list[str]:
    return [one.kind for one in stored_objects(store)]


def test_names_are_one_however_they_are_spaced():
    assert RETRAIN.id == "expand(retrain)" and NPO.id == "expand(npo)(lr=0.05)"
    (case,) = read_spec(cases=["digits-trigger"]).cases
    assert case.name and expansion.MOST_RUNGS == RUNGS


def test_rows_are_what_the_methods_make_of_the_larger_set(ran):
    store, assembly = ran[1], assemble(TINY)
    setting, world = assembly.setting, assembly.worlds["original"]
    grown = found_in(store).forget
    rest = np.setdiff1d(world.rows, grown)
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)

    def npo_on(forget) -> np.ndarray:
        left = np.setdiff1d(world.rows, forget)
        edited = run(
            METHODS.get("npo").build(lr=0.05),
            build(setting.learner),
            load_models(store, setting, world),
            forget=Examples(x[forget], y[forget]),
            retain=Examples(x[left], y[left]),
            keys=[derive(0, "method", NPO.setting, k) for k in range(3)],
        )
        return forward(setting, edited.state)

    stored = stored_method(store, assembly, NPO)
    np.testing.assert_allclose(npo_on(grown), stored.logits, atol=1e-5)
    assert np.array_equal(stored.notes["forget"], grown)
    assert np.abs(npo_on(assembly.forget) - stored.logits).max() > 1e-3  # the planted bug: run on S
    keys = [derive(0, "method", "expand(retrain)", k) for k in range(3)]
    anew = many(build(setting.learner), x[rest], y[rest], rows=[np.arange(len(rest))] * 3, keys=keys)
    np.testing.assert_allclose(forward(setting, anew), stored_method(store, assembly, RETRAIN).logits, atol=1e-5)


def test_the_larger_set_holds_s_and_what_is_best_of_the_order(ran):
    store, assembly = ran[1], assemble(TINY)
    found, order = found_in(store), expansion.read_order(store, assembly)
    assert set(found.forget.tolist()) == {*assembly.forget.tolist(), *order.at(found.rung).tolist()}
    assert found.cuts == order.cuts and len(found.believed) == len(found.cuts) <= RUNGS
    assert found.believed[found.rung] <= min(found.believed) + 0.03
    member = np.isin(order.rows, assembly.planted.members)
    assert member[:28].mean() > 3 * member.mean()  # B∖S has 28 members, and stands above the others


def test_a_rung_is_a_model_without_it(ran):
    store, assembly = ran[1], assemble(TINY)
    setting, order = assembly.setting, expansion.read_order(store, assembly)
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    for rung in range(len(order.cuts)):
        rows = np.setdiff1d(np.arange(300), np.union1d(assembly.forget, order.at(rung)))
        one = many(build(setting.learner), x, y, rows=[rows], keys=[derive(0, "expansion", "rung", rung)])
        z = build(setting.learner).apply(
            type(one)({n: v[0] for n, v in one.params.items()}, {}), x, train=False, key=None
        )
        p = z[0].double().softmax(-1)[assembly.forget, y[assembly.forget]].numpy()
        stored = store.read(key_of(expansion.rung_fields(assembly, rung)))[0]["on_forget"]
        np.testing.assert_allclose(stored, p, atol=1e-5)


def test_cost_and_note_say_what_was_paid_and_found(ran, tmp_path):
    rows = {row.id: row for row in ran[0].result.cases[0].rows if row.kind == "method"}
    found, assembly = found_in(ran[1]), assemble(TINY)
    anew, row = rows["expand(retrain)"], rows["expand(npo)(lr=0.05)"]
    left = [288 - cut for cut in found.cuts]
    ladder, scoring = sum(left) / 288, 5 * 300 / 288
    assert anew.cost.gradient_ratio == pytest.approx(left[found.rung] / 288 + ladder + scoring)
    assert row.cost.gradient_ratio > ladder + scoring and rows["npo"].note == ""
    assert f"{found.flagged} examples of D∖S joined S" in row.note and "all 3 models" in row.note
    joined, rest = set(found.forget) - set(assembly.forget), set(assembly.planted.members) - set(assembly.forget)
    hits = len(joined & rest)
    said = re.search(r"recall (\S+) of B∖S, precision (\S+)$", row.note)
    assert float(said[1]) == round(hits / 28, 2) and float(said[2]) == round(hits / found.flagged, 2)
    folder = ran[0].save(tmp_path / "out")
    assert all(
        "expand(retrain)" in (folder / one).read_text() for one in ("report.html", "rows.csv", "result.json")
    )


def test_a_behaviour_that_is_not_declared_has_no_recall():
    some = tuple(assemble(TINY).setting.ids[:4].tolist())
    unknown = assemble(replace(TINY, behaviour=BehaviourChoice("unknown"), forget=ForgetChoice(ids=some)))
    assert expansion.note_of_truth(unknown, np.arange(20)) == ""


def test_what_is_made_is_planned_held_and_kept(ran):
    _, store, (planned, to_write), told = ran
    assembly = assemble(TINY)
    sizes = ahead_sizes(assembly, [NPO])
    count = len(found_in(store).cuts)
    assert len(sizes) == 5 + 1 + 1 + RUNGS and set(sizes) <= planned
    assert set(read_ahead(assembly, NPO)) == set(expansion.ladder_keys(assembly)) <= set(sizes)
    made = [key for key in sizes if store.has(key)]
    assert len(made) == 5 + 1 + 1 + count
    assert all(store.paths(key)[0].stat().st_size <= to_write[key] for key in made)
    steps = [one for one in told if one[0] == "expansion"]
    assert steps[0] == ("expansion", 0, 6) and steps[-1] == ("expansion", 7 + count, 7 + count)
    assert kinds(store).count("half-split logits") == 5 and kinds(store).count("expansion rung") == count
    assert (
        ahead_sizes(assembly, [MethodChoice("npo", {})])
        == {}
        == expansion.expansion_fields(assembly, MethodChoice("npo", {}))
    )


def test_a_second_run_trains_nothing_and_another_s_only_its_ladder(ran):
    store = ran[1]
    again: list[tuple[str, int, int]] = []
    study = compare(
        TINY,
        methods=["expand(ssd)"],
        store=store.root,
        workers=1,
        on_progress=lambda *one: again.append(one),
    )
    assert not any(one[0] == "expansion" for one in again) and study.result.provenance.models_trained == 0
    assert expansion_work(store, [(assemble(TINY), NPO)]) == (0.0, 1)
    found = discover(replace(TINY, forget=ForgetChoice(count=20)), store=store.root, workers=1)[0]
    assert found.cost["models_trained"] == 0  # the same halves, and the same original
    other = assemble(replace(TINY, forget=ForgetChoice(count=20)))
    assert expansion_work(store, [(other, NPO), (other, RETRAIN)]) == (float(RUNGS), 1)


def test_keys_are_of_what_the_larger_set_follows_from(monkeypatch):
    def keys(case: Case) -> tuple[str, str]:
        return tuple(key_of(method_fields(assemble(case), one)) for one in (NPO, MethodChoice("npo", {})))

    def order(case: Case) -> str:
        return key_of(expansion.order_fields(assemble(case)))

    before = order(TINY)
    assert order(replace(TINY, references=ReferenceChoice(models=4))) == before  # K changes no discovery
    for other in (
        replace(TINY, forget=ForgetChoice(count=13)),
        replace(TINY, seed=1),
        replace(TINY, learner=LearnerChoice(epochs=7, width=8)),
        replace(TINY, behaviour=BehaviourChoice("trigger", size=41, target=0)),
    ):
        assert order(other) != before
    assert keys(TINY)[0] != keys(TINY)[1]
    first = keys(TINY)
    monkeypatch.setattr(expansion, "expansion_code", lambda: "other")
    assert [one == two for one, two in zip(first, keys(TINY), strict=True)] == [False, True]


def test_a_damaged_rung_is_made_anew(ran):
    store, assembly = ran[1], assemble(TINY)
    before = found_in(store)
    for key in expansion.ladder_keys(assembly)[:2]:
        path = store.paths(key)[0]
        content = bytearray(path.read_bytes())
        content[-3] ^= 16
        path.write_bytes(content)
    after = found_in(store)
    assert np.array_equal(before.forget, after.forget) and after.believed == pytest.approx(before.believed)


REFUSED = {
    "needs features of models": replace(TINY, learner=LearnerChoice("forest", trees=3)),
    "S has 3 examples, expected at least 4": replace(TINY, forget=ForgetChoice(count=3)),
    "S lies outside D": replace(TINY, forget=ForgetChoice(count=10, outside=True)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_expanded_is_refused_before_anything_is_trained(why, tmp_path):
    assembly = assemble(REFUSED[why])
    assert why in why_not_expanded(assembly) and why_refused(assembly, NPO)
    assert ahead_sizes(assembly, [NPO]) == {} and expansion_work(Store(tmp_path), [(assembly, NPO)]) == (0.0, 0)


def test_a_refused_row_has_its_reason_and_trains_no_halves(tmp_path):
    few = replace(TINY, forget=ForgetChoice(count=3), learner=LearnerChoice(epochs=1, width=4))
    study = compare(few, methods=["noop", "expand(npo)"], equal_cost=0.5, store=tmp_path, workers=1)
    rows = {row.id: row for row in study.result.cases[0].rows if row.kind == "method"}
    assert rows["expand(npo)"].status == "refused" and "expected at least 4" in rows["expand(npo)"].reason
    assert not {"half-split logits", "evidence"} & set(kinds(Store(tmp_path)))
    fair = why_refused(assemble(TINY), MethodChoice("expand(npo)", {}, "equal_cost", 0.5))
    assert "no budget of a method counts" in fair


def test_names_that_stand_for_nothing_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean `npo`"):
        compare(TINY, methods=["expand(npoo)"])
    with pytest.raises(UnknownNameError, match="parameter of `npo`"):
        compare(TINY, methods=[("expand(npo)", {"rate": 1.0})])
    for name in ("expand(expand(npo))", "expand(npo) then ssd", "expand(npo", "expand()", "expand"):
        with pytest.raises(SpecError, match="goes around one method"):
            compare(TINY, methods=[name])
    with pytest.raises(SpecError, match="for each part of S cannot be expanded"):
        compare(TINY, methods=["expand(noop / npo by confidence)"])


def test_sources_are_those_of_the_method():
    assert "Kurmanji" in bibtex(["expand(scrub)"])
    assert "Kurmanji" in bibtex(["expand(ssd then scrub)"])


def test_a_sweep_trains_the_halves_of_a_behaviour_once(tmp_path):
    said: list[str] = []
    case = replace(TINY, forget=ForgetChoice(), learner=LearnerChoice(epochs=2, width=6))
    found = sweep(
        case,
        discovery=[0.2, 0.5],
        methods=["noop", "expand(npo then finetune)"],
        models=3,
        store=tmp_path,
        workers=1,
        on_message=said.append,
    )
    store = Store(tmp_path)
    assert [cell.status for cell in found.result.cells] == ["ok", "ok"]
    assert all("expand(npo then finetune)" in [row.id for row in cell.rows] for cell in found.result.cells)
    assert kinds(store).count("half-split logits") == 5 and kinds(store).count("expansion order") == 2
    assert f"At most {5 + 2 * RUNGS} of these are to find more of the behaviour in 2 cells." in said[0]
