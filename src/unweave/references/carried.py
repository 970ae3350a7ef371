"""A task away from the store: the objects that were sent along, and those that it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unweave._errors import StoreError
from unweave.references.objects import Arrays, Entry, Fields, Packed, key_of, pack, unpack


class Carried:
    """Objects in memory, with the interface of a store; what is written goes back to whoever has the store.

    Args:
        given: Objects that the task may read, by key.
        made: Takes each object that the task writes.
    """

    def __init__(self, given: Mapping[str, Packed], made: list[Packed]) -> None:
        self._objects = dict(given)
        self._made = made

    def has(self, key: str) -> bool:
        """Whether an object was sent along or made here."""
        return key in self._objects

    def read(self, key: str) -> tuple[Arrays, Fields]:
        """Its arrays and notes, verified.

        Raises:
            CorruptObjectError: if a byte differs from what was written.
            StoreError: if it was not sent along.
        """
        if key not in self._objects:
            raise StoreError(f"Object {key} was not sent along with the task.")
        return unpack(self._objects[key])

    def write(self, entries: Sequence[Entry]) -> list[str]:
        """Keep objects, to be sent back, and return their keys; what is there already is left alone."""
        for entry in entries:
            if not self.has(key_of(entry.fields)):
                packed = pack(entry)
                self._objects[packed.key] = packed
                self._made.append(packed)
        return [key_of(entry.fields) for entry in entries]

    def set_aside(self, key: str) -> None:
        """Forget a bad object, so that it is made anew; the store sets its own aside when the new one comes."""
        self._objects.pop(key, None)
