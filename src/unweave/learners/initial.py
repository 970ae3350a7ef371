"""How weights start: the law of torch's own layers, drawn by a generator that is an argument."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fan_in_uniform(rng: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
    """Weights and biases of a layer, each from U(−1/√fan_in, 1/√fan_in).

    This is what `torch.nn.Linear` and `torch.nn.Conv2d` do by default.

    Args:
        rng: The weights are drawn first, then the biases.
        shape: Of the weights: [out, in] or [out, in, height, width]; fan_in is the product of all but `out`.

    Returns:
        Weights of this shape, and biases [out].
    """
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    weight = torch.empty(*shape).uniform_(-bound, bound, generator=rng)
    return weight, torch.empty(shape[0]).uniform_(-bound, bound, generator=rng)
