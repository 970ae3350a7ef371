"""Small nets of several kinds, and a toy whose wrong labels are known by heart."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from unweave import testing
from unweave.influence.events import Recorded, recorded
from unweave.learners import specify
from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.methods import Examples
from unweave.training.engine import many, stack, unstack


class Models(NamedTuple):
    learner: Learner
    stacked: State
    train: Examples
    probes: Examples

    def only(self, k: int) -> Models:
        return self._replace(stacked=stack([unstack(self.stacked)[k]]))


@pytest.fixture(scope="session")
def relu() -> Models:
    """Three relu nets [6 → 8 → 3], 40 training examples and 7 probes."""
    toy = testing.small_toy()
    assert toy.validation is not None
    train = Examples(*(torch.cat(both) for both in zip(toy.forget, toy.retain, strict=True)))
    return Models(toy.learner, toy.originals, train, Examples(toy.validation.x[:7], toy.validation.y[:7]))


@pytest.fixture(scope="session", params=["by hand", "autograd"])
def nets(relu, request) -> Models:
    """The same nets, known as plain relu nets or not."""
    plain = request.param == "by hand"
    return relu if plain else relu._replace(learner=replace(relu.learner, dense=None))


@pytest.fixture(scope="session")
def images() -> Models:
    """Two convolutional nets with batch norm, which are not stacked."""
    toy = testing.image_toy("resnet9")
    sets = (Examples(part.x[:6], part.y[:6]) for part in (toy.forget, toy.retain))
    return Models(toy.learner, toy.originals, *sets)


class Mislabelled(NamedTuple):
    models: Models
    held_out: Examples
    wrong: np.ndarray
    recorded: Recorded
    keys: list[int]


@pytest.fixture(scope="session")
def mislabelled() -> Mislabelled:
    """Nets that know 120 examples of four clusters by heart, every tenth of them with a wrong label."""
    rng = torch.Generator().manual_seed(3)
    y = torch.arange(240) % 4
    x = torch.randn(4, 20, generator=rng)[y] * 1.5 + torch.randn(240, 20, generator=rng)
    wrong = np.arange(120) % 10 == 7
    given = torch.where(torch.from_numpy(wrong), (y[:120] + 1) % 4, y[:120])
    recipe = {"epochs": 40, "batch_size": 32, "lr": 0.2}
    learner = build(specify("mlp", (20,), 4, config={"width": 64}, recipe=recipe))
    rows, keys = [np.arange(120)] * 4, [1, 2, 3, 4]
    found = recorded(learner, x[:120], given, rows=rows, keys=keys, chunk=4)
    stacked = many(learner, x[:120], given, rows=rows, keys=keys, chunk=4)
    held_out = Examples(x[120:], y[120:])
    models = Models(learner, stacked, Examples(x[:120], given), held_out)
    return Mislabelled(models, held_out, wrong, found, keys)
