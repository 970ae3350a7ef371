"""An example left out of a training set moves nothing; a mask on the loss would let it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._random import Key
from unweave.learners.contract import Learner, State
from unweave.training.batches import epoch_orders
from unweave.training.engine import many, unstack
from unweave.training.loop import fit

KEPT = np.array([0, 1, 2, 4, 5, 7, 8, 9, 11, 12, 13, 14, 17, 19])
LEFT_OUT = np.setdiff1d(np.arange(20), KEPT)


def by_fit(learner: Learner, x, y, rows, key: Key) -> State:
    return fit(learner, x, y, rows=rows, key=key)


def by_many(learner: Learner, x, y, rows, key: Key) -> State:
    return unstack(many(learner, x, y, rows=[rows, rows], keys=[key, key + 1]))[0]


def by_many_with_vmap(learner: Learner, x, y, rows, key: Key) -> State:
    return by_many(replace(learner, dense=None), x, y, rows, key)


def by_masked_loss(learner: Learner, x, y, rows, key: Key) -> State:
    """The wrong way: train on all of D and multiply the losses of what is left out by 0."""
    weight = torch.zeros(len(x))
    weight[rows] = 1
    params = {name: value.requires_grad_() for name, value in learner.init(key).params.items()}
    optimiser = torch.optim.SGD(params.values(), lr=learner.recipe.lr, momentum=learner.recipe.momentum)
    for order in epoch_orders(len(x), np.arange(len(x)), learner.recipe.epochs, key):
        for batch in torch.from_numpy(order).split(learner.recipe.batch_size):
            losses = cross_entropy(
                learner.apply(State(params, {}), x[batch], train=True, key=None)[0], y[batch], reduction="none"
            )
            optimiser.zero_grad()
            (weight[batch] * losses).mean().backward()
            optimiser.step()
    return State({name: value.detach() for name, value in params.items()}, {})


def check_exclusion(train, learner: Learner, x, y) -> None:
    before = train(learner, x, y, KEPT, 3)
    for value in (torch.nan, torch.inf, 1e6):
        changed, labels = x.clone(), y.clone()
        changed[LEFT_OUT] = value
        labels[LEFT_OUT] = (labels[LEFT_OUT] + 1) % 3
        after = train(learner, changed, labels, KEPT, 3)
        for name in before.params:
            assert torch.equal(before.params[name], after.params[name]), f"{name} moved with features {value}"


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("train", [by_fit, by_many, by_many_with_vmap])
def test_excluded_examples_change_no_weight(train, depth, toy_data, toy_learner):
    check_exclusion(train, toy_learner(depth), *toy_data(20))


def test_the_check_catches_a_mask_on_the_loss(toy_data, toy_learner):
    with pytest.raises(AssertionError, match="moved with features nan"):
        check_exclusion(by_masked_loss, toy_learner(1), *toy_data(20))


def test_running_statistics_never_meet_excluded_examples(noisy_learner, toy_data):
    """What a mask on the loss gets wrong even with finite features."""
    x, y = toy_data(20)
    changed = x.clone()
    changed[LEFT_OUT] += 100
    for train in (by_fit, by_many):
        before, after = (train(noisy_learner, features, y, KEPT, 3) for features in (x, changed))
        assert torch.equal(before.buffers["mean"], after.buffers["mean"])


def test_a_kept_example_does_move_the_weights(toy_data, toy_learner):
    x, y = toy_data(20)
    changed = x.clone()
    changed[KEPT[3]] += 0.1
    for train in (by_fit, by_many):
        before, after = (train(toy_learner(1), features, y, KEPT, 3) for features in (x, changed))
        assert not torch.equal(before.params["0.weight"], after.params["0.weight"])


@pytest.mark.parametrize("n_rows", [0, 1])
def test_sets_of_none_and_of_one(n_rows, toy_data, toy_learner):
    learner, (x, y) = toy_learner(1), toy_data(20)
    rows = np.arange(n_rows)
    one, start = by_many(learner, x, y, rows, 3), learner.init(3)
    torch.testing.assert_close(one.params, by_fit(learner, x, y, rows, 3).params)
    assert torch.equal(one.params["0.weight"], start.params["0.weight"]) == (n_rows == 0)
