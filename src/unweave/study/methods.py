"""Which methods a comparison runs, and the check of a request before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unweave._errors import SpecError, UnknownNameError
from unweave.learners import LearnerSpec
from unweave.learners.specs import without_tied_variant
from unweave.study.spec import MethodChoice

if TYPE_CHECKING:
    from unweave._registry import Entry
    from unweave.methods import Declared

# Named here, so that a run whose outputs are all stored need not import torch to know them;
# a test holds this list against the registry.
DEFAULT_METHODS = (
    "noop",
    "finetune",
    "gradient_ascent",
    "neggrad_plus",
    "random_label",
    "scrub",
    "ssd",
    "delete",
    "l1_sparse",
    "salun",
    "bad_teacher",
    "cf_k",
    "eu_k",
    "npo",
    "max_entropy",
)

# What needs no gradient, hence runs on learners of which only the outputs are known.
_WITHOUT_GRADIENTS = ("noop",)

_MOST_EPOCHS = 1000  # a share of the recipe's epochs: a thousand trainings is a slip of the pen


def expanded(choices: Sequence[MethodChoice]) -> tuple[MethodChoice, ...]:
    """Methods with `all` replaced by every method that is registered and not named beside it."""
    if not any(choice.name == "all" for choice in choices):
        return tuple(choices)
    from unweave.methods import METHODS

    named = {choice.name for choice in choices}
    # Those of a default comparison first, in its order.
    rest = [name for name in dict.fromkeys([*DEFAULT_METHODS, *METHODS.names()]) if name not in named]
    found: list[MethodChoice] = []
    for choice in choices:
        if choice.name == "all" and choice.params:
            raise SpecError("`methods`: `all` takes no parameters; name a method beside it to give it some.")
        found += [MethodChoice(name, {}) for name in rest] if choice.name == "all" else [choice]
    return tuple(found)


def check_methods(methods: Sequence[MethodChoice]) -> None:
    """Check names and parameters of methods.

    Raises:
        UnknownNameError: for a method or parameter that does not exist.
        SpecError: for none at all, one named twice, or a parameter below 0.
    """
    if not methods:
        raise SpecError("`methods` is empty; expected at least one name. `unweave list methods` lists them.")
    ids = [choice.id for choice in methods]
    if len(set(ids)) < len(ids):
        raise SpecError(f"`methods` lists {next(one for one in ids if ids.count(one) > 1)} more than once.")
    if all(choice.name in DEFAULT_METHODS and not choice.params for choice in methods):
        return
    from unweave.methods.plugins import build_entry

    for choice in methods:
        build_entry(_entry_of(choice.name), choice.params)
        for name, value in choice.params.items():
            if value < 0:
                raise SpecError(f"`methods`: {choice.name}.{name} is {value}; expected a number ≥ 0.")
            if name.endswith("epochs") and value > _MOST_EPOCHS:
                raise SpecError(
                    f"`methods`: {choice.name}.{name} is {value:g} times those of the learner; expected at most "
                    f"{_MOST_EPOCHS}."
                )


def _entry_of(name: str) -> Entry[Declared]:
    """The method of a name, or how its parameters are given where they were written behind it."""
    from unweave.methods.plugins import method_entry

    try:
        return method_entry(name)
    except UnknownNameError:
        written = re.match(r"([\w.-]+)[\s(:]+\w+\s*=", name)
        if written is None or _declared(written.group(1)) is None:
            raise
        raise SpecError(
            f"`methods`: {name!r} is a name with something behind it. Parameters of a method stand in a spec: "
            f'[[methods]], and in lines below it name = "{written.group(1)}" and each parameter with its value.'
        ) from None


def trains(method: str) -> str | None:
    """The training algorithm that a method needs, such as "etd"; None where it takes models as they are.

    Example:
        >>> trains("ssd"), trains("rem_etd")
        (None, 'etd')
    """
    if method in DEFAULT_METHODS:  # known without torch
        return None
    declared = _declared(method)
    return None if declared is None else declared.trains


def _declared(method: str) -> Declared | None:
    """What a method declares; None for one from outside that is not at hand here."""
    from unweave.methods import METHODS

    try:
        return METHODS.get(method).declared
    except UnknownNameError:
        return None


def refusal(learner: LearnerSpec, method: str, *, validation: int) -> str:
    """Why a method cannot run on a learner; "" if it can.

    Args:
        learner: The learner.
        method: Name of the method.
        validation: How many test examples are set aside for it.

    Example:
        >>> from unweave.learners import specify
        >>> refusal(specify("mlp", (4,), 2), "ssd", validation=0)
        ''
        >>> refusal(specify("forest", (4,), 2), "noop", validation=0)
        ''
    """
    if method in DEFAULT_METHODS and not learner.opaque and learner.start is None:  # known without torch
        return ""
    if method in _WITHOUT_GRADIENTS:
        return ""
    if learner.opaque:
        if method == "retrain":
            return f"is no other than A(D∖S) here: of the learner {learner.label} only the outputs are known"
        return f"needs gradients, and of the learner {learner.label} only the outputs are known"
    from unweave.methods.contract import NO_NUMBERS, ONE_TOKEN, SGD_ALONE

    declared = _declared(method)
    if learner.start is not None and declared is not None and not declared.several:
        return ONE_TOKEN
    if declared is not None and declared.alters and learner.documents:
        return NO_NUMBERS
    if declared is not None and declared.sgd and learner.recipe is not None and learner.recipe.optimiser != "sgd":
        return SGD_ALONE
    if trains(method) == "etd" and not learner.tied:
        return ": ".join(
            filter(None, ("needs models trained with example-tied dropout", without_tied_variant(learner)))
        )
    if declared is not None and declared.widens and not learner.tied and (why := without_tied_variant(learner)):
        return f"adds hidden units to the net: {why}"
    if validation == 0 and declared is not None and "validation" in declared.needs:
        return (
            "needs held-out examples, and none are set aside (`probes.validation` is 0, or there is no test data)"
        )
    return ""
