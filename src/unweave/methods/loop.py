"""The one loop that runs every method, for one model or a stack, and checks what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unweave._errors import DivergedError, UserError
from unweave._random import Key, derive, generator
from unweave.learners.contract import Learner, State
from unweave.learners.noise import fold_in, key_tensor
from unweave.methods.contract import Batch, Examples, Method, Net, Pass, plan_for, retain_pass
from unweave.methods.steps import stepper
from unweave.training.engine import fastest_chunk, join, part, take
from unweave.training.lift import lift


class Edited(NamedTuple):
    """What a method made of a stack, and what it cost.

    Attributes:
        state: The edited models, stacked.
        gradient_ratio: Examples whose gradient was taken per model, over those of one retraining.
        steps: Steps taken.
        chunk: Models that were edited at once.
    """

    state: State
    gradient_ratio: float
    steps: int
    chunk: int


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
    method: Method,
    learner: Learner,
    original: State,
    *,
    forget: Examples,
    retain: Examples,
    keys: Sequence[Key],
    chunk: int | None = None,
) -> Edited:
    """Run a method on every model of a stack.

    Each model has its own key, hence its own order of examples and noise; the result for one model
    does not depend on the others in the stack.

    Args:
        method: What `METHODS.get(name).build(...)` returned.
        learner: The learner that made the originals.
        original: K models, stacked; left untouched.
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        keys: One key per model.
        chunk: Models per stack; None = what is found fastest here.

    Returns:
        The edited stack with its cost.

    Raises:
        UserError: if S or D∖S is empty.
        DivergedError: if a model is no longer finite.
    """
    if len(forget.y) == 0 or len(retain.y) == 0:
        raise UserError("A method needs a forget set and retain data; one of them is empty.")
    # As many at once as are trained fastest at once; of learners that cannot be stacked only one model's momentum,
    # masks and teachers are held at a time.
    size = chunk or fastest_chunk(learner, retain.x, retain.y, np.arange(len(retain.y)), len(keys))
    parts = [slice(begin, begin + size) for begin in range(0, len(keys), size)]
    edited = [
        _run(method, learner, part(original, some), forget=forget, retain=retain, keys=keys[some])
        for some in parts
    ]
    state = join([some.state for some in edited])
    _check_finite(state, edited[0].steps)
    return edited[0]._replace(state=state, chunk=size)


def _run(
    method: Method, learner: Learner, original: State, *, forget: Examples, retain: Examples, keys: Sequence[Key]
) -> Edited:
    device = retain.x.device
    noise = key_tensor([derive(key, "method noise") for key in keys], device)
    state, aux = _prepare(method, learner, original, forget, retain, noise)
    passes = _passes(method, learner, len(forget.y), len(retain.y))
    examples = 0 if method.prepare_cost is None else method.prepare_cost(len(forget.y), len(retain.y))
    mask = None if method.update_mask is None else lift(method.update_mask, stacked=learner.stacked)(aux)
    sources = {"forget": forget, "retain": retain}
    orders = {name: _Order(len(part.y), learner.recipe.batch_size, keys, name) for name, part in sources.items()}
    advance, now = stepper(method, learner, state, aux, mask)
    step_keys = fold_in(noise, torch.arange(len(passes), device=device)[:, None])
    for i, which in enumerate(passes):
        batches = {
            name: _batch(sources[name], orders[name].next(device)) for name in sources if which in (name, "both")
        }
        examples += sum(batch.y.shape[1] for batch in batches.values())
        advance(i, batches, step_keys[i])
    retraining = learner.recipe.epochs * len(retain.y)
    return Edited(now(), examples / retraining, len(passes), len(keys))


def _batch(source: Examples, index: Tensor) -> Batch:
    return Batch(take(source.x, index), take(source.y, index), index)


def _prepare(
    method: Method, learner: Learner, original: State, forget: Examples, retain: Examples, noise: Tensor
) -> tuple[State, Any]:
    if method.prepare is None:
        return original, ()
    prepare = method.prepare

    def one(state: State, key: Tensor) -> tuple[State, Any]:
        return prepare(Net(learner, state, train=False), forget, retain, key)

    return lift(one, stacked=learner.stacked)(original, fold_in(noise, -1))


def _passes(method: Method, learner: Learner, n_forget: int, n_retain: int) -> Sequence[Pass]:
    if method.step is None or method.epochs <= 0:
        return []
    plan = plan_for(method.epochs, learner.recipe, n_forget=n_forget, n_retain=n_retain)
    return (method.passes or retain_pass)(plan)


def _check_finite(state: State, steps: int) -> None:
    for name, value in [*state.params.items(), *state.buffers.items()]:
        bad = ~value.reshape(len(value), -1).isfinite().all(1)
        if bad.any():
            raise DivergedError(
                f"After {steps} steps `{name}` of {int(bad.sum())} of {len(bad)} models is not finite. "
                "The method diverged; try a smaller `lr` or fewer `epochs`."
            )
