"""What a sweep says of discovery: worth of a further example, gain of expansion, advice, cost of a selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unweave._types import Measured

AdviceOutcome = Literal["rely on generalisation", "expand", "search on", "cannot be told"]
Merit = Literal["score", "survival"]
"""What advice rests on: the score, or survival (lower is better) where nothing can be healed."""


@dataclass(frozen=True)
class FurtherExample:
    """What one more discovered example does to a row, between two neighbouring γ.

    `examples`: mean |S| at `discovery`; `further`: how many more there are at `until`; `score`, `residual`
    (r_B) and `survival`: change per example, of a score good above 0, of the others below.
    """

    row: str
    behaviour: str
    selection: str
    discovery: float
    until: float
    examples: float
    further: float
    score: Measured
    residual: Measured
    survival: Measured


@dataclass(frozen=True)
class ExpansionGain:
    """`expand(X)` beside X at one γ.

    `gain`: of score, or survival taken away where `merit` says so, good above 0; `further_examples`: how many more
    discovered examples X alone would need for the same; `extra_cost`: gradients beyond those of X, in retrainings.
    """

    row: str
    alone: str
    behaviour: str
    selection: str
    discovery: float
    merit: Merit
    gain: Measured
    further_examples: Measured
    extra_cost: float | None


@dataclass(frozen=True)
class Advice:
    """What to do next with a row at one behaviour, selection and γ; `leading`: the one row advised there.

    `expanded`: its expansion where the sweep has one, else "".
    """

    row: str
    expanded: str
    behaviour: str
    selection: str
    discovery: float
    examples: float
    leading: bool
    outcome: AdviceOutcome
    reason: str


@dataclass(frozen=True)
class SelectionCost:
    """What it costs that S was found by `selection` and not at random: differences, good above 0.

    `gap_closed`: of the share of the gap, `score`: of the mean score, over the `cells` that both have;
    `behaviour`: "" = all of them.
    """

    row: str
    behaviour: str
    selection: str
    gap_closed: Measured
    score: Measured
    cells: int


@dataclass(frozen=True)
class SweepAdvice:
    """More discovery, or rely on generalisation: the numbers, and the advice that follows from their intervals.

    `margin`: the difference of scores that does not matter; `cost_per_example`: of finding one, in retrainings.
    """

    margin: float
    cost_per_example: float | None
    further: tuple[FurtherExample, ...]
    expansions: tuple[ExpansionGain, ...]
    advice: tuple[Advice, ...]
