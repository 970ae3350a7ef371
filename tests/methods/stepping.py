"""One step of a method on one model in double precision, beside what it should be."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unweave.learners.contract import Params, State
from unweave.learners.noise import key_tensor
from unweave.methods import Batch, Method, Net

Oracle = Callable[[Net, object], Tensor]
"""`(net, aux) → loss`, written plainly."""


def double(toy, k: int = 0):
    """The toy in double precision, and the parameters of original k."""
    parts = {name: getattr(toy, name) for name in ("forget", "retain", "validation")}
    parts = {name: part._replace(x=part.x.double()) for name, part in parts.items()}
    return toy._replace(**parts), {name: value[k].double() for name, value in toy.originals.params.items()}


def moved(params: Params, by: float) -> Params:
    """Parameters some way off."""
    rng = torch.Generator().manual_seed(0)
    return {n: v + by * torch.randn(v.shape, generator=rng, dtype=v.dtype) for n, v in sorted(params.items())}


def batches(toy, order: Tensor | None = None, names=("forget", "retain", "validation")) -> dict[str, Batch]:
    """Whole sets as batches; S in another order, if one is given."""
    found = {name: Batch(*getattr(toy, name), torch.arange(len(getattr(toy, name).y))) for name in names}
    if order is not None:
        found["forget"] = Batch(toy.forget.x[order], toy.forget.y[order], order)
    return found


def check_step(toy, method: Method, oracle: Oracle, *, by: float = 0.3) -> None:
    """Loss and gradient of a step, at a model some way from the original, are those of the oracle."""
    toy, params = double(toy)
    net = Net(toy.learner, State(params, {}), train=False)
    key, aux = key_tensor([3])[0], ()
    if method.prepare is not None:
        aux = method.prepare(net, toy.given(net), key)[1]
    order = torch.randperm(len(toy.forget.y), generator=torch.Generator().manual_seed(1))

    def value(function) -> tuple[Tensor, list[Tensor]]:
        leaves = {name: one.requires_grad_() for name, one in moved(params, by).items()}
        loss = function(Net(toy.learner, State(leaves, {}), train=False))
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return loss.detach(), list(found)

    loss, grads = value(lambda net: method.step(net, aux, batches(toy, order), 0, key))
    expected, slopes = value(lambda net: oracle(net, toy))
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(grads, slopes, atol=1e-6, rtol=1e-4)
