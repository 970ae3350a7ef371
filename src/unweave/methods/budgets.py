"""Budgets: what a method costs, counted without running it, and as many epochs of it as a budget pays for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.specs import Recipe
from unweave.methods.contract import METHODS, SETS, Method, Pass, plan_for, retain_pass

MOST_EPOCHS = 1000
"""No budget makes a method run for more than so many times the recipe's epochs."""
_ROUNDING = 1e-9
_FIXED = "its number of steps is fixed"


class Sizes(NamedTuple):
    """Numbers of examples: of S, of D∖S, and of the validation set."""

    forget: int
    retain: int
    validation: int = 0


def passes_of(method: Method, recipe: Recipe, sizes: Sizes) -> list[Pass]:
    """Which batches each step of one stage takes, in order."""
    if method.step is None or method.epochs <= 0:
        return []
    plan = plan_for(method.epochs, recipe, n_forget=sizes.forget, n_retain=sizes.retain)
    return list((method.passes or retain_pass)(plan))


def examples_of(method: Method, recipe: Recipe, sizes: Sizes) -> int:
    """Examples whose gradient a method takes for one model, all stages and what `prepare` declares included.

    A model that stops by `until` takes fewer.
    """
    total = 0
    for stage in method.stages():
        if stage.prepare_cost is not None:
            total += stage.prepare_cost(sizes.forget, sizes.retain)
        if stage.anew:
            total += recipe.epochs * sizes.retain
        passes = passes_of(stage, recipe, sizes)
        total += len(passes) * stage.made
        for name in Sizes._fields:
            batches = sum(name in SETS[which] for which in passes)
            total += _in_batches(batches, getattr(sizes, name), recipe.batch_size)
    return total


