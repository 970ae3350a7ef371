"""How private a recipe is: the exact account of full batches with clipped gradients and ideal noise."""

from __future__ import annotations

import math

from unweave.learners.specs import LearnerSpec


def gaussian_parameter(spec: LearnerSpec, n: int) -> float | None:
    """μ of Gaussian differential privacy for leaving out any one example, of training on all n at once.

    Each step is a Gaussian mechanism of sensitivity C with noise σ·C, hence 1/σ-GDP, and T of them are √T/σ-GDP.

    Args:
        spec: `clip` and `noise` of its recipe give C and σ.
        n: Examples of the training set; `batch_size` must hold them all, since batches drawn as here, by
            permutation, have no account as tight.

    The account is of the mechanism in exact arithmetic with true noise: that in float32, from a seed, is close to
    it, and carries no proof.

    Returns:
        μ > 0, smaller is more private; None without a clip, without noise, with smaller batches, or for a table,
        whose columns each model standardises by its own training data, without noise.

    Source: Dong, Roth & Su (2022), "Gaussian differential privacy", JRSS-B 84, corollary 3.3 and theorem 2.7.

    Example:
        >>> from unweave.learners import specify
        >>> recipe = {"epochs": 100, "batch_size": 50, "clip": 1.0, "noise": 5.0}
        >>> gaussian_parameter(specify("softmax", (4,), 2, recipe=recipe), 50)
        2.0
    """
    recipe = spec.recipe
    if (
        recipe is None
        or spec.encoding is not None
        or recipe.clip is None
        or recipe.noise == 0
        or recipe.batch_size < n
    ):
        return None
    return math.sqrt(recipe.epochs) / recipe.noise


def epsilon(mu: float, delta: float) -> float:
    """The ε at which μ-GDP is (ε, δ)-differential privacy.

    δ(ε) = Φ(−ε/μ + μ/2) − e^ε·Φ(−ε/μ − μ/2), inverted by bisection.

    Args:
        mu: μ > 0.
        delta: δ in (0, 1).

    Returns:
        ε ≥ 0, smaller is more private.

    Source: Dong, Roth & Su (2022), corollary 2.13.

    Example:
        >>> round(epsilon(1.0, 1e-5), 2)
        4.38
    """
    from scipy.special import log_ndtr, ndtr

    def exceeded(eps: float) -> bool:
        # e^ε alone is too large for a float where there is little noise; the product never exceeds 1.
        return bool(ndtr(-eps / mu + mu / 2) - math.exp(eps + log_ndtr(-eps / mu - mu / 2)) > delta)

    low, high = 0.0, 1.0
    if not exceeded(low):
        return 0.0
    while exceeded(high):
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeded(middle) else (low, middle)
    return high


def most_influence(mu: float) -> float:
    """The most that adding one example can change the probability of any event: 2Φ(μ/2) − 1, in [0, 1).

    It bounds memorisation and influence of a single example, and so what untraining it can change.

    Source: Dong, Roth & Su (2022), the trade-off function at total variation.

    Example:
        >>> round(most_influence(1.0), 3)
        0.383
    """
    return math.erf(mu / math.sqrt(8))
