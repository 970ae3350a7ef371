"""A stack of relu nets, a step of which is a dozen operations on memory that is laid out once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, one_hot, relu

from unweave.learners.contract import Params
from unweave.learners.specs import Recipe

Step = Callable[[Tensor, Tensor, float], None]
"""`(x [K, batch, ...], y [K, batch], rate)`: one step of SGD of every model of a stack."""


def dense_steps(params: Params, *, depth: int, recipe: Recipe) -> tuple[Step, Callable[[], Params]]:
    """The step of a stack of relu nets on the mean cross-entropy, by hand, and what tells their parameters.

    With h₀ = x, h_l = relu(W_l h_{l−1} + b_l), z = W_L h + b_L and δ_L = (softmax(z) − onehot(y))/n:
    ∂W_l = δ_lᵀ h_{l−1}, ∂b_l = Σ δ_l, δ_{l−1} = (δ_l W_l)·1[h_{l−1} > 0], and as `torch.optim.SGD` has it
    v ← μ·v + ∂ + wd·θ, θ ← θ − lr·v. Where time goes on small nets is the number of operations and of passes
    through memory: the product of matrices that makes a gradient adds it to the velocity itself, all
    parameters are one tensor, and nothing is allocated.

    Args:
        params: `"l.weight"` [K, out, in] and `"l.bias"` [K, out] for l = 0…depth; they are copied.
        depth: Number of hidden layers.
        recipe: Momentum and weight decay.

    Returns:
        The step, and a function that returns the parameters of the moment in the shapes they came in.
    """
    momentum, decay = recipe.momentum, recipe.weight_decay
    layers = range(depth + 1)
    # Hidden layers lie inputs first and the last one outputs first: so every product below reads its right
    # factor in order, and a softmax over classes is several times faster over this axis than over the last.
    shapes: list[tuple[int, ...]] = []
    for layer in layers:
        stacked, out, into = params[f"{layer}.weight"].shape
        weight, bias = ((into, out), (1, out)) if layer < depth else ((out, into), (out, 1))
        shapes += [(stacked, *weight), (stacked, *bias)]
    one = params["0.weight"]
    theta, velocity = one.new_zeros(2, sum(map(math.prod, shapes))).unbind()
    places, speeds = _views(theta, shapes), _views(velocity, shapes)
    weights, biases, weight_speeds, bias_speeds = places[::2], places[1::2], speeds[::2], speeds[1::2]
    for layer in layers:
        weight = params[f"{layer}.weight"]
        weights[layer].copy_(weight.mT if layer < depth else weight)
        biases[layer].copy_(params[f"{layer}.bias"].view(biases[layer].shape))
    stacked, width = len(one), [weights[layer].shape[2] for layer in range(depth)]
    rooms: dict[int, list[Tensor]] = {}
    minus_one = one.new_full((1, 1, 1), -1.0)
    keep = 1.0 if decay else momentum  # with decay the velocity is damped before gradients are added

    def add_gradient(layer: int, left: Tensor, right: Tensor, delta: Tensor, examples: int) -> None:
        weight_speeds[layer].baddbmm_(left, right, beta=keep)
        summed = delta.sum(examples, keepdim=True)
        bias_speeds[layer].mul_(keep).add_(summed)

    def step(x: Tensor, y: Tensor, rate: float) -> None:
        batch = y.shape[1]
        if batch not in rooms:
            inner = [one.new_empty(stacked, batch, w) for w in width for _ in range(2)]
            rooms[batch] = [*inner, *(one.new_empty(stacked, shapes[-2][1], batch) for _ in range(2))]
        room = rooms[batch]
        hidden = [x.flatten(2)]
        for layer in range(depth):
            z = torch.baddbmm(biases[layer], hidden[-1], weights[layer], out=room[2 * layer])
            hidden.append(z.relu_())
        torch.baddbmm(biases[depth], weights[depth], hidden[-1].mT, out=room[-2])
        delta = torch.softmax(room[-2], 1, out=room[-1])
        delta.scatter_add_(1, y[:, None], minus_one.expand(stacked, 1, batch)).div_(batch)
        if decay:
            velocity.mul_(momentum).add_(theta, alpha=decay)
        back = torch.bmm(delta.mT, weights[depth], out=room[2 * depth - 1]) if depth else delta
        add_gradient(depth, delta, hidden[-1], delta, 2)
        for layer in range(depth - 1, -1, -1):
            # The derivative of relu in one operation, in place.
            delta = torch.ops.aten.threshold_backward.grad_input(back, hidden[layer + 1], 0, grad_input=back)
            if layer:
                back = torch.bmm(delta, weights[layer].mT, out=room[2 * layer - 1])
            add_gradient(layer, hidden[layer].mT, delta, delta, 1)
        theta.add_(velocity, alpha=-rate)

    def now() -> Params:
        found: Params = {}
        for layer in layers:
            weight = weights[layer].mT if layer < depth else weights[layer]
            found[f"{layer}.weight"] = weight.clone(memory_format=torch.contiguous_format)
            found[f"{layer}.bias"] = biases[layer].reshape(stacked, -1).clone()
        return {name: found[name] for name in params}

    return step, now


def dense_squares(params: Params, x: Tensor, y: Tensor, *, depth: int) -> Params:
    """Sum over examples of the squared gradient of each example's cross-entropy, of one relu net.

    The gradient of example i with respect to W_l is the outer product of δ_l and h_{l−1}, so that its squares are
    the outer product of squares, and their sum over examples is one product of matrices.

    Args:
        params: `"l.weight"` [out, in] and `"l.bias"` [out] for l = 0…depth.
        x: Features [n, ...].
        y: Labels [n].
        depth: Number of hidden layers.

    Returns:
        Tensors shaped like the parameters, ≥ 0.
    """
    hidden = [x.flatten(1)]
    for layer in range(depth):
        hidden.append(relu(linear(hidden[-1], params[f"{layer}.weight"], params[f"{layer}.bias"])))
    logits = linear(hidden[-1], params[f"{depth}.weight"], params[f"{depth}.bias"])
    delta = logits.softmax(1) - one_hot(y, logits.shape[1]).to(logits.dtype)
    found: Params = {}
    for layer in range(depth, -1, -1):
        squares = delta.square()
        found[f"{layer}.weight"], found[f"{layer}.bias"] = squares.mT @ hidden[layer].square(), squares.sum(0)
        if layer:
            delta = (delta @ params[f"{layer}.weight"]) * (hidden[layer] > 0)
    return {name: found[name] for name in params}


def _views(flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    parts = flat.split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
