"""A sweep on few digits: what is trained, what is stored, what fails, and what the record holds."""

import json
from dataclasses import replace

import numpy as np
import pytest

from unweave import (
    BehaviourChoice,
    Case,
    DataChoice,
    Estimate,
    LearnerChoice,
    NotMeasured,
    ReferenceChoice,
    compare,
    sweep,
)
from unweave._errors import UserError
from unweave.problem import Planted, choose_probes
from unweave.records import SweepResult, from_json, sweep_csv, to_json
from unweave.references import Store
from unweave.study import assemble, sweep_steps
from unweave.study.engines import Engine
from unweave.study.sweep_axes import grid, read_axes
from unweave.study.sweep_cells import rates_of
from unweave.study.sweep_views import gap_closed

K = 4
TINY = Case(
    name="tiny",
    data=DataChoice(limit=300),
    behaviour=BehaviourChoice("mislabel", size=60),
    learner=LearnerChoice(epochs=15),
    references=ReferenceChoice(models=K),
)
METHODS = ["noop", "finetune"]


def run(store, case=TINY, **given):
    asked = {"discovery": [0.4, 0.7], "methods": METHODS, **given}
    return sweep(case, store=store, workers=1, **asked).result


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store):
    said = []
    result = run(store, behaviours=["mislabel", "trigger"], on_message=said.append)
    return result, said


def test_each_model_is_trained_once_and_the_forecast_says_so(found):
    result, said = found
    # Of each behaviour A(D), A(D∖B) and its fresh retrains once, A(D∖S) and its fresh retrains for each γ.
    models = 2 * (3 + 2 * 2) * K
    assert result.provenance.models_trained == models
    assert result.provenance.models_reused == 0
    assert f"4 cells of {models} models, 0 of them stored" in said[0]
    assert "Then 8 runs of a method on 4 originals each." in said[0]


def test_what_is_stored_is_not_made_again(found, store, monkeypatch):
    def none(*given, **options):
        raise AssertionError("something was trained again")

    monkeypatch.setattr("unweave.references.ensure.many", none)
    monkeypatch.setattr("unweave.study.tasks.edit", none)
    said = []
    again = run(store, behaviours=["mislabel", "trigger"], on_message=said.append)
    assert again.provenance.models_trained == 0
    assert "No method is left to run." in said[0]
    assert again.cells == found[0].cells
    assert again.gap_closed == found[0].gap_closed


def test_a_wider_grid_trains_only_what_is_new(found, tmp_path, store):
    more = run(store, behaviours=["mislabel"], discovery=[0.4, 0.5], methods=["noop"])
    assert more.provenance.models_trained == 2 * K


def test_no_two_tasks_at_work_at_once_train_the_same_model(tmp_path):
    waves = []

    def keep(tasks, *, on_done, on_failed):
        waves.append([task.label.partition(" of ")[0] for task in tasks])
        for number in range(len(tasks)):
            on_done(number, 0)

    assemblies = [assemble(place.case) for place in grid([TINY], read_axes({"discovery": [0.3, 0.5, 0.8]}))]
    engine = Engine(keep, keep, "")
    _, total = sweep_steps.train_each_once(Store(tmp_path), assemblies, engine, lambda *told: None, {}, print)
    # A(D), A(D∖B) and its fresh retrains are of all γ, A(D∖S) and its fresh retrains of one.
    first, second = (sorted(wave) for wave in waves)
    assert first == ["training D"] + ["training D∖B"] * 2 + ["training D∖S"] * 6
    assert second == ["training D"] * 2 + ["training D∖B"] * 4
    assert total == (3 + 2 * 3) * K


def test_references_close_nothing_and_all_and_scores_are_products(found):
    result, _ = found
    assert result.gap_closed["untrained"].mean == Estimate(0.0, 0.0, 0.0, K)
    assert result.gap_closed["unlearned"].mean == Estimate(1.0, 1.0, 1.0, K)
    for cell in result.cells:
        for row in cell.rows:
            own = {key: np.array(values) for key, values in row.per_model.items()}
            np.testing.assert_allclose(own["score"], own["utility"] * own["healed"])
            assert row.score.value == pytest.approx(own["score"].mean())
            assert len(own["score"]) == K


