"""Plain relu nets by hand: a stack whose step is a dozen operations on memory laid out once; sums of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import linear

from unweave.learners.contract import Params
from unweave.learners.specs import Recipe

_AT_ONCE = 512  # examples: what a stack of small nets makes of them stays in the cache


@runtime_checkable
class Step(Protocol):
    """One step of SGD of every model of a stack, on x [K, batch, ...] and y [K, batch].

    A rate that is a tensor of one number is read when the step is taken, so that a recorded step can be taken at
    any. A mask [K, batch, units of all hidden layers] says which of them each example has; None = all.
    """

    def __call__(self, x: Tensor, y: Tensor, rate: float | Tensor, mask: Tensor | None = None) -> None:
        """Take the step."""
        ...


class DenseStack:
    """K relu nets of one shape, in memory that is laid out once: forward passes, and gradients into velocities.

    With h₀ = x, h_l = relu(W_l h_{l−1} + b_l), z = W_L h + b_L and δ_L = ∂loss/∂z: ∂W_l = δ_lᵀ h_{l−1},
    ∂b_l = Σ δ_l, δ_{l−1} = (δ_l W_l)·1[h_{l−1} > 0]. Where time goes on small nets is the number of operations and
    of passes through memory: the product of matrices that makes a gradient adds it to the velocity itself, all
    parameters are one tensor, and nothing is allocated.

    Args:
        params: `"l.weight"` [K, out, in] and `"l.bias"` [K, out] for l = 0…depth; they are copied.
        depth: Number of hidden layers.

    Attributes:
        theta: All parameters, flat.
        velocity: As `theta`; 0 at first.
    """

    def __init__(self, params: Params, *, depth: int) -> None:
        # Hidden layers lie inputs first and the last one outputs first: so every product below reads its right
        # factor in order, and a softmax over classes is several times faster over this axis than over the last.
        self._names, self._depth = list(params), depth
        self._shapes: list[tuple[int, ...]] = []
        for layer in range(depth + 1):
            stacked, out, into = params[f"{layer}.weight"].shape
            weight, bias = ((into, out), (1, out)) if layer < depth else ((out, into), (out, 1))
            self._shapes += [(stacked, *weight), (stacked, *bias)]
        self.theta = self.lay_out(params)
        self.velocity = torch.zeros_like(self.theta)
        self._places, self._speeds = (_views(flat, self._shapes) for flat in (self.theta, self.velocity))
        self._weights, self._biases = self._places[::2], self._places[1::2]
        self._weight_speeds, self._bias_speeds = self._speeds[::2], self._speeds[1::2]
        self._rooms: dict[tuple[str, int], list[Tensor]] = {}
        self._hidden: dict[str, list[Tensor]] = {}
        self._rows_of_ones: dict[int, Tensor] = {}

    def lay_out(self, params: Params) -> Tensor:
        """Tensors shaped like the parameters as one flat tensor in the order of `theta`."""
        one = params["0.weight"]
        flat = one.new_empty(sum(map(math.prod, self._shapes)))
        for name, place in self._as_given(_views(flat, self._shapes)).items():
            place.copy_(params[name])
        return flat

    def views(self, flat: Tensor) -> Params:
        """A flat tensor in the order of `theta` as tensors shaped like the parameters."""
        return self._as_given(_views(flat, self._shapes))

    def params(self) -> Params:
        """The parameters as they were given, as views."""
        return self._as_given(self._places)

    def speeds(self) -> Params:
        """Velocities shaped like the parameters, as views."""
        return self._as_given(self._speeds)

    def now(self) -> Params:
        """Copies of the parameters of the moment."""
        return {n: v.clone(memory_format=torch.contiguous_format) for n, v in self.params().items()}

    def forward(self, x: Tensor, *, slot: str = "", mask: Tensor | None = None) -> Tensor:
        """Logits, classes first [K, classes, b], of x [K, b, ...]; they hold until the next pass in that slot.

        Hidden units that `mask` [K, b, units of all layers] has as 0 are off, and get no gradient: an output of 0
        is to `backward` that of a unit which relu holds there.
        """
        depth, room = self._depth, self._room(slot, x.shape[1])
        on = None if mask is None else mask.split([shape[2] for shape in self._shapes[:-2:2]], dim=-1)
        hidden = [x.flatten(2)]
        for layer in range(depth):
            z = _add_product(room[2 * layer], self._biases[layer], hidden[-1], self._weights[layer]).relu_()
            hidden.append(z if on is None else z.mul_(on[layer]))
        self._hidden[slot] = hidden
        return _add_product(room[-2], self._biases[depth], self._weights[depth], hidden[-1].mT)

    def softmax(self, logits: Tensor, *, slot: str = "") -> Tensor:
        """Probabilities of the logits of that slot, in memory of their own."""
        return torch.softmax(logits, 1, out=self._room(slot, logits.shape[2])[-1])

    def backward(
        self, delta: Tensor, *, slot: str = "", keep: float = 1.0, share: float = 1.0, lowest: int = 0
    ) -> None:
        """Set v ← keep·v + share·∂loss/∂θ, given ∂loss/∂logits [K, classes, b] of the last pass in that slot.

        Velocities of layers below `lowest` are left as they are.
        """
        depth, hidden, room = self._depth, self._hidden[slot], self._room(slot, delta.shape[2])
        ones = self._ones(delta.shape[2])
        speeds, bias_speeds = self._weight_speeds, self._bias_speeds
        _add_product(speeds[depth], speeds[depth], delta, hidden[-1], keep, share)
        # A sum is a product with ones: it is scaled and added in the same operation.
        _add_product(bias_speeds[depth], bias_speeds[depth], delta, ones.mT, keep, share)
        if lowest == depth:
            return
        back = _product(room[2 * depth - 1], delta.mT, self._weights[depth])
        for layer in range(depth - 1, lowest - 1, -1):
            # The derivative of relu in one operation, in place.
            delta = torch.ops.aten.threshold_backward.grad_input(back, hidden[layer + 1], 0, grad_input=back)
            if layer > lowest:
                back = _product(room[2 * layer - 1], delta, self._weights[layer].mT)
            _add_product(speeds[layer], speeds[layer], hidden[layer].mT, delta, keep, share)
            _add_product(bias_speeds[layer], bias_speeds[layer], ones, delta, keep, share)

    def _ones(self, batch: int) -> Tensor:
        if batch not in self._rows_of_ones:
            self._rows_of_ones[batch] = self.theta.new_ones(self._shapes[0][0], 1, batch)
        return self._rows_of_ones[batch]

    def _room(self, slot: str, batch: int) -> list[Tensor]:
        if (slot, batch) not in self._rooms:
            stacked, width = self._shapes[0][0], [shape[2] for shape in self._shapes[:-2:2]]
            inner = [self.theta.new_empty(stacked, batch, w) for w in width for _ in range(2)]
            logits = (self.theta.new_empty(stacked, self._shapes[-2][1], batch) for _ in range(2))
            self._rooms[slot, batch] = [*inner, *logits]
        return self._rooms[slot, batch]

    def _as_given(self, parts: Sequence[Tensor]) -> Params:
        found: Params = {}
        for layer, (weight, bias) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
            found[f"{layer}.weight"] = weight.mT if layer < self._depth else weight
            found[f"{layer}.bias"] = bias.view(len(bias), -1)
        return {name: found[name] for name in self._names}


def _add_product(
    out: Tensor, onto: Tensor, left: Tensor, right: Tensor, beta: float = 1.0, alpha: float = 1.0
) -> Tensor:
    """Out ← beta·onto + alpha·left·right of every model, with the same bits in a stack of any height.

    On some processors the product of one model's matrix and one column goes to a routine for vectors, which sums
    in another order than that for matrices of a stack: such a product is computed twice, as a stack of two. Its
    factors are views, since where a number lies in memory may decide the order as well.
    """
    if len(out) > 1 or min(out.shape[1:]) > 1:
        return torch.baddbmm(onto, left, right, beta=beta, alpha=alpha, out=out)
    twice = torch.baddbmm(_two(onto), _two(left), _two(right), beta=beta, alpha=alpha)
    return out.copy_(twice[:1])


def _product(out: Tensor, left: Tensor, right: Tensor) -> Tensor:
    if len(out) > 1 or min(out.shape[1:]) > 1:
        return torch.bmm(left, right, out=out)
    return out.copy_(torch.bmm(_two(left), _two(right))[:1])


def _two(one: Tensor) -> Tensor:
    return one.expand(2, -1, -1)


def dense_steps(params: Params, *, depth: int, recipe: Recipe) -> tuple[Step, Callable[[], Params]]:
    """The step of a stack of relu nets on the mean cross-entropy, by hand, and what tells their parameters.

    δ_L = (softmax(z) − onehot(y))/b in `DenseStack`, and as `torch.optim.SGD` has it v ← μ·v + ∂ + wd·θ and
    θ ← θ − lr·v.

    Args:
        params: `"l.weight"` [K, out, in] and `"l.bias"` [K, out] for l = 0…depth; they are copied.
        depth: Number of hidden layers.
        recipe: Momentum and weight decay.

    Returns:
        The step, and a function that returns the parameters of the moment in the shapes they came in.
    """
    momentum, decay = recipe.momentum, recipe.weight_decay
    nets = DenseStack(params, depth=depth)
    theta, velocity, minus_one = nets.theta, nets.velocity, nets.theta.new_full((1, 1, 1), -1.0)
    keep = 1.0 if decay else momentum  # with decay the velocity is damped before gradients are added

    def step(x: Tensor, y: Tensor, rate: float | Tensor, mask: Tensor | None = None) -> None:
        stacked, batch = y.shape
        delta = nets.softmax(nets.forward(x, mask=mask))
        delta.scatter_add_(1, y[:, None], minus_one.expand(stacked, 1, batch))
        if decay:
            velocity.mul_(momentum).add_(theta, alpha=decay)
        nets.backward(delta, keep=keep, share=1 / max(batch, 1))
        if isinstance(rate, Tensor):
            theta.addcmul_(velocity, rate, value=-1)
        else:
            theta.add_(velocity, alpha=-rate)

    return step, nets.now


def dense_gradients(params: Params, x: Tensor, y: Tensor, *, depth: int, squared: bool = False) -> Params:
    """Sum over examples of the gradient of each example's cross-entropy, or of its square, of one relu net.

    The gradient of example i with respect to W_l is the outer product of δ_l and h_{l−1}, so that its squares are
    the outer product of squares, and either sum over examples is one product of matrices.

    Args:
        params: `"l.weight"` [out, in] and `"l.bias"` [out] for l = 0…depth.
        x: Features [n, ...].
        y: Labels [n].
        depth: Number of hidden layers.
        squared: Whether gradients are squared before they are summed.

    Returns:
        Tensors shaped like the parameters.
    """

    def error(logits: Tensor, labels: Tensor) -> Tensor:
        minus_one = logits.new_full((1, len(labels)), -1.0)
        return logits.softmax(0).scatter_add_(0, labels[None], minus_one)

    return _summed(params, x, y, error, depth=depth, each=torch.square if squared else _as_is)


def dense_sizes(params: Params, x: Tensor, derivative: Callable[[Tensor], Tensor], *, depth: int) -> Params:
    """Sum over examples of |gradient| of a function of each example's logits, of one relu net.

    As in `dense_gradients`: the absolute value of an outer product is that of absolute values.

    Args:
        params: `"l.weight"` [out, in] and `"l.bias"` [out] for l = 0…depth.
        x: Features [n, ...].
        derivative: Of the function with respect to the logits, classes first: [classes, b] → [classes, b].
        depth: Number of hidden layers.

    Returns:
        Tensors shaped like the parameters, ≥ 0.

    Example:
        >>> net = {"0.weight": torch.tensor([[2.0]]), "0.bias": torch.zeros(1)}
        >>> found = dense_sizes(net, torch.tensor([[1.0], [-1.0]]), lambda z: 2 * z, depth=0)
        >>> found["0.weight"].item(), found["0.bias"].item()
        (8.0, 8.0)
    """
    return _summed(params, x, x, lambda logits, _: derivative(logits), depth=depth, each=torch.abs)


def _as_is(tensor: Tensor) -> Tensor:
    return tensor


def _summed(
    params: Params,
    x: Tensor,
    y: Tensor,
    error: Callable[[Tensor, Tensor], Tensor],
    *,
    depth: int,
    each: Callable[[Tensor], Tensor],
) -> Params:
    """Sum over examples of `each` of the gradient, where each(a·b) = each(a)·each(b)."""
    parts = zip(x.flatten(1).split(_AT_ONCE), y.split(_AT_ONCE), strict=True)
    sums = [_gradients_of(params, some, labels, error, depth=depth, each=each) for some, labels in parts]
    return {
        name: torch.stack([one[name] for one in sums]).sum(0) if sums[1:] else sums[0][name] for name in params
    }


def _gradients_of(
    params: Params,
    x: Tensor,
    y: Tensor,
    error: Callable[[Tensor, Tensor], Tensor],
    *,
    depth: int,
    each: Callable[[Tensor], Tensor],
) -> Params:
    hidden = [x]
    for layer in range(depth):
        hidden.append(linear(hidden[-1], params[f"{layer}.weight"], params[f"{layer}.bias"]).relu_())
    # Classes first: under `vmap` a softmax over a last axis of ten is several times slower.
    logits = torch.addmm(params[f"{depth}.bias"][:, None], params[f"{depth}.weight"], hidden[-1].mT)
    delta = error(logits, y).mT
    found: Params = {}
    for layer in range(depth, -1, -1):
        left, right = each(delta), each(hidden[layer])
        found[f"{layer}.weight"], found[f"{layer}.bias"] = left.mT @ right, left.sum(0)
        if layer:
            delta = torch.ops.aten.threshold_backward(delta @ params[f"{layer}.weight"], hidden[layer], 0)
    return found


def _views(flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    parts = flat.split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
