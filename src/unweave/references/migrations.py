"""Making a store of an older format into one of this: a numbered step per format, nothing trained again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from unweave._durable import write_durably
from unweave._errors import StoreError
from unweave.references.locks import alone
from unweave.references.objects import FORMAT, key_of
from unweave.references.sealed import seal, unseal
from unweave.references.store import Store


def migrate(store: Store) -> list[str]:
    """Bring a store to this format, step by step; returns the keys of objects that were found damaged.

    Each file is replaced whole, and the number of the format last: what is interrupted goes on when run again.

    Raises:
        StoreError: for a store of a newer format, or one that cannot be written.
    """
    damaged: list[str] = []
    if store.format() > FORMAT:
        store.check_format()
    try:
        with alone(store.root):
            for number in range(store.format(), FORMAT):
                damaged += _STEPS[number](store)
                write_durably(store.root / "format", b"%d\n" % (number + 1))
    except OSError as error:
        raise StoreError(
            f"Cannot write to the store {store.root}: {error.strerror}. Run the same command again to go on."
        ) from error
    return damaged


def _seal_everything(store: Store) -> list[str]:
    """1 → 2: sidecars and records of data carry a digest of their own, and the arrays one of theirs alone."""
    damaged: list[str] = []
    for key in list(store.keys()):
        path, sidecar = store.paths(key)
        text = sidecar.read_bytes()
        if _is_sealed(text):  # by a migration that was interrupted
            continue
        content = path.read_bytes() if path.exists() else b""
        made = _sidecar_of_first_format(key, text, content)
        if made is None:
            damaged.append(key)
            store.move_aside(key)
        else:
            write_durably(sidecar, seal(made))
    for file in sorted((store.root / "data").glob("*.json")):
        text = file.read_bytes()
        if not _is_sealed(text):
            try:
                write_durably(file, seal(json.loads(text)))
            except ValueError:  # damaged: then there is nothing to hold data against
                file.unlink()
    return damaged


def _sidecar_of_first_format(key: str, text: bytes, content: bytes) -> dict[str, Any] | None:
    """The new sidecar of an object of the first format, or None if a byte of it is not as it was written."""
    try:
        old = json.loads(text)
        notes = json.dumps(old["notes"], sort_keys=True).encode()
        whole = old["sha256"] == hashlib.sha256(content + notes).hexdigest() and old["bytes"] == len(content)
        own = old["key"] == key == key_of(old["fields"]) and json.dumps(old, sort_keys=True).encode() == text
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (whole and own):
        return None
    rest = {name: old[name] for name in ("key", "bytes", "fields", "notes")}
    return {"format": 2, "content": hashlib.sha256(content).hexdigest(), **rest}


def _is_sealed(text: bytes) -> bool:
    with suppress(ValueError):
        unseal(text)
        return True
    return False


Step = Callable[[Store], list[str]]
"""What makes a store of one format into one of the next; returns the keys of damaged objects."""

_STEPS: dict[int, Step] = {1: _seal_everything}
