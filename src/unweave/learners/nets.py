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
from unweave.learners.precision import in_bfloat16
from unweave.learners.specs import LEARNERS, OWN, LearnerSpec
from unweave.learners.tied import with_tied_dropout


def build(spec: LearnerSpec) -> Learner:
    """The functions that make and run the models of a learner.

    Example:
        >>> from unweave.learners import specify
        >>> learner = build(specify("softmax", (4,), 2))
        >>> learner.init(0).params["0.weight"].shape
        torch.Size([2, 4])
    """
    learner = (_BUILDERS.get(spec.name) or _added(spec))(spec)
    if learner.recipe.dtype == "bfloat16":
        learner = in_bfloat16(learner)
    return learner if spec.encoding is None else with_encoding(learner, spec.encoding)


def _added(spec: LearnerSpec) -> Callable[[LearnerSpec], Learner]:
    """What makes a learner of another room run."""
    make = LEARNERS.get(spec.name).declared.make
    assert make is not None  # an opaque learner is never built
    return make


def _dense(spec: LearnerSpec) -> Learner:
    depth = spec.config.get("depth", 0)
    sizes = [math.prod(spec.shape), *[spec.config.get("width", 0)] * depth, spec.classes]

    def hidden(state: State, x: Tensor, mask: Tensor | None = None) -> Tensor:
        z, masks = x.flatten(1), None if mask is None else mask.split(sizes[1:-1], dim=-1)
        for layer in range(depth):
            z = relu(linear(z, state.params[f"{layer}.weight"], state.params[f"{layer}.bias"]))
            z = z if masks is None else z * masks[layer]
        return z

    def features(state: State, x: Tensor) -> Tensor:
        return hidden(state, x)

    def score(state: State, z: Tensor) -> Tensor:
        return linear(z, state.params[f"{depth}.weight"], state.params[f"{depth}.bias"])

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del train, key  # nothing in these nets differs between training and use
        return score(state, features(state, x)), state.buffers

    learner = Learner(spec, lambda key: _layers(sizes, key), apply, features, dense=depth)
    return with_tied_dropout(learner, sizes[1:-1], hidden, score) if spec.tied else learner


def _layers(sizes: list[int], key: Key) -> State:
    rng = torch.Generator().manual_seed(derive(key, "init"))
    params: Params = {}
    for number, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        params[f"{number}.weight"], params[f"{number}.bias"] = fan_in_uniform(rng, fan_out, fan_in)
    return State(params, {})


_BUILDERS: dict[str, Callable[[LearnerSpec], Learner]] = {
    "mlp": _dense,
    "softmax": _dense,
    "cnn": convolution.cnn,
    "resnet9": convolution.resnet9,
    OWN: own_module,
}
