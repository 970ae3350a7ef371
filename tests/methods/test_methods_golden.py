"""Golden values: what a method gives does not change unless somebody means it to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor, uniform
from unweave.methods import METHODS, Examples
from unweave.training.outputs import logits
from unweave.training.replay import Training

REMEDY = (
    "This method gives something else than it did. If that is meant, record these values anew and say so in "
    "the changelog: published figures of this method no longer hold."
)


def draw(number: int, *shape: int) -> torch.Tensor:
    return 2 * uniform(key_tensor([1000 + number])[0], *shape) - 1


def edited_logits(contract, name: str, **given: float) -> torch.Tensor:
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.3, "weight_decay": 5e-4}
    learner = build(specify("mlp", (6,), 3, config={"width": 8}, recipe=recipe))
    # Originals from numbers alone, so that a change of training is not taken for one of methods.
    originals = State(
        {
            "0.weight": draw(0, 2, 8, 6),
            "0.bias": draw(1, 2, 8),
            "1.weight": draw(2, 2, 3, 8),
            "1.bias": draw(3, 2, 3),
        },
        {},
    )
    x, y = draw(4, 40, 6), (1.5 * (draw(5, 40) + 1)).to(torch.int64)
    held_out = Examples(draw(6, 12, 6), (1.5 * (draw(7, 12) + 1)).to(torch.int64))
    training = Training(x, y, np.arange(40), [31, 32], np.arange(10))
    sets = Examples(x[:10], y[:10]), Examples(x[10:], y[10:])
    toy = contract.Toy(learner, originals, *sets, [21, 22], held_out, training)
    edited = toy.edit(lambda: METHODS.get(name).build(**given)).state
    return logits(learner, edited, x[[0, 39]]).flatten()


@pytest.mark.parametrize("name", METHODS.names())
def test_defaults(name, known):
    found = METHODS.get(name).defaults()
    assert list(found) == list(known[name].defaults)
    assert found == pytest.approx(known[name].defaults, abs=1e-6), REMEDY


@pytest.mark.parametrize("name", METHODS.names())
def test_outputs(name, known, contract):
    found = edited_logits(contract, name, **known[name].golden_at).tolist()
    text = " ".join(f"{value:.4f}" for value in found)
    assert found == pytest.approx(known[name].golden, abs=1e-3), f"found {text}\n{REMEDY}"


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).defaults()])
def test_the_golden_values_notice_a_change(name, known, contract):
    this = known[name]
    by = this.golden_by
    given = {**this.golden_at, by: 1.2 * {**METHODS.get(name).defaults(), **this.golden_at}[by]}
    assert edited_logits(contract, name, **given).tolist() != pytest.approx(this.golden, abs=1e-3)
