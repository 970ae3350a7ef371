"""Convolutional nets against torch.nn nets of the same architecture: outputs, buffers, a step of training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.training.engine import many, unstack
from unweave.training.loop import fit
from unweave.training.outputs import logits

SHAPES = [(8, 8), (1, 8, 8), (9, 11), (28, 28), (3, 32, 32)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(name: str, shape=(8, 8), **recipe):
    config = {"channels": 3} if name == "cnn" else {"width": 3}
    return build(specify(name, shape, 4, config=config, recipe={"epochs": 2, "batch_size": 8, **recipe}))


class ColoursLast(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Cnn(nn.Module):
    def __init__(self, shape, c=3, classes=4):
        super().__init__()
        colours, h, w = (1, *shape) if len(shape) == 2 else shape
        self.layers = nn.Sequential(
            nn.Conv2d(colours, c, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(c, 2 * c, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            ColoursLast(),
            nn.Flatten(),
            nn.Linear(2 * c * (-(-h // 2) // 2) * (-(-w // 2) // 2), classes),
        )

    def forward(self, x):
        return self.layers(x[:, None] if x.ndim == 3 else x)


def unit(into, out, pool=False):
    layers = [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class Resnet9(nn.Module):
    def __init__(self, shape, c=3, classes=4):
        super().__init__()
        colours = 1 if len(shape) == 2 else shape[0]
        self.units = nn.ModuleList(
            [
                unit(colours, c),
                unit(c, 2 * c, pool=True),
                unit(2 * c, 2 * c),
                unit(2 * c, 2 * c),
                unit(2 * c, 4 * c, pool=True),
                unit(4 * c, 8 * c, pool=True),
                unit(8 * c, 8 * c),
                unit(8 * c, 8 * c),
            ]
        )
        self.last = nn.Linear(8 * c, classes, bias=False)

    def forward(self, x):
        u = self.units
        z = u[1](u[0](x[:, None] if x.ndim == 3 else x))
        z = z + u[3](u[2](z))
        z = u[5](u[4](z))
        z = z + u[7](u[6](z))
        return self.last(z.flatten(2).max(2).values) * 0.125


def names_of_oracle(name: str) -> dict[str, str]:
    """Our name of each tensor → that of the torch.nn net."""
    if name == "cnn":
        return {f"{i}.{p}": f"layers.{j}.{p}" for i, j in ((0, 0), (1, 2), (2, 7)) for p in ("weight", "bias")}
    found = {"8.weight": "last.weight"}
    for i in range(8):
        found[f"{i}.conv.weight"] = f"units.{i}.0.weight"
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            found[f"{i}.norm.{part}"] = f"units.{i}.1.{part}"
    return found


def oracle_of(name: str, shape, state: State) -> nn.Module:
    oracle = (Cnn if name == "cnn" else Resnet9)(shape)
    both = {**state.params, **state.buffers}
    oracle.load_state_dict({theirs: both[ours].clone() for ours, theirs in names_of_oracle(name).items()})
    return oracle


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_outputs_and_buffers_are_those_of_torch(name, shape):
    learner, x = small(name, shape), normal(6, *shape)
    state = learner.init(1)
    oracle = oracle_of(name, shape, state)
    for train in (True, False):  # in use after a step, so that the running statistics are no longer 0 and 1
        oracle.train(train)
        found, buffers = learner.apply(state, x, train=train, key=None)
        torch.testing.assert_close(found, oracle(x), atol=1e-5, rtol=1e-4)
        theirs = oracle.state_dict()
        for ours, value in buffers.items():
            torch.testing.assert_close(value, theirs[names_of_oracle(name)[ours]], atol=1e-6, rtol=1e-5)
            assert torch.equal(state.buffers[ours], value) == (not train), (
                "the input was changed, or not the output"
            )
        state = State(state.params, buffers)


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_training_is_that_of_torch(name):
    learner, x, y = small(name, epochs=2, weight_decay=0.01, lr=0.05), normal(20, 8, 8), torch.arange(20) % 4
    rows = np.arange(16)
    oracle = oracle_of(name, (8, 8), learner.init(3))
    optimiser = torch.optim.SGD(oracle.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    from unweave.training.batches import epoch_orders

    step = 0
    for order in epoch_orders(20, rows, 2, 3):
        for batch in torch.from_numpy(order).split(8):
            optimiser.param_groups[0]["lr"] = learner.recipe.rate(step, 4)
            optimiser.zero_grad()
            cross_entropy(oracle(x[batch]), y[batch]).backward()
            optimiser.step()
            step += 1
    state, theirs = fit(learner, x, y, rows=rows, key=3), oracle.state_dict()
    for ours, value in [*state.params.items(), *state.buffers.items()]:
        torch.testing.assert_close(value, theirs[names_of_oracle(name)[ours]], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_features_are_what_the_last_layer_reads(name):
    learner, x = small(name), normal(5, 8, 8)
    state = learner.init(1)
    last = state.params["2.weight" if name == "cnn" else "8.weight"]
    z = learner.features(state, x) @ last.T
    z = z + state.params["2.bias"] if name == "cnn" else 0.125 * z
    torch.testing.assert_close(z, learner.apply(state, x, train=False, key=None)[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_initial_weights_are_uniform_in_their_bounds_and_of_their_key(name):
    config = {"channels": 64} if name == "cnn" else {"width": 16}
    learner = build(specify(name, (8, 8), 10, config=config))
    first, again, other = learner.init(7), learner.init(7), learner.init(8)
    torch.manual_seed(5)
    assert all(torch.equal(first.params[n], again.params[n]) for n in first.params)
    for n, value in first.params.items():
        if value.ndim == 1 and "norm" in n:
            assert torch.equal(value, torch.full_like(value, float(n.endswith("weight"))))
            continue
        assert not torch.equal(value, other.params[n])
        weight = first.params[n.replace("bias", "weight")]
        bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
        assert value.abs().max() <= bound
        if value.numel() > 100:
            assert value.abs().max() > 0.9 * bound
            assert value.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_excluded_examples_change_no_weight_and_no_statistic(name):
    learner, x, y = small(name), normal(20, 8, 8), torch.arange(20) % 4
    rows = np.arange(16)
    changed, labels = x.clone(), y.clone()
    changed[16:], labels[16:] = torch.nan, 0
    kept = x.clone()
    kept[3] += 0.1
    before, after, moved = (
        fit(learner, one, two, rows=rows, key=1) for one, two in ((x, y), (changed, labels), (kept, y))
    )
    for a, b, c in zip(before, after, moved, strict=True):
        for n in a:
            assert torch.equal(a[n], b[n]), n
            assert n.endswith("tracked") or not torch.equal(a[n], c[n]), n


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_many_are_fits_one_by_one_to_the_bit(name):
    learner, x, y = small(name), normal(24, 8, 8), torch.arange(24) % 4
    rows = [np.arange(16), np.arange(4, 20), np.arange(8, 24)]
    together = many(learner, x, y, rows=rows, keys=[1, 2, 3])
    assert not learner.stacked
    for k, one in enumerate(unstack(together)):
        alone = fit(learner, x, y, rows=rows[k], key=k + 1)
        for a, b in zip(one, alone, strict=True):
            assert all(torch.equal(a[n], b[n]) for n in a)
    found = logits(learner, together, x, chunk=10)
    whole = torch.stack([learner.apply(one, x, train=False, key=None)[0] for one in unstack(together)])
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


def test_batch_norm_of_one_number_is_refused():
    learner = small("resnet9")
    with pytest.raises(SpecError, match=r"one example has one number per channel.*`learner\.batch_size`"):
        learner.apply(learner.init(0), normal(1, 8, 8), train=True, key=None)
    learner.apply(learner.init(0), normal(1, 8, 8), train=False, key=None)
    large = small("resnet9", (16, 16))  # 2×2 places are left in the last layers
    large.apply(large.init(0), normal(1, 16, 16), train=True, key=None)


@pytest.mark.parametrize("shape", [(7, 8), (3, 8, 7), (64,), (2, 3, 8, 8), ()])
@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_what_is_no_image_is_refused(name, shape):
    with pytest.raises(
        SpecError, match=r"takes images \[h, w\].*have the shape \[.*Choose another learner, such as mlp"
    ):
        specify(name, shape, 4)


@pytest.mark.parametrize(("name", "field"), [("cnn", "channels"), ("resnet9", "width")])
def test_nets_without_channels_are_refused(name, field):
    with pytest.raises(SpecError, match=f"`learner.{field}` is 0"):
        specify(name, (8, 8), 4, config={field: 0})
