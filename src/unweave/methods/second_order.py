"""One step with the inverse of a matrix of second derivatives: Newton's, influence functions, WoodFisher."""

from __future__ import annotations

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, normal
from unweave.methods.contract import Aux, Examples, Given, Method, Net, method
from unweave.methods.curvature import conjugate_gradients, gauss_newton, softmax_solve, solve_positive
from unweave.methods.per_example import Rows, flatten, in_double, moved, residual, rows, some, total_gradient

_SMALL = 2048  # numbers of a softmax regression up to which its matrix is written down


def solve(net: Net, x: Tensor, b: Tensor, *, damping: float, steps: int) -> Tensor:
    """(H + damping·I)⁻¹·b, with H the Gauss-Newton matrix of the mean CE of examples x.

    For a softmax regression H is the matrix of second derivatives itself; a small one is written down and
    solved exactly. For others there are conjugate gradients.

    Args:
        net: The model.
        x: [n, ...].
        b: [p], in the order of `curvature.flatten`.
        damping: ≥ 0.
        steps: Of conjugate gradients.
    """
    if net.learner.dense == 0 and len(b) <= _SMALL:
        return softmax_solve(net, x, b, damping=damping)
    product = gauss_newton(net, x)
    return conjugate_gradients(lambda v: product(v) + damping * v, b, steps=steps)


def _whole(name: str, **given: float) -> None:
    for parameter, value in given.items():
        if value < 1 or value != int(value):
            raise SpecError(f"`methods`: {name}.{parameter} is {value}; expected a whole number of at least 1.")


def _not_negative(name: str, **given: float) -> None:
    for parameter, value in given.items():
        if value < 0:
            raise SpecError(f"`methods`: {name}.{parameter} is {value}; expected a number ≥ 0.")


def _pull(net: Net, forget: Examples) -> Tensor:
    """Σ_S (∇CE + λ·θ) [p]: the gradient that S adds to the sum of losses, with its share of weight decay."""
    decay = net.learner.recipe.weight_decay * len(forget.y)
    return flatten(total_gradient(net, forget)) + decay * flatten(net.params)


@method(
    name="newton",
    family="second order",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="guo2020certified",
    equation="θ + H_{D∖S}⁻¹·Σ_S ∇ℓ/(n−m), section 3.1; Sekhari et al. (2021), algorithm 1",
    space={"scale": (0.1, 10.0), "damping": (1e-4, 1.0)},
    identity={"scale": 0.0},
)
def newton(
    *,
    scale: float = 1.0,
    damping: float = 0.01,
    iterations: float = 20.0,
    examples: float = 1000.0,
    noise: float = 0.0,
) -> Method:
    """One step of Newton's method from the original toward the optimum of D∖S.

    θ ← θ + scale·(H + (λ + damping)·I)⁻¹·Σ_{i∈S}(∇CE_i + λ·θ)/(n − m) + noise·N(0, 1), with H the second
    derivatives of the mean CE on D∖S, λ the weight decay of the recipe, n = |D| and m = |S|. At an optimum
    of D the sum over S is −(n − m)·∇(loss of D∖S), so that this is the step to the optimum of D∖S: exact
    for a loss that is a parabola, with an error O((m/n)²) for one that is smooth and convex (Guo et al.
    2020, arXiv 1911.03030; Sekhari et al. 2021, arXiv 2103.03279). For nets H is the Gauss-Newton matrix,
    which has no negative eigenvalue; for softmax regression that is H itself, solved exactly up to 2048
    parameters, and in all other cases by `iterations` steps of conjugate gradients, each of which costs two
    gradients per example, and which the cost is declared for. Defaults: scale 1 and no noise, since the
    authors' standard deviations are made of constants (of Lipschitz and of strong convexity) that a net does
    not have; damping .01, a choice of ours: Koh & Liang (2017) add such a term for nets, and in the theory it
    is 0, but without weight decay H is singular; H from at most `examples` of D∖S, drawn at random, to bound
    time. Deviations: the step is taken for all of S at once, where the official code removes one example after
    the other; the loss in training is not perturbed at random, as it is there, so that nothing is certified.

    Raises:
        SpecError: for iterations or examples that are no whole number, or damping below 0.
    """
    _whole("newton", iterations=iterations, examples=examples)
    _not_negative("newton", damping=damping, noise=noise)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        exact, forget, shown = in_double(net, given.forget, some(given.retain, examples, fold_in(key, 0)))
        pull = _pull(exact, forget) / len(given.retain.y)
        ridge = net.learner.recipe.weight_decay + damping
        step = scale * solve(exact, shown.x, pull, damping=ridge, steps=int(iterations))
        if noise:
            step = step + noise * normal(fold_in(key, 1), len(step))
        return moved(net, step), ()

    def cost(n_forget: int, n_retain: int) -> int:
        return n_forget + 2 * int(iterations) * min(n_retain, int(examples))

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=cost)


