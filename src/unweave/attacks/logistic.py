"""The starting kit's attack: a logistic regression of one number per example, between a group and test data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._random import Key, generator
from unweave.attacks.contract import MEMBERSHIP, NOT_ON, attack

Floats = NDArray[np.float64]
FEWEST = 4
"""Examples of the group and of test each: some fit the attack, others are told apart."""


class ToldApart(NamedTuple):
    """How well one cut of a signal tells a group from test data, for each model.

    Attributes:
        accuracy: Share of held-out examples told right, mean over the splits [models], 0..1; .5 = chance.
        gap: |accuracy − ½| [models], 0..½.
        scores: Log-odds of membership of each example of the group, mean over the splits that held it out [models,
            s]; higher = more likely a member; NaN where no split did.
    """

    accuracy: Floats
    gap: Floats
    scores: Floats


@attack(
    name="logistic",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "population"},
    better="reference",
    unit="|accuracy − ½|",
    bounds=(0.0, 0.5),
    cite="triantafillou2024progress",
    not_on=NOT_ON,
)
def logistic_attack(
    target: Floats, test: Floats, *, key: Key, splits: int = 10, held_out: float = 0.1
) -> ToldApart:
    """|accuracy − ½| on held-out examples of a logistic regression that tells a group from test data by a signal.

        gap_k = | mean over splits of mean_x [1{w·s_k(x) + b > 0} = member(x)] − ½ |

    As many examples of the one as of the other; each split holds out the same share of both. The group may look
    like test data and still have been trained on, and it may differ from test data in kind: 0 is no goal, and the
    good value is that of the reference. Chance alone gives a little more than 0, to the reference as well.

    Args:
        target: A membership signal of some models on the group, higher = more likely a member [models, s], as
            `loss_score` gives it.
        test: The same on examples that no model was trained on [models, t].
        key: Chooses the examples and the splits.
        splits: How often a share is held out, 1 or more.
        held_out: That share, in (0, 1).

    Returns:
        Accuracy, gap and scores; NaN with fewer than 4 examples of either.

    Raises:
        UserError: the shapes do not fit, a signal is not finite, or a parameter is out of its range.

    Source: the starting kit of the NeurIPS 2023 unlearning challenge (Triantafillou et al. 2024, arXiv
        2406.09073): logistic regression, penalty 1, ten stratified splits that hold out a tenth. Deviations:
        the splits are drawn by `key`, with at least one example of either held out; accuracies of all models are
        given, where it has one model; and scores of single examples.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> inside, outside = rng.normal(3, 1, (2, 50)), rng.normal(0, 1, (2, 60))
        >>> logistic_attack(inside, outside, key=0).gap > 0.3, logistic_attack(outside, outside, key=0).gap < 0.3
        (array([ True,  True]), array([ True,  True]))
    """
    _check(target, test, splits, held_out)
    models, s = target.shape
    accuracy, scores = np.full(models, np.nan), np.full((models, s), np.nan)
    half = min(s, test.shape[1])
    if half < FEWEST:
        return ToldApart(accuracy, np.abs(accuracy - 0.5), scores)
    from sklearn.linear_model import LogisticRegression

    members, others = (
        generator(key, "logistic", name).permutation(n)[:half]
        for name, n in (("target", s), ("test", test.shape[1]))
    )
    aside = min(max(1, round(held_out * half)), half - 1)
    orders = [generator(key, "logistic", "split", i).permutation(half) for i in range(splits)]
    answers = np.repeat([1, 0], half - aside)
    right, total, seen = np.zeros(models), np.zeros((models, s)), np.zeros(s)
    for order in orders:
        asked, fitted = order[:aside], order[aside:]
        seen[members[asked]] += 1
        for k in range(models):
            inside, outside = target[k, members], test[k, others]
            found = LogisticRegression().fit(np.concatenate([inside[fitted], outside[fitted]])[:, None], answers)
            odds = found.decision_function(np.concatenate([inside[asked], outside[asked]])[:, None])
            right[k] += ((odds[:aside] > 0).mean() + (odds[aside:] <= 0).mean()) / 2
            total[k, members[asked]] += odds[:aside]
    accuracy = right / splits
    with np.errstate(invalid="ignore"):
        scores = total / seen
    return ToldApart(accuracy, np.abs(accuracy - 0.5), scores)


def _check(target: Floats, test: Floats, splits: int, held_out: float) -> None:
    if target.ndim != 2 or test.ndim != 2 or len(target) != len(test):
        raise UserError(
            f"Expected signals [models, s] and [models, t], of the same models, got {target.shape} and "
            f"{test.shape}."
        )
    if not (np.isfinite(target).all() and np.isfinite(test).all()):
        raise UserError("Expected finite signals, got NaN or infinity: leave out the models that diverged.")
    if splits < 1 or not 0 < held_out < 1:
        raise UserError(f"Expected 1 split or more and a share in (0, 1), got {splits} and {held_out}.")
