"""Figure 1: circles that generalise, a star that is memorised, and the three things that untraining can leave."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import unweave
from unweave.data.sources import load
from unweave.learners.nets import build
from unweave.references import Outputs
from unweave.study.assemble import assemble
from unweave.study.cases import CASES
from unweave.training.engine import many
from unweave.training.outputs import logits, one_thread

MODELS = 5


def train_ids(start: str) -> np.ndarray:
    return np.flatnonzero(np.char.startswith(load("shapes").train.ids, start))


@cache
def correct_without(removed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability of the label on training and test points, over models trained without some rows."""
    setting, data = assemble(CASES["shapes"]).setting, load("shapes")
    learner = build(setting.learner)
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    rows = np.setdiff1d(np.arange(len(y)), removed)
    found = []
    with one_thread():
        models = many(learner, x, y, rows=[rows] * MODELS, keys=list(range(MODELS)))
        for part in (data.train, data.test):
            labels = torch.from_numpy(part.y)
            p = logits(learner, models, torch.from_numpy(part.x)).softmax(-1)
            found.append(p[:, torch.arange(len(labels)), labels].mean(0).numpy())
    return found[0], found[1]


def test_low_self_and_low_cross_influence_nothing_changes():
    forget = train_ids("circle")[:24]
    (before, unseen_before), (after, unseen_after) = correct_without(()), correct_without(tuple(forget))
    assert before[forget].min() > 0.9 and after[forget].min() > 0.9
    assert np.abs(unseen_after - unseen_before).mean() < 0.02


def test_high_self_and_low_cross_influence_s_is_wrong_and_nothing_else():
    star = train_ids("star")
    (before, unseen_before), (after, unseen_after) = correct_without(()), correct_without(tuple(star))
    assert before[star].min() > 0.9 and after[star].max() < 0.1
    others = np.setdiff1d(np.arange(len(before)), star)
    assert after[others].mean() > 0.98 and np.abs(unseen_after - unseen_before).mean() < 0.02


def test_high_self_and_high_cross_influence_s_is_wrong_and_others_are_harmed():
    far = train_ids("far circle")
    unseen = np.flatnonzero(np.char.startswith(load("shapes").test.ids, "far circle"))
    (before, unseen_before), (after, unseen_after) = correct_without(()), correct_without(tuple(far))
    assert before[far].min() > 0.9 and after[far].max() < 0.1
    assert unseen_before[unseen].mean() > 0.9 and unseen_after[unseen].mean() < 0.1
    ordinary = np.flatnonzero(load("shapes").test.y < 2)
    assert unseen_after[ordinary].mean() > 0.98


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> unweave.Comparison:
    cases = [CASES[name] for name in ("shapes", "shapes-all")]
    small = unweave.ReferenceChoice(models=6)
    return unweave.compare(
        [replace(case, references=small) for case in cases],
        methods=["noop", "finetune"],
        store=tmp_path_factory.mktemp("store"),
        workers=1,
    )


def test_the_plane_shows_what_each_ideal_forgets(study):
    plane = study.result.cases[0].plane
    assert plane is not None and set(plane.regions) == {"original", "untrained", "unlearned", "noop", "finetune"}
    at = {point.shape: point for point in plane.points if point.shape == "star"}["star"]

    def predicted(row: str, x: float, y: float) -> str:
        across = round((x - plane.x[0]) / (plane.x[1] - plane.x[0]) * (plane.size - 1))
        up = round((y - plane.y[0]) / (plane.y[1] - plane.y[0]) * (plane.size - 1))
        return plane.class_names[int(plane.regions[row].classes[up * plane.size + across])]

    circles = (0.0, -1.2)
    assert [predicted(row, at.x, at.y) for row in ("original", "untrained", "unlearned")] == [
        "circle",
        "triangle",
        "triangle",
    ]
    assert predicted("original", *circles) == predicted("untrained", *circles) == "circle"
    assert predicted("unlearned", *circles) != "circle"
    assert plane.regions["noop"] == plane.regions["original"]
    assert sum(point.part == "forget" for point in plane.points) == 25
    assert sum(point.part == "undiscovered" for point in plane.points) == 46


def test_where_s_is_all_of_b_the_aims_coincide(study):
    case = study.result.cases[1]
    assert not case.geometry.drawn and "S = B" in case.geometry.why_not
    for row in case.rows:
        if row.kind == "method":
            assert row.verdict_untraining.outcome == row.verdict_unlearning.outcome


def test_data_that_are_no_points_have_no_plane():
    assert (
        assemble(CASES["digits-trigger"]).setting.probes.shape == assemble(CASES["digits-trigger"]).probes.x.shape
    )


def test_a_private_learner_leaves_nothing_to_untrain(tmp_path):
    case = replace(CASES["shapes-private"], references=unweave.ReferenceChoice(models=6))
    found = unweave.compare(case, methods=["noop"], store=tmp_path, workers=1).result.cases[0]
    assert any("differentially private by itself" in warning for warning in found.warnings)
    assert found.geometry.p_untraining > 0.05 and found.geometry.p_unlearning <= 0.05
    rates = {row.id: row.groups["forget"].behaviour_rate.value for row in found.rows}
    assert rates["original"] == rates["untrained"] == rates["unlearned"] == 0


def test_points_that_planting_moved_lose_the_shape_of_the_row_they_stand_in():
    from unweave.study.plane import plane_of

    case = replace(CASES["shapes"], behaviour=unweave.BehaviourChoice("duplicates"), forget=unweave.ForgetChoice())
    found, data = assemble(case), load("shapes")
    logits_of = Outputs(np.zeros((2, 48 * 48, 3), dtype=np.float32), {})
    plane = plane_of(found.data, found.planted, found.forget, {"original": logits_of})
    assert plane is not None
    moved = [not np.array_equal((point.x, point.y), data.train.x[row]) for row, point in enumerate(plane.points)]
    assert any(moved) and not all(moved)
    assert all((point.shape == "") == lost for point, lost in zip(plane.points, moved, strict=True))


def test_a_constant_feature_has_some_width():
    from unweave.report.regions import marks
    from unweave.study.plane import plane_of

    found = assemble(CASES["shapes"])
    x = found.planted.x.copy()
    x[:, 1] = 1.7e9  # as a time of day would be
    logits_of = Outputs(np.zeros((2, 48 * 48, 3), dtype=np.float32), {})
    plane = plane_of(found.data, replace(found.planted, x=x), found.forget, {"original": logits_of})
    assert plane is not None and len(marks(plane)) == len(x)
