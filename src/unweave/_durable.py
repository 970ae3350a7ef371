"""Writing files so that a reader, or the power supply, sees the old content or the new and never a part."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Write a file in the order temporary file → fsync → rename → fsync(folder).

    When it returns the content survives a loss of power; when it raises, or the process is killed, `path` holds
    what it held before. What a killed writer leaves is called `.<name>.<hexadecimal>.tmp`.

    Raises:
        OSError: whatever the system says; the temporary file is gone then, where it can be removed.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each durable before anything is written into it."""
    if not folder.is_dir():
        if folder != folder.parent:
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
