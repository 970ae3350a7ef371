"""The result as one Markdown table, methods by cases, for a README or a paper's appendix."""

from __future__ import annotations

import re

from unweave._types import Measured
from unweave.records import Result, Row
from unweave.report.best import BEST_HEADS, BEST_NOTE, BEST_TITLE, best_cells, best_of
from unweave.report.measures import measure_tables
from unweave.report.numbers import estimate_text, one_line
from unweave.report.words import LABEL_NAMES, row_name

# What Markdown or the HTML inside it would take for a sign of its own.
_SIGNS = re.compile(r"([\\`*_{}\[\]<>|#&~!$])")


def markdown_table(result: Result) -> str:
    """Label, t, r_S and r_B of every method on every case, with 95% intervals over models.

    A line per method in the order of the first case that has it, a column per case; a dash where nothing was
    measured. Names from data are escaped. Where methods were compared at equal budgets a second table names the
    nearest to each aim; what was asked for by name has a table per case and aim.

    Args:
        result: What was measured.

    Returns:
        Markdown with a line feed at its end.
    """
    names: list[str] = []
    for case in result.cases:
        names += [row.id for row in case.rows if row.kind == "method" and row.id not in names]
    by_case = [{row.id: row for row in case.rows if row.kind == "method"} for case in result.cases]
    head = ["method", *(_escaped(case.name) for case in result.cases)]
    lines = [_line(head), _line(["---"] * len(head))]
    for name in names:
        found = [rows.get(name) for rows in by_case]
        shown = next(row_name(row) for row in found if row is not None)
        lines.append(_line([_escaped(shown), *("–" if row is None else _cell(row) for row in found)]))
    return "\n".join([*lines, *_nearest(result), *_measures(result)]) + "\n"


def _measures(result: Result) -> list[str]:
    """Per case and aim a table of what was asked for by name; what was forced says so, with the reason."""
    lines: list[str] = []
    for case in result.cases:
        for table in measure_tables(case.rows):
            head = ["", *(column.head for column in table.columns)]
            lines += [
                "",
                f"{_escaped(table.title)}: {_escaped(case.name)}",
                "",
                _line([_escaped(h) for h in head]),
            ]
            lines.append(_line(["---"] * len(head)))
            for row in table.rows:
                cells = [row_name(row), *(column.cell(row).text for column in table.columns)]
                lines.append(_line([_escaped(cell) for cell in cells]))
            lines += [line for note in table.notes for line in ("", _escaped(note))]
    return lines


def _nearest(result: Result) -> list[str]:
    found = [(case.name, one) for case in result.cases for one in best_of(case)]
    if not found:
        return []
    head = ["case", *BEST_HEADS]
    lines = [_line([_escaped(cell) for cell in (case, *best_cells(one))]) for case, one in found]
    return ["", f"{BEST_TITLE}. {BEST_NOTE}", "", _line(head), _line(["---"] * len(head)), *lines]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Row) -> str:
    if row.status != "ok":
        return f"{row.status}: {_escaped(row.reason)}"
    measures: tuple[tuple[str, Measured], ...] = (
        ("t", row.generality),
        ("r_S", row.residual_untraining),
        ("r_B", row.residual_unlearning),
    )
    parts = [f"{name} {estimate_text(value)}" for name, value in measures]
    return "<br>".join([f"**{LABEL_NAMES[row.label]}**", *parts])


def _escaped(text: str) -> str:
    r"""Text that Markdown shows as it is.

    Example:
        >>> print(_escaped("a|b <i>"))
        a\|b \<i\>
    """
    return _SIGNS.sub(r"\\\1", one_line(text))
