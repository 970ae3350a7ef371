"""How far the features of S and of the rest lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError


def entanglement(forget: NDArray[np.float64], retain: NDArray[np.float64], *, rest: int | None = None) -> float:
    """Spread of the features of S and of D∖S about their centres, over the distance between these centres.

    ES = [mean_R‖φ − μ_R‖² + mean_S‖φ − μ_S‖²] / ½(‖μ_R − μ‖² + ‖μ_S − μ‖²), with μ the mean over all of S and D∖S,
    (|S|·μ_S + |R|·μ_R)/(|S| + |R|).

    Args:
        forget: Features of S of one model [s, d].
        retain: Features of D∖S, or of a part of it [r, d].
        rest: Size of all of D∖S, where `retain` is a part of it; None = r.

    Returns:
        Above 0; low = S is a cluster of its own, high = S lies among the rest. Infinite where both centres are the
        same.

    Raises:
        UserError: if either is empty.

    Source: Zhao et al. (2024, arXiv 2406.01257) section 3.1, after Goldblum et al. (2020, arXiv 2002.06753).

    Example:
        >>> entanglement(np.array([[3.0], [5.0]]), np.array([[-1.0], [1.0]]))
        0.5
        >>> entanglement(np.array([[3.0], [5.0]]), np.array([[-1.0], [1.0]]), rest=6)
        0.4
    """
    if len(forget) == 0 or len(retain) == 0:
        raise UserError("Entanglement needs features of S and of D∖S; one of them is empty.")
    centres = [part.mean(0) for part in (forget, retain)]
    # A part of D∖S stands for all of it: by the size of the part, μ would move towards S with the size of D.
    middle = np.average(centres, axis=0, weights=[len(forget), rest or len(retain)])
    within = sum(((p - c) ** 2).sum(1).mean() for p, c in zip((forget, retain), centres, strict=True))
    between = sum(((c - middle) ** 2).sum() for c in centres) / 2
    return float(within / between) if between > 0 else float("inf")
