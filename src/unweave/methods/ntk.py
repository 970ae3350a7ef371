"""Forgetting by the closed form of training a net that is made linear at the original."""

from __future__ import annotations

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.learners.noise import fold_in
from unweave.methods.contract import Aux, Given, Method, Net, method
from unweave.methods.curvature import solve_positive
from unweave.methods.fisher import MOST, add_noise
from unweave.methods.per_example import flatten, in_double, moved, residual, rows, some


def linear_difference(
    net: Net, kept: Tensor, left: Tensor, error: Tensor, *, of: tuple[int, int], decay: float, damping: float
) -> Tensor:
    """Where training on D∖S ends less where training on D ends, both of the net made linear at its parameters θ.

    Training on a set A ends at Δ_A = argmin_Δ (1/|A|)·Σ_A ½‖e_i + J_i·Δ‖² + ½λ‖θ + Δ‖² + ½δ‖Δ‖², with J =
    ∂z/∂θ. With μ = λ + δ, K = J·Jᵀ, W the weight of each row and ẽ = e − (λ/μ)·J·θ the solution is Δ_A =
    −(λ/μ)·θ − Jᵀ·(K + |A|·μ·W⁻¹)⁻¹·ẽ over the rows of A: no matrix of the size of θ.

    Args:
        net: The model; for a linear one and errors z − y of a squared loss the difference is exact.
        kept: x of examples of D∖S [a, ...].
        left: x of examples of S [b, ...].
        error: e of both, D∖S first [a + b, classes].
        of: |D∖S| and |S|: `kept` and `left` stand for all of them, each with the weight |D∖S|/a or |S|/b.
        decay: λ ≥ 0, weight decay.
        damping: δ ≥ 0; λ + δ > 0.

    Returns:
        Δ_{D∖S} − Δ_D [p], in the order of `flatten`.

    Source: Golatkar et al. (2020), arXiv 2003.02960, section 4.
    """
    classes = error.shape[1]
    x = torch.cat([kept, left]).repeat_interleave(classes, 0)
    unit = torch.eye(classes, dtype=error.dtype, device=error.device)
    jacobian = rows(net, x, unit.repeat(len(error), 1))
    ridge = decay + damping
    shifted = error.flatten() - decay / ridge * jacobian.dot(net.params)
    gram, a = jacobian.gram(), len(kept) * classes
    inverse = torch.full((len(x),), len(left) / of[1], dtype=error.dtype, device=error.device)
    inverse = torch.cat([torch.full_like(inverse[:a], len(kept) / of[0]), inverse[a:]])
    on_retain = solve_positive(gram[:a, :a] + torch.diag(of[0] * ridge * inverse[:a]), shifted[:a])
    on_all = solve_positive(gram + torch.diag(sum(of) * ridge * inverse), shifted)
    only = torch.cat([on_retain, torch.zeros_like(on_all[a:])])
    return flatten(jacobian.combine(on_all - only))


@method(
    name="ntk_forgetting",
    family="second order",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="golatkar2020outside",
    equation="θ + (w_lin(D∖S) − w_lin(D)) + n, n ∼ N(0, α·F⁻¹)",
    space={"scale": (0.1, 100.0), "damping": (1e-3, 1.0), "alpha": (1e-9, 1e-4)},
    identity={"scale": 0.0, "alpha": 0.0},
)
def ntk_forgetting(
    *, scale: float = 1.0, damping: float = 0.01, alpha: float = 1e-9, examples: float = 50.0
) -> Method:
    """Move as training without S would if the net were linear; then add the noise of `fisher_forgetting`.

    θ ← θ + scale·(Δ_{D∖S} − Δ_D) + √(α·F⁻¹)·N(0, 1), where Δ_A is where training on A ends for the net made
    linear at θ, with a squared loss on logits whose errors are softmax(z) − onehot(y)
    (`linear_difference`): the neural tangent kernel of the original. Exact for a linear model and a squared
    loss. D∖S and S are represented by at most `examples` of each, drawn at random, each with the weight of
    those it stands for: the kernel has (classes·examples)² numbers for each set. Source: Golatkar et al.
    (2020), arXiv 2003.02960, and official code, of which α = 1e-9 is the default and which takes Jacobians
    and errors at the original too, where the paper has the start of training. λ is the recipe's weight
    decay; damping .01 as for `newton`, where the authors train with λ = .1. Deviations: decay pulls to 0 as
    it does in training, where the official code lets it pull to θ, which is not exact even for a linear
    model; `scale` is a parameter in place of the authors' factor 1 + 2·|Δ·e|/‖Δ‖², whose e is the error of
    the linear prediction of the weights: on a linear model e = −Δ, and it would take the exact step three
    times (it was 24 in the authors' notebook). An example's Jacobian is counted as one gradient.

    Raises:
        SpecError: for examples that are no whole number, or damping that is not above 0.
    """
    if examples < 1 or examples != int(examples):
        raise SpecError(
            f"`methods`: ntk_forgetting.examples is {examples}; expected a whole number of at least 1."
        )
    if damping <= 0:
        raise SpecError(f"`methods`: ntk_forgetting.damping is {damping}; expected a number above 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        drawn = some(given.retain, examples, fold_in(key, 0)), some(given.forget, examples, fold_in(key, 1))
        exact, kept, left = in_double(net, *drawn)
        error = torch.cat([residual(exact(part.x), part.y) for part in (kept, left)])
        of = len(given.retain.y), len(given.forget.y)
        decay = net.learner.recipe.weight_decay
        step = scale * linear_difference(exact, kept.x, left.x, error, of=of, decay=decay, damping=damping)
        scrubbed = Net(net.learner, moved(net, step), train=False)
        return add_noise(scrubbed, given.retain.x, fold_in(key, 2), alpha=alpha, most=MOST), ()

    def cost(n_forget: int, n_retain: int) -> int:
        return min(n_forget, int(examples)) + min(n_retain, int(examples)) + n_retain

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=cost)