def _in_batches(batches: int, n: int, batch_size: int) -> int:
    """Examples in so many batches of a set: the last one of each round through it may be smaller.

    Example:
        >>> [_in_batches(batches, 10, 4) for batches in range(5)]
        [0, 4, 8, 10, 14]
    """
    if n == 0:
        return 0
    rounds, left = divmod(batches, -(-n // batch_size))
    return rounds * n + left * batch_size


def cost_of(method: Method, recipe: Recipe, sizes: Sizes) -> float:
    """What a method costs, as a multiple of one retraining: the ratio of examples whose gradient is taken.

    Example:
        >>> recipe = Recipe(lr=0.1, epochs=30, batch_size=64)
        >>> cost_of(METHODS.get("finetune").build(epochs=1 / 3), recipe, Sizes(forget=20, retain=1000))
        0.3333333333333333
    """
    return examples_of(method, recipe, sizes) / (recipe.epochs * sizes.retain)


class Within(NamedTuple):
    """A method with a budget, to be given to `run` in place of a method; made by `within`.

    Attributes:
        build: `scale → method`, with all its epochs multiplied by the scale.
        epochs: Epochs of its parts at scale 1, as shares of the recipe's, by parameter.
        cost: What it may cost at most, as a multiple of one retraining.
        rise: Where each model stops, as a rise of its mean CE on D∖S in nats; None = nowhere before the end.
    """

    build: Callable[[float], Method]
    epochs: Mapping[str, float]
    cost: float
    rise: float | None

    @property
    def longest(self) -> float:
        """Epochs of the longest part at scale 1, as a share of the recipe's; 0 = none can be set."""
        return max(self.epochs.values(), default=0.0)


def within(
    method: str | Method,
    *,
    cost: float | None = None,
    rise: float | None = None,
    params: Mapping[str, float] | None = None,
) -> Within:
    """A method with as many whole epochs as a cost pays for, and models that stop at a rise of the retain loss.

    With `cost` alone the method runs for the largest number of whole epochs that costs no more, whatever its own
    default is; schedules that depend on the number of epochs follow. With `rise` as well each model stops where
    its mean cross-entropy on a fixed sample of D∖S (at most 1000 examples) has risen by that much over its
    original's: at the end of an epoch, or of a step where all steps take the same kind of batch, it is found
    beyond, and put back on the straight line from where it was last looked at. A one-shot edit is cut on the line
    from the original. A model that is taken beyond the rise at one go, such as by new layers, and then repaired in
    steps stops on its way back. In a stage that only prepares the next (`Method.scaffold`: CE(S) of `task_vector`,
    the impairing of `unsir`, the teacher of `undo`, a flush of `rem`) no model stops; of several methods in a row
    each is a result, and a model may stop in any. A model that never gets there is taken at the end.

    Args:
        method: A name, also of several in a row (`ssd then finetune`), or a method, whose `epochs` are scaled
            without its schedules.
        cost: What it may cost at most, as a multiple of one retraining, > 0; None = 1 with a rise.
        rise: In nats, > 0.
        params: Parameters of a method given by name.

    Raises:
        SpecError: for neither, or a budget that is not above 0.

    Source: budgets for disruption are usual for language models, as a relative rise of the loss on other text
    (Sondej & Yang 2025, arXiv 2509.11816, report 0.1%). Here the rise is absolute, because the retain loss of a
    small net that has fitted its data is next to 0, and each model gets there by itself.

    Example:
        >>> within("npo", cost=0.1).cost, within("npo", rise=0.05).cost
        (0.1, 1.0)
    """
    if cost is None and rise is None:
        raise SpecError("within() got neither a cost nor a rise; expected at least one of them.")
    for name, value in (("cost", cost), ("rise", rise)):
        if value is not None and not 0 < value < float("inf"):
            raise SpecError(f"within() got {name}={value}; expected a finite number above 0.")
    most = 1.0 if cost is None else cost
    if isinstance(method, Method):
        own = {str(number): stage.epochs for number, stage in enumerate(method.stages())}
        return Within(lambda scale: _scaled(method, scale), own, most, rise)
    entry, given = METHODS.get(method), dict(params or {})
    epochs = {name: value for name, value in {**entry.defaults(), **given}.items() if _counts_epochs(name)}

    def build(scale: float) -> Method:
        return entry.build(**{**given, **{name: value * scale for name, value in epochs.items()}})

    return Within(build, epochs, most, rise)


def _counts_epochs(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last == "epochs" or last.endswith("_epochs")


def _scaled(method: Method, scale: float) -> Method:
    then = None if method.then is None else _scaled(method.then, scale)
    return method._replace(epochs=method.epochs * scale, then=then)


class Fitted(NamedTuple):
    """A method as a budget allows it.

    Attributes:
        method: What is run.
        epochs: Whole epochs of its longest part; 0 where no step is taken.
        cost: What it costs, as a multiple of one retraining.
        note: What a reader should know: why it costs less than it might; or "".
    """

    method: Method
    epochs: int
    cost: float
    note: str


def fit(budget: Within, recipe: Recipe, sizes: Sizes) -> Fitted:
    """The method with as many whole epochs as its budget pays for.

    A part of several is run for its share of the epochs of the longest one, rounded, and at least for one.

    Raises:
        ApplicabilityError: if one epoch, or what precedes the first, costs more than the budget; for a rise where
            a model is trained anew.
    """

    def at(epochs: int) -> tuple[Method, float]:
        method = budget.build(epochs / (budget.longest * recipe.epochs))
        return method, cost_of(method, recipe, sizes)

    whole = budget.build(1.0)
    anew = any(stage.anew for stage in whole.stages())
    if anew and budget.rise is not None:
        raise ApplicabilityError("it trains anew, so it is on no way from the original that could end at a rise")
    steps = sum(len(passes_of(stage, recipe, sizes)) for stage in whole.stages())
    most = budget.cost * (1 + _ROUNDING)
    if budget.longest <= 0 or steps == 0:
        cost = cost_of(whole, recipe, sizes)
        if cost > most:
            what = "it takes no steps that could be fewer" if steps == 0 and not anew else _FIXED
            raise ApplicabilityError(
                f"it costs {_shown(cost)} retrainings, more than the budget of {budget.cost:g}, and {what}"
            )
        what = "it is an edit in one shot" if steps == 0 and not anew else _FIXED
        return Fitted(whole, 0, cost, f"{what}: it cannot cost more than {_shown(cost)} retrainings")
    few, cost = 1, at(1)[1]
    if cost > most:
        before = sum(
            stage.prepare_cost(sizes.forget, sizes.retain)
            for stage in whole.stages()
            if stage.prepare_cost is not None
        ) / (recipe.epochs * sizes.retain)
        inside = f", of which {_shown(before)} before the first step" if before else ""
        raise ApplicabilityError(
            f"one epoch of it costs {_shown(cost)} retrainings{inside}: more than the budget of {budget.cost:g}"
        )
    many = 2
    while many <= MOST_EPOCHS * recipe.epochs and at(many)[1] <= most:
        few, many = many, 2 * many
    if many > MOST_EPOCHS * recipe.epochs:
        cost = cost_of(whole, recipe, sizes)
        return Fitted(whole, round(budget.longest * recipe.epochs), cost, "its cost does not grow with its epochs")
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if at(middle)[1] <= most else (few, middle)
    method, cost = at(few)
    return Fitted(method, few, cost, "")


def _shown(cost: float) -> str:
    return f"{cost:.3g}"
