"""Gradients of single examples in bounded memory: layer by layer, in parts, or projected at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vmap

from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in, key_tensor, uniform
from unweave.methods import Examples, Net
from unweave.methods.per_example import backward, forward, in_double, logits_at, residual
from unweave.training.engine import unstack

MOST = 2**27
"""Double-precision numbers of gradients in memory at a time: a gibibyte."""

_PART = 2**24  # numbers of one part
_DIFFERENTIATED = 8  # examples under `vmap` at a time

Layer = tuple[Tensor, ...]
"""Gradients of n examples in one layer, as matrices [n, ·]: g_i·g_j is the product of their own a_i·a_j."""


class Reduction(NamedTuple):
    """A random projection of a layer's gradients that keeps their products, but for chance.

    Coordinate j is added to coordinate `bucket[j]` with the sign `sign[j]`: E[Sg·Sh] = g·h, with a standard
    deviation of at most √(2/q)·‖g‖·‖h‖ for q buckets. Source: Weinberger et al. (2009), arXiv 0902.2206.

    Attributes:
        bucket: int64 [d] in 0…q−1.
        sign: ±1 [d].
        size: q.
    """

    bucket: Tensor
    sign: Tensor
    size: int

    def of(self, rows: Tensor) -> Tensor:
        """Rows [n, d] as [n, q]."""
        return rows.new_zeros(len(rows), self.size).index_add_(1, self.bucket, rows * self.sign.to(rows.dtype))


def reduction(d: int, q: int, key: Key, device: torch.device) -> Reduction:
    """Choose at random which of d coordinates are added up to q, and with which signs.

    Example:
        >>> found = reduction(3, 1, 0, torch.device("cpu"))
        >>> bool(found.of(torch.eye(3)).abs().eq(1).all())
        True
    """
    keys = key_tensor([key], device)[0]
    bucket = (uniform(fold_in(keys, 0), d) * q).to(torch.int64).clamp(max=q - 1)
    sign = 2.0 * (uniform(fold_in(keys, 1), d) < 0.5).to(torch.float64) - 1.0
    return Reduction(bucket, sign, q)


def nets(learner: Learner, stacked: State) -> Iterator[Net]:
    """The models of a stack one by one, in double precision and as in use."""
    for state in unstack(stacked):
        yield in_double(Net(learner, state, train=False))[0]


def of_loss(net: Net, examples: Examples) -> tuple[Tensor, Tensor]:
    """Features in double precision, and u = ∂CE/∂z [n, classes], of which gradients are ∂(u·z)/∂θ."""
    x = as_double(examples.x)
    return x, residual(in_use(net, x), examples.y)


def as_double(x: Tensor) -> Tensor:
    """Features in the precision of the nets of `nets`."""
    return x.double() if x.is_floating_point() else x


def in_use(net: Net, x: Tensor) -> Tensor:
    """Logits [n, classes], some examples after the other, without a graph."""
    with torch.no_grad():
        size = max(1, _PART // (net.learner.spec.classes + x[:1].numel()))
        return torch.cat([net(part) for part in x.split(size)])


def numbers(net: Net) -> int:
    """Parameters of a net."""
    return sum(value.numel() for value in net.params.values())


def by_layer(net: Net) -> dict[str, list[str]]:
    """Names of the parameters of each layer: those that differ after the last full stop alone.

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> learner = build(specify("softmax", (4,), 2))
        >>> by_layer(Net(learner, learner.init(0)))
        {'0': ['0.bias', '0.weight']}
    """
    found: dict[str, list[str]] = {}
    for name in sorted(net.params):
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return found


def parts(net: Net, x: Tensor, u: Tensor, *, most: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Gradients ∂(u_i·z_i)/∂θ [b, p], in the order of `flatten`, so many at a time as fit.

    Args:
        net: The model.
        x: [n, ...].
        u: [n, classes].
        most: Examples at a time; None = as many as fit.
    """
    size = max(1, min(most or len(x), _PART // numbers(net)))
    for begin in range(0, len(x), size):
        some = slice(begin, min(begin + size, len(x)))
        found = _gradients(net, x[some], u[some])
        yield some, torch.cat([found[name].flatten(1) for name in sorted(found)], 1)


def reductions(net: Net, kept: int, key: Key) -> dict[str, Reduction]:
    """What makes the gradients of so many examples fit in `MOST` numbers; empty where they fit, or need not.

    Args:
        net: The model; gradients of a plain relu net are never written down.
        kept: Examples whose gradients are held at a time.
        key: Determines the projections.
    """
    total = numbers(net)
    if net.learner.dense is not None or kept * total <= MOST:
        return {}
    found: dict[str, Reduction] = {}
    for layer, names in by_layer(net).items():
        d = sum(net.params[name].numel() for name in names)
        q = max(64, int(d * (MOST / (kept * total))))
        if q < d:
            found[layer] = reduction(d, q, derive(key, "reduction", layer), net.params[names[0]].device)
    return found


def layers(net: Net, x: Tensor, u: Tensor, reduced: dict[str, Reduction]) -> dict[str, Layer]:
    """Gradients ∂(u_i·z_i)/∂θ of n examples, layer by layer.

    In a plain relu net they are outer products of two short vectors, which are kept in their place.

    Args:
        net: The model.
        x: [n, ...].
        u: [n, classes].
        reduced: What `reductions` returned.
    """
    names = by_layer(net)
    if net.learner.dense is not None:
        hidden, _ = forward(net.params, net.encode(x), net.learner.dense)
        deltas = backward(net.params, hidden, u)
        pairs = zip(hidden, deltas, strict=True)
        return {
            str(layer): (d, torch.cat([h, torch.ones_like(h[:, :1])], 1)) for layer, (h, d) in enumerate(pairs)
        }
    found: dict[str, list[Tensor]] = {layer: [] for layer in names}
    for part, of in zip(x.split(_DIFFERENTIATED), u.split(_DIFFERENTIATED), strict=True):
        rows = _gradients(net, part, of)
        for layer, own in names.items():
            whole = torch.cat([rows[name].flatten(1) for name in own], 1)
            found[layer].append(reduced[layer].of(whole) if layer in reduced else whole)
    return {layer: (torch.cat(some),) for layer, some in found.items()}


def products(one: Layer, other: Layer) -> Tensor:
    """g_i·h_j of the gradients of one layer [n, m].

    Example:
        >>> one, other = (torch.tensor([[2.0]]), torch.tensor([[3.0, 1.0]])), (torch.ones(1, 1), torch.eye(2)[:1])
        >>> products(one, other)
        tensor([[6.]])
    """
    found = one[0] @ other[0].mT
    for a, b in zip(one[1:], other[1:], strict=True):
        found = found * (a @ b.mT)
    return found


def lengths(one: Layer) -> Tensor:
    """‖g_i‖² of the gradients of one layer [n]."""
    found = one[0].square().sum(1)
    for a in one[1:]:
        found = found * a.square().sum(1)
    return found


def _gradients(net: Net, x: Tensor, u: Tensor) -> Params:
    if net.learner.dense is not None:
        hidden, _ = forward(net.params, net.encode(x), net.learner.dense)
        found: Params = {}
        for layer, (h, d) in enumerate(zip(hidden, backward(net.params, hidden, u), strict=True)):
            found[f"{layer}.weight"], found[f"{layer}.bias"] = d[:, :, None] * h[:, None], d
        return found

    def number(params: Params, x: Tensor, u: Tensor) -> Tensor:
        return (logits_at(net, params, x[None])[0] * u).sum()

    per_example = vmap(grad(number), in_dims=(None, 0, 0))
    some = [
        per_example(net.params, *pair)
        for pair in zip(x.split(_DIFFERENTIATED), u.split(_DIFFERENTIATED), strict=True)
    ]
    return {name: torch.cat([one[name] for one in some]) for name in net.params}
