"""The population attack: one cut for all examples, chosen on examples that are not scored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, UserError
from unweave._gate import UNBOUNDED
from unweave.attacks.contract import MEMBERSHIP, NOT_ON, attack

Floats = NDArray[np.float64]


class Cut(NamedTuple):
    """A cut of each model, and the examples it was chosen on.

    Attributes:
        value: Called a member is what scores higher [models], in the unit of the scores.
        ids: Ids of the examples on which it was chosen [m].
    """

    value: Floats
    ids: NDArray[np.int64]


def fit_cut(scores: Floats, member: NDArray[np.bool_], *, ids: NDArray[np.int64]) -> Cut:
    """Choose for each model the cut with the best balanced accuracy on a population.

    Args:
        scores: Scores of examples of which it is known whether they are members [models, m].
        member: Whether they are [m].
        ids: Their ids [m]: none of them may be scored with this cut.

    Returns:
        The cut of each model, half-way between two scores; of several that are as good the lowest. NaN
        where members or others are missing, or a score is NaN.

    Raises:
        UserError: the shapes do not fit.

    Source: Yeom et al. (2018), arXiv 1709.01604, with the cut fitted rather than known; the unlearning
        literature fits a logistic regression of the loss instead, whose decision is such a cut too.

    Example:
        >>> population = np.array([[0.0, 1.0, 3.0, 4.0]])
        >>> fit_cut(population, np.array([False, False, True, True]), ids=np.arange(4)).value
        array([2.])
    """
    if scores.ndim != 2 or member.shape != scores.shape[1:] or ids.shape != member.shape:
        raise UserError(
            f"Expected scores [models, m] with m memberships and m ids, got {scores.shape}, {member.shape} and "
            f"{ids.shape}."
        )
    value = np.full(len(scores), np.nan)
    for k, row in enumerate(scores):
        if member.any() and not member.all() and not np.isnan(row).any():
            value[k] = _best(row, member)
    return Cut(value, ids)


def _best(row: Floats, member: NDArray[np.bool_]) -> float:
    order = np.unique(row)
    inside, outside = np.sort(row[member]), np.sort(row[~member])
    # Twice the balanced accuracy of calling members what scores above each value that occurs.
    kept = 1 - np.searchsorted(inside, order, side="right") / len(inside)
    refused = np.searchsorted(outside, order, side="right") / len(outside)
    at = int(np.argmax(kept + refused))
    return float(order[at] if at + 1 == len(order) else (order[at] + order[at + 1]) / 2)


@attack(
    name="population",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "population"},
    better="reference",
    unit="that of the signal",
    bounds=UNBOUNDED,
    cite="yeom2018privacy",
    not_on=NOT_ON,
)
def population_attack(scores: Floats, cut: Cut, *, ids: NDArray[np.int64]) -> Floats:
    """How far above the cut of its model each example scores, s_k(x_i) − cut_k.

    One cut for all examples knows nothing of how hard an example is: where examples differ more from each
    other than membership changes them, it reads .5 while an attack per example does not.

    Args:
        scores: A membership signal [models, n].
        cut: What `fit_cut` chose, of as many models, or of one for all.
        ids: Ids of the examples that are scored [n].

    Returns:
        [models, n] in the unit of the signal; above 0 = called a member. NaN where the cut is.

    Raises:
        ApplicabilityError: an example that is scored was among those the cut was chosen on.
        UserError: the shapes do not fit.

    Source: Yeom et al. (2018), arXiv 1709.01604, adversary 2; Hayes et al. (2024), arXiv 2403.01218, who
        show that population attacks overstate privacy.

    Example:
        >>> cut = Cut(np.array([2.0]), np.arange(4))
        >>> population_attack(np.array([[1.0, 5.0]]), cut, ids=np.array([8, 9]))
        array([[-1.,  3.]])
    """
    if scores.ndim != 2 or ids.shape != scores.shape[1:] or len(cut.value) not in (1, len(scores)):
        raise UserError(
            f"Expected scores [models, n], n ids and a cut of each model or of one, got {scores.shape}, "
            f"{ids.shape} and {cut.value.shape}."
        )
    shared = np.intersect1d(ids, cut.ids)
    if len(shared):
        raise ApplicabilityError(
            f"The cut was chosen on {len(shared)} of the examples that are scored (the first is {shared[0]}), "
            "which overstates the attack: choose it on other examples."
        )
    return scores - cut.value[:, None]
