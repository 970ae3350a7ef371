"""The quantities methods are made of: cross-entropy, KL to a teacher, importance of parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from unweave.learners.contract import State
from unweave.methods import Examples, Net
from unweave.methods.dampening import importance
from unweave.methods.losses import cross_entropy as per_example
from unweave.methods.losses import divergence


def test_divergence_is_kl_row_by_row(contract):
    contract.check_divergence(divergence)


def swapped(teacher: Tensor, student: Tensor) -> Tensor:
    return divergence(student, teacher)


def of_raw_logits(teacher: Tensor, student: Tensor) -> Tensor:
    return kl_div(student, teacher.clamp_min(1e-6), reduction="none").sum(-1)


def of_logits_as_log_probabilities(teacher: Tensor, student: Tensor) -> Tensor:
    return (teacher.exp() * (teacher - student)).sum(-1)


def batch_mean(teacher: Tensor, student: Tensor) -> Tensor:
    return divergence(teacher, student).mean().expand(len(teacher))


def mean_over_classes(teacher: Tensor, student: Tensor) -> Tensor:
    return divergence(teacher, student) / teacher.shape[-1]


def against_the_middle(teacher: Tensor, student: Tensor) -> Tensor:
    middle = (softmax(teacher, -1) + softmax(student, -1)) / 2
    return divergence(teacher, middle.log())


@pytest.mark.parametrize(
    "wrong",
    [
        swapped,
        of_raw_logits,
        of_logits_as_log_probabilities,
        batch_mean,
        mean_over_classes,
        against_the_middle,
    ],
    ids=lambda function: function.__name__,
)
def test_wrong_divergences_are_caught(wrong, contract):
    with pytest.raises(AssertionError):
        contract.check_divergence(wrong)


@given(st.integers(0, 2**16), st.integers(1, 5), st.integers(2, 6), st.sampled_from([0.5, 1.0, 4.0]))
def test_divergence_against_torch(seed, batch, classes, temperature):
    rng = torch.Generator().manual_seed(seed)
    teacher, student = 3 * torch.randn(batch, classes, generator=rng), torch.randn(batch, classes, generator=rng)
    expected = kl_div(
        log_softmax(student / temperature, -1), softmax(teacher / temperature, -1), reduction="none"
    ).sum(-1)
    found = divergence(teacher, student, temperature=temperature)
    torch.testing.assert_close(found, expected * temperature**2, atol=1e-5, rtol=1e-4)
    assert (found >= -1e-5).all()


def test_a_class_taken_out_of_the_target_costs_nothing_but_its_mass():
    target = torch.tensor([[-1e10, 0.0, 0.0]])
    student = torch.tensor([[0.0, 0.0, 0.0]])
    assert divergence(target, student).item() == pytest.approx(torch.log(torch.tensor(1.5)).item())


# ---- cross-entropy ----


@given(st.integers(0, 2**16), st.integers(1, 5), st.integers(2, 6))
def test_cross_entropy_against_torch_and_under_vmap(seed, batch, classes):
    rng = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(3, batch, classes, generator=rng)
    y = torch.randint(classes, (3, batch), generator=rng)
    expected = torch.stack(
        [cross_entropy(one, label, reduction="none") for one, label in zip(logits, y, strict=True)]
    )
    found = torch.stack([per_example(one, label) for one, label in zip(logits, y, strict=True)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(vmap(per_example)(logits, y), expected, atol=1e-5, rtol=1e-5)
    slope = vmap(grad(lambda one, label: per_example(one, label).sum()))(logits, y)
    wanted = softmax(logits, -1) - torch.nn.functional.one_hot(y, classes)
    torch.testing.assert_close(slope, wanted, atol=1e-5, rtol=1e-5)


def test_cross_entropy_takes_the_label_of_its_own_row():
    logits = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    right, wrong = torch.tensor(1 + torch.e**-2).log(), torch.tensor(1 + torch.e**2).log()
    torch.testing.assert_close(per_example(logits, torch.tensor([1, 0])), torch.stack([right, right]))
    torch.testing.assert_close(per_example(logits, torch.tensor([0, 0])), torch.stack([wrong, right]))
    assert per_example(100 * logits, torch.tensor([0, 0])).tolist() == [200.0, 0.0]


# ---- importance ----


def naive(toy, part: Examples) -> dict[str, Tensor]:
    state = State({n: v[0] for n, v in toy.originals.params.items()}, {})
    total = {n: torch.zeros_like(v) for n, v in state.params.items()}
    for x, y in zip(*part, strict=True):
        params = {n: v.clone().requires_grad_() for n, v in state.params.items()}
        loss = cross_entropy(toy.learner.apply(State(params, {}), x[None], train=False, key=None)[0], y[None])
        loss.backward()
        for name, value in params.items():
            total[name] += value.grad**2
    return {name: value / len(part.y) for name, value in total.items()}


def squared_batch_mean(toy, part: Examples) -> dict[str, Tensor]:
    """The wrong way that is often seen: the square of the gradient of a batch, not the mean of squares."""
    params = {n: v[0].clone().requires_grad_() for n, v in toy.originals.params.items()}
    cross_entropy(toy.learner.apply(State(params, {}), part.x, train=False, key=None)[0], part.y).backward()
    return {name: value.grad**2 for name, value in params.items()}


def ours(toy, part: Examples, chunk: int | None = None) -> dict[str, Tensor]:
    """By hand, as plain relu nets have it; in chunks of single gradients, as all others do."""
    state = State({n: v[0] for n, v in toy.originals.params.items()}, {})
    if chunk is None:
        return importance(Net(toy.learner, state, train=False), part)
    return importance(Net(replace(toy.learner, dense=None), state, train=False), part, chunk=chunk)


def check_importance(function, toy) -> None:
    for part in (toy.forget, toy.retain):
        expected = naive(toy, part)
        for name, value in function(toy, part).items():
            torch.testing.assert_close(value, expected[name], atol=1e-7, rtol=1e-4)


def test_importance_against_the_loop_over_examples(toy):
    check_importance(ours, toy)


@pytest.mark.parametrize("chunk", [1, 7, 30])
def test_importance_in_chunks(toy, chunk):
    check_importance(lambda given, part: ours(given, part, chunk), toy)


def test_the_square_of_a_batch_is_caught(toy):
    with pytest.raises(AssertionError):
        check_importance(squared_batch_mean, toy)


def test_importance_is_a_mean_and_weighs_every_example(toy):
    twice = Examples(torch.cat([toy.forget.x] * 2), torch.cat([toy.forget.y] * 2))
    once, doubled = ours(toy, toy.forget), ours(toy, twice)
    for name, value in once.items():
        torch.testing.assert_close(doubled[name], value)
        assert (value >= 0).all() and value.max() > 0
