"""Convolutional nets on images [h, w] or [channels, h, w]."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import conv2d, linear, max_pool2d, relu

from unweave._errors import SpecError
from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.initial import fan_in_uniform
from unweave.learners.specs import ONE_NUMBER, LearnerSpec
from unweave.learners.tied import with_tied_dropout


def images(x: Tensor) -> Tensor:
    """Images [b, h, w] or [b, channels, h, w] as [b, channels, h, w], colours side by side in memory.

    On a CPU convolution and pooling are up to twice as fast in this order; the numbers are the same.
    """
    # By way of a last axis: `x[:, None]` passes for either order, and every layer after it takes it for the
    # slower one.
    x = x[..., None].movedim(-1, 1) if x.ndim == 3 else x
    return x.contiguous(memory_format=torch.channels_last)


def cnn(spec: LearnerSpec) -> Learner:
    """The functions of `cnn`, with c = `channels`: conv(c) – relu – conv(2c) – pool – relu – linear.

    The first convolution is 5×5 by steps of two, the second 3×3. With 3×3 and a pool in place of the steps the
    net is twice as slow, for half a point of accuracy on Fashion-MNIST (6 000 examples, 5 epochs, one model each:
    .864 against .858). A maximum and a relu may change places, and a quarter of the numbers is left then.
    """
    colours, height, width = spec.image
    c = spec.config["channels"]
    wide = 2 * c * ((height + 1) // 4) * ((width + 1) // 4)

    def init(key: Key) -> State:
        rng = torch.Generator().manual_seed(derive(key, "init"))
        params: Params = {}
        for number, shape in enumerate(((c, colours, 5, 5), (2 * c, c, 3, 3), (spec.classes, wide))):
            params[f"{number}.weight"], params[f"{number}.bias"] = fan_in_uniform(rng, *shape)
        return State(params, {})

    def hidden(state: State, x: Tensor, mask: Tensor | None = None) -> Tensor:
        params, masks = state.params, None if mask is None else mask[..., None, None].split([c, 2 * c], dim=-3)
        z = relu(conv2d(images(x), params["0.weight"], params["0.bias"], stride=2, padding=2))
        z = z if masks is None else z * masks[0]
        z = conv2d(z, params["1.weight"], params["1.bias"], padding=1)
        z = relu(max_pool2d(z, 2))
        z = z if masks is None else z * masks[1]
        return z.movedim(1, -1).flatten(1)

    def features(state: State, x: Tensor) -> Tensor:
        return hidden(state, x)

    def score(state: State, z: Tensor) -> Tensor:
        return linear(z, state.params["2.weight"], state.params["2.bias"])

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del train, key  # nothing in this net differs between training and use
        return score(state, features(state, x)), state.buffers

    learner = Learner(spec, init, apply, features, stacked=False)
    return with_tied_dropout(learner, [c, 2 * c], hidden, score) if spec.tied else learner


MOMENTUM, EPSILON = 0.1, 1e-5
"""Of the running statistics, and beside a variance: the defaults of `torch.nn.BatchNorm2d`."""

SCORE_SCALE = 0.125
"""What the logits of `resnet9` are multiplied by, as in its public versions."""


def batch_norm(z: Tensor, state: State, name: str, *, train: bool) -> tuple[Tensor, Params]:
    """Batch normalisation as `torch.nn.BatchNorm2d` defines it, as a function of one state.

    y = (z − μ)/√(σ² + ε)·weight + bias per channel, with μ and σ² (by n) of the batch in training and the running
    ones in use; running ← (1−m)·running + m·batch in training, with the variance by n − 1, m = .1, ε = 1e-5.

    Args:
        z: [b, channels, h, w].
        state: Has `name.weight`, `name.bias` and the buffers `name.running_mean`, `name.running_var` and
            `name.num_batches_tracked`, a count of batches that nothing reads.
        name: Of the layer.
        train: Whether this is a step of training.

    Returns:
        y, and the buffers of this layer after the pass (new tensors).

    Raises:
        SpecError: in training, for one number per channel: it has no variance.
    """
    weight, bias = state.params[f"{name}.weight"], state.params[f"{name}.bias"]
    before = {
        key: state.buffers[f"{name}.{key}"] for key in ("running_mean", "running_var", "num_batches_tracked")
    }
    after = before
    if train:
        if z.shape[0] * z.shape[2] * z.shape[3] == 1:
            raise SpecError(ONE_NUMBER)
        # In place on copies: what came in belongs to the caller.
        after = {"running_mean": before["running_mean"].clone(), "running_var": before["running_var"].clone()}
        after["num_batches_tracked"] = before["num_batches_tracked"] + 1
    y = functional.batch_norm(
        z,
        after["running_mean"],
        after["running_var"],
        weight,
        bias,
        training=train,
        momentum=MOMENTUM,
        eps=EPSILON,
    )
    return y, {f"{name}.{key}": value for key, value in after.items()}


def resnet9(spec: LearnerSpec) -> Learner:
    """The functions of `resnet9`, with c = `width`.

    conv(c) – conv(2c)–pool – residual of two conv(2c) – conv(4c)–pool – conv(8c)–pool – residual of two
    conv(8c) – maximum over places – linear·0.125. Each conv is 3×3 without bias, batch norm, relu. This is the
    net of Page (2018), "How to train your ResNet", with c = 64 there; the pools stand before the relu.
    """
    colours, _, _ = spec.image
    c = spec.config["width"]
    widths = [colours, c, 2 * c, 2 * c, 2 * c, 4 * c, 8 * c, 8 * c, 8 * c]
    pooled, residual = {1, 4, 5}, {2, 6}  # units followed by a pool, and first units of a residual pair

    def init(key: Key) -> State:
        rng = torch.Generator().manual_seed(derive(key, "init"))
        params: Params = {}
        buffers: Params = {}
        for unit, (into, out) in enumerate(pairwise(widths)):
            params[f"{unit}.conv.weight"] = fan_in_uniform(rng, out, into, 3, 3)[0]
            params[f"{unit}.norm.weight"], params[f"{unit}.norm.bias"] = torch.ones(out), torch.zeros(out)
            buffers[f"{unit}.norm.running_mean"] = torch.zeros(out)
            buffers[f"{unit}.norm.running_var"] = torch.ones(out)
            buffers[f"{unit}.norm.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        params["8.weight"] = fan_in_uniform(rng, spec.classes, 8 * c)[0]
        return State(params, buffers)

    def body(state: State, x: Tensor, *, train: bool) -> tuple[Tensor, Params]:
        z, buffers = images(x), dict(state.buffers)
        before = z
        for unit in range(8):
            if unit in residual:
                before = z
            z = conv2d(z, state.params[f"{unit}.conv.weight"], padding=1)
            z, after = batch_norm(z, state, f"{unit}.norm", train=train)
            buffers |= after
            z = relu(max_pool2d(z, 2) if unit in pooled else z)
            if unit - 1 in residual:
                z = before + z
        return z.amax((2, 3)), buffers

    def features(state: State, x: Tensor) -> Tensor:
        return body(state, x, train=False)[0]

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del key
        z, buffers = body(state, x, train=train)
        return SCORE_SCALE * linear(z, state.params["8.weight"]), buffers

    return Learner(spec, init, apply, features, stacked=False)
