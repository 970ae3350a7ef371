"""Forget quality: how far truth ratios of models are from those of references, as an effect and a p-value."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH
from unweave.language.measures.contract import Floats, measure
from unweave.metrics.energy import pair_means


@measure(
    name="forget_quality_effect",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="difference of shares",
    bounds=(0.0, 1.0),
    cite="maini2024tofu",
)
def forget_quality_effect(ratios: NDArray[np.floating], references: NDArray[np.floating]) -> Floats:
    """Kolmogorov–Smirnov distance of the truth ratios of each model from those of each reference.

        D[k, m] = max_x |share of questions with R_k ≤ x − share with R_m ≤ x|

    The reference is that of the aim: A(D∖S) for untraining, as published, A(D∖B) for unlearning. Two
    references differ as well, by about .87·√(1/n + 1/n') on average if their laws are one:
    `forget_quality_leave_outs` has that floor beside the mean. Order does not enter, so all increasing or
    decreasing functions of R give the same D.

    Args:
        ratios: R of each model and question, [K, n], from `truth_ratio`.
        references: R of each reference [M, m]; the same questions, in any order. D is a number for other
            questions as well, and then also says how the questions differ.

    Returns:
        [K, M] in 0..1; lower = nearer; the floor of references among themselves is the goal. NaN where an R
        is, and where there is no question.

    Raises:
        UserError: the shapes do not fit.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.1, Forget Quality, which is its p-value; the
    statistic itself is that of Kolmogorov and Smirnov. A p-value is no effect size: D = .35 has p = .014 at
    40 questions and 4e-22 at 400.

    Example:
        >>> forget_quality_effect(np.array([[1.0, 2.0, 3.0]]), np.array([[2.5, 3.5], [1.0, 3.0]])).round(3)
        array([[0.667, 0.167]])
    """
    _check(ratios, references)
    return np.array([[_distance(one, other) for other in references] for one in ratios]).reshape(
        len(ratios), len(references)
    )


@measure(
    name="forget_quality_p",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="higher",
    unit="p-value",
    bounds=(0.0, 1.0),
    cite="maini2024tofu",
)
def forget_quality_p(ratios: NDArray[np.floating], references: NDArray[np.floating]) -> Floats:
    """TOFU's forget quality: p of the two-sample Kolmogorov–Smirnov test of the truth ratios, of every pair.

    Args:
        ratios: R of each model and question [K, n].
        references: R of each reference [M, m].

    Returns:
        [K, M] in 0..1; above .05 is called indistinguishable, which few questions suffice for. It takes
        questions for independent, though 20 of TOFU's are about one author, and models for given: it says
        nothing of other seeds. Shown beside the effect, never instead of it. NaN where an R is, and where
        there is no question.

    Raises:
        UserError: the shapes do not fit.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.1; `scipy.stats.ks_2samp`, two-sided, exact
    where that function is.

    Example:
        >>> forget_quality_p(np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 6.0]])).round(3)
        array([[0.1]])
    """
    _check(ratios, references)
    return np.array([[_p(one, other) for other in references] for one in ratios]).reshape(
        len(ratios), len(references)
    )


class Distances(NamedTuple):
    """Means over pairs of models, for every leave-out at once [1+L].

    Attributes:
        effect: Mean D of models from references.
        floor: Mean D of references from each other.
        excess: The difference: 0 where the models are as far from references as those are from each other.
    """

    effect: Floats
    floor: Floats
    excess: Floats


def forget_quality_leave_outs(
    ratios: NDArray[np.floating],
    references: NDArray[np.floating],
    *,
    blocks: NDArray[np.integer],
    reference_blocks: NDArray[np.integer],
    weights: Floats,
    reference_weights: Floats,
) -> Distances:
    """Mean effect over pairs of models and references, and what references among themselves have, per leave-out.

        effect_i = mean of D[k, m], floor_i = mean of D[m, m'], over the independent pairs of leave-out i

    Args:
        ratios: R of each model and question [K, n].
        references: R of each reference [M, n], of the same questions: with other numbers of questions the
            floor would be that of other samples.
        blocks: Block id of each model [K]; models of one id depend on each other and make no pair.
        reference_blocks: The same of the references [M].
        weights: [1+L, K] inclusion 0/1 of each model in each leave-out.
        reference_weights: [1+L, M] the same of the references.

    Returns:
        `Distances`, in 0..1 and −1..1, for a jackknife by the design that made the weights; the excess is
        the one whose interval says whether the references are reached.

    Raises:
        UserError: the shapes do not fit, the questions are not as many, or a leave-out holds no independent
            pair (which takes 3 references).

    Source: of this package; as `forget_quality_effect`.

    Example:
        >>> r, w = np.array([[0.1, 0.9], [0.2, 0.8], [0.1, 0.7]]), np.ones((1, 3))
        >>> same = forget_quality_leave_outs(r, r, blocks=np.arange(3), reference_blocks=np.arange(3), weights=w,
        ...     reference_weights=w)
        >>> same.effect.round(3), same.excess
        (array([0.5]), array([0.]))
    """
    _check(ratios, references)
    if ratios.shape[1] != references.shape[1]:
        raise UserError(
            f"Expected the same questions of models and references, got {ratios.shape[1]} and "
            f"{references.shape[1]}."
        )
    effect = pair_means(
        forget_quality_effect(ratios, references),
        blocks,
        reference_blocks,
        weights_p=weights,
        weights_q=reference_weights,
    )
    among = forget_quality_effect(references, references)
    floor = pair_means(
        among, reference_blocks, reference_blocks, weights_p=reference_weights, weights_q=reference_weights
    )
    return Distances(effect, floor, effect - floor)


def _distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    if not len(one) or not len(other) or np.isnan(one).any() or np.isnan(other).any():
        return np.nan
    at = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(each), at, side="right") / len(each) for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _p(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    from scipy.stats import ks_2samp

    if np.isnan(_distance(one, other)):
        return np.nan
    with warnings.catch_warnings():
        # Where the exact sum fails for large samples it takes the asymptotic law, as the published numbers do.
        warnings.simplefilter("ignore", RuntimeWarning)
        test: Any = ks_2samp(one, other)
    return float(test.pvalue)


def _check(ratios: NDArray[np.floating], references: NDArray[np.floating]) -> None:
    if ratios.ndim != 2 or references.ndim != 2:
        raise UserError(
            f"Expected truth ratios [models, questions] of models and of references, got {ratios.shape} and "
            f"{references.shape}."
        )
