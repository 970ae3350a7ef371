"""`unweave cite`."""

from __future__ import annotations

from typing import Annotated

import typer

from unweave.cli.options import Debug, Plugin, reported


def cite(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Names of methods, metrics, attacks, measures of language models or estimates of influence, or "
            "all methods.",
            metavar="NAME...",
        ),
    ],
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Print the BibTeX entries of the sources of methods, metrics, attacks, and of unweave."""
    with reported(debug):
        from unweave.study import bibtex

        print(bibtex(names, plugins=plugin or []), end="")