def test_with_too_few_models_residuals_stand_in_cells_and_support_nothing(found):
    result, _ = found
    own = [row for cell in result.cells for row in cell.rows if row.id == "finetune"]
    assert {row.unlearning for row in own} == {"not measured"}
    assert any(isinstance(row.residual_unlearning, Estimate) for row in own)
    points = [one for one in result.points if one.row == "finetune"]
    assert points and all(isinstance(one.residual_unlearning, NotMeasured) for one in points)
    assert not any(one.outcome == "rely on generalisation" and "r_B" in one.reason for one in result.advice.advice)


def test_the_pooled_share_is_that_of_the_rows(found):
    result, _ = found
    above = below = 0.0
    for cell in result.cells:
        scores = {row.id: np.mean(row.per_model["score"]) for row in cell.rows}
        above += scores["finetune"] - scores["untrained"]
        below += scores["unlearned"] - scores["untrained"]
    assert result.gap_closed["finetune"].mean.value == pytest.approx(above / below)
    each = [np.mean(row.per_model["score"]) for cell in result.cells for row in cell.rows if row.id == "finetune"]
    assert result.gap_closed["finetune"].score.value == pytest.approx(np.mean(each))
    assert set(result.gap_closed["finetune"].by_discovery) == {"0.4", "0.7"}
    assert set(result.gap_closed["finetune"].by_behaviour) == {"mislabel", "trigger"}


def test_the_gap_of_other_worlds_is_between_their_own_references(found):
    """As if a method had worlds of its own, whose references and whose method are worse by known amounts."""
    lower = {"untrained": 0.2, "unlearned": 0.1, "noop": 0.15}
    both = []
    for cell in found[0].cells:
        rows = []
        for row in cell.rows:
            less = lower.get(row.id, 0.0)
            own = {**row.per_model, "score": tuple(one - less for one in row.per_model["score"])}
            rows.append(replace(row, id=f"{row.id} (etd worlds)", models=f"etd {row.models}", per_model=own))
        both += [cell, replace(cell, panel="etd", rows=tuple(rows))]
    shares = gap_closed(both)
    assert shares["noop"] == found[0].gap_closed["noop"]
    mean = {
        name: np.mean([np.mean(r.per_model["score"]) for c in found[0].cells for r in c.rows if r.id == name])
        for name in lower
    }
    above = (mean["noop"] - 0.15) - (mean["untrained"] - 0.2)
    below = (mean["unlearned"] - 0.1) - (mean["untrained"] - 0.2)
    assert shares["noop (etd worlds)"].mean.value == pytest.approx(above / below)
    assert shares["noop (etd worlds)"].score.value == pytest.approx(mean["noop"] - 0.15)
    assert shares["untrained (etd worlds)"].mean.value == pytest.approx(0.0, abs=1e-9)


def test_a_method_shares_the_batch_of_the_originals_in_every_cell(found):
    batches = {row.id: row.models for row in found[0].cells[0].rows}
    assert batches["noop"] == batches["original"] != batches["untrained"]
    for cell in found[0].cells:
        assert {row.id: row.models for row in cell.rows} == batches


def test_a_rule_is_regular_and_random_mislabels_are_not(tmp_path):
    case = replace(TINY, learner=LearnerChoice(epochs=20), data=DataChoice(limit=600))
    given = {"behaviours": ["mislabel", "trigger"], "discovery": [0.2, 0.5], "methods": ["noop"]}
    regular = run(tmp_path, case, **given).regularity
    assert regular["trigger"].low > 0.7
    assert regular["mislabel"].high < 0.5


def test_what_heals_nothing_has_no_score_but_its_other_numbers(tmp_path):
    result = run(tmp_path, behaviours=[{"kind": "subclass", "target": 1}], methods=["noop"], discovery=[0.5])
    row = next(row for row in result.cells[0].rows if row.id == "noop")
    assert row.score == NotMeasured("the clean label is the behaviour itself")
    assert isinstance(row.survival, Estimate)
    assert isinstance(result.gap_closed["noop"].mean, NotMeasured)


def test_cells_that_cannot_be_made_are_rows_with_a_reason(tmp_path):
    result = run(tmp_path, behaviours=["mislabel", {"kind": "class", "target": 77}], discovery=[0.5])
    assert [cell.status for cell in result.cells] == ["ok", "refused"]
    assert "77" in result.cells[1].reason
    assert "1 of 2 cells ran" in result.headline


