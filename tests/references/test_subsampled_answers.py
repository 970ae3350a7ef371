"""Blocks of models of random parts of D: what is stored is what these models say; damaged ones are made anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave import Case, LearnerChoice, ReferenceChoice
from unweave._random import derive
from unweave.learners.nets import build
from unweave.problem import DataChoice, ProbeChoice
from unweave.references import Store, key_of
from unweave.references import subsampled as room
from unweave.references.subsampled import Asked, SubsetPlan, blocks, ensure_block, read_answers
from unweave.study import assemble
from unweave.training.loop import fit
from unweave.training.outputs import logits, one_thread

CASE = Case(
    name="tiny",
    data=DataChoice(limit=200),
    learner=LearnerChoice(epochs=2),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=40),
)


@pytest.fixture(scope="module")
def tiny():
    assembly = assemble(CASE)
    return assembly.setting, Asked(assembly.probes.x, assembly.probes.trained)


def test_classes_beyond_two_bytes_are_those_that_were_predicted(tiny, tmp_path, monkeypatch):
    setting, asked = tiny

    def answers(setting, rows, keys, asked):
        z = np.zeros((len(keys), len(setting.y) + len(asked.y), 40_000), np.float32)
        z[..., 39_999] = 1
        return z

    monkeypatch.setattr(room, "trained_logits", answers)
    plan, store = SubsetPlan(1, 0.7, 0), Store(tmp_path)
    ensure_block(store, setting, plan, asked, range(1))
    assert (read_answers(store, setting, plan, asked).predicted == 39_999).all()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(room, "BLOCK", 3)


def test_answers_are_those_of_models_trained_on_these_parts(tiny, tmp_path, small_blocks):
    setting, asked = tiny
    plan, store = SubsetPlan(5, 0.7, 0), Store(tmp_path)
    assert [ensure_block(store, setting, plan, asked, block) for block in blocks(plan)] == [3, 2]
    assert [ensure_block(store, setting, plan, asked, block) for block in blocks(plan)] == [0, 0]
    found = read_answers(store, setting, plan, asked)
    assert (found.inside.sum(1) == 140).all() and found.predicted.shape == (5, 200 + len(asked.y))
    learner, y = build(setting.learner), np.concatenate([setting.y, asked.y])
    x, labels = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    for k in (0, 4):
        with one_thread():
            alone = fit(learner, x, labels, rows=np.flatnonzero(found.inside[k]), key=derive(0, "subset model", k))
            one = type(alone)(*({n: v[None] for n, v in part.items()} for part in alone))
            z = logits(learner, one, torch.from_numpy(np.concatenate([setting.x, asked.x])))[0].double()
        p = z.softmax(1)[torch.arange(len(y)), torch.from_numpy(y)]
        assert (
            found.predicted[k] == z.argmax(1).numpy()
        ).mean() > 0.99  # a single model is trained with other rounding
        assert found.phi[k] == pytest.approx((p / (1 - p)).log().numpy(), abs=2e-2)


def test_phi_does_not_saturate():
    """The planted bug: from probabilities in single precision both would be infinite."""
    z = np.array([[[40.0, 0.0, 0.0], [90.0, 0.0, 0.0]]], dtype=np.float32)
    assert room._scaled(z, np.array([0, 0]))[0] == pytest.approx([40 - np.log(2), 90 - np.log(2)])
    assert room._scaled(z, np.array([1, 1]))[0] == pytest.approx([-40, -90], abs=1e-4)


def test_a_damaged_block_is_made_anew_to_the_bit(tiny, tmp_path, small_blocks):
    setting, asked = tiny
    plan, store = SubsetPlan(4, 0.5, 1), Store(tmp_path)
    before = read_answers(store, setting, plan, asked)
    path = store.paths(key_of(room.block_fields(setting, plan, asked, range(3))))[0]
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    after = read_answers(store, setting, plan, asked)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert len(store.quarantined()) == 1


def test_parts_of_other_plans_have_other_keys(tiny):
    setting, asked = tiny
    plan = SubsetPlan(4, 0.5, 1)
    plans = [plan, plan._replace(share=0.6), plan._replace(seed=2), plan._replace(clusters=np.arange(200) // 2)]
    keys = {key_of(room.block_fields(setting, one, asked, range(3))) for one in plans}
    keys |= {key_of(room.block_fields(setting, plan, asked, range(3, 4)))}
    keys |= {key_of(room.block_fields(setting, plan, asked._replace(y=asked.y * 0), range(3)))}
    assert len(keys) == 6
    # How many models are asked for in all changes nothing: more can be added later.
    assert key_of(room.block_fields(setting, plan._replace(models=9), asked, range(3))) in keys


def test_copies_are_left_out_together_and_sets_of_other_sizes_are_trained(tiny, tmp_path):
    setting, asked = tiny
    clusters = np.arange(200) // 7
    found = read_answers(Store(tmp_path), setting, SubsetPlan(6, 0.5, 0, clusters), asked)
    for one in range(29):
        together = found.inside[:, clusters == one]
        assert (together.all(1) | ~together.any(1)).all()
    assert found.phi.shape == (6, 200 + len(asked.y)) and np.isfinite(found.phi).all()


def test_of_an_opaque_learner_the_same_is_kept(tmp_path):
    assembly = assemble(replace(CASE, learner=LearnerChoice("forest", trees=3)))
    asked = Asked(assembly.probes.x, assembly.probes.trained)
    found = read_answers(Store(tmp_path), assembly.setting, SubsetPlan(3, 0.5, 0), asked)
    assert found.predicted.shape == found.phi.shape == (3, 200 + len(asked.y))
    own = found.predicted[:, :200] == assembly.setting.y
    assert own[found.inside].mean() > own[~found.inside].mean()


def answers_of(setting, asked, store, models):
    return read_answers(store, setting, SubsetPlan(models, 0.5, 3), asked)


def count_trained(setting, asked, store, models) -> list[int]:
    plan = SubsetPlan(models, 0.5, 3)
    return [ensure_block(store, setting, plan, asked, block) for block in blocks(plan)]


def test_more_and_fewer_models_train_only_what_is_missing(tiny, tmp_path, small_blocks):
    setting, asked = tiny
    store, alone = Store(tmp_path / "grown"), Store(tmp_path / "alone")
    assert count_trained(setting, asked, store, 4) == [3, 1]
    assert count_trained(setting, asked, store, 5) == [0, 1]
    assert count_trained(setting, asked, store, 7) == [0, 1, 1]
    assert count_trained(setting, asked, store, 2) == [0]
    assert count_trained(setting, asked, store, 4) == count_trained(setting, asked, store, 5) == [0, 0]
    for models in (2, 4, 7):
        grown, whole = (answers_of(setting, asked, one, models) for one in (store, alone))
        assert np.array_equal(grown.predicted, whole.predicted) and np.array_equal(grown.inside, whole.inside)
        np.testing.assert_allclose(grown.phi, whole.phi, atol=1e-3)


def test_a_part_that_is_damaged_is_trained_anew(tiny, tmp_path, small_blocks):
    setting, asked = tiny
    store = Store(tmp_path)
    before = answers_of(setting, asked, store, 4)
    part = store.paths(key_of(room.block_fields(setting, SubsetPlan(4, 0.5, 3), asked, range(3, 4))))[0]
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    assert count_trained(setting, asked, store, 6) == [0, 3]
    np.testing.assert_allclose(answers_of(setting, asked, store, 4).phi, before.phi, atol=1e-3)
