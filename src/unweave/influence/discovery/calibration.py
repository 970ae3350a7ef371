"""Where to cut a ranking so that a promised share of the behaviour lies above, from members that were held out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SURE = 0.95


class Cut(NamedTuple):
    """A cut-off and what it rests on.

    Attributes:
        threshold: The lowest score that is flagged; −∞ where all are.
        rank: k: as many calibration members score at least that; n + 1 = all is flagged.
        members: n, calibration members.
        promised: Recall that is promised: k/(n + 1) on average, or what is exceeded with 95% confidence.
    """

    threshold: float
    rank: int
    members: int
    promised: float


def mean_rank(members: int, target: float) -> int:
    """Rank k of the calibration member at which to cut, so that mean recall is at least the target.

        k = ⌈(n + 1)·target⌉

    A further member of the same law falls among the n with equal chance of each of the n + 1 places, so it lies
    above the k-th with probability k/(n + 1). Beyond n everything must be flagged.

    Args:
        members: n ≥ 0.
        target: In (0, 1).

    Source: the split conformal argument; Vovk, Gammerman & Shafer (2005).

    Example:
        >>> mean_rank(9, 0.9), mean_rank(10, 0.9), mean_rank(8, 0.9)
        (9, 10, 9)
    """
    return math.ceil((members + 1) * target - 1e-9)


def confident_rank(members: int, target: float) -> int:
    """Rank k at which to cut, so that recall is at least the target with 95% confidence; n + 1 if none is enough.

    Recall at the k-th of n members has the law Beta(k, n + 1 − k); k is the smallest that has
    P(recall ≥ target) ≥ .95.

    Args:
        members: n ≥ 0.
        target: In (0, 1).

    Example:
        >>> confident_rank(28, 0.9), confident_rank(29, 0.9), confident_rank(50, 0.9)
        (29, 29, 49)
    """
    from scipy.stats import beta

    ranks = np.arange(1, members + 1)
    enough = np.flatnonzero(beta.sf(target, ranks, members + 1 - ranks) >= _SURE)
    return int(ranks[enough[0]]) if len(enough) else members + 1


def calibrate(scores: Floats, *, target: float, confident: bool = False) -> Cut:
    """Choose the cut-off from scores of members that took no part in making or choosing the scores.

    Args:
        scores: Scores of the calibration members [n].
        target: Recall, in (0, 1).
        confident: Recall ≥ target with 95% confidence rather than on average.

    Returns:
        The cut; ties with it are flagged, so that recall can only be larger.

    Raises:
        UserError: for a target outside (0, 1).

    Example:
        >>> calibrate(np.arange(1.0, 10.0), target=0.9)
        Cut(threshold=1.0, rank=9, members=9, promised=0.9)
        >>> calibrate(np.array([1.0, 2.0]), target=0.9)
        Cut(threshold=-inf, rank=3, members=2, promised=1.0)
    """
    if not 0 < target < 1:
        raise UserError(f"The target of recall is {target}; expected a share above 0 and below 1, such as 0.9.")
    n = len(scores)
    rank = confident_rank(n, target) if confident else mean_rank(n, target)
    if rank > n:
        return Cut(-math.inf, n + 1, n, 1.0)
    return Cut(float(np.sort(scores)[n - rank]), rank, n, target if confident else rank / (n + 1))