def test_a_world_that_cannot_be_trained_costs_its_cells_only(tmp_path, monkeypatch):
    real = sweep_steps.case_task

    def broken(function, store, assembly, label, reads, **arguments):
        if function == "train_world" and "γ 0.7" in assembly.case.name and arguments["world"] == "untrained":
            arguments["world"] = "no such world"
        return real(function, store, assembly, label, reads, **arguments)

    monkeypatch.setattr(sweep_steps, "case_task", broken)
    result = run(tmp_path)
    assert [cell.status for cell in result.cells] == ["ok", "failed"]
    assert "no such world" in result.cells[1].reason


def test_a_method_that_fails_is_a_row(store, monkeypatch):
    def broken(*given, **options):
        raise RuntimeError("an author's bug")

    monkeypatch.setattr("unweave.study.tasks.edit", broken)
    result = run(store, discovery=[0.4], methods=["gradient_ascent"])
    row = next(row for row in result.cells[0].rows if row.kind == "method")
    assert row.status == "failed"
    assert "an author's bug" in row.reason
    assert row.per_model == {}
    assert result.gap_closed["gradient_ascent"].cells == 0


def test_outputs_that_are_gone_at_the_end_are_no_lack_of_probes(store, monkeypatch):
    monkeypatch.setattr(sweep_steps, "stored_method", lambda *given: None)
    result = run(store, discovery=[0.4], methods=["noop"])
    row = next(row for row in result.cells[0].rows if row.kind == "method")
    assert row.status == "ok" and "code was changed" in str(row.score) and "code was changed" in str(row.utility)


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path):
    class Enough(Exception):
        pass

    def stop(stage, done, total):
        if stage == "train" and done == 3:
            raise Enough

    with pytest.raises(Enough):
        run(tmp_path, on_progress=stop)
    again = run(tmp_path)
    assert again.provenance.models_reused == 3 * K
    assert again.provenance.models_trained == (3 + 2 * 2) * K - 3 * K


def test_the_record_survives_its_json_and_the_table_is_defused(found):
    result, _ = found
    assert from_json(SweepResult, to_json(result)) == result
    tree = json.loads(to_json(result))
    assert set(tree["gap_closed"]["noop"]) >= {"mean", "by_discovery", "by_behaviour"}
    cell = replace(result.cells[0], case="=cmd()")
    lines = sweep_csv(replace(result, cells=(cell,))).splitlines()
    assert lines[1].startswith("'=cmd(),mislabel,0.4,random,0,")
    assert len(lines) == 1 + len(cell.rows)
    with pytest.raises(UserError, match="schema"):
        from_json(SweepResult, '{"schema": "unweave.result/1"}')


def test_a_cell_is_judged_as_compare_judges_its_case(found, store):
    place = grid([TINY], read_axes({"discovery": [0.4], "behaviour": ["mislabel"]}))[0]
    rows = compare(place.case, methods=METHODS, measures="none", store=store, workers=1).result.cases[0].rows
    for row, one in zip(rows, found[0].cells[0].rows, strict=True):
        assert (one.id, one.generality, one.label) == (row.id, row.generality, row.label)
        assert one.residual_unlearning == row.residual_unlearning


@pytest.mark.parametrize("limit", [50, 400])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_limit_on_probes_does_not_change_how_much_of_the_behaviour_is_healed(limit, share):
    """A model that is right on S alone heals |S|/|B|, however few of S and of B∖S are asked."""
    size = 300
    clean = np.zeros(1000, dtype=np.int64)
    x, y = np.zeros((1000, 1), np.float32), np.where(np.arange(1000) < size, 1, 0)
    planted = Planted(x, y, clean, np.arange(size), None, "none")
    test = (np.zeros((100, 1), np.float32), np.zeros(100, np.int64))
    probes = choose_probes(planted, np.arange(round(share * size)), test, limit=limit, key=0)
    logits = np.zeros((1, len(probes.clean), 2))
    logits[..., 0] = 0.5
    logits[:, probes.groups["undiscovered"], 1] = 1.0
    assert rates_of(probes, logits)["healed"] == pytest.approx((share,))
