"""LiRA: the likelihood-ratio attack per example, from shadow models that were trained with the example or without.

A target is never scored with shadow models it depends on: itself, or the original it was edited from. Both
carry block ids, as elsewhere in unweave; models of one id depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import UNBOUNDED
from unweave.attacks.contract import MEMBERSHIP, NOT_ON, attack

Floats = NDArray[np.float64]
Inside = NDArray[np.bool_]
Blocks = NDArray[np.integer]
Spread = Literal["example", "pooled"]


class Law(NamedTuple):
    """Mean and spread of a signal over shadow models, for each example.

    Attributes:
        mean: [n]; NaN without a shadow model.
        spread: Standard deviation [n]; NaN with too few shadow models, or where they all say the same.
        models: How many shadow models each mean is of [n].
        freedom: Degrees of freedom behind each spread [n].
    """

    mean: Floats
    spread: Floats
    models: NDArray[np.int64]
    freedom: NDArray[np.int64]


def shadow_law(phi: Floats, chosen: Inside, *, spread: Spread = "example") -> Law:
    """Gaussian law of each example's signal over the shadow models chosen for it.

        μ_i = mean_k φ_ki,   σ_i² = Σ_k (φ_ki − μ_i)²/(m_i − 1),   pooled: Σ_i Σ_k (φ_ki − μ_i)²/Σ_i (m_i −
        1)

    Args:
        phi: Signal of each shadow model on each example [shadows, n].
        chosen: Which shadow models count for which example [shadows, n].
        spread: `example`: of its own shadow models, 2 at least; `pooled`: one for all examples, where there
            are few.

    Returns:
        The law of each example.

    Source: Carlini et al. (2022), arXiv 2112.03570, algorithm 1 and section VI (global variance).
        Deviations from the official code: the mean where it takes the median (as algorithm 1 has it); m − 1
        where it divides by m; the pooled spread is that *within* examples, where it takes the spread of all
        numbers, which holds the differences between examples too, and takes that of the members for both
        laws.

    Example:
        >>> law = shadow_law(np.array([[0.0, 5.0], [2.0, 7.0]]), np.ones((2, 2), dtype=bool))
        >>> law.mean.tolist(), law.spread.round(3).tolist()
        ([1.0, 6.0], [1.414, 1.414])
    """
    if phi.ndim != 2 or chosen.shape != phi.shape:
        raise UserError(f"Expected signals and a choice [shadows, n], got {phi.shape} and {chosen.shape}.")
    models = chosen.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(chosen, phi, 0.0).sum(0) / models
        squares = np.where(chosen, (phi - mean) ** 2, 0.0).sum(0)
        freedom = np.maximum(models - 1, 0)
        if spread == "pooled":
            some = models > 0
            squares = np.full(len(models), squares[some].sum())
            freedom = np.full(len(models), freedom.sum())
        variance = squares / freedom
    return Law(mean, np.sqrt(np.where((freedom > 0) & (variance > 0), variance, np.nan)), models, freedom)


def log_likelihood_ratio(phi: Floats, inside: Law, outside: Law) -> Floats:
    """Log N(φ; μ_in, σ_in²) − log N(φ; μ_out, σ_out²), for laws that are fixed: no example knows of another.

    Args:
        phi: Signal of the targets [targets, n].
        inside: Law over shadow models that were trained with the example.
        outside: Law over those that were not.

    Returns:
        [targets, n] in nats; higher = more likely a member; NaN where a law is.

    Source: Carlini et al. (2022), arXiv 2112.03570, algorithm 1, the ratio in its last line.

    Example:
        >>> one = np.ones(1)
        >>> laws = [Law(mean * one, one, np.array([9]), np.array([8])) for mean in (2.0, 0.0)]
        >>> log_likelihood_ratio(np.array([[1.0], [2.0]]), *laws).ravel().tolist()
        [0.0, 2.0]
    """
    return _log_density(phi, inside) - _log_density(phi, outside)


def log_tail(phi: Floats, outside: Law, *, student: bool = False) -> Floats:
    """−log P[Z > φ] for Z ~ N(μ_out, σ_out²): how far in the upper tail of non-members the signal lies.

    It orders as 1 − P[Z > φ] does, which is 1 − exp(−score), and does not round to 1 far out.

    Args:
        phi: Signal of the targets [targets, n].
        outside: Law over shadow models that were not trained with the example.
        student: Whether to count that μ and σ are estimates, by P[T > (φ − μ)/(σ·√(1 + 1/m))] with
            Student's T. Otherwise a false-positive rate of .1% is really 1.1% with 8 shadow models, .45%
            with 16, .16% with 64.

    Returns:
        [targets, n] in nats, ≥ 0; higher = more likely a member; NaN where the law is.

    Source: Carlini et al. (2022), arXiv 2112.03570, section V (offline attack). Deviations: −log of the
        tail where it has 1 − the tail; the official code takes the density in place of the tail, so that an
        example far *below* the non-members counts as a member. Student's T is the predictive law of a new
        Gaussian number.

    Example:
        >>> law = Law(np.zeros(1), np.ones(1), np.array([9]), np.array([8]))
        >>> np.exp(-log_tail(np.array([[0.0], [1.6449]]), law)).ravel().round(4).tolist()
        [0.5, 0.05]
    """
    from scipy.special import log_ndtr, stdtr

    z = (phi - outside.mean) / outside.spread
    if not student:
        return np.maximum(-log_ndtr(-z), 0.0)
    with np.errstate(divide="ignore"):
        z = z / np.sqrt(1 + 1 / outside.models)
    known = np.isfinite(z)
    tail = stdtr(np.maximum(outside.freedom, 1), np.where(known, -z, 0.0))
    with np.errstate(divide="ignore"):
        return np.where(known, np.maximum(-np.log(tail), 0.0), np.nan)


@attack(
    name="lira_online",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "shadows"},
    better="reference",
    unit="nats",
    bounds=UNBOUNDED,
    cite="carlini2022lira",
    not_on=NOT_ON,
)
def lira_online(
    targets: Floats,
    shadows: Floats,
    inside: Inside,
    *,
    target_blocks: Blocks,
    shadow_blocks: Blocks,
    spread: Spread = "example",
) -> Floats:
    """Log-likelihood ratio of "trained with the example" against "trained without it", from shadow models of both.

        Λ_k(i) = log N(φ_k(i); μ_in,i, σ_in,i²) − log N(φ_k(i); μ_out,i, σ_out,i²)

    Args:
        targets: φ of the models that are attacked [targets, n], as `scaled_confidence_score` gives it.
        shadows: φ of the shadow models [shadows, n].
        inside: Whether example i was in the training set of shadow model k [shadows, n].
        target_blocks: Block id of each target [targets].
        shadow_blocks: Block id of each shadow model [shadows]; those of a target's own block do not score
            it.
        spread: `example` needs 2 shadow models of either kind per example, and dozens to be good; `pooled`
            fewer.

    Returns:
        [targets, n] in nats; higher = more likely a member. NaN where an example has too few shadow models.

    Raises:
        UserError: the shapes do not fit, or φ is not finite.

    Source: Carlini et al. (2022), arXiv 2112.03570, algorithm 1. Deviations: see `shadow_law`.

    Example:
        >>> shadows = np.array([[0.0], [2.0], [4.0], [6.0]])
        >>> inside = np.array([[False], [False], [True], [True]])
        >>> ids = np.arange(5)
        >>> lira_online(np.array([[3.0]]), shadows, inside, target_blocks=ids[4:], shadow_blocks=ids[:4]).round(9)
        array([[0.]])
    """
    _check(targets, shadows, inside, target_blocks, shadow_blocks)
    scores = np.empty(targets.shape)
    for asked, apart in _with_the_same_shadows(target_blocks, shadow_blocks):
        laws = [shadow_law(shadows, side & apart[:, None], spread=spread) for side in (inside, ~inside)]
        scores[asked] = log_likelihood_ratio(targets[asked], *laws)
    return scores


@attack(
    name="lira_offline",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "shadows"},
    better="reference",
    unit="nats",
    bounds=(0.0, np.inf),
    cite="carlini2022lira",
    not_on=NOT_ON,
)
def lira_offline(
    targets: Floats,
    shadows: Floats,
    inside: Inside,
    *,
    target_blocks: Blocks,
    shadow_blocks: Blocks,
    spread: Spread = "example",
    student: bool = False,
) -> Floats:
    """How far in the upper tail of the shadow models without the example the target lies, −log P[Z > φ].

    Args:
        targets: φ of the models that are attacked [targets, n].
        shadows: φ of the shadow models [shadows, n]; those with the example are left aside.
        inside: Whether example i was in the training set of shadow model k [shadows, n].
        target_blocks: Block id of each target [targets].
        shadow_blocks: Block id of each shadow model [shadows]; those of a target's own block do not score
            it.
        spread: `example` or `pooled`, as for `lira_online`.
        student: Whether the tail counts that the law is an estimate (see `log_tail`).

    Returns:
        [targets, n] in nats, ≥ 0; higher = more likely a member; 1 − P[Z > φ] = 1 − exp(−score). NaN where
        an example has too few shadow models.

    Raises:
        UserError: the shapes do not fit, or φ is not finite.

    Source: Carlini et al. (2022), arXiv 2112.03570, section V, offline attack. Deviations: see `log_tail`.

    Example:
        >>> shadows, inside = np.array([[-1.0], [1.0]]), np.array([[False], [False]])
        >>> ids = np.arange(3)
        >>> found = lira_offline(np.array([[0.0]]), shadows, inside, target_blocks=ids[2:], shadow_blocks=ids[:2])
        >>> np.exp(-found).round(4)
        array([[0.5]])
    """
    _check(targets, shadows, inside, target_blocks, shadow_blocks)
    scores = np.empty(targets.shape)
    for asked, apart in _with_the_same_shadows(target_blocks, shadow_blocks):
        law = shadow_law(shadows, ~inside & apart[:, None], spread=spread)
        scores[asked] = log_tail(targets[asked], law, student=student)
    return scores


def _with_the_same_shadows(target_blocks: Blocks, shadow_blocks: Blocks) -> Iterator[tuple[Blocks, Inside]]:
    """Targets that are scored by the same shadow models, with these models: a law is made once for all of them."""
    which: dict[bytes, list[int]] = {}
    patterns = target_blocks[:, None] != shadow_blocks
    for number, apart in enumerate(patterns):
        which.setdefault(apart.tobytes(), []).append(number)
    for numbers in which.values():
        yield np.array(numbers), patterns[numbers[0]]


def _log_density(phi: Floats, law: Law) -> Floats:
    # Without −½·log 2π, which is the same in both laws.
    return -(((phi - law.mean) / law.spread) ** 2) / 2 - np.log(law.spread)


def _check(targets: Floats, shadows: Floats, inside: Inside, target_blocks: Blocks, shadow_blocks: Blocks) -> None:
    fits = (
        targets.ndim == shadows.ndim == 2
        and targets.shape[1] == shadows.shape[1]
        and inside.shape == shadows.shape
        and target_blocks.shape == targets.shape[:1]
        and shadow_blocks.shape == shadows.shape[:1]
    )
    if not fits:
        raise UserError(
            "Expected signals [targets, n], shadows and memberships [shadows, n] and a block id of each model, "
            f"got {[one.shape for one in (targets, shadows, inside, target_blocks, shadow_blocks)]}."
        )
    if not (np.isfinite(targets).all() and np.isfinite(shadows).all()):
        raise UserError("Expected finite signals, got NaN or infinity: leave out the models that diverged.")
