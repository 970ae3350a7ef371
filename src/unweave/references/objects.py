"""What a stored object is: its key, its two files as bytes, and how those are checked when they are read.

An object is a safetensors file, which holds its arrays, and a sidecar of JSON: the fields that its key is made
of, notes, and SHA-256 of both files. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unweave._errors import CorruptObjectError, FormatError
from unweave.references.sealed import seal, unseal

Arrays = dict[str, NDArray[Any]]
Fields = dict[str, Any]

FORMAT = 2
"""Version of what a store holds; `unweave.references.migrations` makes one of an older into this."""


class Entry(NamedTuple):
    """An object to be written: the fields that make its key, its arrays, and notes beside them.

    Two entries of equal fields hold equal arrays. Notes may differ: how long it took, how many at once.
    """

    fields: Fields
    arrays: Arrays
    notes: Fields


class Packed(NamedTuple):
    """An object as the bytes of its two files."""

    key: str
    content: bytes
    sidecar: bytes


@runtime_checkable
class Objects(Protocol):
    """Where models and outputs are kept while a task works: the store itself, or what was sent along."""

    def has(self, key: str) -> bool:
        """Whether an object is there."""
        ...

    def read(self, key: str) -> tuple[Arrays, Fields]:
        """Its arrays and notes, verified."""
        ...

    def write(self, entries: Sequence[Entry]) -> list[str]:
        """Keep objects and return their keys; what is there already is left alone."""
        ...

    def set_aside(self, key: str) -> Path | None:
        """Take a bad object away, so that it can be made anew; returns where it lies now, if anywhere."""
        ...


def key_of(fields: Fields) -> str:
    """The key of an object: SHA-256 of its fields as canonical JSON.

    Example:
        >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
        True
    """
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(entry: Entry) -> Packed:
    """The two files of an object.

    Example:
        >>> packed = pack(Entry({"number": 1}, {"a": np.zeros(2)}, {}))
        >>> unpack(packed)[0]["a"].tolist()
        [0.0, 0.0]
    """
    from safetensors.numpy import save

    content = save({name: np.asarray(value, order="C") for name, value in entry.arrays.items()})
    key = key_of(entry.fields)
    sidecar = {
        "format": FORMAT,
        "key": key,
        "content": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "fields": entry.fields,
        "notes": entry.notes,
    }
    return Packed(key, content, seal(sidecar))


def unpack(packed: Packed) -> tuple[Arrays, Fields]:
    """The arrays and notes of an object, every byte of which was verified.

    Raises:
        CorruptObjectError: if a byte differs from what was written, or the object is another's.
        FormatError: for an object of another format than this version of unweave writes.
    """
    from safetensors.numpy import load

    sidecar = check(packed)
    return load(packed.content), sidecar["notes"]


def check(packed: Packed) -> Fields:
    """The sidecar of an object, after its two files were verified; see `unpack`."""
    sidecar = read_sidecar(packed.key, packed.sidecar)
    whole = len(packed.content) == sidecar["bytes"]
    if not (whole and hashlib.sha256(packed.content).hexdigest() == sidecar["content"]):
        raise _corrupt(packed.key)
    return sidecar


def read_sidecar(key: str, text: bytes) -> Fields:
    """The sidecar of an object, verified against its own digest and the key.

    Raises:
        CorruptObjectError: if a byte differs from what was written, or it belongs to another object.
        FormatError: for an object of another format than this version of unweave writes.
    """
    try:
        sidecar = unseal(text)
        if sidecar["format"] != FORMAT:
            raise FormatError(f"Object {key} is of format {sidecar['format']}; this unweave reads {FORMAT}.")
        whole = sidecar["key"] == key == key_of(sidecar["fields"]) and isinstance(sidecar["bytes"], int)
    except (ValueError, KeyError, TypeError):
        whole, sidecar = False, {}
    if not whole:
        raise _corrupt(key)
    return sidecar


def _corrupt(key: str) -> CorruptObjectError:
    return CorruptObjectError(f"Object {key} does not hold what was written to it.")
