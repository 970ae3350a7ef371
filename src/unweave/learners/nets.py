"""The nets that come with unweave; here softmax regression and the multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from unweave._random import Key, derive
from unweave.learners import convolution
from unweave.learners.contract import Learner, Params, State
from unweave.learners.encoding import with_encoding
from unweave.learners.initial import fan_in_uniform
from unweave.learners.modules import own_module
from unweave.learners.specs import OWN, LearnerSpec


def build(spec: LearnerSpec) -> Learner:
    """The functions that make and run the models of a learner.

    Example:
        >>> from unweave.learners import specify
        >>> learner = build(specify("softmax", (4,), 2))
        >>> learner.init(0).params["0.weight"].shape
        torch.Size([2, 4])
    """
    learner = _BUILDERS[spec.name](spec)
    return learner if spec.encoding is None else with_encoding(learner, spec.encoding)


def _dense(spec: LearnerSpec) -> Learner:
    depth = spec.config.get("depth", 0)
    sizes = [math.prod(spec.shape), *[spec.config.get("width", 0)] * depth, spec.classes]

    def features(state: State, x: Tensor) -> Tensor:
        z = x.flatten(1)
        for layer in range(depth):
            z = relu(linear(z, state.params[f"{layer}.weight"], state.params[f"{layer}.bias"]))
        return z

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del train, key  # nothing in these nets differs between training and use
        z = features(state, x)
        return linear(z, state.params[f"{depth}.weight"], state.params[f"{depth}.bias"]), state.buffers

    def gradient(params: Params, x: Tensor, y: Tensor) -> Params:
        return dense_gradient(params, x, y, depth=depth)

    return Learner(spec, lambda key: _layers(sizes, key), apply, features, gradient)


def _layers(sizes: list[int], key: Key) -> State:
    rng = torch.Generator().manual_seed(derive(key, "init"))
    params: Params = {}
    for number, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        params[f"{number}.weight"], params[f"{number}.bias"] = fan_in_uniform(rng, fan_out, fan_in)
    return State(params, {})


def dense_gradient(params: Params, x: Tensor, y: Tensor, *, depth: int) -> Params:
    """Gradient of the mean cross-entropy of a stack of relu nets, by hand.

    With h₀ = x, h_l = relu(W_l h_{l−1} + b_l), z = W_L h + b_L and δ_L = (softmax(z) − onehot(y))/n:
    ∂W_l = δ_lᵀ h_{l−1}, ∂b_l = Σ δ_l, δ_{l−1} = (δ_l W_l)·1[h_{l−1} > 0]. A third of the operations of
    automatic differentiation under `vmap`, and on small nets the number of operations is the cost.

    Args:
        params: `"l.weight"` [K, out, in] and `"l.bias"` [K, out] for l = 0…depth.
        x: [K, batch, ...].
        y: Labels [K, batch].
        depth: Number of hidden layers.

    Returns:
        Gradients with the shapes of `params`.
    """
    hidden = [x.flatten(2)]
    for layer in range(depth):
        weight, bias = params[f"{layer}.weight"], params[f"{layer}.bias"]
        hidden.append(torch.baddbmm(bias[:, None], hidden[-1], weight.transpose(1, 2)).relu_())
    weight, bias = params[f"{depth}.weight"], params[f"{depth}.bias"]
    # Classes first: a softmax over a last axis of ten is several times slower than over this one.
    logits = torch.baddbmm(bias[:, :, None], weight, hidden[-1].transpose(1, 2))
    delta = logits.softmax(1).transpose(1, 2).contiguous()
    delta.scatter_add_(2, y[..., None], delta.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
    delta.div_(y.shape[1])
    grads: Params = {}
    for layer in range(depth, -1, -1):
        # Laid out as the engine lays out weights, inputs first: its update then goes through memory in order.
        grads[f"{layer}.weight"] = torch.bmm(hidden[layer].transpose(1, 2), delta).transpose(1, 2)
        grads[f"{layer}.bias"] = delta.sum(1)
        if layer:
            # The derivative of relu in one operation.
            delta = torch.ops.aten.threshold_backward(
                torch.bmm(delta, params[f"{layer}.weight"]), hidden[layer], 0
            )
    return {name: grads[name] for name in params}


_BUILDERS: dict[str, Callable[[LearnerSpec], Learner]] = {
    "mlp": _dense,
    "softmax": _dense,
    "cnn": convolution.cnn,
    "resnet9": convolution.resnet9,
    OWN: own_module,
}
