"""Writing the JSON that `--json` asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unweave._errors import UserError
from unweave.records import write_atomically


def write_json(path: Path | None, value: Any) -> None:
    """Write a value as JSON, or nothing if no path was given.

    Raises:
        UserError: if the file cannot be written.
    """
    if path is None:
        return
    try:
        write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from None
