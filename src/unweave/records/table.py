"""CSV: cells that no spreadsheet runs; `rows.csv`, one line per row and case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unweave._types import Estimate, Measured
from unweave.records.schema import MeasureValue, Result, Row

RISKY = ("=", "+", "-", "@", "\t", "\r", "\0")
"""What a text begins with that a spreadsheet takes for a formula, or reads as something else."""
_ESTIMATES = ("generality", "off_line_squared", "residual_untraining", "residual_unlearning")
_GROUPS = ("forget", "undiscovered", "unseen", "retain", "test")


def text_cell(value: str) -> str:
    """A text as a cell that no spreadsheet runs: one that starts like a formula gets an apostrophe before it.

    Numbers never pass through here, so that -0.5 stays one.

    Example:
        >>> text_cell("=1+1"), text_cell("plain")
        ("'=1+1", 'plain')
    """
    return f"'{value}" if value.startswith(RISKY) else value


def id_cell(one: int | str) -> str:
    """An id as a cell that no spreadsheet runs, from which `plain_id` makes it again.

    Example:
        >>> id_cell(-5), id_cell("-a"), id_cell("'-a"), plain_id(id_cell("'-a"))
        ('-5', "'-a", "''-a", "'-a")
    """
    if isinstance(one, int):
        return str(one)
    return f"'{one}" if one[:1] == "'" and one[1:].startswith((*RISKY, "'")) else text_cell(one)


def plain_id(cell: str) -> str:
    """The inverse of `id_cell`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith((*RISKY, "'")) else cell


def csv_line(cells: Iterable[str]) -> str:
    """Cells as a line of CSV, with its end.

    Example:
        >>> print(csv_line(["a", "b,c"]), end="")
        a,"b,c"
    """
    return ",".join(map(_quoted, cells)) + "\n"


def _quoted(cell: str) -> str:
    # Not `csv.writer`: before Python 3.13 it leaves a bare CR unquoted, where readers begin a new row.
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def _cells(measured: Measured | None) -> list[str]:
    if isinstance(measured, Estimate):
        return [_number(measured.value), _number(measured.low), _number(measured.high)]
    return ["", "", ""]


def _columns() -> list[str]:
    columns = [
        "case",
        "id",
        "name",
        "kind",
        "stage",
        "status",
        "label",
        "verdict_untraining",
        "verdict_unlearning",
    ]
    estimates = [*_ESTIMATES]
    estimates += [f"{what}_{group}" for group in _GROUPS for what in ("behaviour_rate", "accuracy")]
    estimates += [f"damage_{aim}_{on}" for aim in ("untraining", "unlearning") for on in ("retain", "test")]
    estimates += [
        f"accuracy_change_{aim}_{on}" for aim in ("untraining", "unlearning") for on in ("retain", "test")
    ]
    estimates += ["excess_untraining", "excess_unlearning"]
    for name in estimates:
        columns += [name, f"{name}_low", f"{name}_high"]
    return [*columns, "gradient_ratio", "n_models", "reason", "budget", "note"]


def _line(case: str, row: Row) -> list[str]:
    line = [case, row.id, row.name, row.kind, row.stage, row.status, row.label]
    line = [text_cell(cell) for cell in [*line, row.verdict_untraining.outcome, row.verdict_unlearning.outcome]]
    for name in _ESTIMATES:
        line += _cells(getattr(row, name))
    for name in _GROUPS:
        group = row.groups.get(name)
        line += _cells(group.behaviour_rate if group else None) + _cells(group.accuracy if group else None)
    for aim in ("untraining", "unlearning"):
        damage = getattr(row.damage, aim) if row.damage else None
        line += _cells(damage.energy_retain if damage else None) + _cells(damage.energy_test if damage else None)
    for aim in ("untraining", "unlearning"):
        damage = getattr(row.damage, aim) if row.damage else None
        line += _cells(damage.accuracy_retain if damage else None)
        line += _cells(damage.accuracy_test if damage else None)
    line += _cells(row.verdict_untraining.excess) + _cells(row.verdict_unlearning.excess)
    line += [_number(row.cost.gradient_ratio), str(row.n_models), text_cell(row.reason)]
    return [*line, _number(row.budget), text_cell(row.note)]


def _asked(result: Result) -> list[str]:
    """What metrics and attacks were asked by name, in the order of their first value."""
    rows = [row for case in result.cases for row in case.rows]
    return list(dict.fromkeys(_asked_name(one) for row in rows for one in row.measures))


def _asked_name(one: MeasureValue) -> str:
    return f"{one.name}_{one.aim}_{one.group}"


def _measures(row: Row, asked: list[str]) -> list[str]:
    """Value, interval, the reference's and the null's value, and the reason where it was forced."""
    found = {_asked_name(one): one for one in row.measures}
    line: list[str] = []
    for name in asked:
        one = found.get(name)
        line += _cells(one and one.value) + _cells(one and one.reference)[:1] + _cells(one and one.null)[:1]
        line.append(text_cell(one.reason) if one is not None and one.status == "forced" else "")
    return line


def rows_csv(result: Result) -> str:
    """All rows of all cases as CSV; an empty cell was not measured or is unbounded, and the JSON says which."""
    asked = _asked(result)
    ends = ("", "_low", "_high", "_reference", "_null", "_forced")
    head = [*_columns(), *(name + end for name in asked for end in ends)]
    rows = [(case.name, row) for case in result.cases for row in case.rows]
    lines = [head, *([*_line(case, row), *_measures(row, asked)] for case, row in rows)]
    return "".join(map(csv_line, lines))


def csv_text(lines: Sequence[Sequence[str | float | None]]) -> str:
    """Lines of a table as CSV: text that a spreadsheet would run is defused, None is an empty cell."""
    cells = [[text_cell(one) if isinstance(one, str) else _number(one) for one in line] for line in lines]
    return "".join(map(csv_line, cells))
