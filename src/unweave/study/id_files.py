"""What a spec keeps in files of their own: ids, one a line, and data."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unweave._errors import SpecError
from unweave.records.table import plain_id

_TABLES = (("behaviour", "ids"), ("forget", "ids"), ("data", "without"))
_ID = re.compile(r"-?\d{1,19}", re.ASCII)
_LARGEST = 2**63 - 1
_FILES = (".csv", ".tsv", ".txt", ".json", ".ids")
"""How names of files end that somebody keeps ids in."""


def read_ids(tree: dict[str, Any], folder: Path) -> None:
    """Put the ids themselves in place of the name of a file, so that a case never depends on a file.

    A file has one id a line, or is CSV with a column `id`, which its first line names.

    Args:
        tree: A case as nested dictionaries; `behaviour.ids`, `forget.ids` and `data.without` are replaced where
            they are text.
        folder: What the names are relative to.

    Raises:
        SpecError: for a file that cannot be read.
    """
    for table, key in _TABLES:
        place = tree.get(table)
        if isinstance(place, dict) and isinstance(place.get(key), str):
            place[key] = _read(place[key], folder, f"{table}.{key}")


def place_paths(tree: dict[str, Any], folder: Path) -> None:
    """Make the paths of data, of a learner's factory and of its checkpoint relative to the working directory.

    Args:
        tree: A case as nested dictionaries; changed in place.
        folder: What its paths are relative to.
    """
    data, learner = tree.get("data"), tree.get("learner")
    if isinstance(data, dict):
        for key in ("path", "test"):
            if isinstance(data.get(key), str) and data[key]:
                data[key] = str(folder / data[key])
        kind, colon, path = str(data.get("source", "")).partition(":")
        if colon:
            data["source"] = f"{kind}:{folder / path}"
    for key in ("factory", "checkpoint"):
        if isinstance(learner, dict) and isinstance(learner.get(key), str):
            learner[key] = str(folder / learner[key])


def paths_from(tree: dict[str, Any], folder: Path) -> None:
    """The inverse of `place_paths`: make paths relative to the working directory relative to a folder.

    Args:
        tree: A case as nested dictionaries; changed in place.
        folder: Where the spec is to stand; it need not exist yet.
    """
    data, learner = tree.get("data", {}), tree.get("learner", {})
    for place, keys in ((data, ("path", "test")), (learner, ("factory", "checkpoint"))):
        for key in keys:
            if isinstance(place.get(key), str):
                place[key] = _from(place[key], folder)
    kind, colon, path = str(data.get("source", "")).partition(":")
    if colon:
        data["source"] = f"{kind}:{_from(path, folder)}"


def _from(name: str, folder: Path) -> str:
    path = Path(name)
    # Links on the way are followed first, since `..` is the folder above where a link leads.
    return os.path.relpath(path.parent.resolve() / path.name, folder.resolve())


def ids_of_option(text: str, option: str = "--forget-ids") -> list[int | str]:
    """Ids as an option of a command gives them: a file of one id a line, or a list separated by commas.

    Raises:
        SpecError: if there are none, or for the name of a file that is not there.

    Example:
        >>> ids_of_option("17, b3")
        [17, 'b3']
    """
    there = os.path.isfile(text)
    if not there and text.strip().lower().endswith(_FILES):
        raise SpecError(f"{option} {text!r}: no such file. If it is an id, name it in a file of one id a line.")
    found = _read(text, Path(), option) if there else as_ids(text.split(","))
    if not found:
        raise SpecError(f"{option} {text!r} holds no id; expected a file of one id a line, or ids and commas.")
    return found


def _read(name: str, folder: Path, key: str) -> list[int | str]:
    # Not every text is a name: [1, 2 without its bracket arrives here as well.
    shown = repr(name) if len(name) <= 60 else repr(name)[:60] + "…"
    wanted = (
        f"`{key}` is {shown}; expected a list of ids, such as [1, 2, 3], or a file of one id a line, or CSV with "
        "a column id"
    )
    try:
        text = (folder / name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"{wanted} ({error.strerror}).") from None
    except ValueError:  # no name at all, or no text in it
        raise SpecError(f"{wanted} (this is no text file).") from None
    return as_ids(_cells(text, f"`{key}` {shown}"))


def _cells(text: str, named: str) -> list[str]:
    """One id a line, or the column `id` of a table whose first line names it; no id is passed over."""
    lines = text.split("\n")
    head = [cell.strip().lower() for cell in next(csv.reader(lines[:1]), [])]
    if "id" not in head:
        return lines
    where = head.index("id")
    rows = csv.reader(io.StringIO(text, newline=""))
    found: list[str] = []
    for row in list(rows)[1:]:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= where or not row[where].strip():
            raise SpecError(
                f"{named} has a column id, and the row {','.join(row)[:60]!r} has no id in it. Add it, or take "
                "the row out."
            )
        found.append(plain_id(row[where].strip()))
    return found


def as_ids(texts: Iterable[str]) -> list[int | str]:
    """Ids as texts: whole numbers as numbers, all else as it stands.

    Example:
        >>> as_ids(["17", "007", "b3"])
        [17, '007', 'b3']
    """
    # 007 is no number: read as one it would come back as another id.
    told = [text.strip() for text in texts if text.strip()]
    return [int(one) if _is_number(one) else one for one in told]


def _is_number(text: str) -> bool:
    return bool(_ID.fullmatch(text)) and str(int(text)) == text and abs(int(text)) <= _LARGEST
