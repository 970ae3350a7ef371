"""Writing the files that options such as `--json` ask for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from unweave._errors import UserError
from unweave.records import write_atomically


def write_json(path: Path | None, value: Any) -> None:
    """Write a value as JSON, or nothing if no path was given.

    Raises:
        UserError: if the file cannot be written.
    """
    if path is not None:
        write_file(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_file(path: Path, text: str) -> None:
    """Write a text file: whole or not at all, or straight into what is no plain file (`/dev/stdout`, a pipe).

    Raises:
        UserError: if it cannot be written.
    """
    if str(path) == "-":
        sys.stdout.write(text)
        return
    try:
        if _is_special(path):  # renaming onto it would replace the device or the link itself
            path.write_text(text, encoding="utf-8")
        else:
            write_atomically(path, text)
    except OSError as error:
        raise _cannot(path, error) from None


def check_file(path: Path) -> None:
    """Find out before any work whether a file can be written.

    Raises:
        UserError: with the system's reason.
    """
    if str(path) == "-":
        return
    try:
        if not _is_special(path):
            probe = path.parent / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        elif path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(None, "no permission")
    except OSError as error:
        raise _cannot(path, error) from None


def _is_special(path: Path) -> bool:
    if path.is_dir():
        raise IsADirectoryError(None, "it is a folder; name a file")
    return path.is_symlink() or (path.exists() and not path.is_file())


def _cannot(path: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write {path}: {error.strerror or error}.")
