"""The one loop of methods: SGD at a constant share of the rate, epochs of permutations, noise per call."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._errors import DivergedError
from unweave.learners import LearnerSpec, Recipe
from unweave.learners.contract import Learner, State
from unweave.learners.noise import uniform
from unweave.methods import METHODS, Examples, Method, run
from unweave.methods.contract import (
    Plan,
    forget_pass,
    forget_then_retain,
    joint_pass,
    retain_pass,
)


def with_recipe(toy, **changes):
    recipe = replace(toy.learner.recipe, **changes)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe)))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_finetuning_in_whole_batches_is_torch_sgd_at_a_constant_rate(momentum, weight_decay, schedule, toy):
    given = with_recipe(
        toy, batch_size=30, epochs=6, momentum=momentum, weight_decay=weight_decay, schedule=schedule, lr=0.2
    )
    edited = given.edit(lambda: METHODS.get("finetune").build(epochs=0.5, lr=0.25))
    assert edited.steps == 3
    for k in range(3):
        params = {n: v[k].clone().requires_grad_() for n, v in toy.originals.params.items()}
        optimiser = torch.optim.SGD(params.values(), lr=0.05, momentum=momentum, weight_decay=weight_decay)
        for _ in range(3):
            optimiser.zero_grad()
            z = toy.learner.apply(State(params, {}), toy.retain.x, train=True, key=None)[0]
            cross_entropy(z, toy.retain.y).backward()
            optimiser.step()
        for name, value in params.items():
            torch.testing.assert_close(edited.state.params[name][k], value.detach(), atol=1e-6, rtol=1e-5)


def test_the_plans():
    plan = Plan(2, 2, 3)
    assert list(retain_pass(plan)) == ["retain"] * 6
    assert list(forget_pass(plan)) == ["forget"] * 4
    assert list(joint_pass(plan)) == ["both"] * 6
    assert list(forget_then_retain(plan)) == (["forget"] * 2 + ["retain"] * 3) * 2
    scrub = METHODS.get("scrub").build(max_share=0.5)
    assert list(scrub.passes(plan)) == ["forget"] * 2 + ["retain"] * 6
    assert all(list(passes(Plan(0, 2, 3))) == [] for passes in (retain_pass, forget_pass, joint_pass))


@pytest.mark.parametrize(
    ("share", "epochs", "expected"), [(0.001, 30, 1), (1 / 3, 30, 10), (1.0, 4, 4), (0, 4, 0)]
)
def test_epochs_are_a_share_of_the_recipe_and_at_least_one(share, epochs, expected, toy):
    given = with_recipe(toy, epochs=epochs, batch_size=30)
    assert given.edit(lambda: METHODS.get("finetune").build(epochs=float(share), lr=0.001)).steps == expected


def counting(n_forget: int, n_retain: int) -> tuple[Learner, State]:
    """Two models whose parameters, under `visit`, count how often each example was seen."""
    spec = LearnerSpec("count", {}, Recipe(lr=0.5, epochs=3, batch_size=4, momentum=0.0), (1,), 2)
    state = State({"forget": torch.zeros(2, n_forget), "retain": torch.zeros(2, n_retain)}, {})

    def apply(state, x, *, train, key):
        return x.flatten(1)[:, :1].expand(-1, 2) * 0, state.buffers

    return Learner(spec, lambda key: state, apply, lambda state, x: x), state


def visit(net, aux, batches, i, key):
    return -sum(net.params[name][batch[2]].sum() for name, batch in batches.items())


@pytest.mark.parametrize(
    ("passes", "seen"),
    [
        (retain_pass, {"forget": 0, "retain": 3 * 10}),
        (forget_pass, {"forget": 3 * 6, "retain": 0}),
        (forget_then_retain, {"forget": 3 * 6, "retain": 3 * 10}),
        # 3 epochs of batches of 4, 4 and 2, each beside the next batch of S: of 4, 2, 4, 2, …
        (joint_pass, {"forget": 5 * 4 + 4 * 2, "retain": 3 * 10}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_example_is_seen_once_per_epoch(passes, seen):
    learner, originals = counting(6, 10)
    sets = {
        name: Examples(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64))
        for name, n in (("forget", 6), ("retain", 10))
    }
    method = Method(visit, 1.0, 2.0, passes=passes)
    edited = run(method, learner, originals, **sets, keys=[1, 2])
    for name, counts in edited.state.params.items():
        assert counts.sum(1).tolist() == [seen[name]] * 2
        assert counts.max() - counts.min() <= (1 if seen[name] % len(counts[0]) else 0)
    assert edited.gradient_ratio == pytest.approx(sum(seen.values()) / 30)


def test_examples_of_a_batch_come_with_their_labels_and_places(toy):
    """x, y and the position of each example belong together, in every model's own order."""
    seen: list[torch.Tensor] = []

    def step(net, aux, batches, i, key):
        x, y, position = batches["retain"]
        wrong = (toy.retain.x[position] - x).abs().sum() + (toy.retain.y[position] != y).sum()
        seen.append(wrong)
        return wrong * 1e3 * sum(value.sum() for value in net.params.values())

    edited = toy.edit(lambda: Method(step, 1.0, 1.0, passes=retain_pass))
    assert len(seen) == edited.steps == 12
    for name, value in edited.state.params.items():
        assert torch.equal(value, toy.originals.params[name])


