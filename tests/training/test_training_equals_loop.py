"""The engine trains each replica as the plain loop does, by either of its gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.data.sources import load
from unweave.learners import specify
from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.training.engine import many, sgd_step, stack, unstack
from unweave.training.loop import fit
from unweave.training.outputs import logits, one_thread

PATHS = ["by hand", "vmap"]


def on(path: str, learner: Learner) -> Learner:
    return learner if path == "by hand" else replace(learner, dense=None)


def subsets(n: int, size: int, models: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.choice(n, size, replace=False) for _ in range(models)]


def gap(a: State, b: State) -> float:
    return max(float((a.params[name] - b.params[name]).abs().max()) for name in a.params)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_many_is_a_loop_of_fits(path, data, toy_data, toy_learner):
    n = data.draw(st.integers(1, 40), label="n")
    size = data.draw(st.integers(1, n), label="size")
    models = data.draw(st.integers(1, 4), label="models")
    batch = data.draw(st.integers(1, 12), label="batch")
    epochs = max(1, min(data.draw(st.integers(1, 6), label="epochs"), 60 // -(-size // batch)))
    recipe = {
        "epochs": epochs,
        "batch_size": batch,
        "momentum": data.draw(st.sampled_from([0.0, 0.5, 0.9]), label="momentum"),
        "weight_decay": data.draw(st.sampled_from([0.0, 5e-4, 0.05]), label="weight_decay"),
        "schedule": data.draw(st.sampled_from(["constant", "linear", "cosine"]), label="schedule"),
    }
    learner = on(path, toy_learner(data.draw(st.integers(0, 2), label="depth"), **recipe))
    assert learner.recipe.steps(size) <= 60
    x, y = toy_data(n)
    rows, keys = subsets(n, size, models, 0), list(range(models))
    stacked = unstack(many(learner, x, y, rows=rows, keys=keys))
    alone = [fit(learner, x, y, rows=r, key=k) for r, k in zip(rows, keys, strict=True)]
    assert max(gap(a, b) for a, b in zip(stacked, alone, strict=True)) <= 1e-5


@pytest.mark.parametrize("path", PATHS)
def test_sixty_steps_on_digits_stay_within_the_stated_rounding(path):
    train = load("digits").train
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    learner = on(path, build(specify("mlp", (8, 8), 10, recipe={"epochs": 4})))
    rows, keys = subsets(len(x), 960, 4, 1), list(range(4))
    assert learner.recipe.steps(960) == 60
    with one_thread():
        stacked = many(learner, x, y, rows=rows, keys=keys)
        alone = stack([fit(learner, x, y, rows=r, key=k) for r, k in zip(rows, keys, strict=True)])
        assert gap(stacked, alone) <= 3e-6
        a, b = logits(learner, stacked, x), logits(learner, alone, x)
    assert float((a - b).abs().max()) <= 3e-5
    assert float((a.argmax(-1) == b.argmax(-1)).double().mean()) >= 0.9998
    assert float((a.argmax(-1) == y).double().mean()) > 0.8  # it did learn: the agreement is not that of stones


def test_the_two_gradients_of_the_engine_agree(toy_data, toy_learner):
    x, y = toy_data(30)
    learner = toy_learner(2, weight_decay=1e-3)
    by_hand, by_vmap = (
        many(on(path, learner), x, y, rows=subsets(30, 21, 3, 2), keys=[4, 5, 6]) for path in PATHS
    )
    assert gap(by_hand, by_vmap) <= 1e-5


def test_dropout_and_running_statistics_are_those_of_the_plain_loop(noisy_learner, toy_data):
    x, y = toy_data(30)
    rows, keys = subsets(30, 21, 3, 3), [1, 2, 3]
    stacked = unstack(many(noisy_learner, x, y, rows=rows, keys=keys))
    for one, r, k in zip(stacked, rows, keys, strict=True):
        alone = fit(noisy_learner, x, y, rows=r, key=k)
        assert gap(one, alone) <= 1e-5
        torch.testing.assert_close(one.buffers["mean"], alone.buffers["mean"], atol=1e-5, rtol=0)
        assert one.buffers["count"].item() == alone.buffers["count"].item() == 9
        assert not any(value.requires_grad for value in [*alone.params.values(), *alone.buffers.values()])
    assert float(stacked[0].buffers["mean"].abs().max()) > 0


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_is_that_of_torch(momentum, weight_decay, toy_learner):
    learner = toy_learner(0, momentum=momentum, weight_decay=weight_decay)
    rng = torch.Generator().manual_seed(0)
    start = {"a": torch.randn(4, 3, generator=rng), "b": torch.randn(5, generator=rng)}
    ours = {name: value.clone() for name, value in start.items()}
    velocity = {name: torch.zeros_like(value) for name, value in start.items()}
    theirs = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.SGD(theirs.values(), lr=1.0, momentum=momentum, weight_decay=weight_decay)
    for step, rate in enumerate([0.3, 0.2, 0.1, 0.05]):
        grads = {name: torch.randn(value.shape, generator=rng) for name, value in start.items()}
        for name, value in theirs.items():
            value.grad = grads[name].clone()
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        sgd_step(ours, grads, velocity, lr=rate, learner=learner, first=step == 0)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value.detach(), atol=1e-6, rtol=1e-6)
