"""Weights in fewer bits, as a deployed model may have them: what an edit hides in small changes comes back."""

from __future__ import annotations

import torch
from torch import Tensor

from unweave.learners.contract import State


def quantized(state: State, bits: int) -> State:
    """Each matrix and convolution rounded to 2^bits − 1 evenly spaced values, symmetric about 0, per output unit.

        w ↦ s·round(w/s),   s = max|w| / (2^(bits−1) − 1)

    Biases, norms and buffers stay as they are, as in weight-only quantization.

    Args:
        state: One model.
        bits: 2 to 16.

    Source: round to nearest with absolute maxima; that unlearning may not survive it: Zhang et al. (2024), arXiv
        2410.16454.

    Example:
        >>> weight = torch.tensor([[1.0, 0.4, -0.6]])
        >>> quantized(State({"0.weight": weight}, {}), 2).params["0.weight"].tolist()
        [[1.0, 0.0, -1.0]]
    """
    return State({name: _rounded(value, bits) for name, value in state.params.items()}, state.buffers)


def _rounded(value: Tensor, bits: int) -> Tensor:
    if value.ndim < 2:
        return value
    largest = value.flatten(1).abs().amax(1).reshape(-1, *[1] * (value.ndim - 1))
    step = largest / (2 ** (bits - 1) - 1)
    return torch.where(step > 0, step * (value / torch.where(step > 0, step, 1.0)).round(), value)
