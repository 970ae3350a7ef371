"""Where a stage runs: in the net as it was made, or in one with units that the method added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unweave._random import Key, derive
from unweave.learners.contract import Learner, State
from unweave.learners.noise import key_tensor
from unweave.methods.contract import Widening
from unweave.training.lift import lift


class Site(NamedTuple):
    """The net in which a stage runs.

    Attributes:
        plain: The learner that made the originals.
        given: K originals, stacked: as deployed, or what the method before left in a row of several.
        widening: What the stage adds; None = nothing.
        wide: Learner and originals of the wider net, once there are any.
    """

    plain: Learner
    given: State
    widening: Widening | None
    wide: tuple[Learner, State] | None = None

    @property
    def learner(self) -> Learner:
        """Of the net in which the stage runs."""
        return self.plain if self.wide is None else self.wide[0]

    @property
    def original(self) -> State:
        """The originals, with added units where there are any."""
        return self.given if self.wide is None else self.wide[1]

    def of(self, widening: Widening | None) -> Site:
        """The net of a stage of the same method with these units, before there are any."""
        return Site(self.plain, self.given, widening)

    def narrow(self, state: State) -> State:
        """Models of this net as they are used: without what was added."""
        if self.widening is None:
            return state
        return lift(self.widening.leave(self.plain), stacked=self.plain.stacked)(state)


def moved(to: Site, keys: Sequence[Key], site: Site, state: State) -> tuple[Site, State]:
    """Models on their way from one net into that of the next stage, with one key for each.

    The added units of a model are those of its original, and are drawn anew where a net is left and entered again.
    """
    if to.widening is site.widening:
        return site, state
    left = site.narrow(state)
    if to.widening is None:
        return to, left
    plain = to.plain
    device = next(iter(left.params.values())).device
    drawn = key_tensor([derive(key, "added units") for key in keys], device)
    both = lift(to.widening.enter(plain), stacked=plain.stacked)
    return to._replace(wide=(to.widening.learner(plain), both(to.given, drawn))), both(left, drawn)
