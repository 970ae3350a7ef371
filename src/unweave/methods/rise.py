"""Taking every model to the point where its retain loss has risen by a given amount, and no further."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unweave.learners.contract import Learner, State
from unweave.methods.contract import Examples, Net, Pass
from unweave.methods.losses import cross_entropy
from unweave.methods.until import where
from unweave.training.engine import take
from unweave.training.lift import lift

SAMPLE = 1000
"""At most so many examples of D∖S say how far the retain loss has risen."""
TOLERANCE = 0.001
"""How far below the wanted rise a model may be left, as a share of it."""
_HALVINGS = 60
_AT_ONCE = 250
_APART = 1.05


def fixed_sample(retain: Examples) -> Examples:
    """At most `SAMPLE` examples of D∖S, evenly spread over it: the same for all models and methods.

    Example:
        >>> many = Examples(torch.arange(2000.0)[:, None], torch.zeros(2000, dtype=torch.int64))
        >>> fixed_sample(many).x[:3, 0].tolist(), len(fixed_sample(many).y)
        ([0.0, 2.0, 4.0], 1000)
    """
    n = len(retain.y)
    if n <= SAMPLE:
        return retain
    rows = torch.div(torch.arange(SAMPLE, device=retain.y.device) * n, SAMPLE, rounding_mode="floor")
    return Examples(take(retain.x, rows), take(retain.y, rows))


def mean_loss(learner: Learner, state: State, sample: Examples) -> Tensor:
    """Mean cross-entropy of every model of a stack on a sample, as the model is used [K], in nats."""
    batches = list(zip(sample.x.split(_AT_ONCE), sample.y.split(_AT_ONCE), strict=True))

    def one(state: State) -> Tensor:
        net = Net(learner, state, train=False)
        # Summed in double precision: of a thousand small losses single precision keeps too few digits.
        return torch.stack([cross_entropy(net(x), y).double().sum() for x, y in batches]).sum() / len(sample.y)

    with torch.no_grad():
        return lift(one, stacked=learner.stacked)(state)


class Rises:
    """Models on their way, each of which stops where its loss on a sample of D∖S has risen by the wanted amount.

    A model that is found beyond the wanted rise is put back on the straight line between the point where it was
    last looked at and the point where it was found, to where the rise is reached: never beyond it. A model that a
    method takes beyond the rise at one go, before steps that repair it, stops on its way back instead; where it
    does not come back, on the line from where it was before to where it ends.
    """

    def __init__(self, learner: Learner, original: State, sample: Examples, by: float) -> None:
        self._learner, self._sample, self._by = learner, sample, by
        self._base = mean_loss(learner, original, sample)
        # Where each was last seen below the rise and beyond it, and the two ends of the line on which it stops.
        self._below = self._beyond = self._near = self._far = original
        self._met = self._away = torch.zeros_like(self._base, dtype=torch.bool)

    @property
    def met(self) -> Tensor:
        """Which models go no further [K]."""
        return self._met

    def rise(self, state: State) -> Tensor:
        """How far the loss of each model has risen over its original's [K], in nats; NaN if it diverged."""
        return mean_loss(self._learner, state, self._sample) - self._base

    def leap(self, state: State) -> None:
        """Let those go on that a method took beyond the rise at one go, with steps to follow."""
        self._away = ~self._met & self._see(state)

    def look(self, state: State) -> None:
        """Stop those that are found beyond the wanted rise, or back from there."""
        below, beyond = self._below, self._beyond
        above = self._see(state)
        up, back = ~self._met & ~self._away & above, ~self._met & self._away & ~above
        self._stop(up, near=below, far=self._beyond)
        self._stop(back, near=state, far=beyond)

    def end(self, state: State) -> None:
        """The way ends here: those that did not come back stop on the line to this point."""
        below, above = self._below, self._see(state)
        self._stop(~self._met & above, near=below, far=self._beyond)

    def _see(self, state: State) -> Tensor:
        """Which models are at the rise or beyond; NaN is beyond."""
        above = ~(self.rise(state) < self._by)
        # There is no line to a point at infinity: such a model stays where it was last seen.
        there = where(_finite(state), state, self._below)
        self._beyond, self._below = where(above, there, self._beyond), where(above, self._below, state)
        return above

    def _stop(self, which: Tensor, *, near: State, far: State) -> None:
        if which.any():
            self._near, self._far = where(which, near, self._near), where(which, far, self._far)
            self._met = self._met | which

    def final(self, state: State) -> State:
        """Each model where it stopped, or as it is now."""
        if not self._met.any():
            return state
        low, high = torch.zeros_like(self._base), torch.ones_like(self._base)
        found, done = self._near, ~self._met
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            there = _between(self._near, self._far, middle)
            rise = self.rise(there)
            below = (rise <= self._by) & ~done
            found = where(below, there, found)
            low, high = torch.where(below, middle, low), torch.where(below | done, high, middle)
            # Each by its own: more halvings for the sake of another model would move it.
            done = done | (below & (rise >= self._by * (1 - TOLERANCE)))
            if done.all():
                break
        return where(self._met, found, state)

    def reached(self, state: State) -> int:
        """How many models are at the wanted rise, but for a hundredth of it."""
        return int((self.rise(state) >= 0.99 * self._by).sum())


def _finite(state: State) -> Tensor:
    parts = [value.reshape(len(value), -1).isfinite().all(1) for part in state for value in part.values()]
    return torch.stack(parts).all(0)


def _between(near: State, far: State, share: Tensor) -> State:
    """Points of the straight lines from `near` (0) to `far` (1); counts stay as they are at the far end."""

    def mix(a: Tensor, b: Tensor) -> Tensor:
        if not a.is_floating_point():
            return b
        return a + share.to(a.dtype).reshape(-1, *[1] * (a.ndim - 1)) * (b - a)

    params = {name: mix(value, far.params[name]) for name, value in near.params.items()}
    return State(params, {name: mix(value, far.buffers[name]) for name, value in near.buffers.items()})


def looks(passes: Sequence[Pass], *, retain_batches: int, per_epoch: int) -> set[int]:
    """After which steps models are looked at: at the end, and at ends of epochs that lie a twentieth apart.

    Where all steps take the same kind of batch any of them will do. Where they do not, the middle of an epoch is
    no place to judge a method that first disturbs the model and then repairs it: an epoch ends with a pass over
    D∖S. Two looks are so far apart that the steps taken grow by a twentieth between them.

    Example:
        >>> sorted(looks(["forget", "retain", "retain"] * 3, retain_batches=2, per_epoch=3))
        [3, 6, 9]
    """
    if len(set(passes)) <= 1:
        ends = list(range(1, len(passes) + 1))
    else:
        done, ends = 0, []
        for number, which in enumerate(passes, start=1):
            done += which != "forget"
            if which != "forget" and done % retain_batches == 0:
                ends.append(number)
        ends = ends or list(range(per_epoch, len(passes) + 1, per_epoch))
    chosen, due = {len(passes)}, 1
    for end in ends:
        if end >= due:
            chosen.add(end)
            due = max(end + 1, math.ceil(_APART * end))
    return chosen
