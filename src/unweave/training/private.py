"""Training with differential privacy: each example's gradient is cut to a length, the sum gets noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy

from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in, normal

_MOST_NUMBERS = 2**19  # of single gradients held at once, per model: 2 MiB

StackedStep = Callable[[Params, Params, Tensor, Tensor, Tensor], Params]


def private_gradient(learner: Learner) -> StackedStep:
    """What a step of DP-SGD follows in place of the gradient, for a stack of models.

    g = (Σ_i g_i·min(1, C/‖g_i‖) + σ·C·N(0, I)) / L, with g_i the gradient of example i over all parameters
    together, C the recipe's `clip`, σ its `noise` and L its `batch_size`, whatever the size of the batch.

    Args:
        learner: A learner whose recipe has a `clip`, without statistics of batches.

    Returns:
        A function of parameters [K, ...], buffers, x [K, b, ...], y [K, b] and keys [K], which gives [K, ...].

    Source: Abadi et al. (2016), arXiv 1607.00133, algorithm 1.
    """
    recipe = learner.recipe
    assert recipe.clip is not None

    def of_model(params: Params, buffers: Params, x: Tensor, y: Tensor, key: Tensor) -> Params:
        def loss(params: Params, one: Tensor, label: Tensor) -> Tensor:
            logits, _ = learner.apply(State(params, buffers), one[None], train=True, key=key)
            return cross_entropy(logits, label[None])

        total = {name: torch.zeros_like(value) for name, value in params.items()}
        # Gradients of single examples are as large as the model, each: a few at a time, whatever the batch. How
        # many must not hang on the number of models, or the last bits of a sum would.
        part = max(1, _MOST_NUMBERS // sum(value.numel() for value in params.values()))
        for some, labels in zip(x.split(part), y.split(part), strict=True):
            each = vmap(grad(loss), in_dims=(None, 0, 0))(params, some, labels)
            share = shares(each, recipe.clip or 0.0)
            for name, value in each.items():
                total[name] = total[name] + torch.tensordot(share, value, dims=1)
        return add_noise(total, learner, key)

    return vmap(of_model)


def shares(each: Params, clip: float) -> Tensor:
    """min(1, C/‖g_i‖) for gradients of n examples [n, ...], the norm taken over all tensors together [n]."""
    squares = torch.stack([value.reshape(len(value), -1).square().sum(1) for value in each.values()]).sum(0)
    return clip / squares.sqrt().clamp_min(clip)


def add_noise(total: Params, learner: Learner, key: Tensor) -> Params:
    """(total + σ·C·N(0, I)) / L, of one model; the noise is a function of the key and a parameter's place."""
    recipe = learner.recipe
    spread = recipe.noise * (recipe.clip or 0.0)
    return {
        name: (total[name] + spread * normal(fold_in(key, place), *total[name].shape)) / recipe.batch_size
        for place, name in enumerate(sorted(total))
    }
