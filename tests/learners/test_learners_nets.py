"""The nets: shapes, forward pass by hand, initial weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import vmap

from unweave.learners import specify
from unweave.learners.contract import Apply, Learner, State
from unweave.learners.nets import build

DEPTHS = [0, 1, 2, 3]


def net(depth: int, *, features: int = 6, classes: int = 3, width: int = 8) -> Learner:
    if depth == 0:
        return build(specify("softmax", (features,), classes))
    return build(specify("mlp", (features,), classes, config={"width": width, "depth": depth}))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", DEPTHS)
def test_state_contract(depth):
    learner = net(depth)
    assert isinstance(learner.apply, Apply)
    assert learner.dense == depth
    state = learner.init(3)
    sizes = [6, *[8] * depth, 3]
    assert {name: tuple(value.shape) for name, value in state.params.items()} == {
        **{f"{n}.weight": (sizes[n + 1], sizes[n]) for n in range(depth + 1)},
        **{f"{n}.bias": (sizes[n + 1],) for n in range(depth + 1)},
    }
    assert state.buffers == {}
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in state.params.values())
    x = normal(5, 6)
    logits, buffers = learner.apply(state, x, train=True, key=None)
    assert logits.shape == (5, 3) and buffers == {}
    assert learner.features(state, x).shape == (5, sizes[depth])


@pytest.mark.parametrize("depth", DEPTHS)
def test_forward_pass_by_hand(depth):
    learner, x = net(depth), normal(5, 6)
    state = learner.init(1)
    z = x.double()
    for layer in range(depth):
        z = (z @ state.params[f"{layer}.weight"].double().T + state.params[f"{layer}.bias"]).clamp_min(0)
    torch.testing.assert_close(learner.features(state, x).double(), z, atol=1e-6, rtol=1e-5)
    z = z @ state.params[f"{depth}.weight"].double().T + state.params[f"{depth}.bias"]
    torch.testing.assert_close(learner.apply(state, x, train=False, key=None)[0].double(), z, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("depth", DEPTHS)
def test_rows_are_independent_and_features_flattened(depth):
    learner, x = net(depth), normal(5, 6)
    state = learner.init(1)
    whole = learner.apply(state, x, train=True, key=None)[0]
    rows = torch.cat([learner.apply(state, row[None], train=False, key=None)[0] for row in x])
    torch.testing.assert_close(whole, rows, atol=1e-6, rtol=1e-5)
    assert torch.equal(whole, learner.apply(state, x.reshape(5, 2, 3), train=True, key=None)[0])


def test_stacked_under_vmap():
    learner, x = net(2), normal(3, 5, 6)
    states = [learner.init(k) for k in range(3)]
    stacked = State({n: torch.stack([s.params[n] for s in states]) for n in states[0].params}, {})
    together = vmap(lambda state, one: learner.apply(state, one, train=True, key=None)[0])(stacked, x)
    for k, state in enumerate(states):
        torch.testing.assert_close(together[k], learner.apply(state, x[k], train=True, key=None)[0])


def test_initial_weights_are_a_function_of_the_key_and_uniform_in_their_bounds():
    learner = net(1, features=400, width=300)
    first, again, other = learner.init(7), learner.init(7), learner.init(8)
    torch.manual_seed(5)
    assert all(torch.equal(first.params[n], again.params[n]) for n in first.params)
    assert all(not torch.equal(first.params[n], other.params[n]) for n in first.params)
    for name, fan_in in {"0.weight": 400, "0.bias": 400, "1.weight": 300}.items():
        value, bound = first.params[name].double(), 1 / math.sqrt(fan_in)
        assert value.abs().max() <= bound
        assert abs(value.mean()) < 5 * bound / math.sqrt(3 * value.numel())
        assert value.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
