"""How well memorization tells the behaviour B from the rest of D, where B is declared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._types import Measured, NotMeasured
from unweave.attacks import auc
from unweave.influence.subsampled import self_leave_outs
from unweave.problem import MIN_PROBES
from unweave.stats import interval, jackknife, leave_outs

_OTHERS = 10_000  # a part of the rest of D: more would change a rank by less than models do
_AT_ONCE = 1 << 24  # numbers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def separation(
    members: Ints, others: Ints, inside: NDArray[np.bool_], correct: NDArray[np.bool_], phi: NDArray[np.float32]
) -> dict[str, Measured]:
    """AUROC of memorization for members of B against the rest of D, by correctness, probability and margin.

    Args:
        members: Rows of B.
        others: Rows of the rest of D; of more than 10 000 a part is taken.
        inside: Whether example i is in the part that model k was trained on [t, n].
        correct: Whether model k predicts the label of example i [t, ≥ n].
        phi: φ of the label there [t, ≥ n].

    Returns:
        `hard`, `soft`, `log-odds`, each in 0..1 with an interval over models; .5: no better than chance, 1: every
        member is memorized more than every other example.
    """
    others = others[:: max(1, -(-len(others) // _OTHERS))]
    if min(len(members), len(others)) < MIN_PROBES:
        why = NotMeasured(f"fewer than {MIN_PROBES} examples of B, or of the rest of D")
        return dict.fromkeys(("hard", "soft", "log-odds"), why)
    rows = np.concatenate([members, others])
    inside, margin = inside[:, rows], phi[:, rows].astype(np.float64)
    values = {
        "hard": correct[:, rows].astype(np.float64),
        "soft": 0.5 * (1 + np.tanh(0.5 * margin)),  # which does not overflow
        "log-odds": margin,
    }
    member = np.arange(len(rows)) < len(members)
    return {name: _separation(inside, value, member) for name, value in values.items()}


def _separation(inside: NDArray[np.bool_], value: Floats, member: NDArray[np.bool_]) -> Measured:
    design = leave_outs({"subsets": np.arange(len(inside))})
    if isinstance(design, NotMeasured):
        return design
    size = max(1, _AT_ONCE // len(inside))
    parts = [slice(begin, begin + size) for begin in range(0, inside.shape[1], size)]
    memorized = np.concatenate([self_leave_outs(inside[:, one], value[:, one]) for one in parts], axis=1)
    known = np.asarray(np.isfinite(memorized).all(axis=0))
    if not known[member].any() or not known[~member].any():
        return NotMeasured("no example was both in and out of the parts of D; take more models")
    return interval(jackknife(auc(memorized[:, known], member[known]), design))
