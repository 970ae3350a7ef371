"""Convolutional nets: a small one for images of 8×8 to 32×32 pixels, and ResNet-9 with batch normalisation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d, relu

from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.initial import fan_in_uniform
from unweave.learners.specs import LearnerSpec

MOMENTUM, EPSILON = 0.1, 1e-5
"""Of the running statistics of batch normalisation: torch's defaults."""


def as_images(x: Tensor) -> Tensor:
    """Images [batch, colours, height, width], in the layout in which convolutions are fastest on a CPU."""
    return x.unsqueeze(1) if x.ndim == 3 else x


def cnn(spec: LearnerSpec) -> Learner:
    """Convolutions of c and 2c channels, each halving the image, and a linear layer.

    The first is 5×5 with a step of two: with 3×3 and pooling in its place the net is twice as slow, for half a
    point of accuracy on Fashion-MNIST (6 000 examples, 5 epochs, one model each: .864 against .858). The second
    is 3×3, followed by the maxima of 2×2 places.
    """
    channels = spec.config["channels"]
    colours, height, width = spec.image
    sizes = [(channels, colours, 5, 5), (2 * channels, channels, 3, 3)]
    wide = 2 * channels * ((height + 1) // 4) * ((width + 1) // 4)

    def init(key: Key) -> State:
        rng = torch.Generator().manual_seed(derive(key, "init"))
        params: Params = {}
        for number, size in enumerate([*sizes, (spec.classes, wide)]):
            params[f"{number}.weight"], params[f"{number}.bias"] = fan_in_uniform(rng, *size)
        return State(params, {})

    def features(state: State, x: Tensor) -> Tensor:
        params = state.params
        z = relu(conv2d(as_images(x), params["0.weight"], params["0.bias"], stride=2, padding=2))
        z = conv2d(z, params["1.weight"], params["1.bias"], padding=1)
        # The largest of four is the same before and after relu, which then has a quarter of the work.
        return relu(max_pool2d(z, 2)).flatten(1)

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del train, key  # nothing in this net differs between training and use
        return linear(features(state, x), state.params["2.weight"], state.params["2.bias"]), state.buffers

    return Learner(spec, init, apply, features, stacked=False)


def batch_norm(params: Params, buffers: Params, name: str, z: Tensor, *, train: bool) -> tuple[Tensor, Params]:
    """Normalise each channel, and the running statistics after it.

    z ← γ·(z − μ)/√(σ² + ε) + β with mean and (biased) variance of the batch while training, else the running
    ones; running ← (1 − m)·running + m·batch, with the unbiased variance, as torch.nn.BatchNorm2d defines it.

    Args:
        params: `name.weight` and `name.bias` [channels].
        buffers: `name.running_mean` and `name.running_var` [channels].
        name: Of the layer.
        z: [batch, channels, height, width].
        train: Whether the batch's own statistics are used.
    """
    mean, variance = buffers[f"{name}.running_mean"], buffers[f"{name}.running_var"]
    after: Params = {}
    if train:
        count = z.shape[0] * z.shape[2] * z.shape[3]
        of_batch = z.mean((0, 2, 3))
        spread = (z - of_batch[:, None, None]).square().mean((0, 2, 3))
        after[f"{name}.running_mean"] = torch.lerp(mean, of_batch.detach(), MOMENTUM)
        after[f"{name}.running_var"] = torch.lerp(variance, spread.detach() * (count / (count - 1)), MOMENTUM)
        mean, variance = of_batch, spread
    scale = params[f"{name}.weight"] * torch.rsqrt(variance + EPSILON)
    shift = params[f"{name}.bias"] - mean * scale
    return z * scale[:, None, None] + shift[:, None, None], after


def resnet9(spec: LearnerSpec) -> Learner:
    """ResNet-9: eight convolutions 3×3 with batch normalisation in two residual stages, and a linear layer.

    conv c – conv 2c, pool – residual(2c, 2c) – conv 4c, pool – conv 8c, pool – residual(8c, 8c) – maximum over
    all places – linear. Width c is `width`: 64 is that of the public records on CIFAR-10 (D. Page, 2018, "How
    to train your ResNet"); a residual stage is conv–conv added to its input. Images smaller than 8 pixels after
    three poolings keep one place.
    """
    c = spec.config["width"]
    colours, _, _ = spec.image
    widths = (colours, c, 2 * c, 2 * c, 2 * c, 4 * c, 8 * c, 8 * c, 8 * c)
    last = len(widths) - 1

    def init(key: Key) -> State:
        rng = torch.Generator().manual_seed(derive(key, "init"))
        params: Params = {}
        buffers: Params = {}
        for number, (before, after) in enumerate(pairwise(widths)):
            params[f"{number}.0.weight"], _ = fan_in_uniform(rng, after, before, 3, 3)
            params[f"{number}.1.weight"], params[f"{number}.1.bias"] = torch.ones(after), torch.zeros(after)
            buffers[f"{number}.1.running_mean"] = torch.zeros(after)
            buffers[f"{number}.1.running_var"] = torch.ones(after)
        params[f"{last}.weight"], params[f"{last}.bias"] = fan_in_uniform(rng, spec.classes, 8 * c)
        return State(params, buffers)

    def body(state: State, x: Tensor, *, train: bool) -> tuple[Tensor, Params]:
        buffers = dict(state.buffers)

        def block(number: int, z: Tensor) -> Tensor:
            z = conv2d(z, state.params[f"{number}.0.weight"], padding=1)
            z, after = batch_norm(state.params, state.buffers, f"{number}.1", z, train=train)
            buffers.update(after)
            return relu(z)

        z = pooled(block(1, block(0, as_images(x))))
        z = z + block(3, block(2, z))
        z = pooled(block(5, pooled(block(4, z))))
        z = z + block(7, block(6, z))
        return z.amax((2, 3)), buffers

    def features(state: State, x: Tensor) -> Tensor:
        return body(state, x, train=False)[0]

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del key
        z, buffers = body(state, x, train=train)
        return linear(z, state.params[f"{last}.weight"], state.params[f"{last}.bias"]), buffers

    return Learner(spec, init, apply, features, stacked=False)


def pooled(z: Tensor) -> Tensor:
    """Half the size, by the maximum of 2×2 places; what is one place wide stays."""
    return max_pool2d(z, 2) if min(z.shape[2:]) > 1 else z
