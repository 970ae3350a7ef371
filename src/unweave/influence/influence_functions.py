"""Influence functions of single examples on single probes, solved exactly or by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from unweave._errors import UserError
from unweave.influence.attribution import Attributions
from unweave.influence.gradients import in_use, nets, numbers, of_loss, parts
from unweave.learners.contract import Learner, State
from unweave.methods import Examples, Net
from unweave.methods.curvature import conjugate_gradients, gauss_newton
from unweave.methods.per_example import flatten

# Parameters up to which the Gauss-Newton matrix is written down; it pays for more where it is solved for every
# training example, until it takes a quarter of a gibibyte.
_SMALL, MOST_EXACT = 2048, 5792
_AT_ONCE = 2**25  # numbers in memory of what is solved for at once


def influence_functions(
    learner: Learner,
    stacked: State,
    train: Examples,
    probes: Examples,
    *,
    damping: float = 0.01,
    iterations: int = 100,
    own: bool = True,
) -> Attributions:
    """Influence functions: the rise of a probe's loss without a training example, to first order.

        score(z, z') = (1/n)·∇ℓ(z')ᵀ·(H + (λ + damping)·I)⁻¹·(∇ℓ(z) + λ·θ)

    with H the Gauss-Newton matrix of the mean cross-entropy of the training examples, which for softmax regression
    is the matrix of second derivatives itself, and λ the weight decay of the recipe. At an optimum, a weight 1/n
    less on z moves the parameters by what stands right of ∇ℓ(z')ᵀ.

    Args:
        learner: The learner that made the models.
        stacked: K models.
        train: Training examples [n]; all of them, since they make the curvature.
        probes: Probes with their labels [p].
        damping: ≥ 0, beside the weight decay; the sum of both is above 0.
        iterations: Steps of conjugate gradients, ≥ 1, for each probe, each as costly as two gradients of all
            training examples; too few act like more damping. Nets of up to 2048 parameters are solved exactly,
            and of up to 5792 with `own`.
        own: Whether self-influence is wanted, for which there is one solve per training example; else it is NaN.

    Returns:
        Means over models, in nats; positive = helps.

    Raises:
        UserError: if damping is below 0, or 0 without weight decay, or too small for the matrix to be solved, or
            iterations are below 1.

    Source: Koh & Liang (2017, arXiv 1703.04730) equation 2, with the sign of a removal: −(1/n)·I_up,loss.
        Deviations: the Gauss-Newton matrix, which has no negative eigenvalue, for the one of second derivatives of
        a net (as Bae et al. 2022, arXiv 2209.05364, advise); an example takes its share of weight decay with it
        when it goes, since the recipe's loss is a mean over those that are left.

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> learner = build(specify("softmax", (2,), 2))
        >>> models = State({"0.weight": torch.zeros(1, 2, 2), "0.bias": torch.zeros(1, 2)}, {})
        >>> train = Examples(torch.eye(2), torch.tensor([0, 1]))
        >>> influence_functions(learner, models, train, train).score.round(2).tolist()
        [[0.97, -0.01], [-0.01, 0.97]]
    """
    decay = learner.recipe.weight_decay
    if damping < 0 or decay + damping == 0 or iterations < 1:
        raise UserError(
            f"Influence functions with damping {damping:g}, weight decay {decay:g} and {iterations} iterations; "
            "expected at least one of the first two above 0, and iterations of at least 1."
        )
    n = len(train.y)
    score = torch.zeros(n, len(probes.y), dtype=torch.float64, device=train.x.device)
    selves = torch.zeros(n, dtype=torch.float64, device=train.x.device)
    count = 0
    for count, net in enumerate(nets(learner, stacked), 1):  # noqa: B007 - how many there were
        x, u = of_loss(net, train)
        exact = numbers(net) <= (MOST_EXACT if own else _SMALL)
        solver = _exactly if exact else partial(_by_conjugate_gradients, iterations=iterations)
        solve, size = solver(net, x, damping=decay + damping)
        pull = decay * flatten(net.params)
        for some, gradients in parts(net, *of_loss(net, probes), most=size):
            solved = solve(gradients)
            for which, of_train in parts(net, x, u):
                score[which, some] += (of_train + pull) @ solved.mT / n
        for some, gradients in parts(net, x, u, most=size) if own else ():
            selves[some] += (solve(gradients) * (gradients + pull)).sum(1) / n
    found = (selves / count).cpu().numpy() if own else np.full(n, np.nan)
    return Attributions((score / count).cpu().numpy(), found)


Solver = tuple[Callable[[Tensor], Tensor], int]
"""B [b, p] → each row times (H + damping·I)⁻¹, and how many rows may be solved for at once."""


def _exactly(net: Net, x: Tensor, *, damping: float) -> Solver:
    """By Cholesky's factor of H = (1/n)·Σ_i Σ_c p_ic·g_ic·g_icᵀ, with g_ic = ∂CE/∂θ were c the label of x_i."""
    total, p = numbers(net), in_use(net, x).softmax(1)
    matrix = damping * torch.eye(total, dtype=torch.float64, device=x.device)
    for label in torch.eye(p.shape[1], dtype=p.dtype, device=p.device):
        root = (p @ label).div(len(x)).sqrt()[:, None]
        for _, rows in parts(net, x, root * (p - label)):
            matrix.addmm_(rows.mT, rows)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        raise UserError(
            f"Influence functions: with {damping:g} added to its diagonal the matrix is not positive definite, or "
            "the model is not finite. Raise `damping`."
        )
    return lambda rows: torch.cholesky_solve(rows.mT, factor).mT, max(1, _AT_ONCE // total)


def _by_conjugate_gradients(net: Net, x: Tensor, *, damping: float, iterations: int) -> Solver:
    product, total = gauss_newton(net, x), numbers(net)
    # What a product holds of every example for every row; a net that is not plain takes examples in parts.
    width = max(value.shape[0] + value[0].numel() for value in net.params.values())
    of_examples = len(x) * width if net.learner.dense is not None else total

    def solved(b: Tensor) -> Tensor:
        return conjugate_gradients(lambda v: product(v) + damping * v, b, steps=iterations)

    at_once = max(1, min(_AT_ONCE // of_examples, _AT_ONCE // (iterations * total)))
    return lambda rows: _each(net, solved, rows), at_once


def _each(net: Net, of: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """A function of every row: at once for plain nets; not all that others do can be done under `vmap`."""
    return vmap(of)(rows) if net.learner.dense is not None else torch.stack([of(row) for row in rows])
