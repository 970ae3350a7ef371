"""Gradients of one model for single examples: their sums, products with each other and squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import linear

from unweave._errors import ApplicabilityError
from unweave.learners.contract import Params, State
from unweave.learners.noise import uniform
from unweave.methods.contract import Examples, Net
from unweave.methods.losses import cross_entropy
from unweave.training.dense import dense_gradients

AT_ONCE = 256
"""Examples differentiated at once where their sum is what is asked for."""

_MOST_NUMBERS = 2**28  # of all rows together, one gibibyte


def flatten(params: Params) -> Tensor:
    """All numbers of a model [p], in the order of the names: stored models come back in any order."""
    return torch.cat([params[name].reshape(-1) for name in sorted(params)])


def unflatten(vector: Tensor, like: Params) -> Params:
    """What `flatten` made flat, in the shapes of `like`.

    Example:
        >>> like = {"b": torch.zeros(2, 1), "a": torch.zeros(1)}
        >>> {name: value.tolist() for name, value in unflatten(torch.tensor([1.0, 2.0, 3.0]), like).items()}
        {'b': [[2.0], [3.0]], 'a': [1.0]}
    """
    names = sorted(like)
    parts = dict(zip(names, vector.split([like[name].numel() for name in names]), strict=True))
    return {name: parts[name].reshape(value.shape) for name, value in like.items()}


def some(examples: Examples, most: float, key: Tensor) -> Examples:
    """At most so many of the examples, drawn without replacement; where they are not more, all of them."""
    n = len(examples.y)
    if n <= most:
        return examples
    chosen = uniform(key, n).argsort()[: int(most)].sort().values
    return Examples(examples.x[chosen], examples.y[chosen])


def in_double(net: Net, *parts: Examples) -> tuple[Net, *tuple[Examples, ...]]:
    """A net and examples in double precision, as solving asks for.

    What is solved for may differ by a thousand times the rounding of what is given, and the result for a model
    must not depend on the stack, whose sums are rounded otherwise.
    """

    def doubled(value: Tensor) -> Tensor:
        return value.double() if value.is_floating_point() else value

    params, buffers = (
        {name: doubled(value) for name, value in part.items()} for part in (net.params, net.buffers)
    )
    return (
        Net(net.learner, State(params, buffers), train=False),
        *(Examples(doubled(part.x), part.y) for part in parts),
    )


def moved(net: Net, step: Tensor) -> State:
    """The net's parameters and a step [p], in the order of `flatten` and any precision, added to them."""
    change = unflatten(step, net.params)
    return State({name: value + change[name].to(value.dtype) for name, value in net.params.items()}, net.buffers)


def residual(logits: Tensor, y: Tensor) -> Tensor:
    """softmax(z) − onehot(y) [n, classes]: ∂CE/∂z.

    Example:
        >>> residual(torch.zeros(1, 2), torch.tensor([1])).tolist()
        [[0.5, -0.5]]
    """
    by_class = logits.mT.contiguous()  # under `vmap` a softmax over a last axis of ten is several times slower
    return by_class.softmax(0).scatter_add(0, y[None], by_class.new_full((1, len(y)), -1.0)).mT


def total_gradient(net: Net, examples: Examples) -> Params:
    """Σ_i ∂CE(x_i, y_i)/∂θ, without weight decay."""
    if net.learner.dense is not None:
        return dense_gradients(net.params, net.encode(examples.x), examples.y, depth=net.learner.dense)

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(logits_at(net, params, x), y).sum()

    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for x, y in _parts(examples):
        for name, value in grad(loss)(net.params, x, y).items():
            total[name] = total[name] + value
    return total


def logits_at(net: Net, params: Params, x: Tensor) -> Tensor:
    """Logits of the net with other parameters, as it answers in use."""
    return Net(net.learner, State(params, net.buffers), train=False)(x)


def _parts(examples: Examples) -> list[tuple[Tensor, Tensor]]:
    return list(zip(examples.x.split(AT_ONCE), examples.y.split(AT_ONCE), strict=True))


# ---- plain relu nets by hand ----


def forward(params: Params, x: Tensor, depth: int) -> tuple[list[Tensor], Tensor]:
    """What each layer reads [n, width], and the logits [n, classes]."""
    hidden = [x.flatten(1)]
    for layer in range(depth):
        hidden.append(linear(hidden[-1], params[f"{layer}.weight"], params[f"{layer}.bias"]).relu())
    return hidden, linear(hidden[-1], params[f"{depth}.weight"], params[f"{depth}.bias"])


def backward(params: Params, hidden: list[Tensor], u: Tensor) -> list[Tensor]:
    """∂(u_i·z_i)/∂(what layer l gives) [n, width] for each layer, from first to last."""
    deltas = [u]
    for layer in range(len(hidden) - 1, 0, -1):
        deltas.append((deltas[-1] @ params[f"{layer}.weight"]) * (hidden[layer] > 0))
    return deltas[::-1]


