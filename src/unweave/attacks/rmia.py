"""RMIA: an example is a member if its likelihood rose by more than that of most examples of a population."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave.attacks.contract import MEMBERSHIP, NOT_ON, attack

Floats = NDArray[np.float64]
Inside = NDArray[np.bool_]
Blocks = NDArray[np.integer]


@attack(
    name="rmia",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "shadows", "population"},
    better="reference",
    unit="share of the population",
    bounds=(0.0, 1.0),
    cite="zarifzadeh2024rmia",
    not_on=NOT_ON,
)
def rmia(
    targets: Floats,
    shadows: Floats,
    inside: Inside,
    *,
    population_targets: Floats,
    population_shadows: Floats,
    target_blocks: Blocks,
    shadow_blocks: Blocks,
    offline: float | None = None,
    gamma: float = 1.0,
) -> Floats:
    """Share of a population z whose likelihood ratio that of the example exceeds γ times.

        score_k(x) = mean_z [ (p_k(x)/p(x)) / (p_k(z)/p(z)) > γ ]
        p(x) = ½·(mean of p over shadows with x + mean over shadows without x),   p(z) = mean over shadows
        offline: p(·) = ½·((1 + a)·(mean over shadows without it) + 1 − a)

    All in logarithms: p_k(x) is the probability of the label, from float64 logits.

    Args:
        targets: log p of the label of each example, of the models that are attacked [targets, n]
            (`loss_score`).
        shadows: The same of the shadow models [shadows, n].
        inside: Whether example i was in the training set of shadow model k [shadows, n].
        population_targets: log p on examples z that neither targets nor shadows were trained on [targets, z].
        population_shadows: The same of the shadow models [shadows, z].
        target_blocks: Block id of each target [targets].
        shadow_blocks: Block id of each shadow model [shadows]; those of a target's own block do not score
            it.
        offline: a in 0..1 to do without shadow models that were trained with x; .3 is usual for CIFAR-10.
            None = use both kinds.
        gamma: Factor by which a ratio has to exceed, > 0.

    Returns:
        [targets, n] in 0..1, .5 = as the population; higher = more likely a member. NaN for an example
        without a shadow model of a kind that is asked for, and for all without a population.

    Raises:
        UserError: the shapes do not fit, a logarithm is above 0 or NaN, or a parameter is out of its range.

    Source: Zarifzadeh et al. (2024), arXiv 2312.03262, RMIA with the population average for p(x).
        Deviations: offline, the official code averages over a fixed number of shadow models, of which those
        trained with x count as 0; here the mean is over those without x. The population is
        inflated by the same a, as in that code.

    Example:
        >>> p = np.log(np.array([[0.5]]))
        >>> rmia(np.log([[0.9]]), p, np.array([[False]]), population_targets=p, population_shadows=p,
        ...      target_blocks=np.array([0]), shadow_blocks=np.array([1]), offline=0.3)
        array([[1.]])
    """
    _check(targets, shadows, inside, population_targets, population_shadows, target_blocks, shadow_blocks)
    if gamma <= 0 or not 0 <= (0.0 if offline is None else offline) <= 1:
        raise UserError(f"Expected gamma above 0 and `offline` in 0..1, got {gamma} and {offline}.")
    scores = np.full(targets.shape, np.nan)
    if population_targets.shape[1] == 0:
        return scores
    for k, apart in enumerate((target_blocks[:, None] != shadow_blocks)[..., None]):
        without = _log_mean(shadows, ~inside & apart)
        of_population = _log_mean(population_shadows, np.broadcast_to(apart, population_shadows.shape))
        if offline is None:
            evidence = _log_sum(without, _log_mean(shadows, inside & apart)) - np.log(2)
        else:
            evidence, of_population = _inflated(without, offline), _inflated(of_population, offline)
        ratio = targets[k] - evidence
        against = np.sort(population_targets[k] - of_population)
        exceeded = np.searchsorted(against, ratio - np.log(gamma), side="left") / len(against)
        scores[k] = np.where(np.isnan(ratio) | np.isnan(against).any(), np.nan, exceeded)
    return scores


def _log_mean(log_p: Floats, chosen: Inside) -> Floats:
    """Log of the mean probability over the chosen models [n]; NaN where there is none."""
    count = chosen.sum(0)
    total = np.logaddexp.reduce(np.where(chosen, log_p, -np.inf), axis=0)
    return np.where(count > 0, total - np.log(np.maximum(count, 1)), np.nan)


def _inflated(without: Floats, a: float) -> Floats:
    """Log of ½·((1 + a)·p + 1 − a), the mean of p and of what models with the example would give."""
    with np.errstate(divide="ignore"):
        return _log_sum(np.log((1 + a) / 2) + without, np.log((1 - a) / 2))


def _log_sum(one: Floats, other: Floats | np.float64) -> Floats:
    with np.errstate(invalid="ignore"):  # NaN: not measured
        return np.logaddexp(one, other)


def _check(
    targets: Floats,
    shadows: Floats,
    inside: Inside,
    population_targets: Floats,
    population_shadows: Floats,
    target_blocks: Blocks,
    shadow_blocks: Blocks,
) -> None:
    (t, s), n, z = (len(targets), len(shadows)), targets.shape[-1], population_targets.shape[-1]
    expected = [(t, n), (s, n), (s, n), (t, z), (s, z), (t,), (s,)]
    given = [targets, shadows, inside, population_targets, population_shadows, target_blocks, shadow_blocks]
    shapes = [one.shape for one in given]
    if shapes != expected:
        raise UserError(
            "Expected log-probabilities of targets and shadows, memberships, the same of the population, and a "
            f"block id of each model, of shapes {expected}, got {shapes}."
        )
    for one in (targets, shadows, population_targets, population_shadows):
        if not (np.isfinite(one) & (one <= 1e-9)).all():
            raise UserError("Expected finite log-probabilities, 0 or less: take `loss_score` of finite logits.")
