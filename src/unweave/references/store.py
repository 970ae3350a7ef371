"""A content-addressed store of models and outputs: an object is either whole or not there.

The order of writing is temporary file → fsync → rename → fsync(folder), the sidecar last: what has a sidecar is
complete. Every read hashes the bytes and compares.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from unweave._durable import make_folder, write_durably
from unweave._errors import CorruptObjectError, FormatError, MissingObjectError, StoreError
from unweave.references.locks import alone, one_writer, shared
from unweave.references.objects import FORMAT, Arrays, Entry, Fields, Packed, check, pack, unpack


class Store:
    """A folder of objects. Several processes may use it at once: equal keys hold equal content."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_writable(self) -> None:
        """Find out before any training whether the store can be written, and is of this format.

        Raises:
            StoreError: with the folder and the system's reason.
        """
        probe = self.root / "objects" / f".probe-{uuid.uuid4().hex}.tmp"
        try:
            make_folder(probe.parent)
            with shared(self.root):  # whoever has the store alone takes temporary files for those of the dead
                try:
                    write_durably(probe, b"")  # the way objects are written: a rename may be refused as well
                finally:
                    probe.unlink(missing_ok=True)
                if not (self.root / "format").exists() and next(self.keys(), None) is None:
                    write_durably(self.root / "format", b"%d\n" % FORMAT)
            self.check_format()
        except OSError as error:
            raise StoreError(
                f"Cannot write to the store {self.root}: {error.strerror}. "
                "Choose another folder with --store, or give yourself the permission."
            ) from None

    def check_format(self) -> None:
        """Refuse a store of another format than this version of unweave reads.

        Raises:
            FormatError: with what to do about it.
        """
        found = self.format()
        if found < FORMAT:
            raise FormatError(
                f"The store {self.root} is of format {found}, and this unweave reads {FORMAT}. Nothing is lost: "
                f"run `unweave store migrate --store {self.root}`, or choose another folder with --store."
            )
        if found > FORMAT:
            raise FormatError(
                f"The store {self.root} is of format {found}, made by a newer unweave; this one reads {FORMAT}. "
                "Use that version, or choose another folder with --store."
            )

    def format(self) -> int:
        """Version of what the store holds; the first had no file that said so."""
        try:
            text = (self.root / "format").read_bytes()
        except FileNotFoundError:
            return 1 if next(self.keys(), None) is not None else FORMAT
        except OSError as error:
            raise StoreError(f"Cannot read the store {self.root}: {error.strerror}.") from None
        if not re.fullmatch(rb"[1-9][0-9]{0,3}", text.strip()):
            raise FormatError(
                f"The file {self.root / 'format'} holds {text[:20]!r}; expected the number of a format, such as "
                f"{FORMAT}. If `unweave store verify` finds nothing else, write that into it."
            )
        return int(text)

    def paths(self, key: str) -> tuple[Path, Path]:
        """The object's two files: arrays and sidecar."""
        folder = self.root / "objects" / key[:2]
        return folder / f"{key}.safetensors", folder / f"{key}.json"

    def keys(self) -> Iterator[str]:
        """Keys of all objects that count as complete, sorted within each folder; nothing is verified.

        Raises:
            StoreError: if a folder cannot be listed: then nobody knows what is there.
        """
        try:
            for folder in sorted(one.path for one in _entries(self.root / "objects") if one.is_dir()):
                names = sorted(one.name for one in _entries(Path(folder)))
                yield from (name.removesuffix(".json") for name in names if _SIDECAR.fullmatch(name))
        except OSError as error:
            raise StoreError(f"Cannot read the store {self.root}: {error.strerror}.") from None

    def has(self, key: str) -> bool:
        """Whether an object is complete (its bytes are verified when it is read)."""
        return self.paths(key)[1].exists()

    def write(self, entries: Sequence[Entry]) -> list[str]:
        """Write objects and return their keys; what is there already is left alone."""
        return self.commit([pack(entry) for entry in entries])

    def commit(self, packed: Sequence[Packed]) -> list[str]:
        """Write objects that were packed elsewhere, each verified; see `write`."""
        for one in packed:
            check(one)
        try:
            for one in packed:
                if not self.has(one.key):
                    with shared(self.root), one_writer(self.root, one.key):
                        self.put(one)
        except OSError as error:
            raise StoreError(
                f"Cannot write to the store {self.root}: {error.strerror}. What was complete is kept; "
                "make room or choose another folder with --store, and run again to go on."
            ) from error
        return [one.key for one in packed]

    def put(self, packed: Packed) -> None:
        """Write an object, unless it is there; for whoever holds the lock of its key, or has the store alone."""
        object_path, sidecar_path = self.paths(packed.key)
        if not sidecar_path.exists():  # nobody came first
            make_folder(object_path.parent)
            write_durably(object_path, packed.content)
            write_durably(sidecar_path, packed.sidecar)

    def read(self, key: str) -> tuple[Arrays, Fields]:
        """The arrays and notes of an object, verified against the digests and the key.

        Raises:
            CorruptObjectError: if a byte differs from what was written, or the object is another's.
            MissingObjectError: if it is not there.
        """
        try:
            return unpack(self.read_packed(key))
        except CorruptObjectError as error:
            raise CorruptObjectError(f"{error} It is in the store {self.root}.") from None

    def read_packed(self, key: str) -> Packed:
        """The two files of an object as they are, not verified.

        Raises:
            MissingObjectError: if it is not there.
            StoreError: if it cannot be read.
        """
        if not self.has(key):
            raise self._missing(key)
        with shared(self.root):
            return self.look(key)

    def look(self, key: str) -> Packed:
        """What `read_packed` returns, for whoever holds a lock already."""
        object_path, sidecar_path = self.paths(key)
        try:
            text = sidecar_path.read_bytes()
            try:
                content = object_path.read_bytes()
            except FileNotFoundError:  # the sidecar says that there was one: lost, to be made anew
                content = b""
        except FileNotFoundError:  # another process took it away a moment ago
            raise self._missing(key) from None
        except OSError as error:
            raise StoreError(f"Cannot read object {key} of the store {self.root}: {error.strerror}.") from None
        return Packed(key, content, text)

    def _missing(self, key: str) -> MissingObjectError:
        return MissingObjectError(f"Cannot read object {key} of the store {self.root}: it is not there.")

    def set_aside(self, key: str) -> Path | None:
        """Move a bad object out of the way, so that it can be made anew, and return where it went.

        Returns:
            None if there is no bad object of that key any more: another process was faster.
        """
        try:
            with alone(self.root):
                if not self.has(key):
                    return None
                try:
                    check(self.look(key))
                    return None
                except CorruptObjectError:
                    return self.move_aside(key)
        except OSError as error:
            raise StoreError(
                f"Cannot set aside the bad object {key} of the store {self.root}: {error.strerror}."
            ) from error

    def move_aside(self, key: str) -> Path:
        """Move an object to the quarantine, whatever it holds, for whoever has the store alone."""
        object_path, sidecar_path = self.paths(key)
        target = self.root / "quarantine" / f"{key}-{uuid.uuid4().hex[:8]}.safetensors"
        make_folder(target.parent)
        # The sidecar first: without it the object no longer counts as complete.
        for source, to in ((sidecar_path, target.with_suffix(".json")), (object_path, target)):
            with suppress(FileNotFoundError):
                os.replace(source, to)
        return target

    def discard(self, key: str) -> None:
        """Remove an object, for whoever has the store alone."""
        content, sidecar = self.paths(key)
        sidecar.unlink(missing_ok=True)  # first: what is interrupted leaves arrays that count for nothing
        content.unlink(missing_ok=True)

    def quarantined(self) -> frozenset[str]:
        """Names of the bad objects that were set aside so far."""
        return frozenset(path.stem for path in (self.root / "quarantine").glob("*.json"))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError):  # not made yet, or removed since it was seen
        yield from os.scandir(folder)


_SIDECAR = re.compile(r"[0-9a-f]{64}\.json")
