"""Methods that stop for each model at its own time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unweave.learners.contract import Learner, State
from unweave.methods.contract import Aux, Examples, Given, Method, Net
from unweave.training.lift import lift


class Request(NamedTuple):
    """The data of a request, which are the same for all models.

    Attributes:
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        validation: Examples like those of D that no model was trained on, for methods that need them.
    """

    forget: Examples
    retain: Examples
    validation: Examples | None = None


class Holds:
    """Models for which `until` was met, as they were when it was."""

    def __init__(self, method: Method, learner: Learner, request: Request, original: State, history: Any) -> None:
        self._until, self._learner, self._request = method.until, learner, request
        self._original, self._history = original, history
        self._met: Tensor | None = None
        self._held: State | None = None

    def all_met(self, now: Callable[[], State], aux: Callable[[], Aux]) -> bool:
        """Ask all models that go on; whether none is left."""
        if self._until is None:
            return False
        until, request, state = self._until, self._request, now()

        def one(state: State, aux: Aux, original: State, history: Any) -> Tensor:
            return until(
                Net(self._learner, state, train=False), aux, Given(*request[:2], original, request[2], history)
            )

        with torch.no_grad():
            found = lift(one, stacked=self._learner.stacked)(state, aux(), self._original, self._history)
        # Those that stopped stay; those that go on are noted as they are now.
        self._held = self.final(state)
        self._met = met = found if self._met is None else self._met | found
        return bool(met.all())

    @property
    def met(self) -> Tensor | None:
        """Which have stopped [K]; None = none yet."""
        return self._met

    def final(self, state: State) -> State:
        """Each model as it stopped, or as it is now."""
        if self._met is None or self._held is None:
            return state
        return where(self._met, self._held, state)


def where(which: Tensor, one: State, other: State) -> State:
    """Models of `one` where `which` [K] holds, else of `other`."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    params = {name: choose(value, other.params[name]) for name, value in one.params.items()}
    return State(params, {name: choose(value, other.buffers[name]) for name, value in one.buffers.items()})
