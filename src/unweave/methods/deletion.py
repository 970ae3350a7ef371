"""Descent on what is left, and noise that hides where it came from."""

from __future__ import annotations

import math

from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, normal
from unweave.methods.contract import Aux, Given, Method, Net, method
from unweave.methods.saliency import mean_gradient


def deletion_noise(
    *,
    epsilon: float,
    delta: float,
    smoothness: float,
    convexity: float,
    lipschitz: float,
    iterations: int,
    n: int,
    deleted: int = 1,
) -> float:
    """The noise with which a few steps of descent on D∖S cannot be told from a training without S.

    σ = 4√2·k·L·γ^I / (m·n·(1 − γ^I)·(√(ln(1/δ) + ε) − √ln(1/δ))) with γ = (M − m)/(M + m), for I steps of
    gradient descent of size 2/(M + m) on the mean of n losses that are m-strongly convex, M-smooth and
    L-Lipschitz. For softmax regression on the features (x, 1) with weight decay w on all parameters: m = w,
    M = w + max‖(x, 1)‖²/2, and L = √2·max‖(x, 1)‖ + w·R where ‖θ‖ ≤ R.

    Args:
        epsilon: ε > 0; as in differential privacy, smaller is harder to tell.
        delta: δ in (0, 1).
        smoothness: M ≥ m.
        convexity: m > 0.
        lipschitz: L > 0.
        iterations: I ≥ 1.
        n: Number of examples trained on.
        deleted: k, how many of them are deleted at once, at most n/2; the theorem is for one, and the distance
            between the two optima is at most k times as long.

    Returns:
        Standard deviation of Gaussian noise on each parameter, ≥ 0; larger hides more.

    Raises:
        ValueError: for numbers outside of these ranges.

    Source: Neel, Roth & Sharifi-Malvajerdi (2021), arXiv 2007.02923, theorem 3.1.

    Example:
        >>> constants = {"smoothness": 2.0, "convexity": 1.0, "lipschitz": 1.0}
        >>> round(deletion_noise(epsilon=1.0, delta=1e-5, iterations=5, n=1000, **constants), 6)
        0.000162
    """
    if not (epsilon > 0 and 0 < delta < 1 and smoothness >= convexity > 0 and lipschitz > 0):
        raise ValueError("Expected epsilon > 0, delta in (0, 1), smoothness >= convexity > 0 and lipschitz > 0.")
    if iterations < 1 or deleted < 1 or 2 * deleted > n:
        raise ValueError("Expected at least 1 iteration and 1 to n/2 deleted examples.")
    shrink = ((smoothness - convexity) / (smoothness + convexity)) ** iterations
    distance = 4 * math.sqrt(2) * deleted * lipschitz * shrink / (convexity * n * (1 - shrink))
    unlikely = math.log(1 / delta)
    return distance / (math.sqrt(unlikely + epsilon) - math.sqrt(unlikely))


def _noisy(params: Params, sigma: float, key: Tensor) -> Params:
    """Parameters with Gaussian noise, a stream of its own for each tensor by its name."""
    drawn = {name: normal(fold_in(key, place), *params[name].shape) for place, name in enumerate(sorted(params))}
    return {name: value + sigma * drawn[name] for name, value in params.items()}


@method(
    name="descent_to_delete",
    family="noise",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="neel2021descent",
    equation="algorithm 1: I steps of gradient descent on D∖S, then N(0, σ²)",
    space={"iterations": (1.0, 100.0), "sigma": (1e-4, 0.1), "lr": (0.1, 3.0)},
    identity={"iterations": 0.0, "sigma": 0.0},
    several=True,
)
def descent_to_delete(*, iterations: float = 10.0, sigma: float = 0.01, lr: float = 1.0) -> Method:
    """A few steps of gradient descent on all of D∖S from the original, then Gaussian noise on every parameter.

    θ ← θ − η·∇(CE(D∖S) + w/2·‖θ‖²), I times, with all of D∖S in each step and no momentum; then θ ← θ + N(0, σ²)
    (Neel et al. 2021, arXiv 2007.02923). η is `lr` times the recipe's rate and w its weight decay. With a strongly
    convex loss, as of softmax regression with weight decay, η = 2/(M + m) and σ of `deletion_noise` the result
    cannot be told from that of a training without S, up to (ε, δ). For every other learner σ is a number like
    another and no guarantee holds. Defaults: chosen here, as the paper fixes none: 10 steps at the recipe's rate,
    and σ = .01, about a tenth of a weight of a net with 100 inputs per unit. Deviations: parameters are not
    projected back into a ball; norms use running statistics, which stay.

    Raises:
        SpecError: if `iterations` is not a whole number, or `sigma` is negative.
    """
    if iterations < 0 or iterations != int(iterations):
        raise SpecError(f"`methods`: descent_to_delete.iterations is {iterations}; expected a whole number.")
    if sigma < 0:
        raise SpecError(f"`methods`: descent_to_delete.sigma is {sigma}; expected 0 or more.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        recipe, params = net.learner.recipe, net.params
        for _ in range(int(iterations)):
            now = Net(net.learner, State(params, net.buffers), train=False)
            slope = mean_gradient(now, given.retain)
            params = {
                name: value - lr * recipe.lr * (slope[name] + recipe.weight_decay * value)
                for name, value in params.items()
            }
        return State(_noisy(params, sigma, key) if sigma else params, net.buffers), ()

    return Method(
        None,
        0.0,
        0.0,
        prepare=prepare,
        prepare_cost=lambda n_forget, n_retain: int(iterations) * n_retain,
    )
