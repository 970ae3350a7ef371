"""The digest of the code that turns outputs into results: a stored analysis is of this code or not used."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# Everything between the outputs and the record. What makes the outputs has versions of its own.
_ROOMS = (
    "metrics",
    "stats",
    "study",
    "records",
    "report/words.py",
    "problem/probes.py",
    "_types.py",
    "_random.py",
)


@cache
def analysis_code() -> str:
    """SHA-256 over the sources of all rooms that measure, test and put into words."""
    root = Path(__file__).parent.parent
    sources = [file for room in _ROOMS for file in sorted([root / room, *(root / room).rglob("*.py")])]
    digest = hashlib.sha256()
    for file in sources:
        if file.is_file():
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
