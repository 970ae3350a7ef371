"""bfloat16 is opt-in, held against float32 with the same seeds, and refused where it trains other models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave._errors import SpecError, UserError
from unweave.learners import nets, specify
from unweave.learners.nets import build
from unweave.learners.precision import in_bfloat16
from unweave.training import parity as module
from unweave.training.engine import many
from unweave.training.parity import Parity, check_parity, parity

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + 0.5 * X[:, 1] > 0).long() + (X[:, 2] > 1).long()
ROWS = np.arange(200)


def learner(dtype: str = "bfloat16", **recipe: object):
    return specify("mlp", (6,), 3, config={"width": 16}, recipe={"epochs": 2, "lr": 0.1, "dtype": dtype, **recipe})


def test_products_are_bfloat16_and_all_that_is_kept_is_float32():
    low, full = build(learner()), build(learner("float32"))
    state = full.init(0)
    (a, _), (b, _) = (one.apply(state, X, train=True, key=None) for one in (low, full))
    assert a.dtype == torch.float32
    assert torch.equal(low.init(0).params["0.weight"], state.params["0.weight"])
    error = (a - b).abs().max() / b.abs().max()
    assert 2**-12 < error < 2**-5  # 8 bits, not 24
    assert low.features(state, X).dtype == torch.float32
    trained = many(low, X, Y, rows=[ROWS] * 2, keys=[1, 2])
    assert {value.dtype for value in trained.params.values()} == {torch.float32}


def test_what_is_float32_has_the_identity_it_had_before_there_was_a_choice():
    assert "dtype" not in learner("float32").identity()["recipe"]
    assert learner().identity()["recipe"]["dtype"] == "bfloat16"


def test_parity_of_float32_with_itself_is_one():
    found = parity(learner("float32"), X, Y, rows=ROWS)
    assert found.paired == 1.0
    assert found.seeds < 1.0


def test_bfloat16_moves_a_model_less_than_another_seed_does(monkeypatch):
    monkeypatch.setattr(module, "_found", {})
    found = check_parity(learner(), X, Y, rows=ROWS, data="toy")
    assert found is not None and found.holds
    assert found.seeds < found.paired


def test_a_precision_that_trains_other_models_is_refused(monkeypatch):
    """The planted bug: weights are rounded to 3 bits on the way."""
    monkeypatch.setattr(module, "_found", {})

    def coarse(plain):
        found = in_bfloat16(plain)

        def apply(state, x, *, train, key):
            rounded = {n: v + (torch.round(v * 2) / 2 - v).detach() for n, v in state.params.items()}
            return plain.apply(state._replace(params=rounded), x, train=train, key=key)

        return replace(found, apply=apply)

    monkeypatch.setattr(nets, "in_bfloat16", coarse)
    with pytest.raises(UserError, match=r"moves a model too far.*between two seeds.*Leave `dtype` out"):
        check_parity(learner(), X, Y, rows=ROWS, data="toy")


def test_it_is_asked_once_of_each_data(monkeypatch):
    monkeypatch.setattr(module, "_found", {})
    asked = []
    monkeypatch.setattr(module, "parity", lambda *given, **named: asked.append(1) or Parity(1.0, 0.5))
    for _ in range(3):
        check_parity(learner(), X, Y, rows=ROWS, data="toy")
    assert check_parity(learner("float32"), X, Y, rows=ROWS, data="toy") is None
    assert asked == [1]
    check_parity(learner(), -X, Y, rows=ROWS, data="another toy")
    assert asked == [1, 1]


@pytest.mark.parametrize(
    ("paired", "seeds", "holds"),
    [(0.999, 1.0, True), (0.961, 0.92, True), (0.95, 0.92, False), (0.997, 1.0, False)],
)
def test_the_rule(paired, seeds, holds):
    assert Parity(paired, seeds).holds == holds


def test_it_is_not_for_private_learners():
    with pytest.raises(SpecError, match="exclude each other"):
        learner(clip=1.0, noise=1.0)
