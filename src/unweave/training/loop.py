"""`fit`: the loop one would write by hand, kept as the oracle of the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in, key_tensor
from unweave.learners.recipe import BETA2, Recipe
from unweave.training.batches import epoch_orders
from unweave.training.compiled import batch_loss
from unweave.training.private import add_noise

OnStep = Callable[[int, Tensor, State], None]
"""`(number of the step, rows of its batch [K, b], the stack after it)`; −1 and no rows before the first step."""


def fit(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    *,
    rows: NDArray[np.int64],
    key: Key,
    on_step: OnStep | None = None,
) -> State:
    """Train one model on the rows of (x, y): SGD or AdamW on the mean cross-entropy, as the recipe says.

    Args:
        learner: Architecture and recipe.
        x: Features of all of D [n, ...], on the device to train on.
        y: Labels of all of D [n].
        rows: The training set as rows of D; the others are never read.
        key: Determines initial weights, order of the examples and noise.
        on_step: Called before the first step and after each, with a stack of this one model.

    Returns:
        The trained state, on the device of `x`.

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> x, y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
        >>> state = fit(build(specify("softmax", (4,), 2)), x, y, rows=np.arange(20), key=1)
        >>> state.params["0.weight"].shape
        torch.Size([2, 4])
    """
    recipe = learner.recipe
    start = learner.start(key, x, rows)
    params = {name: value.requires_grad_() for name, value in start.params.items()}
    buffers = start.buffers
    optimiser = _optimiser(recipe, list(params.values()))
    noise = key_tensor([derive(key, "noise")], x.device)[0]
    loss_of = batch_loss(learner, x.device)
    total, step = recipe.steps(len(rows)), 0
    if on_step is not None:
        on_step(-1, torch.empty(1, 0, dtype=torch.int64, device=x.device), _stack_of_one(params, buffers))
    for order in epoch_orders(len(x), rows, recipe.epochs, key):
        for begin in range(0, len(rows), recipe.batch_size):
            batch = torch.from_numpy(order[begin : begin + recipe.batch_size]).to(x.device)
            xb, key_now = x.index_select(0, batch), fold_in(noise, step)
            optimiser.param_groups[0]["lr"] = recipe.rate(step, total)
            optimiser.zero_grad()
            if recipe.clip is not None:
                _clip_and_add_noise(learner, State(params, buffers), xb, y[batch], key_now)
            else:
                loss, after = loss_of(params, buffers, xb, y[batch], key_now)
                # Running statistics of hidden layers would carry the graph of one step into the next.
                buffers = {name: value.detach() for name, value in after.items()}
                loss.backward()
            optimiser.step()
            if on_step is not None:
                on_step(step, batch[None], _stack_of_one(params, buffers))
            step += 1
    return State({name: value.detach() for name, value in params.items()}, buffers)


def _optimiser(recipe: Recipe, params: list[Tensor]) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        betas = recipe.momentum, BETA2
        return torch.optim.AdamW(params, lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(params, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _stack_of_one(params: Params, buffers: Params) -> State:
    return State(
        {name: value.detach().clone()[None] for name, value in params.items()},
        {name: value.clone()[None] for name, value in buffers.items()},
    )


def _clip_and_add_noise(learner: Learner, state: State, x: Tensor, y: Tensor, key: Tensor) -> None:
    """Put into `.grad` what DP-SGD follows, example by example."""
    clip = learner.recipe.clip or 0.0
    total = {name: torch.zeros_like(value) for name, value in state.params.items()}
    for one, label in zip(x, y, strict=True):
        logits, _ = learner.apply(state, one[None], train=True, key=key)
        grads = torch.autograd.grad(cross_entropy(logits, label[None]), list(state.params.values()))
        norm = torch.cat([grad.reshape(-1) for grad in grads]).norm()
        for name, grad in zip(total, grads, strict=True):
            total[name] += grad * min(1.0, clip / max(float(norm), clip))
    for name, value in add_noise(total, learner, key).items():
        state.params[name].grad = value
