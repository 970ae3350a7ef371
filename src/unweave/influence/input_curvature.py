"""Loss curvature: how much the gradient of the loss at an example turns on a short way along its own sign."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad

from unweave._errors import ApplicabilityError, UserError
from unweave.learners.contract import Learner, State
from unweave.methods.losses import cross_entropy
from unweave.training.lift import lift

_AT_ONCE = 2**24  # numbers of features differentiated at a time, over all models of a stack


def loss_curvature(
    learner: Learner, stacked: State, x: Tensor, y: Tensor, *, h: float = 0.01
) -> NDArray[np.float64]:
    """Curvature of each model's loss at each example, as a function of the features.

        ‖∇ₓℓ(x + h·z) − ∇ₓℓ(x)‖₂,   z = sign(∇ₓℓ(x))/‖sign(∇ₓℓ(x))‖₂

    with ℓ the cross-entropy of the label. Where the gradient is 0 throughout there is no direction, and the value
    is 0. A relu net is piecewise linear: between its kinks all curvature is that of the cross-entropy, p·(1 − p).

    Args:
        learner: The learner that made the models.
        stacked: K models.
        x: Features [n, ...] with a unit of their own, as pixels.
        y: Labels [n].
        h: Length of the way, > 0, in the unit of the features.

    Returns:
        [K, n] ≥ 0, not divided by h; high = memorized. Means over models, or over checkpoints, are the caller's.

    Raises:
        ApplicabilityError: for tables, whose features have many units, or are categories.
        UserError: if h is not above 0.

    Source: Zhao & Triantafillou (2024, arXiv 2410.16516), loss curvature; direction and difference are those of
        Moosavi-Dezfooli et al. (2019, arXiv 1811.09716). Garg et al. (2023, arXiv 2307.05831), who found that
        curvature tells what is memorized, estimate the trace of the second derivatives with random directions.
        Deviations: z has length 1, where other code may leave it longer by the root of the number of pixels; in
        double precision, since gradients of confident predictions differ by less than the rounding of others.

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> learner = build(specify("softmax", (2,), 2))
        >>> weight = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> models = State({"0.weight": weight, "0.bias": torch.zeros(1, 2)}, {})
        >>> found = loss_curvature(learner, models, torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0]))
        >>> found.round(6).tolist()
        [[0.005, 2e-06]]
    """
    if learner.spec.encoding is not None:
        raise ApplicabilityError(
            "Loss curvature moves the features of an example by a short way, and those of a table have different "
            "units or are categories. Take learning events or self-influence in its place."
        )
    if h <= 0:
        raise UserError(f"Loss curvature with h = {h:g}; expected a length above 0.")

    def turned(state: State, x: Tensor, y: Tensor) -> Tensor:
        def loss(x: Tensor) -> Tensor:
            logits = learner.apply(state, x, train=False, key=None)[0]
            return cross_entropy(logits, y).sum()  # examples do not meet in use: each row is its own gradient

        slope = grad(loss)(x)
        sign = slope.sign()
        length = sign.flatten(1).norm(dim=1).clamp(min=1).reshape(-1, *[1] * (x.ndim - 1))
        return (grad(loss)(x + h * sign / length) - slope).flatten(1).norm(dim=1)

    run = lift(turned, stacked=learner.stacked, shared=[1, 2])
    models = len(next(iter(stacked.params.values()))) if learner.stacked else 1
    size = max(1, _AT_ONCE // (models * max(1, x[:1].numel())))
    state = State(*({name: _double(value) for name, value in part.items()} for part in stacked))
    parts = [run(state, _double(some), labels) for some, labels in zip(x.split(size), y.split(size), strict=True)]
    return torch.cat(parts, 1).detach().cpu().numpy()


def _double(value: Tensor) -> Tensor:
    return value.detach().double() if value.is_floating_point() else value.detach()
