"""The tables of a case: which rows in which order, which columns, and what was not measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import Aim, CaseResult, Row
from unweave.report.best import stage_rank
from unweave.report.numbers import DASH, estimate_text, number_text, one_line, points_text, shares_text
from unweave.report.words import LABEL_NAMES, UNLEARNED, UNTRAINED, off_line_text, row_name

GROUP_ORDER = ("forget", "undiscovered", "unseen", "retain", "test")
_KIND_ORDER = {"reference": 0, "null": 1, "original": 2, "method": 3}


class Cell(NamedTuple):
    """What stands in a table: the text, and the reason where it is a dash."""

    text: str
    why: str = ""


class Column(NamedTuple):
    """One column: a short head, what it means, and the cell of a row."""

    head: str
    meaning: str
    cell: Callable[[Row], Cell]


def ordered_rows(rows: Sequence[Row]) -> list[Row]:
    """Sort rows: references, fresh retrains and original as given, then methods by what is left to unlearn.

    Methods at their defaults come first, then those at equal budgets. Where nothing of r_B was measured methods
    go by r_S; those without a number, then those without a result, come last.
    """
    by_unlearning = any(isinstance(row.residual_unlearning, Estimate) for row in rows if row.kind == "method")
    return sorted(rows, key=partial(_rank, by_unlearning=by_unlearning))


def _rank(row: Row, *, by_unlearning: bool) -> tuple[int, tuple[int, float], bool, bool, float, str]:
    if row.kind != "method":
        return (_KIND_ORDER[row.kind], (0, 0.0), False, False, 0.0, "")
    residual = row.residual_unlearning if by_unlearning else row.residual_untraining
    left = residual.value if isinstance(residual, Estimate) else 0.0
    at = stage_rank(row)
    return (_KIND_ORDER["method"], at, row.status != "ok", isinstance(residual, NotMeasured), left, row_name(row))


def placed_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows of the verdict table, in order: all but the references, which are what is measured against."""
    return [row for row in ordered_rows(rows) if row.kind != "reference"]


def group_names(rows: Sequence[Row]) -> list[str]:
    """The probe groups that any row has: the usual ones in their order, then others by name."""
    found = {name for row in rows for name in row.groups}
    return [name for name in GROUP_ORDER if name in found] + sorted(found - set(GROUP_ORDER))


def _cell(measured: Measured, text: str) -> Cell:
    if isinstance(measured, NotMeasured):
        return Cell(DASH, one_line(measured.not_measured))
    return Cell(text)


def name_column() -> Column:
    """The column of names."""
    return Column("method", "what was compared", lambda row: Cell(row_name(row)))


def label_cell(row: Row) -> Cell:
    """The label of a row, or that it has no result."""
    if row.status != "ok":
        return Cell(row.status, one_line(row.reason))
    if row.label == "not applicable":
        return Cell(DASH, "not a method under judgement")
    return Cell(LABEL_NAMES[row.label])


def _off_line_cell(row: Row) -> Cell:
    return _cell(row.off_line_squared, off_line_text(row.off_line_squared))


def place_reason(row: Row) -> str:
    """Why a row has no place on the map."""
    if row.status != "ok":
        return f"{row.status}: {one_line(row.reason)}" if row.reason else row.status
    unplaced = [m for m in (row.generality, row.off_line_squared) if isinstance(m, NotMeasured)]
    return one_line(unplaced[0].not_measured) if unplaced else "no covariance"


def damage_aim(rows: Sequence[Row]) -> Aim:
    """The aim whose reference damage is shown against: unlearning where that was measured."""
    measured = any(
        row.damage is not None and isinstance(row.damage.unlearning.accuracy_test, Estimate) for row in rows
    )
    return "unlearning" if measured else "untraining"


def _damage_cell(row: Row, aim: Aim, on: str) -> Cell:
    if row.damage is None:
        return Cell(DASH, "damage was not measured")
    damage = row.damage.unlearning if aim == "unlearning" else row.damage.untraining
    difference = damage.accuracy_test if on == "test" else damage.accuracy_retain
    return _cell(difference, points_text(difference))


def cost_text(row: Row) -> str:
    """Cost of a row as a multiple of one retraining: the ratio of examples whose gradient was taken."""
    ratio = row.cost.gradient_ratio
    if ratio == 0:
        return "0×"
    if ratio < 0.0005:
        return "<0.001×"
    return f"{number_text(ratio, 2 if ratio >= 0.095 else 3)}×"


def verdict_columns(rows: Sequence[Row]) -> list[Column]:
    """The columns that answer the question: label, place on the map, residuals, damage, cost."""
    aim = damage_aim(rows)
    reference = UNLEARNED if aim == "unlearning" else UNTRAINED
    meaning = f"accuracy minus that of {reference}, in percentage points; below 0 is a loss"
    return [
        Column("label", "the two verdicts in one word", label_cell),
        Column(
            "r_S",
            f"share of the way to {UNTRAINED} still to go: 0 arrived, 1 as the original",
            lambda row: _cell(row.residual_untraining, estimate_text(row.residual_untraining)),
        ),
        Column(
            "r_B",
            f"share of the way to {UNLEARNED} still to go: 0 arrived, 1 as the original",
            lambda row: _cell(row.residual_unlearning, estimate_text(row.residual_unlearning)),
        ),
        Column(
            "generality t",
            f"place along the line from {UNTRAINED} (0) to {UNLEARNED} (1)",
            lambda row: _cell(row.generality, estimate_text(row.generality)),
        ),
        Column("off-line", "distance from that line, in units of its length", _off_line_cell),
        Column(f"Δ test vs {reference}", f"test {meaning}", lambda row: _damage_cell(row, aim, "test")),
        Column(f"Δ retain vs {reference}", f"retain {meaning}", lambda row: _damage_cell(row, aim, "retain")),
        Column(
            "cost",
            "gradients taken, as a multiple of one retraining",
            lambda row: Cell(cost_text(row)) if row.n_models else Cell(DASH, "no result"),
        ),
    ]


