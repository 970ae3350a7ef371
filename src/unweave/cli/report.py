"""`unweave report`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from unweave.cli.files import write_file
from unweave.records.audit import Audit
from unweave.records.diagnosis import Diagnosis
from unweave.records.discovery import Discovery
from unweave.records.read import Record, read_record
from unweave.records.sweep import SweepResult
from unweave.report import print_result, render_page
from unweave.report.audit import audit_page, print_audit
from unweave.report.diagnosis import diagnosis_page, print_diagnosis
from unweave.report.discovery import discovery_page, print_discovery
from unweave.report.sweep import sweep_page
from unweave.report.sweep_terminal import print_sweep


def run_report(result: Path, *, out: Path | None, quiet: bool) -> None:
    """Read a record and draw it again: the page under the name that its command gives it."""
    found = read_record(result)
    page = out or (result if result.is_dir() else result.parent)
    name, text = _page(found)
    if page.is_dir():
        page /= name
    write_file(page, text)
    if quiet:
        return
    console = Console()
    _print(console, found)
    console.print(f"\nPage: {page.absolute().as_uri()}", soft_wrap=True)


def _page(found: Record) -> tuple[str, str]:
    match found:
        case SweepResult():
            return "sweep.html", sweep_page(found)
        case Discovery():
            return "discovery.html", discovery_page(found)
        case Audit():
            return "audit.html", audit_page(found)
        case Diagnosis():
            return "diagnosis.html", diagnosis_page(found)
        case _:
            return "report.html", render_page(found)


def _print(console: Console, found: Record) -> None:
    match found:
        case SweepResult():
            print_sweep(console, found)
        case Discovery():
            print_discovery(console, found)
        case Audit():
            print_audit(console, found)
        case Diagnosis():
            print_diagnosis(console, found)
        case _:
            print_result(console, found)
