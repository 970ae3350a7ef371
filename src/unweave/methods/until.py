"""Methods that stop for each model at its own time, or go back for each to an epoch of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unweave.learners.contract import Learner, Params, State
from unweave.methods.contract import Aux, Examples, Given, Method, Net, Plan, Rewind
from unweave.training.lift import lift


class Request(NamedTuple):
    """The data of a request, which are the same for all models.

    Attributes:
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        validation: Examples like those of D that no model was trained on, for methods that need them.
        trained_on: How many examples the models were trained on; None where it is not known.
    """

    forget: Examples
    retain: Examples
    validation: Examples | None = None
    trained_on: int | None = None


Ask = Callable[[Callable[[Net, Aux, Given], Any], State, Aux], Any]
"""`(question, state, aux) → answers`: asks a function of one model of every model of a stack."""


def asker(learner: Learner, request: Request, original: State, history: Any) -> Ask:
    """How models are asked as they are in use, without a gradient; the originals and their history are stacked."""

    def ask(question: Callable[[Net, Aux, Given], Any], state: State, aux: Aux) -> Any:
        def one(state: State, aux: Aux, original: State, history: Any) -> Any:
            given = Given(
                request.forget, request.retain, original, request.validation, history, request.trained_on
            )
            return question(Net(learner, state, train=False), aux, given)

        with torch.no_grad():
            return lift(one, stacked=learner.stacked)(state, aux, original, history)

    return ask


class Holds:
    """Models for which `until` was met, as they were when it was."""

    def __init__(self, method: Method, ask: Ask) -> None:
        self._until, self._ask = method.until, ask
        self._met: Tensor | None = None
        self._held: State | None = None
        self._held_speeds: Params = {}

    def all_met(self, now: Callable[[], State], aux: Callable[[], Aux], speeds: Callable[[], Params]) -> bool:
        """Ask all models that go on; whether none is left."""
        if self._until is None:
            return False
        state = now()
        found = self._ask(self._until, state, aux())
        # Those that stopped stay; those that go on are noted as they are now.
        self._held, self._held_speeds = self.final(state), self.final_speeds(speeds())
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

    def final_speeds(self, speeds: Params) -> Params:
        """The velocities of each model as it stopped, or as they are now."""
        if self._met is None:
            return speeds
        return {name: choose(self._met, held, speeds[name]) for name, held in self._held_speeds.items()}


class Epochs:
    """The models after each epoch, for stages that go back to one of them."""

    def __init__(self, rewind: Rewind, *, stacked: bool) -> None:
        self._rewind, self._stacked = rewind, stacked
        self._states: list[State] = []
        self._measured: list[Any] = []

    def ends(self, plan: Plan, steps: int) -> frozenset[int]:
        """Steps taken when an epoch of a stage ends."""
        if self._rewind.ends is None:
            each = max(1, steps // plan.epochs)
            return frozenset(range(each, steps + 1, each))
        return frozenset(self._rewind.ends(plan))

    def note(self, state: State, aux: Aux, ask: Ask) -> None:
        """Keep the models as they are now, and what is measured of them."""
        self._states.append(state)
        self._measured.append(ask(self._rewind.measure, state, aux))

    def best(self, state: State) -> State:
        """Each model as after the epoch of its smallest score, or as it is now."""
        if not self._states:
            return state
        score = lift(self._rewind.score, stacked=self._stacked)
        scores = [score(measured, self._measured[-1]) for measured in self._measured]
        best, lowest = self._states[0], scores[0]
        for later, value in zip(self._states[1:], scores[1:], strict=True):
            best, lowest = where(value < lowest, later, best), torch.minimum(value, lowest)
        return best


def noted(stages: Sequence[Method], *, stacked: bool) -> list[Epochs | None]:
    """Where each stage notes its epochs: in one place those of a method that hold one and the same `Rewind`."""
    places: list[tuple[Rewind, Epochs]] = []
    found: list[Epochs | None] = []
    for stage in stages:
        rewind = stage.rewind
        if stage.begins:
            places = []
        if rewind is None:
            found.append(None)
            continue
        if not any(own is rewind for own, _ in places):
            places.append((rewind, Epochs(rewind, stacked=stacked)))
        found.append(next(place for own, place in places if own is rewind))
    return found


def where(which: Tensor, one: State, other: State) -> State:
    """Models of `one` where `which` [K] holds, else of `other`."""
    params = {name: choose(which, value, other.params[name]) for name, value in one.params.items()}
    return State(params, {name: choose(which, value, other.buffers[name]) for name, value in one.buffers.items()})


def choose(which: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Entries of `one` [K, ...] where `which` [K] holds, else of `other`."""
    return torch.where(which.reshape(-1, *[1] * (one.ndim - 1)), one, other)
