"""`many`: train a stack of replicas at once, each as `fit` would have trained it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap

from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in, key_tensor
from unweave.training.batches import epoch_orders
from unweave.training.chunk import best_chunk
from unweave.training.compiled import plain_loss
from unweave.training.dense import dense_steps
from unweave.training.graph import OnBatch, recorded
from unweave.training.lift import gradient
from unweave.training.loop import OnStep, fit
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
    chunk: int | None = None,
    on_epoch: Callable[[int], None] | None = None,
    on_step: OnStep | None = None,
) -> State:
    """Train K models at once; replica k equals `fit(…, rows=rows[k], key=keys[k])` up to rounding.

    Weights differ from `fit` by at most a few 1e-6 (another order of summation); a replica's result
    does not depend on which others it was stacked with, to the bit. A learner whose models cannot be stacked is
    trained by `fit`, one model after the other.

    Args:
        learner: Architecture and recipe.
        x: Features of all of D [n, ...].
        y: Labels of all of D [n].
        rows: One training set per replica, as rows of D; all of the same size, since a stack takes
            its steps together.
        keys: One key per replica.
        chunk: Models per stack; None = what `best_chunk` finds fastest here.
        on_epoch: Called after each epoch of a stack with its number.
        on_step: Called with every stack before its first step and after each.

    Returns:
        A stacked state with a leading axis of length K.

    Raises:
        ValueError: if the training sets differ in size.
    """
    if not learner.stacked:
        return stack([fit(learner, x, y, rows=r, key=k, on_step=on_step) for r, k in zip(rows, keys, strict=True)])
    if any(len(r) != len(rows[0]) for r in rows):
        raise ValueError(f"Expected training sets of one size, got {sorted({len(r) for r in rows})}.")
    replicas = list(zip(rows, keys, strict=True))
    size = chunk or fastest_chunk(learner, x, y, rows[0], len(keys))
    return join(
        [_train(learner, x, y, replicas[b : b + size], on_epoch, on_step) for b in range(0, len(keys), size)]
    )


def fastest_chunk(learner: Learner, x: Tensor, y: Tensor, rows: NDArray[np.int64], count: int) -> int:
    """Models per stack, by a trial on copies of one model; 1 for a learner whose models cannot be stacked."""
    if not learner.stacked:
        return 1
    batch = torch.from_numpy(rows[: learner.recipe.batch_size]).to(x.device)

    def stack_of(size: int) -> Callable[[], None]:
        one = learner.start(0, x, rows)
        state = State(
            {name: value.expand(size, *value.shape).clone() for name, value in one.params.items()},
            {name: value.expand(size, *value.shape).clone() for name, value in one.buffers.items()},
        )
        advance, _ = stepper(learner, state, [(rows, 0)] * size)
        index = batch.expand(size, -1)
        room = take(x, index)

        def step() -> None:
            # At a rate of 0 nothing can diverge, and a step costs the same.
            advance(take(x, index, room), take(y, index), 0.0, 1)
            if x.is_cuda:  # else the clock would see the launch and not the step
                torch.cuda.synchronize(x.device)

        return step

    return best_chunk(stack_of, count, what=(repr(learner.spec), tuple(x.shape[1:]), len(batch), str(x.device)))


def part(stacked: State, models: slice) -> State:
    """Some of the models of a stack, as views."""
    return State(
        {name: value[models] for name, value in stacked.params.items()},
        {name: value[models] for name, value in stacked.buffers.items()},
    )


def join(stacks: Sequence[State]) -> State:
    """Several stacks as one."""
    if len(stacks) == 1:
        return stacks[0]
    first = stacks[0]
    return State(
        {name: torch.cat([s.params[name] for s in stacks]) for name in first.params},
        {name: torch.cat([s.buffers[name] for s in stacks]) for name in first.buffers},
    )


def _train(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    replicas: Sequence[tuple[NDArray[np.int64], Key]],
    on_epoch: Callable[[int], None] | None,
    on_step: OnStep | None,
) -> State:
    """Train one stack."""
    recipe, n_rows = learner.recipe, len(replicas[0][0])
    orders = np.stack([epoch_orders(len(x), rows, recipe.epochs, key) for rows, key in replicas])
    table = torch.from_numpy(orders).to(x.device)  # (K, epochs, n_rows)
    advance, told = stepper(learner, stack([learner.start(key, x, r) for r, key in replicas]), replicas)
    total, step = recipe.steps(n_rows), 0
    rooms: dict[int, Tensor] = {}

    def on_batch(batch: Tensor, rate: float | Tensor, number: int) -> None:
        batch = batch.contiguous()  # once, for features and labels
        xb = take(x, batch, rooms.get(batch.shape[1]))
        rooms[batch.shape[1]] = xb  # the last batch of an epoch may be smaller
        advance(xb, take(y, batch), rate, number)

    # Who looks on after each step would see the memory that a recorded one writes to.
    go = recorded_where_it_pays(on_batch, learner, x.device) if on_step is None else on_batch
    if on_step is not None:
        on_step(-1, table[:, 0, :0], told())
    for epoch in range(recipe.epochs):
        for begin in range(0, n_rows, recipe.batch_size):
            batch = table[:, epoch, begin : begin + recipe.batch_size]
            go(batch, recipe.rate(step, total), step)
            if on_step is not None:
                on_step(step, batch, told())
            step += 1
        if on_epoch is not None:
            on_epoch(epoch)
    return told()


def recorded_where_it_pays(on_batch: OnBatch, learner: Learner, device: torch.device) -> OnBatch:
    """A step by hand as a graph on a GPU; any other as it is."""
    return recorded(on_batch) if device.type == "cuda" and _by_hand(learner) else on_batch


def _by_hand(learner: Learner) -> bool:
    return learner.dense is not None and learner.recipe.clip is None


Advance = Callable[[Tensor, Tensor, float | Tensor, int], None]
"""`(x [K, batch, ...], y [K, batch], rate, number of the step)`: one step of every model of a stack."""


def stepper(
    learner: Learner, state: State, replicas: Sequence[tuple[object, Key]]
) -> tuple[Advance, Callable[[], State]]:
    """How a stack takes a step, and what tells its state; `state` itself is left as it was."""
    recipe, device = learner.recipe, next(iter(state.params.values())).device
    noise = key_tensor([derive(key, "noise") for _, key in replicas], device)
    if learner.dense is not None and _by_hand(learner):
        encode = stacked_encode(learner)
        step, now = dense_steps(state.params, depth=learner.dense, recipe=recipe)

        def by_hand(x: Tensor, y: Tensor, rate: float | Tensor, number: int) -> None:
            del number
            step(encode(state.buffers, x), y, rate)

        return by_hand, lambda: State(now(), state.buffers)
    if learner.tied is not None and learner.tied.depth is not None:
        masks = vmap(learner.tied.masks)
        step, now = dense_steps(state.params, depth=learner.tied.depth, recipe=recipe)

        def masked(x: Tensor, y: Tensor, rate: float | Tensor, number: int) -> None:
            del number
            step(x, y, rate, masks(state.buffers, x))

        return masked, lambda: State(now(), state.buffers)

    differentiate = gradient(plain_loss(learner), stacked=True)
    private = None if recipe.clip is None else private_gradient(learner)
    params, buffers = inputs_first(state.params), state.buffers
    velocity = {name: torch.zeros_like(value) for name, value in params.items()}

    def differentiated(x: Tensor, y: Tensor, rate: float | Tensor, number: int) -> None:
        nonlocal buffers
        assert isinstance(rate, float)  # such a step is never recorded
        key = fold_in(noise, number)
        if private is None:
            grads, buffers = differentiate(params, buffers, x, y, key)
        else:
            grads = private(params, buffers, x, y, key)
        sgd_step(params, grads, velocity, lr=rate, learner=learner, first=number == 0)

    return differentiated, lambda: State({n: v.contiguous() for n, v in params.items()}, buffers)


def stacked_encode(learner: Learner) -> Callable[[Params, Tensor], Tensor]:
    """What a stack does to features [K, b, ...] with its buffers before anything else."""
    return (lambda buffers, x: x) if learner.encode is None else vmap(learner.encode)


def inputs_first(params: Params) -> Params:
    """Copies of a stack's parameters, with the matrices of weights laid out in memory as [K, in, out].

    Shapes stay as they are, [K, out, in]. A forward pass reads the transpose, and gets its product of
    matrices up to twice as fast when that is the contiguous one; gradients come out in the same layout.
    """
    return {
        name: value.mT.clone(memory_format=torch.contiguous_format).mT if value.ndim == 3 else value.clone()
        for name, value in params.items()
    }


def take(source: Tensor, index: Tensor, room: Tensor | None = None) -> Tensor:
    """`source[index]` for an index of any shape; one flat gather is faster than fancy indexing.

    Args:
        source: [n, ...].
        index: Rows of it.
        room: Where to put the result: what an earlier call for an index of this shape returned.
    """
    shape = (*index.shape, *source.shape[1:])
    if room is None:
        room = source.new_empty(shape)
    torch.index_select(source, 0, index.reshape(-1), out=room.view(-1, *source.shape[1:]))
    return room


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
