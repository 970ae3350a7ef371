"""Which way a method moves a model, in numbers of which each model has one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax

from unweave.learners.contract import State
from unweave.testing.checks import hold
from unweave.testing.toys import Build, Toy
from unweave.training.outputs import logits

Quantity = Callable[[Toy, State], Tensor]
"""One number per model of a stack [K]."""


def loss_on(part: str) -> Quantity:
    """Mean cross-entropy of each model on `forget` or `retain`."""

    def quantity(toy: Toy, state: State) -> Tensor:
        x, y = getattr(toy, part)
        found = logits(toy.learner, state, x)
        return torch.stack([cross_entropy(one, y) for one in found])

    return quantity


def probability_on(part: str) -> Quantity:
    """Mean probability each model gives the label trained on."""

    def quantity(toy: Toy, state: State) -> Tensor:
        x, y = getattr(toy, part)
        p = softmax(logits(toy.learner, state, x), -1)
        return p[:, torch.arange(len(y)), y].mean(1)

    return quantity


def divergence_on(part: str) -> Quantity:
    """Mean KL from the original to each model."""

    def quantity(toy: Toy, state: State) -> Tensor:
        x, _ = getattr(toy, part)
        log_p = log_softmax(logits(toy.learner, toy.originals, x).double(), -1)
        log_q = log_softmax(logits(toy.learner, state, x).double(), -1)
        return (log_p.exp() * (log_p - log_q)).sum(-1).mean(1)

    return quantity


def check_moves(build: Build, toy: Toy, quantity: Quantity, by: float) -> None:
    """The quantity changes in every model by at least `by` (up if > 0, down if < 0)."""
    change = quantity(toy, toy.edit(build).state) - quantity(toy, toy.originals)
    moved = change.min() >= by if by > 0 else change.max() <= by
    got = [f"{c:+.3g}" for c in change.tolist()]
    hold(bool(moved), f"expected a change of {by:+.3g} or more, got {got}")


def check_forgets(build: Build, toy: Toy) -> None:
    """On nets that know S by heart, what is taken for forgetting does not lower the loss of S."""
    change = loss_on("forget")(toy, toy.edit(build).state) - loss_on("forget")(toy, toy.originals)
    fell = -float(change.mean())
    hold(fell <= 0, f"the mean loss of S fell by {fell:.3g} in models that knew S by heart: it was taught again")


def check_divergence(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(teacher, student)` is KL(teacher‖student) of probabilities, row by row."""
    p, q = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    found = function(p.log(), q.log())
    hold(found.shape == (2,), "not one number per example")
    # ½ln(½/.9) + ½ln(½/.1) and .9·ln(.9/½) + .1·ln(.1/½).
    torch.testing.assert_close(found, torch.tensor([0.510826, 0.368064]), atol=1e-5, rtol=0, msg="value")
    rng = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    whole = function(teacher, student)
    hold(bool((whole > 0).all()), "not above 0")
    torch.testing.assert_close(function(teacher, teacher), torch.zeros(6), atol=1e-6, rtol=0)
    shifted = function(teacher + 50, student - 30)
    torch.testing.assert_close(shifted, whole, atol=1e-3, rtol=1e-3, msg="shifting the logits changes it")
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(function(teacher[order], student[order]), whole[order], msg="rows")
    torch.testing.assert_close(function(teacher[:1], student[:1]), whole[:1], msg="rows")
