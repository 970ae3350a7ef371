"""Standardising a table on the training set of one world: numpy and torch run the same lines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unweave.data import Encoding

if TYPE_CHECKING:
    from torch import Tensor

    from unweave._random import Key
    from unweave.learners.contract import Learner, Params, State

Scales = dict[str, NDArray[np.float32]]
SHIFT, SCALE, GAP = "encoding.shift", "encoding.scale", "encoding.gap"


def world_scales(encoding: Encoding, x: NDArray[np.float32]) -> Scales:
    """What standardises the features of a table, from the training set of one world.

    Numbers: the mean of the known values and 1/sd of them (by n), or scale 0 where they are all equal. A 0/1
    feature keeps its values, or has scale 0 where it is 0 in the whole world: what a world never saw says
    nothing to its models.

    Args:
        encoding: Which features are what.
        x: Features of the training set [n, d].

    Returns:
        `SHIFT` [d], `SCALE` [d] ≥ 0, and `GAP` [d], 1 for the numbers that may be missing.

    Example:
        >>> x = np.array([[1, 1], [3, 0]], np.float32)
        >>> found = world_scales(Encoding((0,), (-1,), (1,)), x)
        >>> standardised(Encoding((0,), (-1,), (1,)), x, found).tolist()
        [[-1.0, 1.0], [1.0, 0.0]]
    """
    shift, scale, gap = np.zeros(x.shape[1]), np.ones(x.shape[1]), np.zeros(x.shape[1])
    for place, flag in zip(encoding.numeric, encoding.missing, strict=True):
        known = x[:, place] if flag < 0 else x[x[:, flag] == 0, place]
        gap[place] = flag >= 0
        # Equal values have an sd of rounding errors, and its inverse is huge.
        if len(known) and known.max() > known.min():
            shift[place], scale[place] = known.mean(dtype=np.float64), 1 / known.std(dtype=np.float64)
        else:
            scale[place] = 0
    flags = [*encoding.category, *(flag for flag in encoding.missing if flag >= 0)]
    scale[flags] = x[:, flags].any(axis=0)
    return {name: value.astype(np.float32) for name, value in ((SHIFT, shift), (SCALE, scale), (GAP, gap))}


def standardised(encoding: Encoding, x: Any, scales: Any) -> Any:
    """(x − shift)·scale, and 0 for a missing number.

    Args:
        encoding: Which features are what.
        x: Features [..., d], an array of numpy or a tensor.
        scales: What `world_scales` returned, as arrays or tensors.
    """
    z = (x - scales[SHIFT]) * scales[SCALE]
    if max(encoding.missing, default=-1) < 0:
        return z
    source = list(range(x.shape[-1]))
    for place, flag in zip(encoding.numeric, encoding.missing, strict=True):
        source[place] = flag if flag >= 0 else place
    return z * (1 - x[..., source] * scales[GAP])


def with_encoding(learner: Learner, encoding: Encoding) -> Learner:
    """The same learner on features that it standardises itself, by buffers of each model.

    The buffers are computed from the model's own training set before training, so every probe and every
    method sees the features as that world has them.
    """
    import torch

    from unweave.learners.contract import State as Model

    def init(key: Key) -> State:
        state = learner.init(key)
        return Model(state.params, {**state.buffers, **_neutral(learner.spec.shape[0])})

    def encode(buffers: Params, x: Tensor) -> Tensor:
        return standardised(encoding, x, buffers)

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        own = {name: value for name, value in state.buffers.items() if name not in (SHIFT, SCALE, GAP)}
        logits, after = learner.apply(Model(state.params, own), encode(state.buffers, x), train=train, key=key)
        return logits, {name: after.get(name, value) for name, value in state.buffers.items()}

    def features(state: State, x: Tensor) -> Tensor:
        return learner.features(state, encode(state.buffers, x))

    def middle(state: State, x: Tensor) -> Tensor:
        return (learner.middle or learner.features)(state, encode(state.buffers, x))

    def standardise(x: Tensor) -> Params:
        scales = world_scales(encoding, x.cpu().numpy())
        return {name: torch.from_numpy(value).to(x.device) for name, value in scales.items()}

    given = {"init": init, "apply": apply, "features": features, "middle": middle}
    return replace(learner, **given, encode=encode, standardise=standardise)


def _neutral(d: int) -> Params:
    import torch

    return {SHIFT: torch.zeros(d), SCALE: torch.ones(d), GAP: torch.zeros(d)}
