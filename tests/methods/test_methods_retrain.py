"""`retrain` is training without S as references are trained, and says so where a budget asks for a part of it."""

from __future__ import annotations

import numpy as np
import pytest

from unweave._errors import ApplicabilityError
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.methods import METHODS, within
from unweave.methods.baselines import retrain
from unweave.testing import check_method
from unweave.training.engine import many


@pytest.mark.parametrize("recipe", [{}, {"schedule": "cosine", "weight_decay": 0.01}, {"clip": 1.0, "noise": 0.5}])
def test_it_is_what_trains_references_to_the_bit(recipe, toy, contract):
    learner = build(specify("mlp", (6,), 3, config={"width": 8}, recipe={"epochs": 3, "batch_size": 8, **recipe}))
    x, y = toy.retain
    reference = many(learner, x, y, rows=[np.arange(30)] * 3, keys=toy.keys)
    edited = toy._replace(learner=learner).edit(retrain)
    assert contract.same_bits(edited.state, reference)
    assert edited.gradient_ratio == 1 and edited.steps == 12


def test_it_keeps_the_contract():
    check_method("retrain")


def test_a_method_may_begin_with_it(toy, contract):
    anew = toy.edit(METHODS.get("retrain then finetune").build)
    assert anew.gradient_ratio == pytest.approx(1 + 30 / 90)
    spoiled = toy._replace(
        originals=toy.originals._replace(params={n: 0 * v for n, v in toy.originals.params.items()})
    )
    assert contract.same_bits(anew.state, spoiled.edit(METHODS.get("retrain then finetune").build).state)


def test_steps_are_told(toy):
    from unweave.methods import run

    told: list[tuple[int, int]] = []
    sets = {"forget": toy.forget, "retain": toy.retain, "keys": toy.keys}
    run(
        retrain(),
        toy.learner,
        toy.originals,
        chunk=3,
        on_step=lambda done, total: told.append((done, total)),
        **sets,
    )
    assert told == [(4, 12), (8, 12), (12, 12)]


def test_budgets(toy):
    assert "its number of steps is fixed" in toy.edit(lambda: within("retrain", cost=1.0)).note
    with pytest.raises(ApplicabilityError, match="costs 1 retrainings, more than the budget of 0.5"):
        toy.edit(lambda: within("retrain", cost=0.5))
    with pytest.raises(ApplicabilityError, match="trains anew"):
        toy.edit(lambda: within("retrain then finetune", rise=0.1))


def test_one_that_says_it_trains_anew_and_reads_the_original_is_caught(toy, contract):
    with pytest.raises(AssertionError, match="original: read and not declared"):
        contract.check_needs(METHODS.get("finetune").build, toy, frozenset({"retain"}))
