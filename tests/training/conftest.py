"""Data small enough to train on in a moment, and learners with everything a stack must carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from unweave._random import derive
from unweave.learners import LearnerSpec, Recipe, specify
from unweave.learners.contract import Learner, Params, State
from unweave.learners.nets import build
from unweave.learners.noise import uniform


class Data(NamedTuple):
    x: Tensor
    y: Tensor


def _toy_data(n: int, *, features: int = 6, classes: int = 3, seed: int = 0) -> Data:
    x = torch.randn(n, features, generator=torch.Generator().manual_seed(seed))
    return Data(x, x[:, :classes].argmax(1))


def _toy_learner(depth: int = 1, **recipe: object) -> Learner:
    recipe = {"lr": 0.1, "epochs": 3, "batch_size": 8, **recipe}
    if depth == 0:
        return build(specify("softmax", (6,), 3, recipe=recipe))
    return build(specify("mlp", (6,), 3, config={"width": 8, "depth": depth}, recipe=recipe))


def _noisy_learner() -> Learner:
    """A net with dropout that centres its hidden layer by a running mean of it."""

    def init(key: int) -> State:
        rng = torch.Generator().manual_seed(derive(key, "init"))
        params = {"w": torch.randn(8, 6, generator=rng) / 3, "v": torch.randn(3, 8, generator=rng) / 3}
        return State(params, {"mean": torch.zeros(8), "count": torch.zeros((), dtype=torch.int64)})

    def features(state: State, x: Tensor) -> Tensor:
        return relu(linear(x, state.params["w"]))

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        hidden, buffers = features(state, x), state.buffers
        centred = hidden - buffers["mean"]
        if train and key is not None:
            centred = centred * 2 * (uniform(key, *hidden.shape) < 0.5)
            mean = 0.9 * buffers["mean"] + 0.1 * hidden.mean(0)
            buffers = {"mean": mean, "count": buffers["count"] + 1}
        return linear(centred, state.params["v"]), buffers

    spec = LearnerSpec("noisy", {}, Recipe(lr=0.1, epochs=3, batch_size=8), (6,), 3)
    return Learner(spec, init, apply, features)


@pytest.fixture(scope="session")
def toy_data() -> Callable[..., Data]:
    """`toy_data(n)`: n examples of 3 classes that a linear net can tell apart."""
    return _toy_data


@pytest.fixture(scope="session")
def toy_learner() -> Callable[..., Learner]:
    """`toy_learner(depth, **recipe)`: softmax regression (depth 0) or a net of 8 units."""
    return _toy_learner


@pytest.fixture(scope="session")
def noisy_learner() -> Learner:
    return _noisy_learner()
