"""What a record looks like to its reader, how a command writes it, and what is said at the end of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from unweave._errors import UserError
from unweave.cli.files import is_stdout, write_file
from unweave.cli.options import printable
from unweave.records import (
    KINDS,
    CaseResult,
    Record,
    Result,
    Row,
    SweepCell,
    SweepResult,
    SweepRow,
    to_json,
)
from unweave.records.audit import Audit
from unweave.records.diagnosis import Diagnosis
from unweave.records.discovery import Discovery
from unweave.report import print_result, render_page
from unweave.report.audit import audit_page, print_audit
from unweave.report.diagnosis import diagnosis_page, print_diagnosis
from unweave.report.discovery import discovery_page, print_discovery
from unweave.report.sweep import sweep_page
from unweave.report.sweep_terminal import print_sweep


class Shown(NamedTuple):
    """How a kind of record is shown: the file of its page, what draws it, and its tables."""

    page: str
    draw: Callable[[Any], str]
    tables: Callable[[Console, Any], None]


SHOWN: dict[type[Record], Shown] = {
    Result: Shown("report.html", render_page, print_result),
    SweepResult: Shown("sweep.html", sweep_page, print_sweep),
    Discovery: Shown("discovery.html", discovery_page, print_discovery),
    Audit: Shown("audit.html", audit_page, print_audit),
    Diagnosis: Shown("diagnosis.html", diagnosis_page, print_diagnosis),
}
"""How each kind of record is shown that has a page."""


def save(record: Record, folder: Path) -> None:
    """Write a record and its page into a folder."""
    how = SHOWN[type(record)]
    write_file(folder / KINDS[type(record)].file, to_json(record))
    write_file(folder / how.page, how.draw(record))


def tell(record: Record, folder: Path, *, json: Path | None, quiet: bool) -> None:
    """The end of a run whose results are in a folder: JSON where it was asked for, tables, and where the page is.

    Raises:
        UserError: if the JSON cannot be written; the results are not lost.
    """
    if json is not None:
        try:
            write_file(json, to_json(record))
        except UserError as error:
            raise UserError(f"{error} The results are in {folder}.") from None
    if not quiet and not is_stdout(json):
        show(record, folder / SHOWN[type(record)].page)
        return
    for said in failures(record):  # tables would say so; not to be seen is not to have happened
        print(printable(said), file=sys.stderr)


def failures(record: Record) -> list[str]:
    """What was asked for and ended in an error, a line each."""
    if isinstance(record, Result):
        return [
            f"Failed: {row.name} on {case.name}: {row.reason}" for case in record.cases for row in _failed(case)
        ]
    if isinstance(record, SweepResult):
        found = [f"Failed: {cell.name}: {cell.reason}" for cell in record.cells if cell.status == "failed"]
        return found + [
            f"Failed: {row.name} on {cell.name}: {row.reason}" for cell in record.cells for row in _failed(cell)
        ]
    return []


def _failed(cell: CaseResult | SweepCell) -> list[Row | SweepRow]:
    return [row for row in cell.rows if row.status == "failed"]


def show(record: Record, page: Path) -> None:
    """Tables in the terminal, and where the page is."""
    console = Console()
    SHOWN[type(record)].tables(console, record)
    console.print(f"\nPage: {page.absolute().as_uri()}", soft_wrap=True)
