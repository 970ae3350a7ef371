"""E² (energy distance) and V² (shift of the mean): two unbiased distances between samples of models.

Both are means over pairs of *independent* models of a matrix from `unweave.metrics.distances`. They are
taken for all leave-outs of a jackknife at once, so that intervals need no second pass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH, UNBOUNDED
from unweave.metrics.contract import OF_UNLEARNING, OF_UNTRAINING, ON_ORDINARY, metric
from unweave.metrics.distances import admissible_pairs, pair_distances


def pair_means(
    matrix: NDArray[np.float64],
    blocks_p: NDArray[np.integer],
    blocks_q: NDArray[np.integer],
    *,
    weights_p: NDArray[np.float64] | None = None,
    weights_q: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Mean of a model × model matrix over its admissible pairs, for every leave-out at once.

        mean_i = (w_P[i] · (D∘A) · w_Q[i]) / (w_P[i] · A · w_Q[i]),    A[k, l] = (b_k ≠ b_l)

    Args:
        matrix: [..., K, L] distances, in any unit.
        blocks_p: [K] block ids of the rows; models with one id depend on each other.
        blocks_q: [L] block ids of the columns (the same array for distances within one sample).
        weights_p: [1+L', K] inclusion 0/1 of each row model in each leave-out; None: one row, all in.
        weights_q: [1+L', L] the same for the column models.

    Returns:
        [..., 1+L'] means, in the unit of `matrix`.

    Raises:
        UserError: the shapes do not fit, or a leave-out holds no pair of independent models.

    >>> two = np.array([0, 1])
    >>> pair_means(np.array([[9.0, 1.0], [3.0, 9.0]]), two, two)
    array([2.])
    """
    expected = (len(blocks_p), len(blocks_q))
    if matrix.shape[-2:] != expected:
        raise UserError(f"Expected distances [..., {expected[0]}, {expected[1]}], got {matrix.shape}.")
    left = np.ones((1, expected[0])) if weights_p is None else weights_p
    right = np.ones((1, expected[1])) if weights_q is None else weights_q
    if (left.shape[1], right.shape[1]) != expected or left.shape[0] != right.shape[0]:
        raise UserError(
            f"Expected inclusion weights [leave-outs, {expected[0]}] and [leave-outs, {expected[1]}], "
            f"got {left.shape} and {right.shape}: take both from one design."
        )
    admissible = admissible_pairs(blocks_p, blocks_q).astype(np.float64)
    pairs = ((left @ admissible) * right).sum(axis=-1)
    if (pairs <= 0).any():
        raise UserError(
            "Expected at least one pair of independent models in every leave-out, got none: "
            "use more models (3 for an interval)."
        )
    return ((left @ (matrix * admissible)) * right).sum(axis=-1) / pairs


