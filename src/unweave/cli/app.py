"""The commands."""

from __future__ import annotations

from typing import Annotated

import typer

from unweave._version import __version__
from unweave.cli.audit import audit
from unweave.cli.bench import bench
from unweave.cli.cases import cases
from unweave.cli.cite import cite
from unweave.cli.compare import compare
from unweave.cli.diagnose import diagnose
from unweave.cli.discover import discover
from unweave.cli.erase import erase
from unweave.cli.listing import list_
from unweave.cli.report import report
from unweave.cli.store import store
from unweave.cli.sweep import sweep

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Did your method untrain or unlearn? Trains both kinds of reference model and says so, with intervals.",
    epilog="Exit codes: 0 ok, 1 corrupt store, 2 bad input, 4 store that cannot be judged, "
    "70 bug or workers lost, 130/143 interrupted (run again to go on).",
)


def _version(asked: bool) -> bool:
    if asked:
        print(f"unweave {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Did your method untrain or unlearn?"""
    del version


for _command in (compare, sweep, diagnose, discover, erase, audit, cases):
    app.command()(_command)
app.command("list")(list_)
for _command in (cite, report, bench):
    app.command()(_command)
app.add_typer(store, name="store")
