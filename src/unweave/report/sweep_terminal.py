"""A sweep in a terminal: headline and tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from unweave.records import SweepResult
from unweave.report.sweep import sweep_tables
from unweave.report.terminal import plain


def print_sweep(console: Console, found: SweepResult) -> None:
    """Print a sweep: the headline, then each table with what it means."""
    console.print(plain(console, found.headline, "bold"))
    for one in sweep_tables(found):
        if one.shown not in ("both", "terminal"):
            continue
        console.print()
        console.print(plain(console, one.title, "bold"))  # a title of the table would wrap at its width
        table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0))
        table.pad_edge = False
        for head in one.heads:
            table.add_column(plain(console, head), overflow="fold")
        for row in one.rows:
            table.add_row(*(plain(console, cell) for cell in row))
        console.print(table)
        if one.note:
            console.print(plain(console, one.note, "dim"))
