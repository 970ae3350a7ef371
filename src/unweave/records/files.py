"""`result.json`: writing, reading, and the exported JSON Schema."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from unweave._durable import write_durably
from unweave._errors import UserError
from unweave.records.schema import SCHEMA, CaseResult, Result


@cache
def _adapter() -> Any:  # beartype does not know the type of an adapter
    return TypeAdapter(Result)


@cache
def _case_adapter() -> Any:
    return TypeAdapter(CaseResult)


def case_result_to_json(case: CaseResult) -> dict[str, Any]:
    """One case as JSON, the way workers and the store hold it."""
    return _case_adapter().dump_python(case, mode="json")


def case_result_from_json(tree: dict[str, Any]) -> CaseResult:
    """The inverse of `case_result_to_json`."""
    return _case_adapter().validate_python(tree)


def result_to_json(result: Result) -> str:
    """Serialise a result; numbers are finite by construction, so the text is strict JSON."""
    tree = _adapter().dump_python(result, mode="json")
    return json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def result_from_json(text: str, *, where: str = "the result") -> Result:
    """Read a result back.

    Raises:
        UserError: if the text is no JSON, of another schema, or does not fit this one.
    """
    try:
        tree: Any = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}). Expected a `result.json` written by unweave.") from None
    found = tree.get("schema") if isinstance(tree, dict) else None
    if found != SCHEMA:
        raise UserError(f"{where} has schema {found!r}; this version of unweave reads {SCHEMA!r}.")
    try:
        return _adapter().validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{where} does not fit schema {SCHEMA} at `{place}`: {first['msg']}. Was it edited by hand?"
        ) from None


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is not a number JSON may hold")
    return value


def read_result(path: Path) -> Result:
    """Read `result.json`, given as the file or as the folder that holds it."""
    file = path / "result.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read a result from {file}: {error}.") from None
    return result_from_json(text, where=str(file))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `result.json`."""
    schema = _adapter().json_schema(mode="serialization")
    schema["properties"]["schema"]["const"] = SCHEMA
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **schema}


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    write_durably(path, text.encode())
