"""Descent to delete: its noise, its steps, and the distance they leave."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples
from unweave.methods.deletion import deletion_noise


def of(**given: float):
    return lambda: METHODS.get("descent_to_delete").build(**given)


CONSTANTS = {"smoothness": 3.0, "convexity": 1.0, "lipschitz": 2.0, "n": 500}


def noise(**changes) -> float:
    return deletion_noise(**{"epsilon": 0.5, "delta": 1e-4, "iterations": 4, **CONSTANTS, **changes})


# ---- the noise ----


def delta_of(distance: float, sigma: float, epsilon: float) -> float:
    """The smallest δ of a Gaussian mechanism (Balle & Wang 2018, arXiv 1805.06530, theorem 8)."""

    def normal_cdf(z: float) -> float:
        return math.erfc(-z / math.sqrt(2)) / 2

    half, shift = distance / (2 * sigma), epsilon * sigma / distance
    return normal_cdf(half - shift) - math.exp(epsilon) * normal_cdf(-half - shift)


def check_hides(function) -> None:
    """Two models this far apart cannot be told from one another, and the noise is not ten times what it takes."""
    for epsilon, delta, iterations in [(0.5, 1e-4, 4), (1.0, 1e-5, 1), (3.0, 1e-2, 10)]:
        sigma = function(epsilon=epsilon, delta=delta, iterations=iterations)
        shrink = 0.5**iterations  # (M − m)/(M + m) = 1/2
        distance = 2 * 4 * 2.0 * shrink / (1.0 * 500 * (1 - shrink))
        assert delta_of(distance, sigma, epsilon) <= delta
        assert delta_of(distance, sigma / 10, epsilon) > delta


def test_the_noise_hides_the_distance_of_the_theorem():
    check_hides(noise)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda **given: noise(**given) / 20,
        lambda **given: noise(**{**given, "iterations": 2 * given["iterations"] + 8}),
        lambda **given: noise(**{**given, "epsilon": 400 * given["epsilon"]}),
    ],
    ids=["less", "as if there were more steps", "as if it hid less"],
)
def test_too_little_noise_is_caught(wrong):
    with pytest.raises(AssertionError):
        check_hides(wrong)


def test_the_noise_by_hand():
    # γ = 1/2, γ⁴ = 1/16: 4√2·2/16 / (500·15/16·(√(ln 10⁴ + ½) − √(ln 10⁴))) = .707107/468.75/.081281
    assert noise() == pytest.approx(0.0185589, rel=1e-4)
    assert noise(deleted=7) == pytest.approx(7 * noise())


def test_more_steps_or_examples_need_less_noise():
    assert noise(iterations=5) < noise() and noise(n=1000) == pytest.approx(noise() / 2)
    assert noise(epsilon=1.0) < noise() and noise(delta=1e-3) < noise()
    assert noise(smoothness=6.0) > noise() and noise(lipschitz=4.0) == pytest.approx(2 * noise())


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0.0},
        {"delta": 0.0},
        {"delta": 1.0},
        {"convexity": 0.0},
        {"convexity": 4.0},
        {"lipschitz": 0.0},
        {"iterations": 0},
        {"deleted": 251},
        {"deleted": 0},
    ],
    ids=str,
)
def test_constants_without_a_guarantee_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        noise(**wrong)


# ---- the descent ----


@pytest.fixture(scope="module")
def convex(contract, toy):
    """Softmax regression with weight decay, whose constants are known, at its optimum on D."""
    decay = 0.1
    recipe = {"epochs": 3, "batch_size": 8, "weight_decay": decay, "lr": 0.5}
    learner = build(specify("softmax", (6,), 3, recipe=recipe))
    x = torch.cat([toy.forget.x, toy.retain.x])
    y = torch.cat([(toy.forget.y + 1) % 3, toy.retain.y])
    start = learner.init(1).params
    params = descended(start, x, y, decay=decay, lr=0.3, steps=2000)
    originals = State({name: value[None] for name, value in params.items()}, {})
    return contract.Toy(learner, originals, Examples(x[:10], y[:10]), toy.retain, [3])


def descended(params: dict, x, y, *, decay: float, lr: float, steps: int) -> dict:
    params = {name: value.clone() for name, value in params.items()}
    for _ in range(steps):
        leaves = {name: value.requires_grad_() for name, value in params.items()}
        z = x @ leaves["0.weight"].T + leaves["0.bias"]
        loss = cross_entropy(z, y) + decay / 2 * sum(value.square().sum() for value in leaves.values())
        grads = torch.autograd.grad(loss, list(leaves.values()))
        params = {n: (v - lr * g).detach() for (n, v), g in zip(leaves.items(), grads, strict=True)}
    return params


def distance(a: dict, b: dict) -> float:
    return math.sqrt(sum(float((a[name] - b[name]).square().sum()) for name in a))


def check_contracts(build_method, convex, rate: float) -> None:
    """‖θ_I − θ*‖ ≤ γ^I·‖θ_o − θ*‖ with θ* the optimum on D∖S, and θ_I is what steps in plain torch give."""
    before = {name: value[0] for name, value in convex.originals.params.items()}
    best = descended(before, *convex.retain, decay=0.1, lr=0.3, steps=2000)
    after = {name: value[0] for name, value in convex.edit(build_method).state.params.items()}
    lr = rate * convex.learner.recipe.lr
    smoothness, convexity = 2 / lr - 0.1, 0.1
    highest = 0.1 + (convex.retain.x.square().sum(1) + 1).max() / 2
    assert smoothness >= highest  # the step is one of those for which the theorem holds
    shrink = ((smoothness - convexity) / (smoothness + convexity)) ** 8
    assert distance(before, best) > 0.05
    assert distance(after, best) <= shrink * distance(before, best)
    expected = descended(before, *convex.retain, decay=0.1, lr=lr, steps=8)
    assert distance(after, expected) < 1e-5


def test_steps_come_nearer_the_optimum_without_s_at_the_rate_of_the_theorem(convex):
    rate = 0.2
    check_contracts(of(iterations=8.0, sigma=0.0, lr=rate), convex, rate)
    on_all = convex._replace(retain=Examples(*(torch.cat(pair) for pair in zip(convex.forget, convex.retain))))  # noqa: B905
    assert distance(
        {n: v[0] for n, v in on_all.edit(of(iterations=8.0, sigma=0.0, lr=rate)).state.params.items()},
        {n: v[0] for n, v in convex.originals.params.items()},
    ) < 1e-4  # at its optimum on D nothing moves  # fmt: skip
    for wrong in (
        of(iterations=7.0, sigma=0.0, lr=rate),
        of(iterations=8.0, sigma=0.01, lr=rate),
        of(iterations=8.0, sigma=0.0, lr=-rate),
        of(iterations=0.0, sigma=0.0),
    ):
        with pytest.raises(AssertionError):
            check_contracts(wrong, convex, rate)
    without_decay = convex._replace(
        learner=replace(
            convex.learner,
            spec=replace(convex.learner.spec, recipe=replace(convex.learner.recipe, weight_decay=0.0)),
        )
    )
    with pytest.raises(AssertionError):
        check_contracts(of(iterations=8.0, sigma=0.0, lr=rate), without_decay, rate)


def test_the_noise_is_gaussian_of_its_size_and_of_a_stream_per_tensor(toy):
    exact, noisy = (toy.edit(of(sigma=sigma)).state for sigma in (0.0, 0.05))
    parts = [(noisy.params[name] - exact.params[name]).flatten(1) for name in sorted(exact.params)]
    drawn = torch.cat(parts, 1) / 0.05
    assert drawn.shape == (3, 83)
    assert abs(drawn.mean()) < 3 / math.sqrt(drawn.numel())
    assert abs(drawn.std() - 1) < 3 / math.sqrt(2 * drawn.numel())
    # No number twice: neither for another model nor for another tensor.
    assert len(drawn.round(decimals=3).flatten().unique()) > 0.9 * drawn.numel()


def test_without_noise_nothing_is_random(contract, toy):
    contract.check_keys(of(sigma=0.0), toy, matter=False)
    contract.check_keys(of(sigma=0.01), toy, matter=True)
    with pytest.raises(AssertionError, match="keys do not matter"):
        contract.check_keys(of(sigma=0.0), toy, matter=True)


def test_steps_are_the_same_by_hand_and_by_autograd(contract, toy):
    by_autograd = toy._replace(learner=replace(toy.learner, dense=None))
    assert contract.gap(toy.edit(of()).state, by_autograd.edit(of()).state) <= 1e-5


@pytest.mark.parametrize("wrong", [{"iterations": 1.5}, {"iterations": -1.0}, {"sigma": -0.1}], ids=str)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(SpecError, match="descent_to_delete"):
        of(**wrong)()
