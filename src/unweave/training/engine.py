"""`many`: train a stack of replicas at once, each as `fit` would have trained it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy

from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in, key_tensor
from unweave.training.batches import epoch_orders
from unweave.training.lift import gradient
from unweave.training.loop import fit
from unweave.training.private import private_gradient


def stack(states: Sequence[State]) -> State:
    """Put models side by side: every tensor gains a leading axis of length K."""
    first = states[0]
    return State(
        {name: torch.stack([s.params[name] for s in states]) for name in first.params},
        {name: torch.stack([s.buffers[name] for s in states]) for name in first.buffers},
    )


def unstack(stacked: State) -> list[State]:
    """The models of a stack, one by one (views)."""
    count = len(next(iter(stacked.params.values())))
    return [
        State({n: v[k] for n, v in stacked.params.items()}, {n: v[k] for n, v in stacked.buffers.items()})
        for k in range(count)
    ]


def many(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    *,
    rows: Sequence[NDArray[np.int64]],
    keys: Sequence[Key],
    on_epoch: Callable[[int], None] | None = None,
) -> State:
    """Train K models at once; replica k equals `fit(…, rows=rows[k], key=keys[k])` up to rounding.

    Weights differ from `fit` by at most a few 1e-6 (another order of summation); a replica's result
    does not depend on which others it was stacked with. A learner whose models cannot be stacked is
    trained by `fit`, one model after the other.

    Args:
        learner: Architecture and recipe.
        x: Features of all of D [n, ...].
        y: Labels of all of D [n].
        rows: One training set per replica, as rows of D; all of the same size, since a stack takes
            its steps together.
        keys: One key per replica.
        on_epoch: Called after each epoch of a stack with its number.

    Returns:
        A stacked state with a leading axis of length K.

    Raises:
        ValueError: if the training sets differ in size.
    """
    if not learner.stacked:
        return stack([fit(learner, x, y, rows=r, key=k) for r, k in zip(rows, keys, strict=True)])
    recipe, n_rows = learner.recipe, len(rows[0])
    if any(len(r) != n_rows for r in rows):
        raise ValueError(f"Expected training sets of one size, got {sorted({len(r) for r in rows})}.")
    device = x.device
    params, buffers = stack([learner.start(key, x, r) for r, key in zip(rows, keys, strict=True)])
    params = inputs_first(params)
    noise = key_tensor([derive(key, "noise") for key in keys], device)
    orders = np.stack([epoch_orders(len(x), r, recipe.epochs, k) for r, k in zip(rows, keys, strict=True)])
    table = torch.from_numpy(orders).to(device)  # (K, epochs, n_rows)

    def loss(params: Params, buffers: Params, xb: Tensor, yb: Tensor, key: Tensor) -> tuple[Tensor, Params]:
        logits, after = learner.apply(State(params, buffers), xb, train=True, key=key)
        return cross_entropy(logits, yb), after

    differentiate = gradient(loss, stacked=True)
    by_hand = learner.stacked_gradient
    private = None if recipe.clip is None else private_gradient(learner)
    encode = (lambda buffers, x: x) if learner.encode is None else vmap(learner.encode)
    velocity = {name: torch.zeros_like(value) for name, value in params.items()}
    total, step = recipe.steps(n_rows), 0
    for epoch in range(recipe.epochs):
        for begin in range(0, n_rows, recipe.batch_size):
            batch = table[:, epoch, begin : begin + recipe.batch_size]
            xb, yb = take(x, batch), take(y, batch)
            if private is not None:
                grads = private(params, buffers, xb, yb, fold_in(noise, step))
            elif by_hand is not None:
                grads = by_hand(params, encode(buffers, xb), yb)
            else:
                grads, buffers = differentiate(params, buffers, xb, yb, fold_in(noise, step))
            sgd_step(params, grads, velocity, lr=recipe.rate(step, total), learner=learner, first=step == 0)
            step += 1
        if on_epoch is not None:
            on_epoch(epoch)
    return State({name: value.contiguous() for name, value in params.items()}, buffers)


def inputs_first(params: Params) -> Params:
    """Copies of a stack's parameters, with the matrices of weights laid out in memory as [K, in, out].

    Shapes stay as they are, [K, out, in]. A forward pass reads the transpose, and gets its product of
    matrices up to twice as fast when that is the contiguous one; gradients come out in the same layout.
    """
    return {
        name: value.mT.clone(memory_format=torch.contiguous_format).mT if value.ndim == 3 else value.clone()
        for name, value in params.items()
    }


def take(source: Tensor, index: Tensor) -> Tensor:
    """`source[index]` for an index of any shape; one flat gather is faster than fancy indexing."""
    return source.index_select(0, index.reshape(-1)).view(*index.shape, *source.shape[1:])


def sgd_step(params: Params, grads: Params, velocity: Params, *, lr: float, learner: Learner, first: bool) -> None:
    """One in-place step of SGD with momentum and weight decay, as torch.optim.SGD defines it.

    g ← ∇ + wd·θ;  v ← μ·v + g (v = g at the first step);  θ ← θ − lr·v.
    """
    recipe = learner.recipe
    names = list(params)
    values, gradients = [params[n] for n in names], [grads[n] for n in names]
    speeds = [velocity[n] for n in names]
    if recipe.weight_decay:
        gradients = torch._foreach_add(gradients, values, alpha=recipe.weight_decay)
    if not first:
        torch._foreach_mul_(speeds, recipe.momentum)
    torch._foreach_add_(speeds, gradients)
    torch._foreach_add_(values, speeds, alpha=-lr)
