"""What a fault is here, and what came of doing it many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Skip(Exception):
    """A fault that cannot be done here, and why."""


@dataclass
class Outcome:
    """What came of a fault.

    Attributes:
        done: How often it was done.
        corrupt: What was visible, or was used, and not as it was written.
        lost: What a writer had been told is kept, and is not there.
        wrong: Whatever else should not be: the next run is hindered, an error says too little.
        notes: What was seen on the way, in words.
    """

    done: int = 0
    corrupt: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    notes: str = ""

    @property
    def found(self) -> list[str]:
        """Everything that should not be."""
        return [*self.corrupt, *self.lost, *self.wrong]

    def add(self, other: Outcome) -> None:
        """Count another outcome in."""
        self.done += other.done
        self.corrupt += other.corrupt
        self.lost += other.lost
        self.wrong += other.wrong


Run = Callable[[int, Path], Outcome]
"""Does a fault so many times, in an empty folder."""


class Fault(NamedTuple):
    """A fault, or the control of one: the same fault done to code that is known to be bad.

    Attributes:
        name: What it is chosen by.
        number: F1 … F18.
        what: In words.
        smoke: How often it is done in `make test`; 0 = not at all.
        full: How often in `make faults`.
        control: Whether something must be found, since the code it is done to is bad on purpose.
        run: Does it.
    """

    name: str
    number: str
    what: str
    smoke: int
    full: int
    control: bool
    run: Run


FAULTS: dict[str, Fault] = {}


def fault(number: str, what: str, *, smoke: int, full: int, control: bool = False) -> Callable[[Run], Run]:
    """Register a fault under the name of its function."""

    def register(run: Run) -> Run:
        name = run.__name__.replace("_", "-")
        assert name not in FAULTS, name
        FAULTS[name] = Fault(name, number, what, smoke, full, control, run)
        return run

    return register
