"""Tables are standardised on the training set of each world: the encoding is a part of the learner."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from unweave.data import Encoding
from unweave.learners.contract import Learner, Params, State

_SHIFT, _SCALE = "inputs.shift", "inputs.scale"


def fit_inputs(x: Tensor, encoding: Encoding) -> Params:
    """What a world's training set says about its features: shift and scale [d].

    A number: its mean and one over its standard deviation, over the values that are not missing (0 where all are
    equal). A 0/1 feature: shift 0, and scale 1, or 0 where it is 0 throughout, so that what only left-out examples
    had is nothing to the model.

    Args:
        x: Features of the training set [n, d].
        encoding: Which feature is what.
    """
    shift, scale = torch.zeros(x.shape[1], dtype=torch.float64), torch.ones(x.shape[1], dtype=torch.float64)
    indicators = [one for one in encoding.missing if one >= 0]
    for position in (*encoding.category, *indicators):
        scale[position] = float((x[:, position] != 0).any())
    for position, indicator in zip(encoding.numeric, encoding.missing, strict=True):
        values = x[:, position].double()
        if indicator >= 0:
            values = values[x[:, indicator] == 0]
        spread = values.std(correction=0) if len(values) else torch.zeros(())
        # Equal values have a spread of rounding at most.
        known = bool(spread > 1e-6 * values.abs().max()) if len(values) else False
        shift[position] = values.mean() if len(values) else 0.0
        scale[position] = 1 / spread if known else 0.0
    return {_SHIFT: shift.float(), _SCALE: scale.float()}


def encoder(encoding: Encoding):
    """The function (buffers, x) → (x − shift·known)·scale, where known is 0 for a missing number.

    For one model buffers are [d] and x is [batch, d]; for a stack both have one axis more in front.
    """
    indicator_of = dict(zip(encoding.numeric, encoding.missing, strict=True))
    gaps = [(position, indicator) for position, indicator in indicator_of.items() if indicator >= 0]

    def encode(buffers: Params, x: Tensor) -> Tensor:
        shift, scale = buffers[_SHIFT].unsqueeze(-2), buffers[_SCALE].unsqueeze(-2)
        z = (x - shift) * scale
        if gaps:
            positions, indicators = (torch.tensor(part, device=x.device) for part in zip(*gaps, strict=True))
            missing = x.index_select(-1, indicators) != 0
            known = torch.where(missing, 0.0, z.index_select(-1, positions))
            z = z.index_copy(-1, positions, known)
        return z

    return encode


def standardised(learner: Learner, encoding: Encoding) -> Learner:
    """The learner on a table: it standardises what it is trained on, and keeps how in its buffers."""
    encode = encoder(encoding)

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        return learner.apply(state, encode(state.buffers, x), train=train, key=key)

    def features(state: State, x: Tensor) -> Tensor:
        return learner.features(state, encode(state.buffers, x))

    return replace(
        learner,
        apply=apply,
        features=features,
        fit_inputs=lambda x: fit_inputs(x, encoding),
        encode=encode,
    )
