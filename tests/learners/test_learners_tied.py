"""Example-tied dropout: whose units are whose, what is off in use, and where what is memorised goes."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import vmap
from torch.nn.functional import conv2d, cross_entropy, linear, max_pool2d, relu

from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave.data import Encoding
from unweave.learners import specify
from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.learners.noise import coins, fold_in, key_tensor, uniform
from unweave.learners.tied import KEY, example_keys
from unweave.training.compiled import compile_loss, plain_loss
from unweave.training.engine import many, stack, unstack
from unweave.training.loop import fit
from unweave.training.replay import Training, replay

BITS = 2**64 - 1
PHI = 0x9E3779B97F4A7C15


def mlp(p_mem: float = 0.3, *, width: int = 8, depth: int = 2, **recipe) -> Learner:
    config = {"width": width, "depth": depth, "etd": p_mem, "p_gen": 0.25}
    given_ = {"lr": 0.1, "epochs": 3, "batch_size": 8, **recipe}
    return build(specify("mlp", (6,), 3, config=config, recipe=given_))


def cnn(p_mem: float = 0.3, **recipe) -> Learner:
    config = {"channels": 4, "etd": p_mem, "p_gen": 0.25}
    return build(
        specify("cnn", (8, 8), 3, config=config, recipe={"lr": 0.05, "epochs": 2, "batch_size": 8, **recipe})
    )


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- keys and coins ----


def finaliser(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & BITS
    return z ^ (z >> 31)


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5))
def test_a_key_is_a_sum_over_the_bits_of_the_features(values):
    total = 0
    for j, value in enumerate(values):
        (bits,) = struct.unpack("<i", struct.pack("<f", value + 0.0))
        total += bits * (finaliser(finaliser(((j + 1) * PHI) & BITS)) | 1)
    assert example_keys(torch.tensor([values]))[0].item() == signed(total & BITS)


@given(st.integers(0, 2**63 - 1), st.integers(1, 9), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_coins_against_python_integers(key, count, p):
    expected = []
    for j in range(count):
        bits = finaliser((key + (j // 4 + 1) * PHI) & BITS)
        expected.append(float(((bits >> (16 * (j % 4))) & 0xFFFF) < round(p * 2**16)))
    assert coins(key_tensor([key]), count, p).tolist() == [expected]


def test_coins_fall_as_often_as_they_should_and_independently():
    drawn = coins(torch.arange(4000), 16, 0.2)
    assert drawn.mean(0).tolist() == pytest.approx([0.2] * 16, abs=5 * (0.16 / 4000) ** 0.5)
    assert (torch.corrcoef(drawn.T) - torch.eye(16)).abs().max() < 5 / 4000**0.5
    assert abs(float(torch.corrcoef(torch.stack([drawn[1:].flatten(), drawn[:-1].flatten()]))[0, 1])) < 0.02


def test_two_examples_differ_in_their_key_wherever_they_differ():
    x = torch.zeros(65, 64)
    x[torch.arange(64), torch.arange(64)] = 1 / 16
    assert len(example_keys(x).unique()) == 65
    grey = (torch.rand(3000, 64, generator=torch.Generator().manual_seed(0)) * 16).round() / 16
    assert len(example_keys(grey).unique()) == 3000
    assert torch.equal(example_keys(x.reshape(65, 8, 8)), example_keys(x))


# ---- whose units are whose ----


@pytest.fixture(params=["mlp", "cnn"])
def net(request):
    """A learner, examples for it, and the numbers of units of its layers."""
    if request.param == "mlp":
        return mlp(), normal(50, 6), [8, 8]
    return cnn(), normal(50, 8, 8), [4, 8]


def test_a_mask_is_of_the_example_and_of_the_model(net):
    learner, x, widths = net
    assert learner.tied is not None and learner.dense is None
    one, other = learner.init(1).buffers, learner.init(2).buffers
    mask = learner.tied.masks(one, x)
    assert mask.shape == (50, sum(widths)) and set(mask.unique().tolist()) == {0.0, 1.0}
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(learner.tied.masks(one, x[order]), mask[order])
    assert torch.equal(learner.tied.masks(one, x[7:8]), mask[7:8])
    assert not torch.equal(learner.tied.masks(other, x), mask)
    general = learner.tied.general
    assert general.tolist() == [float(i < round(width / 4)) for width in widths for i in range(width)]
    assert (mask[:, general == 1] == 1).all()
    own = mask[:, general == 0]
    assert own.mean().item() == pytest.approx(0.3, abs=5 * (0.21 / own.numel()) ** 0.5)
    assert len({tuple(row) for row in own.tolist()}) > 25


def test_initial_weights_are_those_of_the_plain_net(net):
    learner, _, _ = net
    config = {name: value for name, value in learner.spec.config.items() if name not in ("etd", "p_gen")}
    plain = build(replace(learner.spec, config=config))
    assert plain.tied is None
    tied, same = learner.init(5), plain.init(5)
    assert all(torch.equal(tied.params[n], same.params[n]) for n in same.params)
    assert same.buffers == {} and set(tied.buffers) == {KEY} and tied.buffers[KEY].dtype == torch.int64
    assert plain.spec.identity()["config"] == config


def by_hand(learner: Learner, state: State, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The net of one example with a mask, written plainly."""
    p = state.params
    if learner.spec.name == "mlp":
        z = relu(linear(x.flatten(), p["0.weight"], p["0.bias"])) * mask[:8]
        z = relu(linear(z, p["1.weight"], p["1.bias"])) * mask[8:]
        return linear(z, p["2.weight"], p["2.bias"])
    z = relu(conv2d(x[None, None], p["0.weight"], p["0.bias"], stride=2, padding=2)) * mask[:4, None, None]
    z = max_pool2d(relu(conv2d(z, p["1.weight"], p["1.bias"], padding=1)), 2) * mask[4:, None, None]
    return linear(z[0].movedim(0, -1).flatten(), p["2.weight"], p["2.bias"])


