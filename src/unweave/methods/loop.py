"""The one loop that runs every method, for one model or a stack, and checks what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from unweave._errors import ApplicabilityError, DivergedError, UserError
from unweave._random import Key, derive, generator
from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in, key_tensor
from unweave.methods.budgets import Sizes, Within, fit, passes_of
from unweave.methods.contract import (
    NO_VALIDATION,
    ONE_TOKEN,
    SETS,
    Batch,
    Examples,
    Given,
    Method,
    Moment,
    Net,
    plan_for,
)
from unweave.methods.rise import Rises, fixed_sample, looks
from unweave.methods.sites import Site, moved
from unweave.methods.steps import stepper
from unweave.methods.until import Epochs, Holds, Request, asker, noted
from unweave.training.engine import fastest_chunk, join, many, part, take
from unweave.training.engine import stack as side_by_side
from unweave.training.lift import lift
from unweave.training.replay import Training, replay

OnStep = Callable[[int, int], None]


class Edited(NamedTuple):
    """What a method made of a stack, and what it cost.

    Attributes:
        state: The edited models, stacked.
        gradient_ratio: Examples whose gradient was taken, mean over the models, over those of one retraining.
        steps: Steps taken, by the model that took most.
        chunk: Models that were edited at once.
        reached: How many models got to the rise of a budget; None without one.
        epochs: Whole epochs of the longest part that a budget paid for; None without one.
        note: Why a method costs less than its budget, or "".
    """

    state: State
    gradient_ratio: float
    steps: int
    chunk: int
    reached: int | None = None
    epochs: int | None = None
    note: str = ""


class _Order:
    """Batches of one set for every replica: epochs of fresh permutations, one after the other."""

    def __init__(self, n: int, batch_size: int, keys: Sequence[Key], name: str) -> None:
        self._n, self._size = n, batch_size
        # One generator for all epochs: to make one takes longer than to permute a small S.
        self._rngs = [generator(key, name) for key in keys]
        self._begin = n

    def next(self, device: torch.device) -> Tensor:
        """Positions in the set [K, b]; the last batch of an epoch may be smaller."""
        if self._begin >= self._n:
            self._begin = 0
            self._table = torch.from_numpy(np.stack([rng.permutation(self._n) for rng in self._rngs])).to(device)
        batch = self._table[:, self._begin : self._begin + self._size]
        self._begin += self._size
        return batch


def run(
    method: Method | Within,
    learner: Learner,
    original: State,
    *,
    forget: Examples,
    retain: Examples,
    keys: Sequence[Key],
    validation: Examples | None = None,
    training: Training | None = None,
    chunk: int | None = None,
    on_step: OnStep | None = None,
) -> Edited:
    """Run a method, with all its stages, on every model of a stack.

    Each model has its own key, hence its own order of examples and noise; the result for one model
    does not depend on the others in the stack.

    Args:
        method: What `METHODS.get(name).build(...)` returned, or what `within` made of it.
        learner: The learner that made the originals.
        original: K models, stacked; left untouched.
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        keys: One key per model.
        validation: Examples that no model was trained on; only for methods that need them.
        training: How the originals were trained; only for methods that need their history.
        chunk: Models per stack; None = what is found fastest here.
        on_step: Called after each step as (steps taken, steps of this stage).

    Returns:
        The edited stack with its cost.

    Raises:
        UserError: if S or D∖S is empty, or what the method needs is missing.
        ApplicabilityError: if a budget does not pay for a single epoch, or the method does not know answers of
            several tokens, and these are such.
        DivergedError: if a model is no longer finite.
    """
    if len(forget.y) == 0 or len(retain.y) == 0:
        raise UserError("A method needs a forget set and retain data; one of them is empty.")
    if validation is not None and len(validation.y) == 0:
        raise UserError("The validation set is empty.")
    rise, fitted = None, None
    if isinstance(method, Within):
        sizes = Sizes(len(forget.y), len(retain.y), 0 if validation is None else len(validation.y))
        rise, fitted = method.rise, fit(method, learner.recipe, sizes)
        method = fitted.method
    if forget.y.ndim > 1 and not all(stage.several for stage in method.stages()):
        raise ApplicabilityError(f"The method cannot be run: it {ONE_TOKEN}.")
    if training is None and any(stage.history is not None for stage in method.stages()):
        raise UserError(
            "The method needs the history of training, and it is not known how this model was trained."
        )
    request = Request(forget, retain, validation, None if training is None else len(training.rows))
    # As many at once as are trained fastest at once; of learners that cannot be stacked only one model's momentum,
    # masks and teachers are held at a time.
    size = chunk or fastest_chunk(learner, retain.x, retain.y, np.arange(len(retain.y)), len(keys))
    parts = [slice(begin, begin + size) for begin in range(0, len(keys), size)]
    ran = [
        _run_stages(
            method, learner, part(original, some), request, keys[some], _part_of(training, some), rise, on_step
        )
        for some in parts
    ]
    state, steps = join([one.state for one in ran]), max(int(one.steps.max()) for one in ran)
    _check_finite(state, steps)
    ratio = sum(one.examples for one in ran) / len(keys) / (learner.recipe.epochs * len(retain.y))
    edited = Edited(state, ratio, steps, size)
    if fitted is None:
        return edited
    reached = None if rise is None else sum(one.reached for one in ran)
    return edited._replace(reached=reached, epochs=fitted.epochs, note=fitted.note)


class _Ran(NamedTuple):
    """What stages made of a stack: steps and velocities of each model, sums over models of the other numbers."""

    state: State
    steps: Tensor
    examples: int
    reached: int = 0
    speeds: Params | None = None


def _part_of(training: Training | None, models: slice) -> Training | None:
    return None if training is None else training._replace(keys=training.keys[models])


def _run_stages(
    method: Method,
    learner: Learner,
    original: State,
    request: Request,
    keys: Sequence[Key],
    training: Training | None,
    rise: float | None,
    on_step: OnStep | None,
) -> _Ran:
    total = _Ran(original, torch.zeros(len(keys), dtype=torch.int64), 0)
    rises = None if rise is None else Rises(learner, original, fixed_sample(request.retain), rise)
    stages = method.stages()
    places = noted(stages, stacked=learner.stacked)
    site, of_method = Site(learner, original, None), keys
    for number, (stage, epochs) in enumerate(zip(stages, places, strict=True)):
        own = keys if number == 0 else [derive(key, "stage", number) for key in keys]
        history = () if stage.history is None or training is None else _history(stage, learner, training)
        if stage.begins:
            total = total._replace(state=site.narrow(total.state), speeds=None)
            site, of_method = Site(learner, total.state, None), own
        site, state = moved(site.of(stage.widening), of_method, site, total.state)
        speeds = total.speeds if stage.carries else None
        ran = _run(stage, site, state, request, own, history, rises, epochs, on_step, speeds)
        # One choice among the epochs of all stages that share it, after the last of them.
        last = not any(later is epochs for later in places[number + 1 :])
        state = epochs.best(ran.state) if epochs is not None and last else ran.state
        total = _Ran(state, total.steps + ran.steps, total.examples + ran.examples, speeds=ran.speeds)
        if rises is not None and rises.met.all():
            break
    total = total._replace(state=site.narrow(total.state))
    if rises is None:
        return total
    rises.end(total.state)
    final = rises.final(total.state)
    return total._replace(state=final, reached=rises.reached(final))


def _run(
    method: Method,
    site: Site,
    start: State,
    request: Request,
    keys: Sequence[Key],
    history: Any,
    rises: Rises | None,
    epochs: Epochs | None,
    on_step: OnStep | None,
    speeds: Params | None,
) -> _Ran:
    """One stage of a method; models that are at the wanted rise already take no part in what it costs."""
    if method.anew:
        return _train_anew(site.learner, request.retain, keys, on_step)
    learner, original, device = site.learner, site.original, request.retain.x.device
    noise = key_tensor([derive(key, "method noise") for key in keys], device)
    state, aux = _prepare(method, learner, original, start, request, history, noise)
    sources = {"forget": request.forget, "retain": request.retain}
    if request.validation is not None:
        sources["validation"] = request.validation
    sizes = Sizes(**{name: len(part.y) for name, part in sources.items()})
    passes = passes_of(method, learner.recipe, sizes)
    if any(name not in sources for which in set(passes) for name in SETS[which]):
        raise UserError(NO_VALIDATION)
    plan = plan_for(method.epochs, learner.recipe, n_forget=sizes.forget, n_retain=sizes.retain)
    per_epoch = max(1, len(passes) // plan.epochs)
    judged = None if method.scaffold else rises
    if judged is not None and (passes or method.then is not None):
        judged.leap(site.narrow(state))
    seen = looks(passes, retain_batches=plan.retain_batches, per_epoch=per_epoch) if judged is not None else set()
    mask = None if method.update_mask is None else lift(method.update_mask, stacked=learner.stacked)(aux)
    orders = {name: _Order(len(part.y), learner.recipe.batch_size, keys, name) for name, part in sources.items()}
    stack = stepper(method, learner, state, aux, mask, speeds)
    step_keys = fold_in(noise, torch.arange(len(passes), device=device)[:, None])
    one_shot = 0 if method.prepare_cost is None else method.prepare_cost(sizes.forget, sizes.retain)
    ask = asker(learner, request, original, history)
    holds = Holds(method, ask)
    ends = frozenset[int]() if epochs is None else epochs.ends(plan, len(passes))
    steps, taken = 0, torch.zeros(len(keys), dtype=torch.int64)
    examples = one_shot * int(_going(keys, rises).sum())

    def look() -> None:
        if judged is not None:
            judged.look(site.narrow(holds.final(stack.now())))

    for i, which in enumerate(passes):
        if i % per_epoch == 0 and holds.all_met(stack.now, stack.aux, stack.speeds):
            break
        going = _going(keys, rises, holds)
        if not going.any():
            break
        batches = {
            name: _batch(sources[name], orders[name].next(device)) for name in sources if name in SETS[which]
        }
        examples += (method.made + sum(batch.y.shape[1] for batch in batches.values())) * int(going.sum())
        stack.advance(i, batches, step_keys[i])
        steps, taken = steps + 1, taken + going
        if on_step is not None:
            on_step(steps, len(passes))
        if epochs is not None and steps in ends:
            epochs.note(holds.final(stack.now()), stack.aux(), ask)
        if steps in seen:
            look()
    if steps not in seen and steps > 0:  # it stopped between two looks
        look()
    return _Ran(holds.final(stack.now()), taken, examples, speeds=holds.final_speeds(stack.speeds()))


def _train_anew(learner: Learner, retain: Examples, keys: Sequence[Key], on_step: OnStep | None) -> _Ran:
    """Models of D∖S as references are trained: by the learner's recipe, from starts and orders of their own."""
    n, epochs = len(retain.y), learner.recipe.epochs
    steps = learner.recipe.steps(n)

    def on_epoch(done: int) -> None:
        if on_step is not None:
            on_step(steps * (done + 1) // epochs, steps)

    rows = [np.arange(n)] * len(keys)
    state = many(learner, retain.x, retain.y, rows=rows, keys=keys, chunk=len(keys), on_epoch=on_epoch)
    return _Ran(state, torch.full((len(keys),), steps), epochs * n * len(keys))


def _going(keys: Sequence[Key], rises: Rises | None, holds: Holds | None = None) -> Tensor:
    """Which models still take steps [K]."""
    met = [one.met for one in (rises, holds) if one is not None and one.met is not None]
    return ~torch.stack(met).any(0).cpu() if met else torch.ones(len(keys), dtype=torch.bool)


def _batch(source: Examples, index: Tensor) -> Batch:
    return Batch(take(source.x, index), take(source.y, index), index)


def _history(method: Method, learner: Learner, training: Training) -> Any:
    """What a method wants to know of the training of every model of a stack."""
    if not learner.stacked and len(training.keys) > 1:
        each = [_history(method, learner, training._replace(keys=[key])) for key in training.keys]
        return tree_map(lambda *tensors: torch.cat(tensors), *each)
    assert method.history is not None
    begin, follow = method.history.begin, method.history.follow
    if follow is None:
        starts = [learner.start(key, training.x, training.rows) for key in training.keys]
        return lift(begin, stacked=learner.stacked)(side_by_side(starts).params)
    recipe, carried, number_of = learner.recipe, [], math.ceil(len(training.rows) / learner.recipe.batch_size)
    in_forget = torch.zeros(len(training.x), dtype=torch.bool, device=training.x.device)
    in_forget[torch.from_numpy(training.forget).to(training.x.device)] = True

    def start(params: Params) -> None:
        carried.append(lift(begin, stacked=learner.stacked)(params))

    def on_step(number: int, rows: Tensor, before: Params, after: Params, buffers: Params) -> None:
        epoch = number // number_of

        def one(carried: Any, before: Params, after: Params, forget: Tensor, buffers: Params) -> Any:
            return follow(carried, Moment(number, epoch, recipe.epochs, before, after, forget, buffers))

        each = lift(one, stacked=learner.stacked)
        carried[0] = each(carried[0], before, after, in_forget[rows], buffers)

    replay(learner, training, begin=start, on_step=on_step)
    return carried[0]


def _prepare(
    method: Method,
    learner: Learner,
    original: State,
    start: State,
    request: Request,
    history: Any,
    noise: Tensor,
) -> tuple[State, Any]:
    if method.prepare is None:
        return start, ()
    prepare = method.prepare

    def one(state: State, original: State, history: Any, key: Tensor) -> tuple[State, Any]:
        given = Given(request.forget, request.retain, original, request.validation, history, request.trained_on)
        return prepare(Net(learner, state, train=False), given, key)

    return lift(one, stacked=learner.stacked)(start, original, history, fold_in(noise, -1))


def _check_finite(state: State, steps: int) -> None:
    for name, value in [*state.params.items(), *state.buffers.items()]:
        bad = ~value.reshape(len(value), -1).isfinite().all(1)
        if bad.any():
            raise DivergedError(
                f"After {steps} steps `{name}` of {int(bad.sum())} of {len(bad)} models is not finite. "
                "The method diverged: try a smaller `lr` or fewer `epochs`, and look for what its loss divides by "
                "or takes a root or logarithm of."
            )
