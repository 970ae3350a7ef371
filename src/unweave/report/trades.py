"""What is paid for what: the behaviour that stays against damage, cost against what is left of the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unweave._types import Estimate, Measured
from unweave.records import Aim, CaseResult, Row
from unweave.report.best import stage_of
from unweave.report.charts import symbol_of, tip_of
from unweave.report.columns import damage_aim, group_heads, placed_rows
from unweave.report.words import UNLEARNED, UNTRAINED, residual_of, row_name, told_reason

_REFERENCES: dict[Aim, str] = {"untraining": UNTRAINED, "unlearning": UNLEARNED}
_NULLS: dict[Aim, str] = {"untraining": "null_untrained", "unlearning": "null_unlearned"}

Ends = dict[str, float | None]


def trade_charts(case: CaseResult) -> list[dict[str, Any]]:
    """Charts of two measures of every row that has both; a chart of fewer than two rows is left out.

    Returns:
        `head`, `note`, names of the axes `across` and `up`, `bent` (whether the height needs a bent scale), and
        `points` with `x` and `y` (`value`, `low`, `high`; an end that is `None` is unbounded), `name`, `symbol`,
        `words` and `tip`.
    """
    charts = [
        _behaviour_against_damage(case),
        _cost_against_rest(case, "unlearning"),
        _cost_against_rest(case, "untraining"),
    ]
    return [chart for chart in charts if chart is not None and len(chart["points"]) > 1]


def _behaviour_against_damage(case: CaseResult) -> dict[str, Any] | None:
    rows, aim = placed_rows(case.rows), damage_aim(case.rows)
    measured = [name for name in ("unseen", "undiscovered", "forget") if _is_measured(rows, name)]
    if not measured:
        return None
    group = measured[0]

    def lost(row: Row) -> Ends | None:
        if row.damage is None:
            return None
        damage = row.damage.unlearning if aim == "unlearning" else row.damage.untraining
        return _scaled(damage.accuracy_test, -100.0)

    return {
        "head": f"The behaviour that stays, against damage ({group_heads(rows)[group]})",
        "note": "An ideal run lies where the fresh retrains of its aim lie.",
        "across": f"test accuracy lost against {_REFERENCES[aim]}, points →",
        "up": "↑ behaviour shown, %",
        "bent": False,
        "points": _points(case, rows, lost, lambda row: _scaled(_rate(row, group), 100.0)),
    }


def _rate(row: Row, group: str) -> Measured | None:
    return row.groups[group].behaviour_rate if group in row.groups else None


def _is_measured(rows: Sequence[Row], group: str) -> bool:
    return any(isinstance(_rate(row, group), Estimate) for row in rows)


def _cost_against_rest(case: CaseResult, aim: Aim) -> dict[str, Any]:
    rows = [row for row in placed_rows(case.rows) if row.kind == "method" or row.id == _NULLS[aim]]

    def cost(row: Row) -> Ends:
        return dict.fromkeys(("value", "low", "high"), row.cost.gradient_ratio)

    points = _points(case, rows, cost, lambda row: _scaled(residual_of(row, aim), 1.0))
    return {
        "head": f"What it costs, against what is left of the way to {_REFERENCES[aim]}",
        "note": "1 is one retraining, which is what an ideal run by retraining pays.",
        "across": "examples differentiated, over those of a retraining →",
        "up": "↑ r_B" if aim == "unlearning" else "↑ r_S",
        "bent": any(point["y"]["value"] > 2 for point in points),
        "points": points,
    }


def _scaled(measured: Measured | None, factor: float) -> Ends | None:
    if not isinstance(measured, Estimate):
        return None
    low, high = (None if end is None else factor * end for end in (measured.low, measured.high))
    if factor < 0:
        low, high = high, low
    return {"value": factor * measured.value, "low": low, "high": high}


def _points(
    case: CaseResult,
    rows: Sequence[Row],
    across: Callable[[Row], Ends | None],
    up: Callable[[Row], Ends | None],
) -> list[dict[str, Any]]:
    return [
        {
            "name": row_name(row),
            "stage": stage_of(row),
            "symbol": symbol_of(row),
            "x": x,
            "y": y,
            "words": told_reason(row),
            "tip": tip_of(row, case),
        }
        for row in rows
        if (x := across(row)) is not None and (y := up(row)) is not None
    ]
