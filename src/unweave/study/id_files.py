"""Ids that a spec keeps in a file of their own, one id a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from unweave._errors import SpecError

_TABLES = ("behaviour", "forget")
_ID = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def read_ids(tree: dict[str, Any], folder: Path) -> None:
    """Put the ids themselves in place of the name of a file, so that a case never depends on a file.

    Args:
        tree: A case as nested dictionaries; `behaviour.ids` and `forget.ids` are replaced where they are text.
        folder: What the names are relative to.

    Raises:
        SpecError: for a file that cannot be read, or a line in it that is no id.
    """
    for table in _TABLES:
        place = tree.get(table)
        if isinstance(place, dict) and isinstance(place.get("ids"), str):
            place["ids"] = _read(place["ids"], folder, f"{table}.ids")


def _read(name: str, folder: Path, key: str) -> list[int]:
    # Not every text is a name: [1, 2 without its bracket arrives here as well.
    shown = repr(name) if len(name) <= 60 else repr(name)[:60] + "…"
    wanted = f"`{key}` is {shown}; expected a list of whole numbers, such as [1, 2, 3], or a file of one id a line"
    try:
        lines = (folder / name).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SpecError(f"{wanted} ({error.strerror}).") from None
    except ValueError:  # no name at all, or no text in it
        raise SpecError(f"{wanted} (this is no text file).") from None
    ids: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not _ID.fullmatch(text):
            raise SpecError(f"`{key}`: line {number} of {name} is {text[:40]!r}; expected one id, a whole number.")
        if text:
            ids.append(int(text))
    return ids
