"""Records as files: every kind is written, read back and described (JSON Schema) by the same few functions."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from unweave._durable import write_durably
from unweave._errors import UserError
from unweave.records.audit import AUDIT_SCHEMA, Audit
from unweave.records.diagnosis import DIAGNOSIS_SCHEMA, Diagnosis
from unweave.records.discovery import DISCOVERY_SCHEMA, Discovery
from unweave.records.erasure import ERASURE_SCHEMA, Erasure
from unweave.records.schema import SCHEMA, CaseResult, Result
from unweave.records.sweep import SWEEP_SCHEMA, SweepResult

Record = Result | SweepResult | Discovery | Audit | Diagnosis | Erasure
R = TypeVar("R", bound=Record)


class Kind(NamedTuple):
    """A kind of record: which command writes it, the name and version of its schema, and its file."""

    command: str
    schema: str
    file: str


KINDS: dict[type[Record], Kind] = {
    Result: Kind("compare", SCHEMA, "result.json"),
    SweepResult: Kind("sweep", SWEEP_SCHEMA, "sweep.json"),
    Discovery: Kind("discover", DISCOVERY_SCHEMA, "discovery.json"),
    Audit: Kind("audit", AUDIT_SCHEMA, "audit.json"),
    Diagnosis: Kind("diagnose", DIAGNOSIS_SCHEMA, "diagnosis.json"),
    Erasure: Kind("erase", ERASURE_SCHEMA, "record.json"),
}
"""All kinds of records."""


@cache
def _adapter(kind: type) -> Any:  # beartype does not know the type of an adapter
    return TypeAdapter(kind)


def case_result_to_json(case: CaseResult) -> dict[str, Any]:
    """One case as JSON, the way workers and the store hold it."""
    return _adapter(CaseResult).dump_python(case, mode="json")


def case_result_from_json(tree: dict[str, Any]) -> CaseResult:
    """The inverse of `case_result_to_json`."""
    return _adapter(CaseResult).validate_python(tree)


def to_json(record: Record) -> str:
    """Serialise a record; numbers are finite by construction, so the text is strict JSON."""
    tree = _adapter(type(record)).dump_python(record, mode="json")
    return json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(kind: type[R], text: str, *, where: str | None = None) -> R:
    """Read a record of a kind back.

    Args:
        kind: Its class.
        text: What `to_json` wrote.
        where: What to call it in messages, such as its file.

    Raises:
        UserError: if the text is no JSON, of another schema, or does not fit this one.
    """
    known = KINDS[kind]
    where = where or f"the {known.file}"
    tree = _tree(text, where, f"a `{known.file}`")
    found = tree.get("schema") if isinstance(tree, dict) else None
    if found != known.schema:
        raise UserError(f"{where} has schema {found!r}; this version of unweave reads {known.schema!r}.")
    try:
        return _adapter(kind).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{where} does not fit schema {known.schema} at `{place}`: {first['msg']}. Was it edited by hand?"
        ) from None


def read_record(kind: type[R], path: Path) -> R:
    """Read a record of a kind, given as its file or as the folder that holds it.

    Raises:
        UserError: if it cannot be read, or is no such record.
    """
    file = path / KINDS[kind].file if path.is_dir() else path
    return from_json(kind, _text(file), where=str(file))


DRAWN = {kind: known for kind, known in KINDS.items() if kind is not Erasure}
"""Those that have a page: what `erase` did is told at once, and beside the model."""


def read_any(path: Path) -> Record:
    """Read a record that has a page, given as its file or as the folder that holds it.

    Returns:
        What its field `schema` says it is.

    Raises:
        UserError: if it cannot be read, is of another schema, does not fit its own, or a folder holds several.
    """
    file = _in_folder(path) if path.is_dir() else path
    text = _text(file)
    tree = _tree(text, str(file), f"one of {', '.join(one.file for one in DRAWN.values())}")
    found = tree.get("schema") if isinstance(tree, dict) else None
    if found == ERASURE_SCHEMA:
        raise UserError(
            f"{file} is the record of an erasure, which has no page: what was done is told by `erase` itself, and "
            "what can be seen of it by `unweave audit`."
        )
    kind = next((kind for kind, known in DRAWN.items() if known.schema == found), None)
    if kind is None:
        known = ", ".join(one.schema for one in DRAWN.values())
        raise UserError(f"{file} has schema {found!r}; this version of unweave reads {known}.")
    return from_json(kind, text, where=str(file))


def json_schema(kind: type[Record] = Result) -> dict[str, Any]:
    """The JSON Schema of a kind of record."""
    name = KINDS[kind].schema
    schema = _adapter(kind).json_schema(mode="serialization")
    schema["properties"]["schema"]["const"] = name
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name, **schema}


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    write_durably(path, text.encode())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read a result from {file}: {error}.") from None


def _tree(text: str, where: str, expected: str) -> Any:
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}). Expected {expected}, as unweave writes it.") from None


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is not a number JSON may hold")
    return value


def _in_folder(folder: Path) -> Path:
    files = [known.file for known in DRAWN.values()]
    there = [name for name in files if (folder / name).exists()]
    if len(there) > 1:
        raise UserError(f"{folder} holds {' and '.join(there)}; name the file that is to be drawn.")
    own = KINDS[Erasure].file
    if not there and not (folder / own).exists():
        raise UserError(
            f"{folder} holds no result: none of {', '.join(files)}. Name a folder that a run wrote to."
        )
    return folder / (there[0] if there else own)
