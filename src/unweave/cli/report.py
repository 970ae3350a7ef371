"""`unweave report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.options import Debug, Quiet, reported


def report(
    result: Annotated[
        Path, typer.Argument(help="JSON of compare, sweep, discover, audit or diagnose, or its folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File or folder to write the page to; default: beside the result.", metavar="PATH"),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw the page and the tables of what was saved again; nothing is trained or measured."""
    with reported(debug):
        from unweave.cli.files import write_file
        from unweave.cli.shown import SHOWN, show
        from unweave.records import read_any

        found = read_any(result)
        how = SHOWN[type(found)]
        page = out or (result if result.is_dir() else result.parent)
        if page.is_dir():
            page /= how.page
        write_file(page, how.draw(found))
        if not quiet:
            show(found, page)