# ---- noise and buffers ----


def noisy(toy) -> Learner:
    """The toy's learner with noise on its logits in training and a counter of its passes."""

    def apply(state, x, *, train, key):
        logits, _ = toy.learner.apply(State(state.params, {}), x, train=train, key=None)
        if not train:
            return logits, state.buffers
        noise = uniform(key, *logits.shape)
        return logits + noise, {"passes": state.buffers["passes"] + 1, "last": noise.mean()}

    def init(key):
        return State(toy.learner.init(key).params, {"passes": torch.tensor(0), "last": torch.tensor(0.0)})

    return replace(toy.learner, init=init, apply=apply, dense=None)


def buffered(toy):
    buffers = {"passes": torch.zeros(3, dtype=torch.int64), "last": torch.zeros(3)}
    return toy._replace(learner=noisy(toy), originals=State(toy.originals.params, buffers))


def test_every_pass_of_a_step_has_noise_of_its_own(toy):

    def noise_of(net, x):
        clean = net.learner.apply(State(net.params, net.buffers), x, train=False, key=None)[0]
        return net(x) - clean

    def two_calls(net, x, key):
        return noise_of(net, x) - noise_of(net, x)

    def call_and_step(net, x, key):
        noise = noise_of(net, x)
        return noise - uniform(key, *noise.shape)

    for difference in (two_calls, call_and_step):

        def step(net, aux, batches, i, key, difference=difference):
            # Equal noise would leave the bias where it is.
            return difference(net, batches["retain"].x, key).square().sum().detach() * net.params["1.bias"].sum()

        edited = buffered(toy).edit(lambda step=step: Method(step, 1 / 3, 0.1, passes=retain_pass))
        moved = edited.state.params["1.bias"] - toy.originals.params["1.bias"]
        assert (moved.abs() > 1e-3).all()
        assert len(set(moved[:, 0].tolist())) == 3  # and another one in every model


def test_every_step_has_a_key_of_its_own(toy):
    def step(net, aux, batches, i, key):
        return uniform(key) * net.params["1.bias"][i]

    given = with_recipe(toy, momentum=0.0, batch_size=10)
    edited = given.edit(lambda: Method(step, 1 / 3, 1.0, passes=retain_pass))
    moved = edited.state.params["1.bias"] - toy.originals.params["1.bias"]
    assert edited.steps == 3 and len(set(moved.flatten().tolist())) == 9  # 3 steps of 3 models


def test_buffers_are_kept_and_noise_is_of_each_model(toy):
    given = buffered(toy)
    edited = given.edit(METHODS.get("neggrad_plus").build)
    assert edited.state.buffers["passes"].tolist() == [8, 8, 8]  # 4 steps of two passes
    assert len(set(edited.state.buffers["last"].tolist())) == 3
    assert given.originals.buffers["passes"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name != "noop"])
def test_noise_does_not_depend_on_the_stack(name, contract, toy):
    contract.check_stacking(METHODS.get(name).build, buffered(toy))
    contract.check_reproducible(METHODS.get(name).build, buffered(toy))


def test_buffers_must_stay_finite(toy):
    given = buffered(toy)
    spoiled = Method(
        None,
        0.0,
        0.0,
        prepare=lambda net, given, key: (
            State(net.params, {**net.buffers, "last": net.buffers["last"] + torch.nan}),
            (),
        ),
    )
    with pytest.raises(DivergedError, match="`last` of 3 of 3"):
        given.edit(lambda: spoiled)
