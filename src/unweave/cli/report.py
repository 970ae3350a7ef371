"""`unweave report`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from unweave.cli.files import write_file
from unweave.records import read_result
from unweave.report import print_result, render_page


def run_report(result: Path, *, out: Path | None, quiet: bool) -> None:
    """Read a result and draw it again."""
    found = read_result(result)
    folder = result if result.is_dir() else result.parent
    page = out or folder
    if page.is_dir():
        page /= "report.html"
    write_file(page, render_page(found))
    if quiet:
        return
    console = Console()
    print_result(console, found)
    console.print(f"\nPage: {page.absolute().as_uri()}", soft_wrap=True)
