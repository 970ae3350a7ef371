"""The result in a terminal: headline, stacked tables that fit the width, footnotes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unweave.records import CaseResult, Result, Row
from unweave.report.best import BEST_HEADS, BEST_NOTE, BEST_TITLE, best_cells, best_of
from unweave.report.columns import (
    Column,
    group_columns,
    name_column,
    not_measured,
    ordered_rows,
    placed_rows,
    verdict_columns,
)
from unweave.report.headlines import headline, headline_result
from unweave.report.measures import measure_tables
from unweave.report.numbers import ascii_text, clean, one_line
from unweave.report.words import (
    INDISTINGUISHABLE,
    attainable_words,
    margin_words,
    not_drawn_words,
    null_warning,
    off_line_text,
    row_name,
    told_reason,
)

_WIDEST_NAME = 26
_WIDEST_CELL = 20
_GAP = 2
_ABOUT_ZERO = "≈ 0"
# Okabe and Ito's colours, which stay apart for colour-blind readers.
_LABEL_STYLES = {
    "untrained": "#56B4E9",
    "unlearned": "#009E73",
    "both": "#CC79A7",
    "neither": "#D55E00",
    "inconclusive": "#E69F00",
}


def plain(console: Console, text: str, style: str = "") -> Text:
    """Text that a terminal can show as it is: no control characters, and ASCII where it knows nothing else."""
    utf8 = console.encoding.lower().startswith("utf")
    return Text(clean(text) if utf8 else ascii_text(clean(text)), style=style)


def _short(text: str) -> str:
    return _ABOUT_ZERO if text == INDISTINGUISHABLE else text


def _width(column: Column, rows: Sequence[Row], widest: int) -> int:
    longest = max((len(_short(column.cell(row).text)) for row in rows), default=0)
    longest_word = max(len(word) for word in column.head.split())
    return min(widest, max(longest, longest_word))


def _stacks(columns: Sequence[Column], rows: Sequence[Row], room: int) -> list[list[Column]]:
    stacks: list[list[Column]] = []
    left = 0
    for column in columns:
        need = _width(column, rows, _WIDEST_CELL) + _GAP
        if not stacks or need > left:
            stacks.append([])
            left = room
        stacks[-1].append(column)
        left -= need
    return stacks


def _table(console: Console, title: str) -> Table:
    heading = plain(console, title, "bold")
    table = Table(title=heading, title_justify="left", header_style="bold", box=None, padding=(0, _GAP, 0, 0))
    table.pad_edge = False
    return table


def _print_table(console: Console, title: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    names = name_column()
    name_width = min(_width(names, rows, _WIDEST_NAME), max(8, console.width // 3))
    stacks = _stacks(columns, rows, console.width - name_width - _GAP)
    for index, stack in enumerate(stacks):
        table = _table(console, f"{title} ({index + 1} of {len(stacks)})" if len(stacks) > 1 else title)
        table.add_column(plain(console, names.head), width=name_width, overflow="fold")
        for column in stack:
            width = _width(column, rows, _WIDEST_CELL)
            table.add_column(plain(console, column.head), width=width, overflow="fold")
        for row in rows:
            cells = [plain(console, names.cell(row).text)]
            for column in stack:
                style = _LABEL_STYLES.get(row.label, "") if column.head == "label" else ""
                cells.append(plain(console, _short(column.cell(row).text), style))
            table.add_row(*cells)
        console.print(table)
        console.print()


def _print_best(console: Console, case: CaseResult) -> None:
    found = best_of(case)
    if not found:
        return
    table = _table(console, BEST_TITLE)
    for head in BEST_HEADS:
        table.add_column(plain(console, head), overflow="fold")
    for one in found:
        table.add_row(*(plain(console, cell) for cell in best_cells(one)))
    console.print(table)
    console.print(plain(console, BEST_NOTE, "dim"))
    console.print()


def _footnotes(case: CaseResult) -> list[str]:
    notes = [margin_words(case.margin), attainable_words(case.geometry, case.margin)]
    if any(not group.in_verdict for row in case.rows for group in row.groups.values()):
        notes.append("† A group this small is shown, but enters no verdict.")
    if any(off_line_text(row.off_line_squared) == INDISTINGUISHABLE for row in case.rows):
        notes.append(f"{_ABOUT_ZERO} {INDISTINGUISHABLE}.")
    notes += [f"– not measured: {reason}: {where}." for reason, where in not_measured(case)]
    return notes


def print_case(console: Console, case: CaseResult) -> None:
    """Print one case: warnings, headline, verdict table, probe groups, and what the margin means.

    Args:
        console: where to print; tables are split into stacked ones that fit its width.
        case: what was measured.

    Example:
        >>> from rich.console import Console
        >>> print_case(Console(), case)  # doctest: +SKIP
    """
    _print_body(console, case, one_line(case.headline) or headline(case))


def _print_body(console: Console, case: CaseResult, heading: str) -> None:
    rows = ordered_rows(case.rows)
    if heading:
        console.print(plain(console, heading, "bold"))
    for warning in (null_warning(case), *case.warnings, not_drawn_words(case.geometry)):
        if warning:
            console.print(plain(console, f"! {one_line(warning)}", "#E69F00"))
    console.print()
    if rows:
        _print_table(console, "Verdicts, with 95% intervals over models", verdict_columns(rows), placed_rows(rows))
        if any(row.groups for row in rows):
            _print_table(console, "Behaviour shown, % of outputs", group_columns(rows, "behaviour"), rows)
            _print_table(console, "Accuracy, % with the clean label", group_columns(rows, "accuracy"), rows)
    for table in measure_tables(case.rows):
        _print_table(console, table.title, table.columns, table.rows)
        for note in table.notes:
            console.print(plain(console, f"! {note}", "#E69F00"))
    _print_best(console, case)
    for row in rows:
        if row.kind == "method":
            line = plain(console, row_name(row), "bold")
            console.print(line.append_text(plain(console, f": {told_reason(row).rstrip('.')}.")))
    console.print()
    for note in _footnotes(case):
        console.print(plain(console, note, "dim"))


def print_result(console: Console, result: Result) -> None:
    """Print a whole result: its headline, then every case in turn.

    Args:
        console: where to print.
        result: what was measured; shown as it stands, nothing is recomputed but missing headlines.
    """
    top = one_line(result.headline) or headline_result(result.cases)
    console.print(plain(console, top, "bold"))
    for case in result.cases:
        console.print()
        rule = plain(console, f"── {one_line(case.name)} ".ljust(console.width, "─")[: console.width])
        console.print(rule, no_wrap=True, overflow="crop")
        told = one_line(case.headline) or headline(case)
        _print_body(console, case, "" if told == top else told)
