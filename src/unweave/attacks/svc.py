"""The field's "MIA efficacy" beside that of the reference, and with what the attack is worth."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._random import Key, generator
from unweave.attacks.contract import MEMBERSHIP, NOT_ON_ORDINARY, attack

Floats = NDArray[np.float64]
FEWEST = 4
"""Examples of D∖S and of test each: half of them fit the attack, half say what it is worth."""


class Signals(NamedTuple):
    """A membership signal of some models on three groups of examples.

    Attributes:
        target: On S, or on B∖S or unseen instances where unlearning is asked about [models, s].
        retain: On examples of D∖B that every model was trained on: members [models, r].
        test: On examples that no model was trained on [models, t].
    """

    target: Floats
    retain: Floats
    test: Floats


class Efficacy(NamedTuple):
    """What the attack says of each model.

    Attributes:
        share: Share of the target group that is said not to be members [models], 0..1; NaN where it was not
            measured.
        balanced_accuracy: Of the attack on members and others that it was not fitted on [models], 0..1. At
            .5 it cannot tell members at all, and the share says nothing.
    """

    share: Floats
    balanced_accuracy: Floats


class Compared(NamedTuple):
    """The attack on edited models, beside the same attack on models of the aim's reference."""

    edited: Efficacy
    reference: Efficacy


@attack(
    name="svc_efficacy",
    aims=MEMBERSHIP,
    needs={"logits", "labels", "reference", "population"},
    better="reference",
    unit="share of the group",
    bounds=(0.0, 1.0),
    cite="jia2023sparse",
    not_on=NOT_ON_ORDINARY,
)
def svc_efficacy(
    edited: Signals,
    reference: Signals,
    *,
    key: Key,
    kernel: Literal["rbf", "linear"] = "rbf",
    c: float = 3.0,
) -> Compared:
    """Share of a group that a support vector machine, fitted on D∖S against test, says were not trained on.

        share_k = mean_x [SVC_k(s_k(x)) = 0],   SVC_k fitted on s_k(retain) → 1 and s_k(test) → 0

    Neither 1 nor .5 is the goal: an example that generalises looks like a member to a model that never saw
    it. The good value is that of the reference, which therefore has to be given.

    Args:
        edited: Signals of the edited models, usually the probability of the label.
        reference: The same of models of A(D∖S), or of A(D∖B) for unlearning, on the same examples.
        key: Chooses which examples fit the attack, and which say what it is worth.
        kernel: `rbf` as in public code; `linear` makes one cut, so that a higher signal is never less of a
            member.
        c: Penalty of the machine, > 0.

    Returns:
        Shares and what the attack is worth, for each edited model and for each of the reference; NaN with
        no example in the target group, or with fewer than 4 of D∖S or of test.

    Raises:
        UserError: the shapes do not fit, or a signal is not finite.

    Source: Jia et al. (2023), arXiv 2304.04934, and Fan et al. (2024), arXiv 2310.12508, MIA-efficacy; C=3,
        kernel rbf and gamma = 1 (`auto`, one feature) of their code. Deviations: as many members as
        others, chosen at random (there the first ones, and ports of it take all of D∖S, so that the larger
        class wins); half of both is kept from the fit and gives the attack's balanced accuracy; the
        reference's value is part of the answer; the feature of a row does not depend on other rows, as
        modified entropy does there.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> like = lambda *means: Signals(*(rng.normal(mean, 0.1, (1, 40)) for mean in means))
        >>> found = svc_efficacy(like(1, 1, 0), like(0, 1, 0), key=0)
        >>> found.edited.share.item() < 0.1, found.reference.share.item() > 0.9
        (True, True)
    """
    for signals in (edited, reference):
        _check(signals)
    if [one.shape[1] for one in edited] != [one.shape[1] for one in reference]:
        raise UserError(
            "Expected the same examples for edited models and for the reference, got "
            f"{[one.shape for one in edited]} and {[one.shape for one in reference]}."
        )
    return Compared(*(_of(signals, key, kernel, c) for signals in (edited, reference)))


def _of(signals: Signals, key: Key, kernel: str, c: float) -> Efficacy:
    models = len(signals.target)
    share, worth = np.full((2, models), np.nan)
    few = min(signals.retain.shape[1], signals.test.shape[1])
    if few < FEWEST:
        return Efficacy(share, worth)
    from sklearn.svm import SVC

    half = few // 2
    chosen = [
        generator(key, "svc", name).permutation(group.shape[1])[: 2 * half]
        for name, group in (("retain", signals.retain), ("test", signals.test))
    ]
    answers = np.repeat([1, 0], half)
    for k in range(models):
        members, others = signals.retain[k, chosen[0]], signals.test[k, chosen[1]]
        machine = SVC(C=c, kernel=kernel, gamma="auto")
        machine.fit(np.concatenate([members[:half], others[:half]])[:, None], answers)
        right = machine.predict(np.concatenate([members[half:], others[half:]])[:, None]) == answers
        worth[k] = right.mean()
        if signals.target.shape[1]:
            share[k] = 1 - machine.predict(signals.target[k][:, None]).mean()
    return Efficacy(share, worth)


def _check(signals: Signals) -> None:
    shapes = [one.shape for one in signals]
    if any(len(shape) != 2 or shape[0] != shapes[0][0] for shape in shapes):
        raise UserError(f"Expected signals [models, examples] of the same models, got {shapes}.")
    if not all(np.isfinite(one).all() for one in signals):
        raise UserError("Expected finite signals, got NaN or infinity: leave out the models that diverged.")
