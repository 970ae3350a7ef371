"""How weights start: the law of torch.nn.Linear and torch.nn.Conv2d."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform_layer(rng: torch.Generator, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Weights of a shape [out, in, …] and biases [out] from U(−1/√fan_in, 1/√fan_in), fan_in = in·….

    Example:
        >>> weight, bias = uniform_layer(torch.Generator().manual_seed(0), (2, 16))
        >>> bool((weight.abs() <= 0.25).all()), bias.shape
        (True, torch.Size([2]))
    """
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    weight = torch.empty(*shape).uniform_(-bound, bound, generator=rng)
    return weight, torch.empty(shape[0]).uniform_(-bound, bound, generator=rng)
