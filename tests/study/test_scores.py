"""RUM by memorization and by learning: which scores a row is given, what they are made of, and what is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._random import derive
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, rum
from unweave.methods.refinement import GIVEN_SCORES
from unweave.problem import DataChoice, ForgetChoice, ProbeChoice
from unweave.references import Store, key_of
from unweave.references.ensure import forward, load_models
from unweave.references.index import stored_objects
from unweave.references.subsampled import Asked, SubsetPlan, blocks, read_answers
from unweave.study import MethodChoice, assemble, read_spec, scores
from unweave.study.diagnose import diagnose
from unweave.study.holdings import needed
from unweave.study.preflight import _to_write
from unweave.study.tasks import method_fields, stored_method

TINY = Case(
    name="tiny",
    data=DataChoice(limit=200),
    forget=ForgetChoice(count=10),
    learner=LearnerChoice(epochs=3, width=8),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=20),
)
NAMES = {name: f"noop / finetune / npo by {name}" for name in (*scores.GIVEN, "shuffled")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    before = Store(folder)
    assembly = assemble(TINY)
    planned = needed([assembly], {"tiny": [MethodChoice(name, {}) for name in NAMES.values()]})
    to_write = _to_write(before, assembly, [MethodChoice(name, {}) for name in NAMES.values()])
    told: list[tuple[str, int, int]] = []
    study = compare(
        TINY, methods=list(NAMES.values()), store=folder, workers=1, on_progress=lambda *one: told.append(one)
    )
    return study, Store(folder), planned, to_write, told


def memorization_by_hand(store: Store) -> np.ndarray:
    """mem(i) of S written plainly, with the probability of the label."""
    assembly = assemble(TINY)
    asked = Asked(assembly.probes.x, assembly.probes.trained)
    found = read_answers(store, assembly.setting, SubsetPlan(500, 0.7, TINY.seed), asked)
    p = 1 / (1 + np.exp(-found.phi.astype(np.float64)))
    return np.array([p[found.inside[:, i], i].mean() - p[~found.inside[:, i], i].mean() for i in assembly.forget])


def test_names_are_known_in_both_places():
    assert tuple(GIVEN_SCORES) == scores.GIVEN
    assert scores.given_score("noop / npo by learning") == "learning"
    for name in ("npo", "noop / npo by confidence", "npo by memorization", "noop / npo by memory"):
        assert scores.given_score(name) is None


def test_a_row_is_what_the_function_makes_of_these_scores(ran):
    store = ran[1]
    assembly = assemble(TINY)
    setting, world = assembly.setting, assembly.worlds["original"]
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    rest = np.setdiff1d(world.rows, assembly.forget)
    made = METHODS.get(NAMES["memorization"]).build()

    def outputs(by) -> np.ndarray:
        edited = rum(
            made.methods,
            build(setting.learner),
            load_models(store, setting, world),
            by=by,
            forget=Examples(x[assembly.forget], y[assembly.forget]),
            retain=Examples(x[rest], y[rest]),
            keys=[derive(TINY.seed, "method", NAMES["memorization"], k) for k in range(3)],
        )
        return forward(setting, edited.state)

    own = memorization_by_hand(store)
    stored = stored_method(store, assembly, MethodChoice(NAMES["memorization"], {}))
    assert stored is not None
    np.testing.assert_allclose(outputs(own), stored.logits, atol=1e-5)
    assert np.abs(outputs(-own) - stored.logits).max() > 1e-3  # the planted bug: highest first
    found = scores.scores_of(store, assembly, MethodChoice(NAMES["memorization"], {}))
    assert found == pytest.approx(own)


def test_another_score_makes_other_models(ran):
    assembly = assemble(TINY)
    found = [stored_method(ran[1], assembly, MethodChoice(name, {})) for name in NAMES.values()]
    assert all(one is not None for one in found)
    for i, one in enumerate(found):
        assert all(np.abs(one.logits - other.logits).max() > 1e-4 for other in found[:i])


def test_what_scores_cost_is_told(ran):
    rows = {row.id: row for row in ran[0].result.cases[0].rows if row.kind == "method"}
    assert "memorization by 500 models of 70% of D, which are not in the cost" in rows[NAMES["memorization"]].note
    assert "8 originals once more, which is not in the cost" in rows[NAMES["learning"]].note
    assert "not in the cost" not in rows[NAMES["shuffled"]].note
    assert ("subsets", 6, 6) in ran[4]  # five blocks of a hundred models, and one of learning events


def test_what_is_trained_is_planned_held_and_kept(ran):
    _, store, planned, to_write, _ = ran
    assembly = assemble(TINY)
    keys = scores.score_sizes(assembly, [MethodChoice(name, {}) for name in NAMES.values()])
    assert len(keys) == len(blocks(SubsetPlan(500, 0.7, 0))) + 1
    for key, size in keys.items():
        assert store.has(key) and key in planned and to_write[key] >= size
        assert store.paths(key)[0].stat().st_size <= to_write[key]
    again: list[tuple[str, int, int]] = []
    compare(
        TINY, methods=[NAMES["learning"]], store=store.root, workers=1, on_progress=lambda *one: again.append(one)
    )
    assert not any(stage == "subsets" for stage, *_ in again)


def test_a_diagnosis_has_the_same_models(ran):
    found = diagnose(TINY, store=ran[1].root, workers=1)
    assert found.cost["models_trained"] == 0 and found.memorized.models == 500
    own = scores.scores_of(ran[1], assemble(TINY), MethodChoice(NAMES["memorization"], {}))
    assert found.memorized.soft.value == pytest.approx(own.mean(), abs=1e-6)


def test_learning_is_one_less_the_mean_confidence_over_epochs(ran):
    from unweave.influence.events import recorded

    assembly = assemble(TINY)
    setting, world = assembly.setting, assembly.worlds["original"]
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    whole = recorded(build(setting.learner), x, y, rows=[world.rows] * 3, keys=list(world.keys))
    own = scores.scores_of(ran[1], assembly, MethodChoice(NAMES["learning"], {}))
    assert own == pytest.approx(1 - whole.probability.mean((0, 1))[assembly.forget], abs=1e-5)
    mem = scores.scores_of(ran[1], assembly, MethodChoice(NAMES["memorization"], {}))
    assert mem.shape == own.shape == (10,) and not np.allclose(mem, own)


def test_scores_are_in_the_key_of_what_was_made_by_them(monkeypatch):
    assembly = assemble(TINY)

    def keys() -> list[str]:
        return [key_of(method_fields(assembly, MethodChoice(name, {}))) for name in NAMES.values()]

    before = keys()
    assert len(set(before)) == 3
    monkeypatch.setattr(scores, "MODELS", 400)
    assert [one == other for one, other in zip(keys(), before, strict=True)] == [False, True, True]
    monkeypatch.setattr(scores, "scores_code", lambda: "other")
    assert [one == other for one, other in zip(keys(), before, strict=True)] == [False, False, True]


def test_a_damaged_block_is_made_anew_and_a_refused_row_trains_nothing(ran, tmp_path):
    store, assembly = ran[1], assemble(TINY)
    choice = MethodChoice(NAMES["memorization"], {})
    before = scores.scores_of(store, assembly, choice)
    path = store.paths(next(iter(scores.score_sizes(assembly, [choice]))))[0]
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    assert np.array_equal(scores.scores_of(store, assembly, choice), before)
    forest = replace(TINY, name="forest", learner=LearnerChoice("forest", trees=3))
    study = compare(forest, methods=["noop", NAMES["memorization"], NAMES["learning"]], store=tmp_path, workers=1)
    rows = [row for row in study.result.cases[0].rows if row.kind == "method"]
    assert [row.status for row in rows] == ["ok", "refused", "refused"]
    assert not {"subset answers", "learning events"} & {one.kind for one in stored_objects(Store(tmp_path))}


def test_the_mixed_example_is_a_spec():
    (case,) = read_spec(Path(__file__).parents[2] / "examples" / "mixed.toml").cases
    assembly = assemble(case)
    assert case.name == "digits-mixed" and len(assembly.forget) == 90 and not assembly.planted.known