def energy(
    cross: NDArray[np.float64],
    within_p: NDArray[np.float64],
    within_q: NDArray[np.float64],
    *,
    blocks_p: NDArray[np.integer],
    blocks_q: NDArray[np.integer],
    weights_p: NDArray[np.float64] | None = None,
    weights_q: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Energy distance E² between the laws of two samples of models: sees any change of the law.

        E²(P, Q) = 2·mean ‖p_k − q_l‖ − mean_{k≠k'} ‖p_k − p_k'‖ − mean_{l≠l'} ‖q_l − q_l'‖

    over pairs of models with different block ids. Its expectation is 0 exactly where the laws agree at
    every probe, at any number of models, so a single value may be slightly negative. Given
    `PairDistances.norm` it is the mean over probes of the energy distance at each probe; given
    `PairDistances.stacked` it is that of the stacked outputs of the group, which sees joint laws.

    Args:
        cross: [..., K, L] distances between the samples.
        within_p: [..., K, K] distances within P.
        within_q: [..., L, L] distances within Q.
        blocks_p: [K] block id of each model of P; equal ids mark dependent models, in either sample.
        blocks_q: [L] block id of each model of Q.
        weights_p: [1+L', K] inclusion 0/1 in each leave-out; None: one row with all models.
        weights_q: [1+L', L] the same for Q.

    Returns:
        [..., 1+L'] in the unit of the distances (probability: 0..2√2 in expectation); 0 is best.

    Raises:
        UserError: the shapes do not fit, or a leave-out holds no pair of independent models.

    Source: Székely & Rizzo 2013, Energy statistics, with U-statistics within (their V-statistic
    is biased upwards by about (within_P + within_Q)/K).

    >>> cross, within = np.full((3, 3), 2.0), 1.0 - np.eye(3)
    >>> energy(cross, within, within, blocks_p=np.arange(3), blocks_q=np.arange(3, 6))
    array([2.])
    """
    return (
        2 * pair_means(cross, blocks_p, blocks_q, weights_p=weights_p, weights_q=weights_q)
        - pair_means(within_p, blocks_p, blocks_p, weights_p=weights_p, weights_q=weights_p)
        - pair_means(within_q, blocks_q, blocks_q, weights_p=weights_q, weights_q=weights_q)
    )


def mean_shift(
    cross: NDArray[np.float64],
    within_p: NDArray[np.float64],
    within_q: NDArray[np.float64],
    *,
    blocks_p: NDArray[np.integer],
    blocks_q: NDArray[np.integer],
    weights_p: NDArray[np.float64] | None = None,
    weights_q: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Squared distance V² of the mean predictions of two samples, without the noise of few models.

        V²(P, Q) = ‖p̄ − q̄‖² − tr Cov(P)/K − tr Cov(Q)/L        (independent samples)
                 = ½ · [E² with squared norms]                  (as computed; dependent models too)

    A straight line between two models is straight in V²; two laws with equal means are at 0.

    Args:
        cross: [..., K, L] squared distances between the samples (`PairDistances.squared`).
        within_p: [..., K, K] squared distances within P.
        within_q: [..., L, L] squared distances within Q.
        blocks_p: [K] block id of each model of P; equal ids mark dependent models, in either sample.
        blocks_q: [L] block id of each model of Q.
        weights_p: [1+L', K] inclusion 0/1 in each leave-out; None: one row with all models.
        weights_q: [1+L', L] the same for Q.

    Returns:
        [..., 1+L'] in the squared unit of the outputs (probability: 0..2 in expectation); 0 is best, and
        values slightly below 0 are legal.

    Raises:
        UserError: the shapes do not fit, or a leave-out holds no pair of independent models.

    Source: the unbiased estimator of a squared distance of means, as in the linear-kernel MMD_u² of
    Gretton et al. 2012, eq. (3), with dependent pairs left out of the cross term too.

    >>> cross, within = np.full((3, 3), 4.0), np.zeros((3, 3))
    >>> mean_shift(cross, within, within, blocks_p=np.arange(3), blocks_q=np.arange(3, 6))
    array([4.])
    """
    return 0.5 * energy(
        cross,
        within_p,
        within_q,
        blocks_p=blocks_p,
        blocks_q=blocks_q,
        weights_p=weights_p,
        weights_q=weights_q,
    )


@metric(
    name="damage",
    aims=BOTH,
    needs={"logits", "reference"},
    better="lower",
    unit="that of the outputs",
    bounds=UNBOUNDED,
    cite="szekely2013energy",
    not_on=ON_ORDINARY,
    what="Energy distance E² to the aim's reference on examples without the behaviour.",
)
@metric(
    name="energy_to_unlearned",
    aims=OF_UNLEARNING,
    needs={"logits", "unlearned"},
    better="lower",
    unit="that of the outputs",
    bounds=UNBOUNDED,
    cite="szekely2013energy",
    what="Energy distance E² to A(D∖B).",
)
@metric(
    name="energy_to_untrained",
    aims=OF_UNTRAINING,
    needs={"logits", "untrained"},
    better="lower",
    unit="that of the outputs",
    bounds=UNBOUNDED,
    cite="szekely2013energy",
    what="Energy distance E² to A(D∖S).",
)
def energy_distance(
    p: NDArray[np.floating],
    q: NDArray[np.floating],
    *,
    blocks_p: NDArray[np.integer] | None = None,
    blocks_q: NDArray[np.integer] | None = None,
) -> float:
    """Energy distance E² between two samples of models, straight from their outputs.

        E²(P, Q) = mean over probes of
            2·mean ‖p_k − q_l‖ − mean_{k≠k'} ‖p_k − p_k'‖ − mean_{l≠l'} ‖q_l − q_l'‖

    Args:
        p: [K, n, C] outputs of the models of P, K ≥ 2.
        q: [L, n, C] outputs of the models of Q on the same probes, L ≥ 2.
        blocks_p: [K] block ids; models of P and Q with one id depend on each other and are not compared.
            Give both or neither; neither: all models are independent.
        blocks_q: [L] block ids of Q.

    Returns:
        One number in the unit of the outputs; 0 is best, slightly negative values are legal.

    Raises:
        UserError: the shapes do not fit, outputs are not finite, or a sample has fewer than 2 models.

    Source: Székely & Rizzo 2013, Energy statistics.

    >>> p = np.array([[[0.0]], [[1.0]]])
    >>> energy_distance(p, p + 2)
    2.0
    """
    return _from_outputs(p, q, blocks_p, blocks_q, squared=False)


@metric(
    name="mean_shift_to_unlearned",
    aims=OF_UNLEARNING,
    needs={"logits", "unlearned"},
    better="lower",
    unit="that of the outputs, squared",
    bounds=UNBOUNDED,
    cite="gretton2012kernel",
    what="Squared distance V² of the mean predictions to A(D∖B).",
)
@metric(
    name="mean_shift_to_untrained",
    aims=OF_UNTRAINING,
    needs={"logits", "untrained"},
    better="lower",
    unit="that of the outputs, squared",
    bounds=UNBOUNDED,
    cite="gretton2012kernel",
    what="Squared distance V² of the mean predictions to A(D∖S).",
)
def mean_shift_distance(
    p: NDArray[np.floating],
    q: NDArray[np.floating],
    *,
    blocks_p: NDArray[np.integer] | None = None,
    blocks_q: NDArray[np.integer] | None = None,
) -> float:
    """Squared distance V² of the mean predictions of two samples of models, straight from their outputs.

        V²(P, Q) = mean over probes of ‖p̄ − q̄‖² − tr Cov(P)/K − tr Cov(Q)/L

    Args:
        p: [K, n, C] outputs of the models of P, K ≥ 2.
        q: [L, n, C] outputs of the models of Q on the same probes, L ≥ 2.
        blocks_p: [K] block ids; models of P and Q with one id depend on each other and are not compared.
            Give both or neither; neither: all models are independent.
        blocks_q: [L] block ids of Q.

    Returns:
        One number in the squared unit of the outputs; 0 is best, slightly negative values are legal.

    Raises:
        UserError: the shapes do not fit, outputs are not finite, or a sample has fewer than 2 models.

    Source: as `mean_shift`: Gretton et al. 2012, eq. (3).

    >>> p = np.array([[[0.0]], [[1.0]]])
    >>> mean_shift_distance(p, p + 2)
    3.5
    """
    return _from_outputs(p, q, blocks_p, blocks_q, squared=True)


def energy_by_probe(
    cross: NDArray[np.float64], within_p: NDArray[np.float64], within_q: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Energy distance E² at every probe, from the means over pairs of models at that probe.

        E²(x) = 2·cross(x) − within_P(x) − within_Q(x)

    Args:
        cross: [n] `PairDistances.by_probe` between the samples (with their admissible pairs).
        within_p: [n] the same within P.
        within_q: [n] the same within Q.

    Returns:
        [n] in the unit of the outputs; 0 is best, negative values are legal.

    Source: Székely & Rizzo 2013, Energy statistics.

    >>> energy_by_probe(np.array([1.0, 2.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    array([0., 2.])
    """
    return 2 * cross - within_p - within_q


@metric(
    name="worst_off",
    aims=BOTH,
    needs={"logits", "reference"},
    better="lower",
    unit="that of the distance",
    bounds=UNBOUNDED,
    cite="georgiev2024attribute",
)
def worst_off(by_probe: NDArray[np.float64], *, percentile: float = 95.0) -> float:
    """Percentile over probes of a per-probe distance: how the worst-off probes fare.

    It is biased upwards by the noise of few models, so read it beside that of a fresh retrain.

    Args:
        by_probe: [n] distance at each probe of one group, n ≥ 1.
        percentile: in 0..100.

    Returns:
        One number in the unit of the distance; low is good.

    Raises:
        UserError: there is no probe.

    Source: Georgiev et al. 2024 (arXiv 2410.23232) report the same percentile of their KLoM.

    >>> worst_off(np.arange(101.0))
    95.0
    """
    if by_probe.size == 0:
        raise UserError("Expected at least one probe, got none: leave the group out.")
    return float(np.percentile(by_probe, percentile))


def _from_outputs(
    p: NDArray[np.floating],
    q: NDArray[np.floating],
    blocks_p: NDArray[np.integer] | None,
    blocks_q: NDArray[np.integer] | None,
    *,
    squared: bool,
) -> float:
    if (blocks_p is None) != (blocks_q is None):
        raise UserError("Expected block ids of both samples or of neither: ids are compared across samples.")
    ids_p = np.arange(len(p)) if blocks_p is None else blocks_p
    ids_q = np.arange(len(p), len(p) + len(q)) if blocks_q is None else blocks_q
    n = p.shape[1] if p.ndim == 3 else 1
    weights = np.full((1, n), 1 / max(n, 1))
    pairs = [pair_distances(a, b, weights=weights) for a, b in ((p, q), (p, None), (q, None))]
    cross, within_p, within_q = (pair.squared[0] if squared else pair.norm[0] for pair in pairs)
    distance = mean_shift if squared else energy
    return float(distance(cross, within_p, within_q, blocks_p=ids_p, blocks_q=ids_q)[0])
