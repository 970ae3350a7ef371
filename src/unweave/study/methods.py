"""Which methods a comparison runs, and the check of a request before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from unweave._errors import SpecError
from unweave.learners import LearnerSpec
from unweave.study.spec import MethodChoice

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
    from unweave.methods.plugins import build_method, method_entry

    for choice in methods:
        build_method(method_entry(choice.name), choice.params)
        for name, value in choice.params.items():
            if value < 0:
                raise SpecError(f"`methods`: {choice.name}.{name} is {value}; expected a number ≥ 0.")
        if choice.params.get("epochs", 0) > _MOST_EPOCHS:
            raise SpecError(
                f"`methods`: {choice.name}.epochs is {choice.params['epochs']:g} times those of the learner; "
                f"expected at most {_MOST_EPOCHS}."
            )


def refusal(learner: LearnerSpec, method: str) -> str:
    """Why a method cannot run on a learner; "" if it can.

    Example:
        >>> from unweave.learners import specify
        >>> refusal(specify("mlp", (4,), 2), "ssd"), refusal(specify("forest", (4,), 2), "noop")
        ('', '')
    """
    if not learner.opaque or method in _WITHOUT_GRADIENTS:
        return ""
    return f"needs gradients, and of the learner {learner.label} only the outputs are known"
