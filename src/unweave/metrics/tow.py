"""Tug of war (ToW): how near a model is to its reference on S, D∖S and test data at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import AIMS, BOTH, Aim, Group
from unweave.metrics.contract import metric
from unweave.metrics.distances import admissible_pairs

Floats = NDArray[np.float64]


class Rates(NamedTuple):
    """What is compared: a number in 0..1 per model on each of three sets [K].

    Attributes:
        forget: Accuracy on S, or on another group of the behaviour; for ToW-MIA the share of it that an attack
            takes for members.
        retain: Accuracy on D∖S.
        test: Accuracy on test data.
    """

    forget: Floats
    retain: Floats
    test: Floats


_COUNTED_ALREADY = "Examples without the behaviour enter with the other two sets already: ask it where it shows."
_ON_THE_BEHAVIOUR: Mapping[Aim, Mapping[Group, str]] = {
    aim: {"retain": _COUNTED_ALREADY, "test": _COUNTED_ALREADY} for aim in AIMS
}
_OF_AN_ATTACK: Mapping[Aim, Mapping[Group, str]] = {
    "untraining": {
        **_ON_THE_BEHAVIOUR["untraining"],
        "unseen": "No model was trained on these examples: they are not members, whatever the method did.",
    },
    "unlearning": {
        **_ON_THE_BEHAVIOUR["unlearning"],
        "forget": "Membership inference on S says nothing about unlearning: S may have been untrained while the "
        "behaviour lives on in what B∖S taught.",
    },
}


@metric(
    name="tow_mia",
    aims=BOTH,
    needs={"logits", "labels", "clean labels", "reference", "population"},
    better="higher",
    unit="none",
    bounds=(0.0, 1.0),
    cite="zhao2024what",
    not_on=_OF_AN_ATTACK,
    what="ToW with the success of the population attack on S in place of the accuracy on S.",
)
@metric(
    name="tow",
    aims=BOTH,
    needs={"logits", "clean labels", "reference"},
    better="higher",
    unit="none",
    bounds=(0.0, 1.0),
    cite="zhao2024what",
    not_on=_ON_THE_BEHAVIOUR,
    what="How near accuracies on S, D∖S and test data are to those of the reference, as one product.",
)
def tow(models: Rates, references: Rates) -> Floats:
    """Tug of war of each model: the product of how near it is to its reference on S, D∖S and test data.

        ToW_k = (1 − |a_S,k − ā_S|)·(1 − |a_R,k − ā_R|)·(1 − |a_T,k − ā_T|),   ā the mean over the references

    The reference is that of the aim: A(D∖S) for untraining, as published, or A(D∖B) for unlearning. Signs
    do not cancel: too high and too low are equally far. Accuracies of single models scatter, so that a reference
    itself has less than 1: fresh references, by the same function, show what can be reached.

    With the success of an attack on S in place of the accuracy there, for models and references, it is ToW-MIA:
    the share that is called members, or not members, which gives the same number.

    Args:
        models: Rates of K models, in 0..1.
        references: Rates of the models of the aim's reference, one or more.

    Returns:
        [K] in 0..1; 1: as the references on all three sets. Means over models and their intervals are those of
        these numbers: the model is the unit. Where a rate is NaN, so is what it enters.

    Raises:
        UserError: the shapes do not fit, there is no reference, or a rate is not in 0..1, as percents are not.

    Source: Zhao et al. (2024), arXiv 2406.01257, ToW and ToW-MIA; the released analysis.py. Deviation: the
    reference is the mean of many and not one retrained model of the same seed, which would add its own scatter; a
    comparison takes D∖B in place of D∖S, so that damage to B∖S shows on that group alone. In their ToW-MIA the
    attack is a support vector machine on confidences.

    Example:
        >>> one = np.array([0.5]), np.array([0.9]), np.array([0.9])
        >>> two = np.array([0.3]), np.array([1.0]), np.array([0.9])
        >>> tow(Rates(*one), Rates(*two)).round(3)
        array([0.72])
    """
    for rates in (models, references):
        _check(rates)
    means = [rates.mean() for rates in references]
    return np.prod([1 - np.abs(own - mean) for own, mean in zip(models, means, strict=True)], axis=0)


def tow_leave_outs(
    models: Rates,
    references: Rates,
    weights: Floats,
    reference_weights: Floats,
    *,
    blocks: NDArray[np.integer] | None = None,
    reference_blocks: NDArray[np.integer] | None = None,
) -> Floats:
    """Mean ToW over models, for every leave-out at once: that the references scatter counts as well.

        ToW_i = Σ_k w[i, k]·ToW_k(ā_ik) / Σ_k w[i, k],   ā_ik the mean of the references in leave-out i that do
        not depend on model k

    Args:
        models: Rates of K models, in 0..1.
        references: Rates of the models of the aim's reference [R].
        weights: [1+L, K] inclusion 0/1 of each model in each leave-out.
        reference_weights: [1+L, R] the same of the references.
        blocks: [K] block ids; a model is compared with references of other ids alone, so that a reference is not
            part of the mean that it is held against. Give both or neither; neither: all are independent.
        reference_blocks: [R] block ids of the references.

    Returns:
        [1+L] in 0..1, for a jackknife by the design that made the weights.

    Raises:
        UserError: as `tow` does, the leave-outs are not as many, or one leaves no independent reference in.

    Source: as of `tow`.

    Example:
        >>> own, other = (Rates(*[np.array(a)] * 3) for a in ([1.0, 1.0], [1.0, 0.0]))
        >>> tow_leave_outs(own, other, np.ones((2, 2)), np.array([[1.0, 1.0], [1.0, 0.0]]))
        array([0.125, 1.   ])
    """
    for rates in (models, references):
        _check(rates)
    if len(weights) != len(reference_weights):
        raise UserError(
            f"Expected as many leave-outs of models as of references, got {len(weights)} and "
            f"{len(reference_weights)}."
        )
    own = np.arange(len(models.forget)) if blocks is None else blocks
    other = own.max(initial=0) + 1 + np.arange(len(references.forget)) if blocks is None else reference_blocks
    if other is None or len(own) != len(models.forget) or len(other) != len(references.forget):
        raise UserError("Expected a block id of each model and of each reference, or of neither.")
    independent = admissible_pairs(own, other).astype(np.float64)
    if weights.shape[1] != len(own) or reference_weights.shape[1] != len(other) or (weights.sum(1) <= 0).any():
        raise UserError(
            f"Expected weights [leave-outs, {len(own)}] that leave some in and [leave-outs, {len(other)}] of the "
            f"references, got {weights.shape} and {reference_weights.shape}."
        )
    among = reference_weights @ independent.T
    if (among <= 0).any():
        raise UserError("Expected an independent reference in every leave-out, got none: use more models.")
    values = np.ones(among.shape)
    for of_models, of_references in zip(models, references, strict=True):
        mean = (reference_weights * of_references) @ independent.T / among
        values *= 1 - np.abs(of_models - mean)
    return (weights * values).sum(axis=1) / weights.sum(axis=1)


def _check(rates: Rates) -> None:
    shapes = {one.shape for one in rates}
    if len(shapes) != 1 or rates.forget.ndim != 1 or len(rates.forget) == 0:
        raise UserError(
            f"Expected one number per model on each of three sets, got {[one.shape for one in rates]}."
        )
    for name, values in zip(Rates._fields, rates, strict=True):
        if (values < 0).any() or (values > 1).any():
            raise UserError(f"Expected rates from 0 to 1, got {values.min():g}..{values.max():g} on `{name}`.")