@method(
    name="influence",
    family="second order",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="koh2017influence",
    equation="θ + H_D⁻¹·Σ_S ∇ℓ/n, equation 1 with ε = −1/n",
    space={"scale": (0.1, 10.0), "damping": (1e-4, 1.0)},
    identity={"scale": 0.0},
)
def influence(
    *, scale: float = 1.0, damping: float = 0.01, iterations: float = 20.0, examples: float = 1000.0
) -> Method:
    """Influence functions: move as the optimum of D does while the weight of S is taken away, to first order.

    θ ← θ + scale·(H_D + (λ + damping)·I)⁻¹·Σ_{i∈S}(∇CE_i + λ·θ)/n, with H_D the second derivatives of the
    mean CE on D, S included: the effect on the parameters of a weight −1/n on each example of S (Koh &
    Liang 2017, arXiv 1703.04730, equation 1 and what follows it). `newton` has the H of D∖S and n − m in
    place of n: the two differ by O((m/n)²), and most where S bends the loss where nothing else does. For
    nets H is the Gauss-Newton matrix in place of the one of second derivatives (as Bae et al. 2022, arXiv
    2209.05364, advise). Defaults: scale 1, as the formula has it; damping .01 as for `newton`, and
    `iterations` and `examples` too.

    Raises:
        SpecError: for iterations or examples that are no whole number, or damping below 0.
    """
    _whole("influence", iterations=iterations, examples=examples)
    _not_negative("influence", damping=damping)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        parts = zip(given.forget, given.retain, strict=True)
        everything = Examples(*(torch.cat(both) for both in parts))
        exact, forget, shown = in_double(net, given.forget, some(everything, examples, fold_in(key, 0)))
        pull = _pull(exact, forget) / len(everything.y)
        ridge = net.learner.recipe.weight_decay + damping
        return moved(net, scale * solve(exact, shown.x, pull, damping=ridge, steps=int(iterations))), ()

    def cost(n_forget: int, n_retain: int) -> int:
        return n_forget + 2 * int(iterations) * min(n_forget + n_retain, int(examples))

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=cost)


def woodbury(gradients: Rows, v: Params, *, damping: float) -> Tensor:
    """F⁻¹·v [p] for F = damping·I + (1/N)·Σ_i g_i·g_iᵀ, exactly: (v − Gᵀ·(N·damping·I + G·Gᵀ)⁻¹·G·v)/damping.

    This is what the recursion of WoodFisher gives, F_k⁻¹ = F_{k−1}⁻¹ − F_{k−1}⁻¹·g_k·g_kᵀ·F_{k−1}⁻¹/(N +
    g_kᵀ·F_{k−1}⁻¹·g_k) from F_0 = damping·I, for which all of F_k⁻¹, or F_{k−1}⁻¹·g_k of all k, has to be
    kept.

    Source: Singh & Alistarh (2020), arXiv 2004.14340, equation 5.
    """
    side = gradients.dot(v)
    ridge = len(side) * damping * torch.eye(len(side), dtype=side.dtype, device=side.device)
    weights = solve_positive(gradients.gram().add_(ridge), side)
    return (flatten(v) - flatten(gradients.combine(weights))) / damping


@method(
    name="woodfisher",
    family="second order",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="jia2023sparse",
    equation="θ + α·F⁻¹·(∇L_D − ∇L_{D∖S}), IU in table 1",
    space={"alpha": (0.1, 20.0), "damping": (1e-4, 1.0)},
    identity={"alpha": 0.0},
)
def woodfisher(*, alpha: float = 1.0, damping: float = 0.01, examples: float = 1000.0) -> Method:
    """Influence unlearning with the empirical Fisher information in place of second derivatives.

    θ ← θ + α·F⁻¹·v with v = ∇L_D − ∇L_{D∖S} = (1/n)·(Σ_S ∇CE − (m/(n − m))·Σ_{D∖S} ∇CE), which needs no
    optimum: at θ + F⁻¹·v the loss of D∖S has, to first order, the gradient that the loss of D has at θ. F =
    damping·I + (1/N)·Σ ∇CE·∇CEᵀ over N examples of D∖S, drawn at random where there are more than
    `examples`, and inverted exactly (`woodbury`). Source: Jia et al. (2023), arXiv 2304.04934, with the
    WoodFisher of Singh & Alistarh (2020), arXiv 2004.14340. Defaults: N = 1000 of the official code; α = 1,
    the step of the formula, where the authors tune α; damping .01 as for `newton`, where the official code
    begins its recursion from I. Deviation: the official code keeps F_{k−1}⁻¹·g_k as one vector o that it
    never computes anew, only scales: o stays parallel to the gradient of the first example, and its F⁻¹·v
    is v but for a multiple of that gradient.

    Raises:
        SpecError: for examples that are no whole number, or damping that is not above 0.
    """
    _whole("woodfisher", examples=examples)
    if damping <= 0:
        raise SpecError(f"`methods`: woodfisher.damping is {damping}; expected a number above 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        exact, forget, retain = in_double(net, given.forget, given.retain)
        of_forget, of_retain = total_gradient(exact, forget), total_gradient(exact, retain)
        n, share = len(forget.y) + len(retain.y), len(forget.y) / len(retain.y)
        v = {name: (value - share * of_retain[name]) / n for name, value in of_forget.items()}
        x, y = some(retain, examples, fold_in(key, 0))
        return moved(net, alpha * woodbury(rows(exact, x, residual(exact(x), y)), v, damping=damping)), ()

    def cost(n_forget: int, n_retain: int) -> int:
        return n_forget + n_retain + min(n_retain, int(examples))

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=cost)