def test_in_training_each_example_has_its_units_and_in_use_none(net):
    learner, x, _ = net
    state = learner.init(3)
    masks = learner.tied.masks(state.buffers, x)
    trained, after = learner.apply(state, x, train=True, key=None)
    assert after is state.buffers
    expected = torch.stack([by_hand(learner, state, *pair) for pair in zip(x, masks, strict=True)])
    torch.testing.assert_close(trained, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(learner.tied.apply(state, x, masks), trained)
    used = learner.apply(state, x, train=False, key=None)[0]
    expected = torch.stack([by_hand(learner, state, one, learner.tied.general) for one in x])
    torch.testing.assert_close(used, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(learner.tied.apply(state, x, learner.tied.general), used)
    assert (trained - used).abs().max() > 0.01
    last = max(name for name in state.params if name.endswith("weight"))
    rest = linear(learner.features(state, x), state.params[last], state.params[last.replace("weight", "bias")])
    torch.testing.assert_close(rest, used)


def test_an_example_moves_no_unit_that_it_does_not_have():
    learner, x = mlp(), normal(20, 6)
    state = learner.init(3)
    params = {name: value.requires_grad_() for name, value in state.params.items()}
    for one in range(20):
        logits, _ = learner.apply(State(params, state.buffers), x[one : one + 1], train=True, key=None)
        grads = torch.autograd.grad(cross_entropy(logits, torch.tensor([1])), list(params.values()))
        found = dict(zip(params, grads, strict=True))
        mask = learner.tied.masks(state.buffers, x[one : one + 1])[0]
        off = mask[:8] == 0
        assert off.any() and (found["0.weight"][off] == 0).all() and (found["1.weight"][:, off] == 0).all()
        assert (found["2.weight"][:, mask[8:] == 0] == 0).all()


def test_under_vmap_each_model_has_its_own_masks():
    learner, x = mlp(), normal(3, 12, 6)
    states = [learner.init(k) for k in range(3)]
    whole = stack(states)
    together = vmap(lambda state, one: learner.apply(state, one, train=True, key=None)[0])(whole, x)
    masks = vmap(learner.tied.masks)(whole.buffers, x)
    for k, state in enumerate(states):
        assert torch.equal(masks[k], learner.tied.masks(state.buffers, x[k]))
        torch.testing.assert_close(together[k], learner.apply(state, x[k], train=True, key=None)[0])
    shared = vmap(learner.tied.masks, in_dims=(0, None))(whole.buffers, x[0])
    assert torch.equal(shared[0], masks[0]) and not torch.equal(shared[1], masks[0])


# ---- training ----


def data(n: int = 30):
    x = normal(n, 6)
    return x, x[:, :3].argmax(1)


def test_training_is_the_same_to_the_bit_in_stacks_of_any_size_and_as_the_plain_loop():
    learner, (x, y) = mlp(weight_decay=1e-3), data()
    rows, keys = [np.random.default_rng(k).choice(30, 21, replace=False) for k in range(5)], list(range(5))
    whole = many(learner, x, y, rows=rows, keys=keys)
    for size in (1, 2, 3):
        parts = [
            one
            for b in range(0, 5, size)
            for one in unstack(many(learner, x, y, rows=rows[b : b + size], keys=keys[b : b + size]))
        ]
        for name, value in stack(parts).params.items():
            assert torch.equal(whole.params[name], value), f"{name} differs in chunks of {size}"
    for k, model in enumerate(unstack(whole)):
        alone = fit(learner, x, y, rows=rows[k], key=k)
        for name, value in alone.params.items():
            torch.testing.assert_close(model.params[name], value, atol=5e-6, rtol=0)
        assert torch.equal(alone.buffers[KEY], model.buffers[KEY])


@pytest.mark.parametrize("make", [mlp, cnn])
def test_training_can_be_repeated_to_the_bit(make):
    learner = make()
    x, y = data() if make is mlp else (normal(30, 8, 8), torch.arange(30) % 3)
    training = Training(x, y, np.arange(20), [4], np.arange(5))
    first = many(learner, x, y, rows=[np.arange(20)], keys=[4])
    again = replay(learner, training, begin=lambda p: None, on_step=lambda *a: None)
    assert all(torch.equal(first.params[n], again.params[n]) for n in first.params)


def test_one_graph_on_a_gpu():
    torch.compiler.reset()
    learner, x = cnn(), normal(4, 8, 8)
    state = learner.init(0)
    arguments = (state.params, state.buffers, x, torch.tensor([0, 1, 2, 0]), torch.tensor(1))
    found, _ = compile_loss(learner, backend="eager")(*arguments)
    torch.testing.assert_close(found, plain_loss(learner)(*arguments)[0])


def with_new_masks(learner: Learner) -> Learner:
    """Ordinary dropout of the same units: another mask in every step."""
    tied = learner.tied

    def apply(state, x, *, train, key):
        if not train:
            return learner.apply(state, x, train=False, key=None)
        drawn = (uniform(fold_in(key, 9), len(x), len(tied.general)) < 0.1).float()
        return tied.apply(state, x, torch.maximum(drawn, tied.general)), state.buffers

    return replace(learner, apply=apply, tied=tied._replace(depth=None))


def check_memorised_in_own_units(learner: Learner) -> None:
    """Wrong labels are learned with an example's own units, and are not there without them; the rule is."""
    x = normal(90, 6)
    clean = (x[:, 0] > 0).long()
    y = clean.clone()
    y[:15] = 1 - clean[:15]
    states = unstack(many(learner, x, y, rows=[np.arange(90)] * 2, keys=[1, 2]))
    wrong, used, rule = [], [], []
    for state in states:
        tied = learner.tied
        with_own = tied.apply(state, x, tied.masks(state.buffers, x)).argmax(-1)
        without = tied.apply(state, x, tied.general).argmax(-1)
        wrong.append((with_own == y)[:15].float().mean())
        used.append((without == y)[:15].float().mean())
        rule.append((without == clean)[15:].float().mean())
    found = [float(torch.stack(one).mean()) for one in (wrong, used, rule)]
    assert found[0] > 0.95 and found[0] - found[1] > 0.4 and found[2] > 0.9, found


def test_what_no_other_example_supports_goes_where_only_its_own_units_see_it():
    config = {"width": 128, "depth": 1, "etd": 0.1, "p_gen": 0.05}
    recipe = {"lr": 0.2, "epochs": 60, "batch_size": 30}
    learner = build(specify("mlp", (6,), 2, config=config, recipe=recipe))
    check_memorised_in_own_units(learner)
    with pytest.raises(AssertionError):
        check_memorised_in_own_units(with_new_masks(learner))


# ---- what is refused ----


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"etd": 0.0}, "etd` is 0.0"),
        ({"etd": 1.5}, "etd` is 1.5"),
        ({"p_gen": 0.5}, "without `learner.etd`"),
        ({"etd": 0.2, "p_gen": 1.0}, "p_gen` is 1.0"),
        ({"etd": 0.2, "p_gen": 0.001}, "units of both kinds"),
    ],
)
def test_wrong_shares_are_refused(config, said):
    with pytest.raises(SpecError, match=said):
        specify("mlp", (6,), 3, config=config)


def test_learners_without_such_a_variant():
    with pytest.raises(ApplicabilityError, match="standardises"):
        specify("mlp", (2,), 3, config={"etd": 0.2}, encoding=Encoding((0,), (-1,), (1,)))
    with pytest.raises(ApplicabilityError, match="private gradients"):
        specify("mlp", (2,), 3, config={"etd": 0.2}, recipe={"clip": 1.0})
    with pytest.raises(UnknownNameError):
        specify("resnet9", (8, 8), 3, config={"etd": 0.2})


def test_half_precision_masks_as_full_precision_does():
    learner, half = mlp(), mlp(dtype="bfloat16")
    x, state = normal(12, 6), learner.init(1)
    mask = half.tied.masks(state.buffers, x)
    assert torch.equal(mask, learner.tied.masks(state.buffers, x))
    found = half.tied.apply(state, x, mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, learner.tied.apply(state, x, mask), atol=0.05, rtol=0.05)
    assert not torch.equal(found, learner.tied.apply(state, x, mask))
