"""An index of a store: what there is and when it was last used, without reading every sidecar.

It is an SQLite file beside the objects and made from them alone: what is damaged or lost is made anew. No verdict
and no decision what to remove is ever read from it, but for when an object was last used.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from unweave._errors import CorruptObjectError, StoreError
from unweave.references.objects import Fields, key_of, read_sidecar
from unweave.references.store import Store

Answer = TypeVar("Answer")

NAME = "index.sqlite"
_WAIT = 30.0  # seconds that a writer waits for another


class StoredObject(NamedTuple):
    """An object in the index.

    Attributes:
        key: Its key.
        kind: What it is: `model`, `outputs`, `method outputs`, `analysis`, …; `damaged` if its sidecar is.
        bytes: Size of both files.
        content: SHA-256 of its arrays.
        data: Fingerprint of the data, or "".
        training_ids: Digest of the training set, or "".
        same: Digest of the fields of a model without versions of code: what would have been the same model.
        versions: Versions of code that it is of, in words.
        used: When a run last read or wrote it, in seconds since 1970; 0 if no run said so.
    """

    key: str
    kind: str
    bytes: int
    content: str
    data: str
    training_ids: str
    same: str
    versions: str
    used: float


_MIGRATIONS = (
    """CREATE TABLE objects (
        key TEXT PRIMARY KEY, kind TEXT NOT NULL, bytes INTEGER NOT NULL, content TEXT NOT NULL,
        data TEXT NOT NULL, training_ids TEXT NOT NULL, same TEXT NOT NULL, versions TEXT NOT NULL,
        used REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX objects_same ON objects (same)",
)
"""Statement n brings an index from version n to n + 1 (`PRAGMA user_version`)."""

_INSERT = f"INSERT OR REPLACE INTO objects VALUES ({','.join('?' * len(StoredObject._fields))})"
_READ_ONLY = ("readonly", "unable to open")
_BUSY = ("locked", "full")
_VERSIONS = ("training_version", "torch", "scikit-learn", "device")


def stored_objects(store: Store) -> list[StoredObject]:
    """All objects, sorted by key; the index is brought up to date first."""
    return _ask(store, _all_rows)


def touch(store: Store, keys: Collection[str], *, now: float | None = None) -> None:
    """Note that these objects are in use."""
    when = time.time() if now is None else now

    def note(index: sqlite3.Connection) -> None:
        with index:
            index.executemany("UPDATE objects SET used = ? WHERE key = ?", [(when, key) for key in keys])

    _ask(store, note)


def same_but_other(store: Store, fields: Iterable[Fields]) -> dict[str, int]:
    """How many of these models are there, but of other versions of code: number by versions, in words."""
    wanted = {_same(one): _versions(one) for one in fields}

    def look(index: sqlite3.Connection) -> dict[str, int]:
        found: Counter[str] = Counter()
        for same, own in wanted.items():
            asked = index.execute("SELECT DISTINCT versions FROM objects WHERE same = ?", [same])
            found.update(versions for (versions,) in asked if versions != own)
        return dict(found)

    return _ask(store, look)


def rebuild(store: Store) -> bool:
    """Make the index anew from the objects; returns whether it was as it should be.

    When objects were last used is kept where it can still be read. To be called while nobody else uses the store.
    """
    before: list[StoredObject] = []
    sound = True
    if (store.root / NAME).exists():
        try:
            with _connection(store.root / NAME) as index:
                before = _all_rows(index)
        except sqlite3.Error:
            sound = False
    remove(store.root)
    used = {row.key: row.used for row in before}
    now = [row for key in store.keys() if (row := _row(store, key)) is not None]  # noqa: SIM118
    kept = {row.key: row._replace(used=used.get(row.key, 0.0)) for row in now}

    def fill(index: sqlite3.Connection) -> None:
        with index:
            index.executemany(_INSERT, kept.values())

    _ask(store, fill, refresh=False)
    # What was written or removed since the index was last asked for is no damage.
    return sound and all(kept.get(row.key, row) == row for row in before)


def remove(root: Path) -> None:
    """Remove the index, with all that SQLite keeps of rows that were deleted."""
    for name in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
        (root / name).unlink(missing_ok=True)


def _ask(store: Store, question: Callable[[sqlite3.Connection], Answer], *, refresh: bool = True) -> Answer:
    """Ask the index, brought up to date; a damaged one is made anew, a read-only store has one in memory."""
    place: Path | str = store.root / NAME
    said = ""
    for _ in range(3):
        try:
            with _connection(place) as index:
                if refresh:
                    _refresh(store, index)
                return question(index)
        except sqlite3.DatabaseError as error:
            said = str(error)
            if any(one in said for one in _READ_ONLY):
                place = ":memory:"
            elif any(one in said for one in _BUSY):
                break
            else:  # not a database any more
                remove(store.root)
    raise StoreError(f"Cannot use the index {store.root / NAME}: {said}.")


def _all_rows(index: sqlite3.Connection) -> list[StoredObject]:
    return [StoredObject(*row) for row in index.execute("SELECT * FROM objects ORDER BY key")]


@contextmanager
def _connection(path: Path | str) -> Generator[sqlite3.Connection]:
    index = sqlite3.connect(path, timeout=_WAIT)
    try:
        if path != ":memory:":
            index.execute("PRAGMA journal_mode = WAL")
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):  # of a newer unweave: it is only an index
            raise sqlite3.DatabaseError("of another version")
        if version < len(_MIGRATIONS):
            _migrate(index)
        yield index
    finally:
        index.close()


def _migrate(index: sqlite3.Connection) -> None:
    index.execute("BEGIN IMMEDIATE")  # two processes may find it old at once
    (version,) = index.execute("PRAGMA user_version").fetchone()
    for number, statement in enumerate(_MIGRATIONS[version:], start=version + 1):
        index.execute(statement)
        index.execute(f"PRAGMA user_version = {number}")
    index.commit()


def _refresh(store: Store, index: sqlite3.Connection) -> None:
    there = set(store.keys())
    known = {key for (key,) in index.execute("SELECT key FROM objects")}
    if there == known:
        return
    new = [row for key in sorted(there - known) if (row := _row(store, key)) is not None]
    with index:
        index.executemany("DELETE FROM objects WHERE key = ?", [(key,) for key in known - there])
        index.executemany(_INSERT, new)


def _row(store: Store, key: str) -> StoredObject | None:
    """What the sidecar of an object says, or None if it is gone."""
    content, path = store.paths(key)
    try:
        text = path.read_bytes()
        size = len(text) + content.stat().st_size
    except OSError:
        return None
    try:
        sidecar = read_sidecar(key, text)
    except CorruptObjectError:
        return StoredObject(key, "damaged", size, "", "", "", "", "", 0.0)
    fields: Fields = sidecar["fields"]
    about: Fields = {**fields, **sidecar["notes"]}
    data, training_ids = (str(about.get(name, "")) for name in ("data", "training_ids"))
    versions = _versions({**about, **about.get("versions", {})})
    kind = str(fields.get("kind", ""))
    return StoredObject(key, kind, size, sidecar["content"], data, training_ids, _same(fields), versions, 0.0)


def _same(fields: Fields) -> str:
    return key_of({name: value for name, value in fields.items() if name not in _VERSIONS})


def _versions(fields: Fields) -> str:
    return ", ".join(f"{name} {fields[name]}" for name in _VERSIONS if name in fields)
