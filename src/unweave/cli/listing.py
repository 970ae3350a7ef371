"""`unweave list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unweave.cli.options import Debug, Json, Plugin, reported

_SEVERAL = (
    "\nNames of several: `ssd then finetune` in a row; `noop / finetune / scrub by confidence` for parts of S; "
    "`expand(scrub)` on S and what is found of the rest of its behaviour."
)


def list_(
    what: Annotated[
        str, typer.Argument(help="methods, scores, metrics, attacks, behaviours, corpora, learners, data.")
    ],
    plugin: Plugin = None,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List methods, scores of RUM, metrics, attacks, behaviours (of corpora), learners or data, with source."""
    with reported(debug):
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        from unweave.cli.files import check_file, is_stdout, write_json
        from unweave.study import catalogue

        check_file(json)
        entries = catalogue(what, plugins=plugin or [])
        if is_stdout(json):
            write_json(json, entries)
            return
        console = Console()
        for entry in entries:
            console.print(Text.assemble((entry["name"], "bold"), f"  {entry['what']}"))
            for key, value in entry.items():
                if key not in ("name", "what") and value:
                    console.print(Padding(Text(f"{key}: {_cell(value)}"), (0, 0, 0, 4)))
        if what == "methods":
            console.print(Text(_SEVERAL))
        write_json(json, entries)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {one:.4g}" if isinstance(one, float) else f"{key} {one}" for key, one in value.items()
        )
    return ", ".join(value) if isinstance(value, list) else str(value)