def sums(params: Params, hidden: list[Tensor], deltas: list[Tensor]) -> Params:
    """Σ_i of the outer products of which gradients of single examples consist, shaped like the parameters."""
    found: Params = {}
    for layer, (h, delta) in enumerate(zip(hidden, deltas, strict=True)):
        found[f"{layer}.weight"], found[f"{layer}.bias"] = delta.mT @ h, delta.sum(0)
    return {name: found[name] for name in params}


# ---- gradients of single examples ----


class Rows(NamedTuple):
    """Gradients g_i = ∂(u_i·z_i)/∂θ of n examples, which need not be in memory: what is asked of them.

    Attributes:
        gram: () → g_i·g_j [n, n].
        dot: v, shaped like the parameters → g_i·v [n].
        combine: c [n] → Σ_i c_i·g_i, shaped like the parameters.
    """

    gram: Callable[[], Tensor]
    dot: Callable[[Params], Tensor]
    combine: Callable[[Tensor], Params]


def rows(net: Net, x: Tensor, u: Tensor) -> Rows:
    """Gradients of u_i·z(x_i): those of CE for u = `residual`, of logit c for u = the c-th unit vector.

    For a plain relu net g_i is an outer product of two short vectors per layer, and Gram matrix and sums
    are made of those; for others the gradients themselves are kept.

    Args:
        net: The model.
        x: [n, ...].
        u: [n, classes].

    Raises:
        ApplicabilityError: if n gradients of a net that is not plain would take more than a gibibyte.
    """
    params = net.params
    if net.learner.dense is None:
        return _kept_rows(net, x, u)
    hidden, _ = forward(params, net.encode(x), net.learner.dense)
    deltas = backward(params, hidden, u)

    def gram() -> Tensor:
        total = u.new_zeros(())
        for h, d in zip(hidden, deltas, strict=True):
            total = total + (d @ d.mT) * (h @ h.mT).add_(1)
        return total

    def dot(v: Params) -> Tensor:
        parts = [
            (linear(h, v[f"{layer}.weight"], v[f"{layer}.bias"]) * d).sum(1)
            for layer, (h, d) in enumerate(zip(hidden, deltas, strict=True))
        ]
        return torch.stack(parts).sum(0)

    def combine(c: Tensor) -> Params:
        return sums(params, hidden, [c[:, None] * d for d in deltas])

    return Rows(gram, dot, combine)


def _kept_rows(net: Net, x: Tensor, u: Tensor) -> Rows:
    numbers = sum(value.numel() for value in net.params.values())
    if len(x) * numbers > _MOST_NUMBERS:
        raise ApplicabilityError(
            f"Gradients of {len(x)} examples of {numbers:,} numbers each take more than a gibibyte. "
            f"Set the method's `examples` lower."
        )

    def number(params: Params, x: Tensor, u: Tensor) -> Tensor:
        return (logits_at(net, params, x[None])[0] * u).sum()

    per_example = vmap(grad(number), in_dims=(None, 0, 0))
    some_rows = []
    for part, of in zip(x.split(8), u.split(8), strict=True):
        found = per_example(net.params, part, of)
        some_rows.append(torch.cat([found[name].flatten(1) for name in sorted(found)], 1))
    matrix = torch.cat(some_rows)
    return Rows(
        lambda: matrix @ matrix.mT,
        lambda v: matrix @ flatten(v),
        lambda c: unflatten(c @ matrix, net.params),
    )


def squares(net: Net, x: Tensor, u: Tensor) -> Params:
    """Σ_i (∂(u_i·z_i)/∂θ)², squared example by example.

    Args:
        net: The model.
        x: [n, ...].
        u: [n, classes].
    """
    params, total = net.params, {name: torch.zeros_like(value) for name, value in net.params.items()}

    def number(params: Params, x: Tensor, u: Tensor) -> Tensor:
        return (logits_at(net, params, x[None])[0] * u).sum()

    def of(x: Tensor, u: Tensor) -> Params:
        if net.learner.dense is None:
            found = vmap(grad(number), in_dims=(None, 0, 0))(params, x, u)
            return {name: value.square().sum(0) for name, value in found.items()}
        # The square of an outer product is the outer product of squares.
        hidden, _ = forward(params, net.encode(x), net.learner.dense)
        deltas = backward(params, hidden, u)
        return sums(params, [h.square() for h in hidden], [d.square() for d in deltas])

    size = 8 if net.learner.dense is None else 2 * AT_ONCE
    for part, own in zip(x.split(size), u.split(size), strict=True):
        for name, value in of(part, own).items():
            total[name] = total[name] + value
    return total
