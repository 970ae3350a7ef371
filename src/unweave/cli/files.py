"""Writing the files that options such as `--json` ask for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from unweave._errors import UserError
from unweave.records import write_atomically

_BEGIN = 1 << 14
_MARKS = (b'http-equiv="Content-Security-Policy"', b'<meta name="referrer" content="no-referrer">')


def write_json(path: Path | None, value: Any) -> None:
    """Write a value as JSON, or nothing if no path was given.

    Raises:
        UserError: if the file cannot be written.
    """
    if path is not None:
        write_file(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_file(path: Path, text: str) -> None:
    """Write a text file: whole or not at all, or straight into what is no plain file (`/dev/stdout`, a pipe).

    JSON replaces JSON and a page another page of unweave, and neither anything else: a model, data, a spec.

    Raises:
        UserError: if it cannot be written.
    """
    if is_stdout(path):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))  # whatever a terminal takes: it is the same as in a file
        sys.stdout.buffer.flush()
        return
    try:
        _check_replaced(path, "page" if text[:1] == "<" else "JSON" if text[:1] in ("{", "[") else None)
        if _is_special(path):  # renaming onto it would replace the device or the link itself
            path.write_text(text, encoding="utf-8")
        else:
            write_atomically(path, text)
    except OSError as error:
        raise _cannot(path, error) from None


def check_file(path: Path | None) -> None:
    """Find out before any work whether a file of JSON can be written, if one is asked for.

    Raises:
        UserError: with the system's reason, or where something else than JSON would be lost.
    """
    if path is None or is_stdout(path):
        return
    try:
        _check_replaced(path, "JSON")
        if not _is_special(path):
            probe = path.parent / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        elif path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(None, "no permission")
    except OSError as error:
        raise _cannot(path, error) from None


def is_stdout(path: Path | None) -> bool:
    """Whether a file is the standard output, `-`, which then holds nothing else."""
    return str(path) == "-"


def _check_replaced(path: Path, kind: str | None) -> None:
    if kind is None or not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        begin = file.read(_BEGIN).lstrip()
    same = _is_page(begin) if kind == "page" else begin[:1] in (b"{", b"[") and _is_json(path)
    if not same:
        raise UserError(
            f"{path} exists and holds no {kind} of unweave: it would be lost, so nothing was written. Name "
            "another file."
        )


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True


def _is_page(begin: bytes) -> bool:
    # Pages of all versions begin with what keeps them from making requests.
    return begin[:15].lower() == b"<!doctype html>" and all(one in begin for one in _MARKS)


def _is_special(path: Path) -> bool:
    if path.is_dir():
        raise IsADirectoryError(None, "it is a folder; name a file")
    return path.is_symlink() or (path.exists() and not path.is_file())


def _cannot(path: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write {path}: {error.strerror or error}.")
