"""What is to be said of an edit beside its record: what puts it into doubt, and what it leaves."""

from __future__ import annotations

import numpy as np

from unweave.data import without_values
from unweave.records.erasure import Accuracy
from unweave.study.assemble import Assembly
from unweave.study.edit_prepared import RETRAIN, Prepared, retained
from unweave.study.given import keeps_scales
from unweave.study.units import moved_words
from unweave.study.warnings import about_request

_DROP, _CLASS_DROP, _GAIN = 0.01, 0.05, 0.1
_FEW = 4.5  # right answers fewer, which are no news: four losses in four changes are chance to a sign test at 5%
_GAINED = (
    "Accuracy on the rest of D rose from {:.1%} to {:.1%}, and a model of these data has little to learn there: "
    "is the model before one of them, with the same features, units and classes in the same order?"
)


def _gained(one: Accuracy) -> bool:
    """Whether an edit taught a model what one that was trained on these data knows."""
    return one.name == "rest of D" and one.after - one.before > _GAIN


def _hardly_knows(assembly: Assembly, rates: tuple[Accuracy, ...]) -> bool:
    """Whether a model is one of other data, by its accuracy on D∖S."""
    y = assembly.setting.y[retained(assembly)]
    guess = np.bincount(y).max() / len(y)
    right = next(one.before for one in rates if one.name == "rest of D")
    return bool(right < guess + (1 - guess) / 10)


def warnings_of(prepared: Prepared, rates: tuple[Accuracy, ...], copies: int) -> tuple[str, ...]:
    """What is to be said of an edit; `rates` are empty where nothing was erased.

    Args:
        prepared: The request.
        rates: Accuracy before and after.
        copies: How many copies of S stay in D∖S.
    """
    said = [*map(without_values, prepared.assembly.data.warnings), *about_request(prepared.assembly)]
    if copies:
        said.append(
            f"{copies} copies of examples of S stay in the training data; what S taught they still teach. "
            "They are listed in the record: put them into a request as well if they are the same records."
        )
    if prepared.large:
        said.append(f"The request was large: {prepared.large}.")
    if prepared.model is not None and rates and _hardly_knows(prepared.assembly, rates):
        said.append(
            "The model before gets hardly more of its training data right than the most frequent class alone "
            "would: is it the model that was trained on these data, with the same order of classes and units?"
        )
    said += [_GAINED.format(one.before, one.after) for one in rates if _gained(one)]
    if prepared.model is not None and rates and prepared.choice.name == RETRAIN:
        said += [] if keeps_scales(prepared.model.checkpoint) else moved_words(prepared.assembly)
    for one in rates:
        limit = _CLASS_DROP if one.name.startswith("test, class") else _DROP
        if one.name != "S" and (drop := one.before - one.after) > limit and drop * one.examples > _FEW:
            said.append(f"Accuracy on {one.name} fell from {one.before:.1%} to {one.after:.1%}.")
    if rates and prepared.choice.name != RETRAIN:
        said.append("A method only comes near to its aim; how near it came: `unweave audit`.")
    if prepared.found is not None:
        said.append(
            f"{prepared.found.flagged} examples of D∖S were taken for the same behaviour as S, and the model was "
            "edited as if they were in the request. They stay in the training data, and the record lists them "
            "(`provenance.expansion.joined`): look them over, and name those that are to go in a request."
        )
    if prepared.aim == "unlearning":
        said.append(
            "Only S was known to the method. Whether the rest of the behaviour is gone: `unweave audit` "
            "with B declared."
        )
    return tuple(said)
