"""Values that cross the borders of rooms: an estimate with its interval, or the reason for none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval and the number of models behind it.

    `low` or `high` is `None` where the interval is unbounded on that side, as a ratio's may be.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def __post_init__(self) -> None:
        """Refuse numbers that JSON cannot hold: they would be a measurement that was not made."""
        for name, number in (("value", self.value), ("low", self.low), ("high", self.high)):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"Expected a finite {name}, got {number}: use NotMeasured(reason) instead.")

    def __str__(self) -> str:
        """The number and its interval, `0.162 [0.129, 0.195]`."""
        low = "-∞" if self.low is None else f"{self.low:.3g}"
        high = "∞" if self.high is None else f"{self.high:.3g}"
        return f"{self.value:.3g} [{low}, {high}]"


@dataclass(frozen=True)
class NotMeasured:
    """A value that was not measured, and why; never a zero, a half or a NaN in its place."""

    not_measured: str

    def __str__(self) -> str:
        """The reason, after two words that no number can be taken for."""
        return f"not measured: {self.not_measured}"


Measured = Estimate | NotMeasured

Level = Literal["high", "low", "undecided"]
"""Whether a number is at least a threshold, by its whole interval."""

RegimeName = Literal["no-op", "little", "S alone", "S and others", "others alone", "undecided"]
"""What untraining S changes."""

NOT_DECLARED = "behaviour not declared"
"""Why nothing about unlearning is measured where only S is known."""

NO_OP = "S lies outside D, so untraining is a no-op by definition"
"""Why there is nothing to untrain where S was never trained on."""
