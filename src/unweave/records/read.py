"""Any saved record, by its field `schema`: a comparison, a sweep, a discovery, an audit or a diagnosis."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unweave._errors import UserError
from unweave.records.audit import AUDIT_SCHEMA, Audit, audit_from_json
from unweave.records.diagnosis import DIAGNOSIS_SCHEMA, Diagnosis, diagnosis_from_json
from unweave.records.discovery import DISCOVERY_SCHEMA, Discovery, discovery_from_json
from unweave.records.files import result_from_json
from unweave.records.schema import Result
from unweave.records.sweep import SWEEP_SCHEMA, SweepResult, sweep_from_json

Record = Result | SweepResult | Discovery | Audit | Diagnosis

FILES = ("result.json", "sweep.json", "discovery.json", "audit.json", "diagnosis.json")
"""What the commands call them in their folders."""

_READERS: dict[str, Callable[[str], Record]] = {
    DISCOVERY_SCHEMA: discovery_from_json,
    AUDIT_SCHEMA: audit_from_json,
    DIAGNOSIS_SCHEMA: diagnosis_from_json,
}


def read_record(path: Path) -> Record:
    """Read a record, given as its file or as the folder that holds it.

    Args:
        path: A file, or a folder with one of `FILES`.

    Returns:
        What its `schema` says it is.

    Raises:
        UserError: if it cannot be read, is of another schema, does not fit its own, or a folder holds several.
    """
    file = _in_folder(path) if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read a result from {file}: {error}.") from None
    schema = _schema(text)
    if schema == SWEEP_SCHEMA:
        return sweep_from_json(text, where=str(file))
    if schema not in _READERS:
        return result_from_json(text, where=str(file))
    try:
        return _READERS[schema](text)
    except (ValidationError, ValueError) as error:
        raise UserError(f"{file} does not fit schema {schema}: {str(error).splitlines()[0]}.") from None


def _in_folder(folder: Path) -> Path:
    there = [name for name in FILES if (folder / name).exists()]
    if len(there) > 1:
        raise UserError(f"{folder} holds {' and '.join(there)}; name the file that is to be drawn.")
    return folder / (there[0] if there else FILES[0])


def _schema(text: str) -> str:
    """The schema that a text names; "" where it names none, which the reader of a comparison tells of."""
    try:
        tree: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = tree.get("schema") if isinstance(tree, dict) else None
    return found if isinstance(found, str) else ""
