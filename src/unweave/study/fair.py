"""Methods within budgets: what is run, why one is refused, and what is said of a row."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError
from unweave._random import derive
from unweave.study.assemble import Assembly
from unweave.study.choices import MethodChoice, expands
from unweave.study.methods import refusal
from unweave.study.plugins import at_hand

if TYPE_CHECKING:
    from unweave.methods import Assignment, Edited, Method, Within

FEWEST_SEEDS = 4
"""Examples of S from which more of the behaviour can be looked for at all."""


def why_refused(assembly: Assembly, choice: MethodChoice) -> str:
    """Why a method cannot run on a case, or not within its budget; "" if it can."""
    # What a script registered is known in its own process alone.
    at_work = nullcontext() if choice.origin is None or choice.origin.kind == "script" else at_hand(choice)
    with at_work:
        why = refusal(assembly.setting.learner, choice.name, validation=len(assembly.validation))
        why = why or (why_not_expanded(assembly) if expands(choice.name) else "")
        return why or _why_over_budget(assembly, choice)


def why_not_expanded(assembly: Assembly) -> str:
    """Why no more of the behaviour of S can be looked for in a case; "" if it can."""
    n, forget = len(assembly.setting.y), len(assembly.forget)
    if assembly.setting.learner.opaque:
        label = assembly.setting.learner.label
        return f"needs features of models, and of the learner {label} only the outputs are known"
    if not assembly.case.learner.recipe_known:
        return (
            "trains models of parts of D, and how this model was trained is not known; give `learner.epochs` and "
            "`learner.lr`"
        )
    if assembly.case.forget.outside:
        return "looks in D for the rest of S, and S lies outside D"
    if forget < FEWEST_SEEDS:
        return f"learns from S what to look for; S has {forget} examples, expected at least {FEWEST_SEEDS}"
    if forget >= n // 2:
        return f"would take more than half of D: S has {forget} of {n} examples"
    return ""


def _why_over_budget(assembly: Assembly, choice: MethodChoice) -> str:
    if choice.budget is None:
        return ""
    from unweave.methods import METHODS, Sizes, Within, fit
    from unweave.methods.refinement import names_parts

    if expands(choice.name):
        return "costs what it takes to find more of the behaviour, which no budget of a method counts"
    if names_parts(choice.name):
        return "has a method for each part of S, and no budget is defined for all of them together"
    if choice.origin is not None and choice.origin.kind == "script" and choice.name not in METHODS:
        return ""
    budget, recipe = built(choice), assembly.setting.learner.recipe
    assert isinstance(budget, Within) and recipe is not None  # what has none was refused before
    retain = len(np.setdiff1d(assembly.worlds["original"].rows, assembly.forget))
    needs = METHODS.get(choice.name).declared.needs
    held_out = len(assembly.validation) if "validation" in needs else 0
    try:
        fit(budget, recipe, Sizes(len(assembly.forget), retain, held_out))
    except ApplicabilityError as error:
        return str(error)
    return ""


def edit(
    assembly: Assembly, choice: MethodChoice, *given: Any, scores: NDArray[np.float64] | None = None, **sets: Any
) -> Edited:
    """Run a choice: as `run` does with these arguments, or as `rum` where there is a method for each part of S.

    `scores` are what S is divided by [|S|], where that is a name of `GIVEN_SCORES`.
    """
    from unweave.methods import Assignment, rum, run

    method = built(choice)
    if not isinstance(method, Assignment):
        return run(method, *given, **sets)
    # Random parts are the same for all methods of a case.
    seed = derive(assembly.case.seed, "parts of S")
    return rum(method.methods, *given, by=method.by if scores is None else scores, seed=seed, **sets)


def built(choice: MethodChoice) -> Method | Within | Assignment:
    """What `run` or `rum` takes for a choice."""
    from unweave.methods import METHODS, within
    from unweave.methods.plugins import build_entry

    if choice.stage == "equal_cost":
        return within(choice.name, cost=choice.budget, params=choice.params)
    if choice.stage == "equal_rise":
        return within(choice.name, rise=choice.budget, params=choice.params)
    return build_entry(METHODS.get(choice.name), choice.params)


def params_of(assembly: Assembly, choice: MethodChoice, edited: Edited) -> dict[str, Any]:
    """The parameters a method was run with, of which a budget sets the epochs."""
    from unweave.methods import METHODS, Within

    params, budget = {**METHODS.get(choice.name).defaults(), **choice.params}, built(choice)
    recipe = assembly.setting.learner.recipe
    if isinstance(budget, Within) and edited.epochs and recipe is not None:
        scale = edited.epochs / (budget.longest * recipe.epochs)
        params |= {name: value * scale for name, value in budget.epochs.items()}
    return params


def note_of(choice: MethodChoice, edited: Edited, models: int) -> str:
    """What a budget made of a method, in words."""
    if choice.budget is None:
        return edited.note
    run = f"{edited.epochs} epoch{'s' * (edited.epochs != 1)}" if edited.epochs else ""
    if choice.stage == "equal_cost":
        return "; ".join(
            part for part in (f"{run} for a budget of {choice.budget:g}×" if run else "", edited.note) if part
        )
    reached = edited.reached or 0
    said = f"a rise of {choice.budget:g} reached by {reached} of {models} models"
    if reached < models:
        end = f"after {run}, for at most the cost of one retraining" if run else "at the end of the edit"
        said += f", the others taken {end}"
    return said
