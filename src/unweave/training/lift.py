"""From functions of one model to functions of a stack: under `vmap`, or model by model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from unweave.learners.contract import Params

_inside: Any = getattr(torch._C, "_functorch", None)
_USED = ("_vmap_increment_nesting", "_vmap_decrement_nesting", "_add_batch_dim", "_remove_batch_dim")
_loaded: list[bool] = []

Loss = Callable[..., tuple[Tensor, Params]]
"""`(params, buffers, …) → (loss, buffers)` of one model."""


def lift(function: Callable[..., Any], *, stacked: bool, shared: Sequence[int] = ()) -> Callable[..., Any]:
    """A function of one model as one of a stack: each tensor of its arguments gains a leading axis.

    Args:
        function: Takes and returns trees of tensors.
        stacked: Whether all models are run at once, under `vmap`; else one after the other.
        shared: Positions of the arguments that are the same for all models.

    Example:
        >>> double = lift(lambda x: 2 * x, stacked=False)
        >>> double(torch.tensor([1, 2])).tolist()
        [2, 4]
    """
    if stacked:

        def at_once(*arguments: Any) -> Any:
            dims = tuple(None if place in shared else 0 for place in range(len(arguments)))
            return vmap(function, in_dims=dims)(*arguments)

        return at_once

    def one_by_one(*arguments: Any) -> Any:
        own = [argument for place, argument in enumerate(arguments) if place not in shared]
        results = [
            function(
                *(a if place in shared else tree_map(lambda t, k=k: t[k], a) for place, a in enumerate(arguments))
            )
            for k in range(len(tree_leaves(own)[0]))
        ]
        if len(results) == 1:  # a view instead of a copy
            return tree_map(lambda tensor: tensor[None], results[0])
        return tree_map(lambda *tensors: torch.stack(tensors), *results)

    return one_by_one


def over_models(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """`torch.func.vmap` of a function of tensors to one tensor, all with a leading axis, with less around it.

    Before and after the function itself `vmap` flattens trees, finds sizes and matches axes, which takes as long
    as the rest of the loss of a small net. What is done here is what `vmap` does in between. The first call goes
    through `vmap`, which also loads what it needs, and so do all where this torch has no such functions inside.

    Example:
        >>> [over_models(lambda x: 2 * x.sum(), torch.ones(2, 3)).tolist() for _ in range(2)]
        [[6.0, 6.0], [6.0, 6.0]]
    """
    if not _loaded or not all(hasattr(_inside, name) for name in _USED):
        _loaded.append(True)
        return vmap(function)(*tensors)
    level = _inside._vmap_increment_nesting(len(tensors[0]), "error")
    try:
        found = function(*[_inside._add_batch_dim(tensor, 0, level) for tensor in tensors])
        return _inside._remove_batch_dim(found, level, len(tensors[0]), 0)
    finally:
        _inside._vmap_decrement_nesting()


def gradient(loss: Loss, *, stacked: bool) -> Callable[..., tuple[Params, Params]]:
    """The gradient of a loss of one model, for a stack: `(params, buffers, …) → (gradients, buffers)`.

    No model's loss depends on another's parameters, so the gradient of the sum of the losses holds every
    model's own. Taken outside of `vmap`, it costs less than `vmap` of a gradient.
    """
    if not stacked:
        return lift(_gradient(loss), stacked=False)
    losses = lift(loss, stacked=True)

    def total(*arguments: Any) -> tuple[Tensor, Params]:
        values, buffers = losses(*arguments)
        return values.sum(), buffers

    return _gradient(total)


def _gradient(loss: Loss) -> Callable[..., tuple[Params, Params]]:
    def differentiate(params: Mapping[str, Tensor], *others: Any) -> tuple[Params, Params]:
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        with torch.enable_grad():
            value, buffers = loss(leaves, *others)
            if not value.requires_grad:  # it reads no parameter at all
                return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}, buffers
            # A parameter that the loss does not read has gradient 0.
            found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
        grads = dict(zip(leaves, found, strict=True))
        return grads, {name: buffer.detach() for name, buffer in buffers.items()}

    return differentiate
