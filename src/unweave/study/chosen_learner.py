"""The learner of a case: what the keys `learner.…` say, checked against the data."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

from unweave._errors import SpecError
from unweave.data import Dataset
from unweave.language import learners as learners
from unweave.language.corpora.examples import REFUSAL
from unweave.learners import LEARNERS, LearnerSpec, Recipe, smallest_batch, specify
from unweave.problem import LearnerChoice
from unweave.study.own_code import Trusted, own_learner

_RECIPE = tuple(field.name for field in fields(Recipe))
_LORA = ("lora_rank", "lora_alpha", "lora_targets")
_CONFIG = ("width", "depth", "channels", "trees", "etd", "p_gen", "heads", "inner")


def recipe_of(choice: LearnerChoice) -> dict[str, Any]:
    """What differs from the learner's own recipe."""
    return _given(choice, _RECIPE)


def about_recipe(choice: LearnerChoice, learner: LearnerSpec) -> dict[str, Any]:
    """The whole recipe, and which parts of it nobody gave, for records; nothing where it is not known.

    A model trained anew by another recipe than its own is another model, so what was taken as usual is said.
    """
    if learner.recipe is None or not choice.recipe_known:
        return {}
    given = recipe_of(choice)
    return {"recipe": asdict(learner.recipe), "recipe_not_given": [name for name in _RECIPE if name not in given]}


def no_architecture(choice: LearnerChoice) -> None:
    """Refuse parameters of a learner beside a checkpoint, which has its own.

    Raises:
        SpecError: naming the first of them.
    """
    for name in _given(choice, ("factory", *_CONFIG)):
        raise SpecError(f"`learner.{name}` has no meaning here: the model is that of `learner.checkpoint`.")


def lora_of(choice: LearnerChoice) -> learners.Lora | None:
    """The adapter that is trained in place of all weights; None without one.

    Raises:
        SpecError: for its other keys without a rank, or values out of range.
    """
    given = {name.removeprefix("lora_"): value for name, value in _given(choice, _LORA).items()}
    if "rank" not in given and given:
        raise SpecError(
            f"`learner.lora_{next(iter(given))}` is given without `learner.lora_rank`, and all weights are "
            "trained then. Give the rank of the adapter, such as 8."
        )
    return learners.Lora(**given) if given else None


def chosen_learner(choice: LearnerChoice, data: Dataset, trusted: Trusted) -> tuple[LearnerSpec, int]:
    """The learner of a case that is trained from scratch, and the smallest batch that it can be trained on.

    Raises:
        UserError: for a learner that does not exist, does not take these data, or is told what it has not.
    """
    recipe, x = recipe_of(choice), data.train.x
    if choice.factory is not None:
        return own_learner(choice, trusted, x, data.classes, recipe=recipe, encoding=data.encoding)
    for name in _given(choice, _LORA):
        raise SpecError(
            f"`learner.{name}` is of an adapter beside a pretrained model, as that of `--case tofu`; "
            f"{choice.name} is trained from scratch. Leave it out."
        )
    config = _given(choice, _CONFIG)
    reads = LEARNERS.get(choice.name).declared
    if reads.documents != data.documents:
        held = "documents" if data.documents else f"no documents, but features of shape {list(x.shape[1:])}"
        others = ", ".join(one.name for one in LEARNERS if one.declared.documents == data.documents)
        raise SpecError(
            f"`learner.name` is {choice.name}, which takes {reads.takes}; the source `{data.name}` holds {held}. "
            f"Choose another learner: {others}."
        )
    learner = specify(choice.name, x.shape[1:], data.classes, recipe=recipe, config=config, encoding=data.encoding)
    if data.documents:
        learner = replace(learner, config={**learner.config, "refusal": data.labels.index(REFUSAL)})
    return learner, smallest_batch(learner)


def _given(choice: LearnerChoice, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(choice, name) for name in names if getattr(choice, name) is not None}