def _group_cell(row: Row, *, name: str, what: str) -> Cell:
    if name not in row.groups:
        return Cell(DASH, f"no probe group {one_line(name)}")
    group = row.groups[name]
    measured = group.behaviour_rate if what == "behaviour" else group.accuracy
    return _cell(measured, shares_text(measured))


def group_heads(rows: Sequence[Row]) -> dict[str, str]:
    """Per probe group its name with its size, marked † where it is too small to enter a verdict."""
    heads: dict[str, str] = {}
    for name in group_names(rows):
        groups = [row.groups[name] for row in rows if name in row.groups]
        small = any(not group.in_verdict for group in groups)
        heads[name] = f"{one_line(name)} ({max(group.n_probes for group in groups)}{'†' if small else ''})"
    return heads


def group_columns(rows: Sequence[Row], what: str) -> list[Column]:
    """One column per probe group where any row has a number: `what` is `behaviour` (rate) or `accuracy`.

    A column of dashes says nothing; where no group has a number all are kept, each dash with its reason.
    """
    meanings = {
        "behaviour": "share of outputs that show the behaviour",
        "accuracy": "share with the clean label",
    }
    columns = {
        name: Column(head, meanings[what], partial(_group_cell, name=name, what=what))
        for name, head in group_heads(rows).items()
    }
    told = [column for column in columns.values() if any(not column.cell(row).why for row in rows)]
    return told or list(columns.values())


def _measurements(row: Row) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for name, group in row.groups.items():
        found[f"behaviour rate on {name}"] = group.behaviour_rate
        found[f"accuracy on {name}"] = group.accuracy
    if row.kind == "reference":
        return found
    found |= {
        "generality t": row.generality,
        "off-line": row.off_line_squared,
        "r_S": row.residual_untraining,
        "r_B": row.residual_unlearning,
    }
    for name, group in row.groups.items():
        found[f"r_S on {name}"] = group.residual_untraining
        found[f"r_B on {name}"] = group.residual_unlearning
    for one in row.measures:
        found[f"{one.name} for {one.aim} on {one.group}"] = one.value
    if row.damage is not None:
        for aim, damage in (("untraining", row.damage.untraining), ("unlearning", row.damage.unlearning)):
            for on, energy, accuracy in (
                ("retain", damage.energy_retain, damage.accuracy_retain),
                ("test", damage.energy_test, damage.accuracy_test),
            ):
                found[f"damage on {on} ({aim})"] = energy
                found[f"Δ accuracy on {on} ({aim})"] = accuracy
    return found


def _case_measurements(case: CaseResult) -> dict[str, Measured]:
    geometry = case.geometry
    return {
        "gap": geometry.gap,
        "height of the original": geometry.height_squared,
        f"distance original to {UNTRAINED}": geometry.energy_original_untrained,
        f"distance original to {UNLEARNED}": geometry.energy_original_unlearned,
        f"distance {UNTRAINED} to {UNLEARNED}": geometry.energy_untrained_unlearned,
    }


def not_measured(case: CaseResult) -> list[tuple[str, str]]:
    """What was not measured: pairs of the reason and the quantities it holds for, with their rows."""
    everyone = [(row_name(row), _measurements(row)) for row in ordered_rows(case.rows)]
    found: dict[str, dict[str, list[str]]] = {}
    for row, measurements in [("", _case_measurements(case)), *everyone]:
        reasons = {where: m.not_measured for where, m in measurements.items() if isinstance(m, NotMeasured)}
        whole = len(reasons) == len(measurements) and len(set(reasons.values())) == 1
        for where, reason in reasons.items():
            quantities = found.setdefault(one_line(reason), {})
            names = quantities.setdefault("everything" if whole else one_line(where), [])
            if row not in names:
                names.append(row)
    return [(reason, _places(quantities, [row for row, _ in everyone])) for reason, quantities in found.items()]


def _places(quantities: dict[str, list[str]], everyone: list[str]) -> str:
    by_rows: dict[tuple[str, ...], list[str]] = {}
    for where, names in quantities.items():
        by_rows.setdefault(tuple(names), []).append(where)
    texts = [", ".join(wheres) + _of_rows(names, everyone) for names, wheres in by_rows.items()]
    return "; ".join(texts)


def _of_rows(names: tuple[str, ...], everyone: list[str]) -> str:
    if names == ("",):
        return " of the case"
    others = [name for name in everyone if name not in names]
    if not others:
        return " of all rows"
    if len(others) <= 2 < len(names):
        return f" of all rows but {' and '.join(others)}"
    return f" of {', '.join(name for name in names if name)}"
