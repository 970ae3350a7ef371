"""One step of AdamW on a stack of models, in place."""

from __future__ import annotations

import math

import torch

from unweave.learners.contract import Params
from unweave.learners.recipe import BETA2, Recipe

_EPSILON = 1e-8


def adamw_step(
    params: Params, grads: Params, speeds: Params, squares: Params, *, lr: float, recipe: Recipe, number: int
) -> None:
    """One step of AdamW as torch.optim.AdamW defines it, from moments that begin at 0.

    m ← β₁·m + (1 − β₁)·∇;  s ← β₂·s + (1 − β₂)·∇²;
    θ ← (1 − η·wd)·θ − η·(m/(1 − β₁ⁿ)) / (√(s/(1 − β₂ⁿ)) + 10⁻⁸).

    Args:
        params: θ; changed in place.
        grads: ∇.
        speeds: m; changed in place.
        squares: s; changed in place.
        lr: η.
        recipe: β₁ is its `momentum`, wd its `weight_decay`; β₂ is `BETA2`.
        number: Of the step, from 0: n − 1.

    Source: Loshchilov & Hutter (2019), arXiv 1711.05101, algorithm 2.

    Example:
        >>> theta, zero = {"w": torch.tensor([1.0])}, lambda: {"w": torch.zeros(1)}
        >>> rule = Recipe(lr=0.1, epochs=1, optimiser="adamw")
        >>> adamw_step(theta, {"w": torch.tensor([3.0])}, zero(), zero(), lr=0.1, recipe=rule, number=0)
        >>> round(theta["w"].item(), 4)
        0.9
    """
    names = list(params)
    values, found = [params[n] for n in names], [grads[n] for n in names]
    first, second = [speeds[n] for n in names], [squares[n] for n in names]
    beta = recipe.momentum
    if recipe.weight_decay:
        torch._foreach_mul_(values, 1 - lr * recipe.weight_decay)
    torch._foreach_lerp_(first, found, 1 - beta)
    torch._foreach_mul_(second, BETA2)
    torch._foreach_addcmul_(second, found, found, value=1 - BETA2)
    below = torch._foreach_sqrt(second)
    torch._foreach_div_(below, math.sqrt(1 - BETA2 ** (number + 1)))
    torch._foreach_add_(below, _EPSILON)
    torch._foreach_addcdiv_(values, first, below, value=-lr / (1 - beta ** (number + 1)))
