"""Linear datamodeling score: whether sums of attributions tell what models trained on parts of D will say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import rankdata

from unweave._errors import UserError
from unweave._types import Estimate, Measured, NotMeasured

Floats = NDArray[np.float64]


class LinearDatamodelingScore(NamedTuple):
    """How well attributions predict the outputs of models that were trained on random parts of D.

    Attributes:
        mean: Over probes, with its 95% interval over probes; its n is the number of models. The interval is
            conditional on the models: all probes were asked of the same ones, and others would move all.
        each: Of each probe [p], −1…1; NaN where all models say the same, or all sums are equal.
    """

    mean: Measured
    each: Floats


def linear_datamodeling_score(
    score: NDArray[np.floating], inside: NDArray[np.bool_], value: NDArray[np.floating]
) -> LinearDatamodelingScore:
    """Rank correlation over models of Σ_{i in its training set} score(i, z') with what the model makes of z'.

    Args:
        score: Attributions [n, p]; positive = helps.
        inside: Whether example i is in the training set of model k [t, n], random subsets of one size. The models
            are none of those that the scores were made of.
        value: What model k makes of probe j, higher where it is predicted better, as its probability or its margin
            [t, p].

    Returns:
        Spearman's correlation, mean and of each probe; 1 = the order of all models is foretold, 0 = nothing is,
        negative = the attribution has the wrong sign.

    Raises:
        UserError: the shapes do not fit, or there are fewer than three models.

    Source: Park et al. (2023, arXiv 2303.14186), definition of LDS. Deviation: an interval, by Student's t over
        probes.

    Example:
        >>> inside = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)
        >>> score = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
        >>> found = linear_datamodeling_score(score, inside, inside @ score)
        >>> found.each.round(3).tolist(), found.mean.value
        ([1.0, 1.0], 1.0)
    """
    n, p = score.shape if score.ndim == 2 else (-1, -1)
    if inside.ndim != 2 or inside.shape[1] != n or value.shape != (len(inside), p):
        raise UserError(
            f"Expected scores [n, p], membership [t, n] and values [t, p], got {score.shape}, {inside.shape} and "
            f"{value.shape}."
        )
    if len(inside) < 3:
        raise UserError(f"A rank correlation over {len(inside)} models says nothing; expected at least 3.")
    each = _spearman(inside.astype(np.float64) @ score.astype(np.float64), value.astype(np.float64))
    known = each[np.isfinite(each)]
    if len(known) < 2:
        return LinearDatamodelingScore(
            NotMeasured(f"{len(known)} of {p} probes have outputs and sums that differ between models"), each
        )
    mean = float(known.mean())
    half = float(stdtrit(len(known) - 1, 0.975) * known.std(ddof=1) / np.sqrt(len(known)))
    return LinearDatamodelingScore(
        Estimate(mean, max(-1.0, mean - half), min(1.0, mean + half), len(inside)), each
    )


def _spearman(one: Floats, other: Floats) -> Floats:
    """Rank correlation of columns, with mean ranks for ties; NaN where a column is constant."""
    # Sums that differ by rounding alone are equal.
    one, other = (_ranks(np.round(a / np.maximum(np.abs(a).max(0), 1e-300), 12)) for a in (one, other))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (one * other).sum(0) / np.sqrt((one**2).sum(0) * (other**2).sum(0))


def _ranks(values: Floats) -> Floats:
    ranks = rankdata(values, axis=0)
    return ranks - ranks.mean(0)
