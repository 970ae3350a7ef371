"""The step by hand: its gradient against autograd, its update against torch.optim.SGD."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from unweave.learners import specify
from unweave.learners.contract import Learner, Params, State
from unweave.learners.nets import build
from unweave.learners.specs import Recipe
from unweave.training.dense import dense_steps


def net(depth: int, *, classes: int = 3, width: int = 8) -> Learner:
    if depth == 0:
        return build(specify("softmax", (6,), classes))
    return build(specify("mlp", (6,), classes, config={"width": width, "depth": depth}))


def recipe(**changes: float) -> Recipe:
    return Recipe(epochs=1, lr=1.0, batch_size=4, **{"momentum": 0.0, "weight_decay": 0.0, **changes})


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stacked(learner: Learner, models: int, seed: int = 0) -> Params:
    states = [learner.init(seed + k) for k in range(models)]
    return {n: torch.stack([s.params[n] for s in states]) for n in states[0].params}


def gradient(params: Params, x: torch.Tensor, y: torch.Tensor, *, depth: int) -> Params:
    """What one step at rate 1 without momentum takes away."""
    step, now = dense_steps(params, depth=depth, recipe=recipe())
    step(x, y, 1.0)
    return {name: params[name] - value for name, value in now().items()}


def autograd(learner: Learner, params: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor):
    """Gradient of the mean cross-entropy, model by model."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in params}
    for k in range(len(y)):
        one = {name: value[k].clone().requires_grad_() for name, value in params.items()}
        cross_entropy(learner.apply(State(one, {}), x[k], train=True, key=None)[0], y[k]).backward()
        for name, value in one.items():
            found[name].append(value.grad)
    return {name: torch.stack(values) for name, values in found.items()}


@settings(max_examples=30, deadline=None)
@given(
    depth=st.integers(0, 3),
    models=st.integers(1, 4),
    batch=st.integers(1, 9),
    width=st.integers(1, 9),
    classes=st.integers(2, 5),
    seed=st.integers(0, 2**16),
)
def test_gradient_by_hand_equals_autograd(depth, models, batch, width, classes, seed):
    learner = net(depth, classes=classes, width=width)
    params = stacked(learner, models, seed)
    x = normal(models, batch, 6, seed=seed)
    y = torch.arange(models * batch).reshape(models, batch) % classes
    found = gradient(params, x, y, depth=depth)
    assert list(found) == list(params)
    for name, value in autograd(learner, params, x, y).items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4)


def test_the_gradient_takes_examples_of_any_shape_and_leaves_its_inputs():
    learner = net(1)
    params = {n: v[None].clone() for n, v in learner.init(0).params.items()}
    x, y = normal(1, 4, 6), torch.tensor([[0, 1, 2, 0]])
    before = {n: v.clone() for n, v in params.items()}, x.clone(), y.clone()
    flat = gradient(params, x, y, depth=1)
    square = gradient(params, x.reshape(1, 4, 2, 3), y, depth=1)
    assert all(torch.equal(flat[n], square[n]) for n in flat)
    assert all(torch.equal(params[n], before[0][n]) for n in params)
    assert torch.equal(x, before[1]) and torch.equal(y, before[2])


def test_a_confident_net_has_a_finite_gradient():
    learner = net(1)
    params = {n: v[None] * 1e4 for n, v in learner.init(0).params.items()}
    found = gradient(params, normal(1, 4, 6), torch.zeros(1, 4, dtype=torch.int64), depth=1)
    assert all(value.isfinite().all() for value in found.values())


@settings(max_examples=20, deadline=None)
@given(
    depth=st.integers(0, 3),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    decay=st.sampled_from([0.0, 1e-3, 0.1]),
    batches=st.lists(st.integers(1, 7), min_size=1, max_size=6),
)
def test_steps_are_those_of_torch_with_batches_of_any_size(depth, momentum, decay, batches):
    learner = net(depth)
    params = stacked(learner, 2)
    step, now = dense_steps(params, depth=depth, recipe=recipe(momentum=momentum, weight_decay=decay))
    own = [{n: v[k].clone().requires_grad_() for n, v in params.items()} for k in range(2)]
    optimisers = [torch.optim.SGD(one.values(), lr=0.1, momentum=momentum, weight_decay=decay) for one in own]
    for number, size in enumerate(batches):
        x, y = normal(2, size, 6, seed=number), torch.arange(2 * size).reshape(2, size) % 3
        step(x, y, 0.1 / (number + 1))
        for k, (one, optimiser) in enumerate(zip(own, optimisers, strict=True)):
            optimiser.param_groups[0]["lr"] = 0.1 / (number + 1)
            optimiser.zero_grad()
            cross_entropy(learner.apply(State(one, {}), x[k], train=True, key=None)[0], y[k]).backward()
            optimiser.step()
    for name, value in now().items():
        torch.testing.assert_close(value, torch.stack([one[name].detach() for one in own]), atol=2e-6, rtol=1e-4)
