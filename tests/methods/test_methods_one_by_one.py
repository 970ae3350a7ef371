"""Every method on nets that are edited one by one, with batch norm and without."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Examples, Method, Net
from unweave.methods.layers import blocks, fresh, fresh_statistics
from unweave.training.engine import unstack

NAMES = METHODS.names()


def default(name: str):
    return lambda: METHODS.get(name).build()


@pytest.mark.parametrize("name", NAMES)
def test_originals_and_data_are_untouched_and_all_is_finite(name, contract, image_toy):
    contract.hold_finite(image_toy, contract.check_input_untouched(default(name), image_toy))


@pytest.mark.parametrize("name", [name for name in NAMES if "original" in METHODS.get(name).declared.needs])
def test_declared_identity_leaves_parameters_and_statistics(name, contract, image_toy):
    entry = METHODS.get(name)
    contract.check_identity(lambda: entry.build(**entry.declared.identity), image_toy)


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_what_was_differentiated(name, contract, image_toy):
    contract.check_cost(default(name), image_toy)


@pytest.mark.parametrize("name", ["scrub", "salun", "bad_teacher"])
def test_a_model_does_not_depend_on_the_others_nor_on_a_global_state(name, contract, image_toy):
    contract.check_stacking(default(name), image_toy)
    contract.check_reproducible(default(name), image_toy)


@pytest.mark.parametrize("name", NAMES)
def test_one_by_one_is_what_the_stack_gives(name, contract, toy):
    """The same net, edited under `vmap` and one by one."""
    alone = toy._replace(learner=replace(toy.learner, stacked=False))
    assert contract.gap(toy.edit(default(name)).state, alone.edit(default(name)).state) <= 1e-5


def test_a_parameter_that_the_loss_does_not_read_stays(toy):
    """Plain automatic differentiation has no gradient there, where `grad` has zeros."""

    def step(net, aux, batches, i, key):
        return net.params["1.bias"].square().sum()

    alone = toy._replace(learner=replace(toy.learner, stacked=False))
    edited = alone.edit(lambda: Method(step, 1.0, 1.0)).state
    assert torch.equal(edited.params["0.weight"], toy.originals.params["0.weight"])
    assert not torch.equal(edited.params["1.bias"], toy.originals.params["1.bias"])


# ---- batch norm ----


@pytest.fixture(scope="module")
def normed(contract):
    x = torch.rand(40, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 3
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.05, "weight_decay": 0.01}
    learner = build(specify("resnet9", (8, 8), 3, config={"width": 2}, recipe=recipe))
    held_out = Examples(torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3)
    return contract.trained_toy(learner, x, y, forget=10, keys=[11], validation=held_out)


@pytest.mark.parametrize("name", NAMES)
def test_batches_that_enter_the_running_statistics(name, known, normed):
    edited = normed.edit(default(name))
    states = normed.originals, edited.state
    before, after = (state.buffers["0.norm.num_batches_tracked"].item() for state in states)
    begun = before if "original" in METHODS.get(name).declared.needs else 0  # or trained anew
    expected = known[name].batches + (edited.steps if known[name].per_step else 0)
    assert before == 15 and after - begun == expected


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_frozen_layers_keep_parameters_and_statistics_to_the_bit(name, k, normed):
    edited = normed.edit(lambda: METHODS.get(name).build(k=float(k))).state
    first_open = 9 - k  # of units 0…8
    for before, after in zip(normed.originals, edited, strict=True):
        for key, value in after.items():
            assert torch.equal(value, before[key]) == (int(key.split(".")[0]) < first_open), key


def test_layers_drawn_anew_have_norms_and_statistics_of_a_new_net(normed):
    build_ = METHODS.get("eu_k").build(k=2.0)
    unlearned = normed.learner
    net = unstack(normed.originals)[0]
    before = Net(unlearned, net, train=False)
    state, _ = build_.prepare(before, normed.given(before), key_tensor([1])[0])
    new = unlearned.init(0)
    for key in ("7.norm.weight", "7.norm.bias"):
        assert torch.equal(state.params[key], new.params[key]) and not torch.equal(
            state.params[key], net.params[key]
        )
    for key, value in state.buffers.items():
        assert torch.equal(value, (new if key.startswith("7.") else net).buffers[key])
    assert not torch.equal(state.params["7.conv.weight"], net.params["7.conv.weight"])


def test_a_net_drawn_anew_has_the_buffers_of_a_new_net(normed):
    net, new = unstack(normed.originals)[0], normed.learner.init(0)
    drawn = State(fresh(net.params, key_tensor([1])[0]), fresh_statistics(net.buffers))
    for key, value in drawn.buffers.items():
        assert torch.equal(value, new.buffers[key]) and value.dtype == new.buffers[key].dtype
    assert {k: v.shape for k, v in drawn.params.items()} == {k: v.shape for k, v in new.params.items()}
    other = {"encoding.shift": torch.tensor([3.0])}
    assert torch.equal(fresh_statistics(other)["encoding.shift"], torch.tensor([3.0]))


def test_units_of_the_residual_net_are_its_layers(normed):
    found = blocks(unstack(normed.originals)[0].params)
    assert len(found) == 9 and found[8] == ["8.weight"]
    assert found[3] == ["3.conv.weight", "3.norm.bias", "3.norm.weight"]
