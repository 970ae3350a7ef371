"""`unweave report`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from unweave._errors import UserError
from unweave.records import read_result, write_atomically
from unweave.report import print_result, render_page


def run_report(result: Path, *, out: Path | None, quiet: bool) -> None:
    """Read a result and draw it again."""
    found = read_result(result)
    folder = result if result.is_dir() else result.parent
    page = out or folder / "report.html"
    try:
        write_atomically(page, render_page(found))
    except OSError as error:
        raise UserError(f"Cannot write the page {page}: {error.strerror}. Choose another with --out.") from None
    if quiet:
        return
    console = Console()
    print_result(console, found)
    console.print(f"\nPage: {page.absolute().as_uri()}", soft_wrap=True)
