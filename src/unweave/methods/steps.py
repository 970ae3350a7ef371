"""How a stack takes a step of a method: by autograd, or for plain relu nets mostly by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from unweave._errors import UserError
from unweave.learners.contract import Learner, Params, State
from unweave.methods.contract import Aux, Batch, Method, Net
from unweave.training.adamw import adamw_step
from unweave.training.dense import DenseStack
from unweave.training.engine import inputs_first, sgd_step, stacked_encode
from unweave.training.lift import gradient, lift, over_models

Advance = Callable[[int, Mapping[str, Batch], Tensor], None]
"""`(number of the step, batches, keys [K])`: one step of every model of a stack."""


class Stack(NamedTuple):
    """How a stack takes a step, and what tells its state, what its method carries, and its velocities."""

    advance: Advance
    now: Callable[[], State]
    aux: Callable[[], Aux]
    speeds: Callable[[], Params]


def stepper(
    method: Method,
    learner: Learner,
    state: State,
    aux: Aux,
    mask: Params | None,
    speeds: Params | None = None,
) -> Stack:
    """The step of a method on a stack.

    Steps are of the recipe's optimiser with its momentum and weight decay, at a constant share of its rate.

    Args:
        method: With a `step`, if a step is to be taken.
        learner: The learner that made the models.
        state: K models, stacked; left as it was.
        aux: What `prepare` gave, stacked.
        mask: 0/1 per parameter [K, ...], multiplied onto its update; a buffer named with 0 is kept too.
        speeds: Velocities to go on with, like the parameters; None = 0.
    """
    if learner.dense is not None:
        return _by_hand(method, learner, state, aux, mask, speeds)
    return _by_autograd(method, learner, state, aux, mask, speeds)


def _by_autograd(
    method: Method, learner: Learner, state: State, aux: Aux, mask: Params | None, speeds: Params | None
) -> Stack:
    params, buffers = inputs_first(state.params), state.buffers
    velocity = (
        {name: torch.zeros_like(value) for name, value in params.items()}
        if speeds is None
        else inputs_first(speeds)
    )
    recipe = learner.recipe
    squares = {name: torch.zeros_like(value) for name, value in params.items() if recipe.optimiser == "adamw"}
    carried = aux
    lr = method.lr * learner.recipe.lr

    def advance(i: int, batches: Mapping[str, Batch], keys: Tensor) -> None:
        nonlocal buffers, carried
        carried = _respond(method, learner, (params, buffers, carried), batches, i, keys, {})

        def loss(
            params: Params, buffers: Params, aux: Aux, batches: Mapping[str, Batch], key: Tensor
        ) -> tuple[Tensor, Params]:
            net = Net(learner, State(params, buffers), key=key)
            return _loss(method, net, aux, batches, i, key), net.buffers

        grads, after = gradient(loss, stacked=learner.stacked)(params, buffers, carried, batches, keys)
        held = mask is not None or method.project is not None
        before = {name: value.clone() for name, value in params.items()} if held else {}
        if squares:
            adamw_step(params, grads, velocity, squares, lr=lr, recipe=recipe, number=i)
        else:
            sgd_step(params, grads, velocity, lr=lr, learner=learner, first=i == 0 and speeds is None)
        if method.project is not None:
            update = {name: value - before[name] for name, value in params.items()}
            for name, move in _project(method, learner, carried, update).items():
                params[name].copy_(before[name] + move)
        if mask is not None:
            for name, value in params.items():
                value.copy_(torch.lerp(before[name], value, mask[name]))
            after |= {n: torch.where(mask[n] > 0, value, buffers[n]) for n, value in after.items() if n in mask}
        buffers = after

    def now() -> State:
        return State(_copies(params), buffers)

    return Stack(advance, now, lambda: carried, lambda: _copies(velocity))


def _copies(params: Params) -> Params:
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in params.items()}


def _by_hand(
    method: Method, learner: Learner, state: State, aux: Aux, mask: Params | None, begin: Params | None
) -> Stack:
    """Logits of the batches by `DenseStack`; the loss and its gradient with respect to them by autograd.

    What a method does with parameters themselves, or with features other than those of the batches, autograd
    differentiates too.
    """
    depth, recipe, buffers = learner.dense, learner.recipe, state.buffers
    assert depth is not None
    encode, nets = stacked_encode(learner), DenseStack(state.params, depth=depth)
    moved = None if mask is None else nets.lay_out({name: mask[name] for name in state.params})
    room = torch.empty_like(nets.theta)
    params = {name: value.detach().requires_grad_() for name, value in nets.params().items()}
    speeds, rate = nets.speeds(), method.lr * recipe.lr
    if begin is not None:
        nets.velocity.copy_(nets.lay_out(begin))
    lowest = 0 if mask is None else _lowest_moved(mask, depth)
    carried = aux
    # As a list of tensors once, and not in every step.
    constant, shape = tree_flatten((params, buffers, aux))

    def advance(i: int, batches: Mapping[str, Batch], keys: Tensor) -> None:
        nonlocal carried, constant, shape
        names = list(batches)

        def loss(key: Tensor, *tensors: Tensor) -> Tensor:
            some = {name: Batch(*tensors[4 * place + 1 : 4 * place + 4]) for place, name in enumerate(names)}
            known = [(some[name].x, tensors[4 * place].T) for place, name in enumerate(names)]
            params, buffers, aux = tree_unflatten(tensors[4 * len(names) :], shape)
            net = Net(learner, State(params, buffers), key=key, known=known)
            return _loss(method, net, aux, some, i, key)

        logits = {
            name: nets.forward(encode(buffers, batch.x), slot=name).detach().requires_grad_()
            for name, batch in batches.items()
        }
        if method.respond is not None:
            known = {name: one.detach() for name, one in logits.items()}
            now = {name: value.detach() for name, value in params.items()}
            carried = _respond(method, learner, (now, buffers, carried), batches, i, keys, known)
            constant, shape = tree_flatten((params, buffers, carried))
        of_batches = [one for name in names for one in (logits[name], *batches[name])]
        with torch.enable_grad():
            total = over_models(loss, keys, *of_batches, *constant).sum()
        found = _gradients(total, [*logits.values(), *params.values()])
        keep = recipe.momentum
        if recipe.weight_decay:
            nets.velocity.mul_(keep).add_(nets.theta, alpha=recipe.weight_decay)
            keep = 1.0
        for slot, delta in zip(logits, found, strict=False):
            if delta is not None:
                nets.backward(delta, slot=slot, keep=keep, lowest=lowest)
                keep = 1.0
        if keep != 1.0:
            nets.velocity.mul_(keep)
        for name, own in zip(params, found[len(logits) :], strict=True):
            if own is not None:
                speeds[name].add_(own)
        # Held against the move and not added to it at once: a mask of ones changes no bit.
        move = nets.velocity
        if method.project is not None:
            move = nets.lay_out(_project(method, learner, carried, nets.views(move)))
        if moved is not None:
            move = torch.mul(move, moved, out=room)
        nets.theta.add_(move, alpha=-rate)

    return Stack(advance, lambda: State(nets.now(), buffers), lambda: carried, lambda: _copies(speeds))


def _respond(
    method: Method,
    learner: Learner,
    models: tuple[Params, Params, Aux],
    batches: Mapping[str, Batch],
    i: int,
    keys: Tensor,
    logits: Params,
) -> Aux:
    """What a method carries into a step: `models` is parameters, buffers and what was carried so far.

    Logits of the batches that are known, classes first, are not computed again.
    """
    if method.respond is None:
        return models[2]
    respond = method.respond

    def one(
        params: Params, buffers: Params, aux: Aux, batches: Mapping[str, Batch], key: Tensor, known: Params
    ) -> Aux:
        pairs = [(batches[name].x, value.T) for name, value in known.items()]
        return respond(Net(learner, State(params, buffers), key=key, known=pairs), aux, batches, i, key)

    with torch.no_grad():
        return lift(one, stacked=learner.stacked)(*models, batches, keys, logits)


def _project(method: Method, learner: Learner, aux: Aux, update: Params) -> Params:
    assert method.project is not None
    return lift(method.project, stacked=learner.stacked)(aux, update)


def _lowest_moved(mask: Params, depth: int) -> int:
    """The first layer of which anything moves: nobody reads the velocities of those before it."""
    return next((i for i in range(depth) if mask[f"{i}.weight"].any() or mask[f"{i}.bias"].any()), depth)


def _loss(method: Method, net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
    assert method.step is not None  # no step is taken otherwise
    loss: Any = method.step(net, aux, batches, i, key)
    if not isinstance(loss, Tensor) or loss.ndim:
        # Of several numbers the gradient would be that of their sum: a rate as many times as large.
        what = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise UserError(
            f"its `step` returned {what}; expected the loss of one model, a tensor of one number and no axis, "
            "such as a `.mean()` over the examples"
        )
    return loss


def _gradients(total: Tensor, leaves: list[Tensor]) -> tuple[Tensor | None, ...]:
    if not total.requires_grad:  # the loss reads neither
        return (None,) * len(leaves)
    return torch.autograd.grad(total, leaves, allow_unused=True)
