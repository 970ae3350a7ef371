"""A content-addressed store of models and outputs: an object is either whole or not there.

An object is a safetensors file and a sidecar `<key>.json` with the fields the key was made of and
the SHA-256 of the file. The order of writing is tmp → fsync → rename → fsync(folder), the sidecar
last: what has a sidecar is complete. Every read hashes the bytes and compares; nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import CorruptObjectError, StoreError

Arrays = dict[str, NDArray[Any]]
Fields = dict[str, Any]


class Entry(NamedTuple):
    """An object to be written: the fields that make its key, its arrays, and notes beside them."""

    fields: Fields
    arrays: Arrays
    notes: Fields


def key_of(fields: Fields) -> str:
    """The key of an object: SHA-256 of its fields as canonical JSON.

    Example:
        >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
        True
    """
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """A folder of objects. Several processes may use it at once: equal keys hold equal content."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_writable(self) -> None:
        """Find out before any training whether the store can be written.

        Raises:
            StoreError: with the folder and the system's reason.
        """
        probe = self.root / "objects" / f".probe-{uuid.uuid4().hex}.tmp"
        try:
            _make_folder(probe.parent)
            _write_durably(probe, b"")  # the way objects are written: a rename may be refused as well
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"Cannot write to the store {self.root}: {error.strerror}. "
                "Choose another folder with --store, or give yourself the permission."
            ) from None

    def _paths(self, key: str) -> tuple[Path, Path]:
        folder = self.root / "objects" / key[:2]
        return folder / f"{key}.safetensors", folder / f"{key}.json"

    def has(self, key: str) -> bool:
        """Whether an object is complete (its bytes are verified when it is read)."""
        return self._paths(key)[1].exists()

    def write(self, entries: Sequence[Entry]) -> list[str]:
        """Write objects and return their keys; what is there already is left alone."""
        keys = [key_of(entry.fields) for entry in entries]
        try:
            for key, entry in zip(keys, entries, strict=True):
                if not self.has(key):
                    self._write_one(key, entry)
        except OSError as error:
            raise StoreError(
                f"Cannot write to the store {self.root}: {error.strerror}. What was complete is kept; "
                "make room or choose another folder with --store, and run again to go on."
            ) from error
        return keys

    def _write_one(self, key: str, entry: Entry) -> None:
        from safetensors.numpy import save

        content = save({name: np.asarray(value, order="C") for name, value in entry.arrays.items()})
        sidecar = {
            "key": key,
            "sha256": _digest(content, entry.notes),
            "bytes": len(content),
            "fields": entry.fields,
            "notes": entry.notes,
        }
        object_path, sidecar_path = self._paths(key)
        _make_folder(object_path.parent)
        _write_durably(object_path, content)
        _write_durably(sidecar_path, _sidecar_text(sidecar))

    def read(self, key: str) -> tuple[Arrays, Fields]:
        """The arrays and notes of an object, verified against the digest and the key.

        Raises:
            CorruptObjectError: if a byte differs from what was written, or the object is another's.
            StoreError: if it is not there.
        """
        from safetensors.numpy import load

        object_path, sidecar_path = self._paths(key)
        try:
            text = sidecar_path.read_bytes()
            try:
                content = object_path.read_bytes()
            except FileNotFoundError:  # the sidecar says that there was one: lost, to be made anew
                content = b""
        except OSError as error:
            raise StoreError(f"Cannot read object {key} of the store {self.root}: {error.strerror}.") from None
        try:
            sidecar = json.loads(text)
            notes = sidecar["notes"]
            whole = sidecar["sha256"] == _digest(content, notes) and sidecar["bytes"] == len(content)
            own = sidecar["key"] == key == key_of(sidecar["fields"]) and _sidecar_text(sidecar) == text
        except (ValueError, KeyError, TypeError, RecursionError):
            whole, own, notes = False, False, {}
        if not (whole and own):
            raise CorruptObjectError(
                f"Object {key} of the store {self.root} does not hold what was written to it."
            )
        return load(content), notes

    def set_aside(self, key: str) -> Path:
        """Move a bad object out of the way, so that it can be made anew, and return where it went."""
        object_path, sidecar_path = self._paths(key)
        target = self.root / "quarantine" / f"{key}-{uuid.uuid4().hex[:8]}.safetensors"
        try:
            _make_folder(target.parent)
            # The sidecar first: without it the object no longer counts as complete.
            for source, to in ((sidecar_path, target.with_suffix(".json")), (object_path, target)):
                with suppress(FileNotFoundError):  # another process may have set it aside as well
                    os.replace(source, to)
        except OSError as error:
            raise StoreError(
                f"Cannot set aside the bad object {key} of the store {self.root}: {error.strerror}."
            ) from error
        return target


def _sidecar_text(sidecar: Fields) -> bytes:
    return json.dumps(sidecar, sort_keys=True).encode()


def _digest(content: bytes, notes: Fields) -> str:
    return hashlib.sha256(content + json.dumps(notes, sort_keys=True).encode()).hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each durable before anything is written into it."""
    if not folder.is_dir():
        if folder != folder.parent:
            _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
