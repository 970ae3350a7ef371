"""`unweave list`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from unweave._errors import UnknownNameError
from unweave.cli.files import write_json

Listing = list[dict[str, Any]]


def run_list(what: str, *, json: Path | None) -> None:
    """List one kind of thing."""
    if what not in _LISTINGS:
        raise UnknownNameError("kind of thing to list", what, _LISTINGS)
    entries = _LISTINGS[what]()
    console = Console()
    for entry in entries:
        console.print(Text.assemble((entry["name"], "bold"), f"  {entry['what']}"))
        for key, value in entry.items():
            if key not in ("name", "what") and value:
                console.print(Padding(f"{key}: {_cell(value)}", (0, 0, 0, 4)), highlight=False)
    write_json(json, entries)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {one:.4g}" if isinstance(one, float) else f"{key} {one}" for key, one in value.items()
        )
    return ", ".join(value) if isinstance(value, list) else str(value)


def _methods() -> Listing:
    from unweave.methods import METHODS

    return [
        {
            "name": entry.name,
            "family": entry.declared.family,
            "what": entry.summary,
            "authors' aim": entry.declared.authors_aim or "–",
            "needs": sorted(entry.declared.needs),
            "defaults": entry.defaults(),
            "source": f"{entry.declared.cite or '–'}; {entry.declared.equation}",
        }
        for entry in METHODS
    ]


def _behaviours() -> Listing:
    from unweave.problem import BEHAVIOURS

    return [
        {
            "name": entry.name,
            "what": entry.summary,
            "regularity": entry.declared.regularity,
            "parameters": entry.defaults(),
            "source": entry.declared.cite,
        }
        for entry in BEHAVIOURS
    ]


def _learners() -> Listing:
    from unweave.learners import LEARNERS

    return [
        {
            "name": entry.name,
            "what": entry.summary,
            "parameters": entry.defaults(),
            "recipe": vars(entry.declared.recipe),
            "takes": entry.declared.takes,
        }
        for entry in LEARNERS
    ]


def _data() -> Listing:
    from unweave.data import SOURCES

    return [
        {
            "name": entry.name,
            "what": entry.summary,
            "shape": entry.declared.shape,
            "source": entry.declared.cite,
        }
        for entry in SOURCES
    ]


_LISTINGS: dict[str, Callable[[], Listing]] = {
    "methods": _methods,
    "behaviours": _behaviours,
    "learners": _learners,
    "data": _data,
}
