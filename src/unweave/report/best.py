"""Which method came nearest to each aim, at the defaults and at equal budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unweave._types import Estimate
from unweave.records import Aim, CaseResult, Row, Stage
from unweave.report.numbers import DASH, estimate_text, one_line
from unweave.report.words import OUTCOME_NAMES, residual_of, row_name, verdict_of

_ORDER: tuple[Stage, ...] = ("equal_cost", "equal_rise")
_MOST_NAMES = 3


class Best(NamedTuple):
    """The method nearest to one aim among those of one budget.

    Attributes:
        budget: At which budget, in words.
        aim: The aim.
        name: The method without the budget, "" where nothing was measured.
        residual: Share of the way that it left, with its interval.
        outcome: What its verdict says.
        others: Methods whose intervals overlap its own, in words: they are not told apart from it.
        compared: How many methods had a number.
    """

    budget: str
    aim: Aim
    name: str
    residual: str
    outcome: str
    others: str
    compared: int


def stage_of(row: Row) -> str:
    """Key of the stage and budget of a row: "equal_cost 0.1"; "default" without a budget, "" for no method."""
    if row.kind != "method":
        return ""
    return "default" if row.budget is None else f"{row.stage} {row.budget:g}"


def stage_rank(row: Row) -> tuple[int, float]:
    """Where a row of a method stands among budgets: those without one come first."""
    return (0, 0.0) if row.budget is None else (1 + _ORDER.index(row.stage), row.budget)


def stages_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Stages of methods with their names, in their order; one pair where none has a budget."""
    found = {(stage_rank(row), stage_of(row)): stage_name(row) for row in rows if row.kind == "method"}
    return [(key, name) for (_, key), name in sorted(found.items())]


def stage_name(row: Row) -> str:
    """A stage in words."""
    if row.stage == "equal_cost":
        return f"at most {row.budget:g}× the cost of retraining"
    if row.stage == "equal_rise":
        return f"retain loss up by at most {row.budget:g}"
    return "at their own settings"


def best_of(case: CaseResult) -> list[Best]:
    """Per budget and aim the method that left least of the way; nothing where none has a budget.

    A residual counts what ordinary data lost as well, so that a method that destroys the model is not nearest.
    """
    stages = stages_of(case.rows)
    if len(stages) < 2:
        return []
    found: list[Best] = []
    for key, name in stages:
        rows = [row for row in case.rows if stage_of(row) == key and row.status == "ok"]
        aims: tuple[Aim, ...] = ("untraining", "unlearning")
        found += [_best(rows, name, aim) for aim in aims]
    return found


def _best(rows: Sequence[Row], budget: str, aim: Aim) -> Best:
    measured = [(residual, row) for row in rows if isinstance(residual := residual_of(row, aim), Estimate)]
    if not measured:
        return Best(budget, aim, "", "", "not measured", "", 0)
    residual, row = min(measured, key=lambda pair: pair[0].value)
    rest = sorted((one for one in measured if one[1] is not row), key=lambda pair: pair[0].value)
    near = [bare_name(other) for one, other in rest if _overlap(residual, one)]
    more = len(near) - _MOST_NAMES
    told = ", ".join(near[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    outcome = OUTCOME_NAMES[verdict_of(row, aim).outcome]
    return Best(budget, aim, bare_name(row), estimate_text(residual), outcome, told, len(measured))


def bare_name(row: Row) -> str:
    """The name of a row without its budget."""
    return one_line(row.name).partition(" @ ")[0] if row.budget is not None else row_name(row)


def _overlap(one: Estimate, other: Estimate) -> bool:
    high = one.high if one.high is not None else float("inf")
    low = other.low if other.low is not None else float("-inf")
    return low <= high


def best_cells(one: Best) -> tuple[str, ...]:
    """A line of the table: budget, aim, method, what is left, verdict, what is not told apart."""
    return (one.budget, one.aim, one.name or DASH, one.residual, one.outcome, one.others)


BEST_HEADS = ("budget", "aim", "nearest", "of the way left", "verdict", "intervals overlap with")
BEST_TITLE = "Nearest to each aim, by budget"
BEST_NOTE = (
    "The method that left least of the way to the aim's reference, which counts damage on ordinary data as well; "
    "the least of several estimates looks better than it is."
)
