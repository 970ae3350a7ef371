"""An index of a store: what there is and when it was last used, without reading every sidecar.

It is an SQLite file beside the objects and made from them alone: what is damaged or lost is made anew. No verdict
and no decision what to remove is ever read from it, but for when an object was last used. SQLite does not notice a
flipped bit, so that each row has a digest.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
        used REAL NOT NULL, stamp TEXT NOT NULL, digest TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX objects_same ON objects (same)",
)
"""Statement n brings an index from version n to n + 1 (`PRAGMA user_version`)."""

_INSERT = f"INSERT OR REPLACE INTO objects VALUES ({','.join('?' * (len(StoredObject._fields) + 2))})"
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
_READ_ONLY = ("readonly", "unable to open")
_BUSY = ("locked", "full")
_VERSIONS = ("training_version", "torch", "scikit-learn", "device")


def stored_objects(store: Store) -> list[StoredObject]:
    """All objects, sorted by key; the index is brought up to date first."""
    return _ask(store, _all_rows)


def touch(store: Store, keys: Collection[str], *, now: float | None = None) -> None:
    """Note that these objects are in use."""
    when, wanted = time.time() if now is None else now, frozenset(keys)

    def note(index: sqlite3.Connection) -> None:
        index.execute("BEGIN IMMEDIATE")
        with index:
            touched = [(row._replace(used=when), stamp) for row, stamp in _rows(index) if row.key in wanted]
            index.executemany(_INSERT, [_sealed(*one) for one in touched])

    _ask(store, note)


def same_but_other(store: Store, fields: Iterable[Fields]) -> dict[str, int]:
    """How many of these models are there, but of other versions of code: number by versions, in words."""
    wanted = {_same(one): _versions(one) for one in fields}

    def look(index: sqlite3.Connection) -> dict[str, int]:
        found: Counter[str] = Counter()
        for same, own in wanted.items():
            found.update({row.versions for row, _ in _rows(index, "WHERE same = ?", same)} - {own})
        return dict(found)

    return _ask(store, look)


def rebuild(store: Store) -> bool:
    """Make the index anew from the objects; returns whether it was as it should be.

    When objects were last used is kept where it can still be read. To be called while nobody else uses the store.
    """
    before: list[StoredObject] | None = None
    with suppress(*_DAMAGE), _connection(store.root / NAME) as index:
        _refresh(store, index, {})  # what was written or removed since the index was last asked for is no damage
        before = _all_rows(index)
    used = _last_used(store.root)
    remove(store.root)
    now = _ask(store, _all_rows, used=used)
    if before is None or len(before) != len(now):
        return False
    # What a damaged object was before is no fault of the index, nor that a run has noted a use since.
    same = (old == new._replace(used=old.used) for old, new in zip(before, now, strict=True))
    return all(one or new.kind == "damaged" for one, new in zip(same, now, strict=True))


def _last_used(root: Path) -> dict[str, float]:
    """When objects were last used, as far as a damaged index says so."""
    found: dict[str, float] = {}
    with suppress(*_DAMAGE), closing(sqlite3.connect(root / NAME, timeout=_WAIT)) as index:
        for values in index.execute("SELECT * FROM objects"):
            with suppress(sqlite3.DatabaseError):
                row, _ = _unsealed(values)
                found[row.key] = row.used
    return found


def remove(root: Path) -> None:
    """Remove the index, with all that SQLite keeps of rows that were deleted."""
    for name in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
        try:
            (root / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"Cannot remove the index {root / name}: {error.strerror}.") from None


def _ask(
    store: Store, question: Callable[[sqlite3.Connection], Answer], *, used: dict[str, float] | None = None
) -> Answer:
    """Ask the index, brought up to date; a damaged one is made anew, a read-only store has one in memory."""
    place: Path | str = store.root / NAME
    said, used = "", used or {}
    for _ in range(3):
        try:
            with _connection(place) as index:
                _refresh(store, index, used)
                return question(index)
        except _DAMAGE as error:
            said = str(error)
            if any(one in said for one in _READ_ONLY):
                place = ":memory:"
            elif any(one in said for one in _BUSY):
                break
            else:  # not a database any more, or not this one
                used = _last_used(store.root)
                remove(store.root)
    raise StoreError(f"Cannot use the index {store.root / NAME}: {said}.")


def _all_rows(index: sqlite3.Connection) -> list[StoredObject]:
    return [row for row, _ in _rows(index, "ORDER BY key")]


def _rows(index: sqlite3.Connection, which: str = "", *values: str) -> list[tuple[StoredObject, str]]:
    """Rows, each with the stamp of its sidecar.

    Raises:
        sqlite3.DatabaseError: if one is not as it was written.
    """
    return [_unsealed(row) for row in index.execute(f"SELECT * FROM objects {which}", values)]


def _sealed(row: StoredObject, stamp: str) -> tuple[Any, ...]:
    return *row, stamp, _digest([*row, stamp])


def _unsealed(values: tuple[Any, ...]) -> tuple[StoredObject, str]:
    *row, stamp, digest = values
    if digest != _digest([*row, stamp]):
        raise sqlite3.DatabaseError("a row is not as it was written")
    return StoredObject(*row), stamp


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()


@contextmanager
def _connection(path: Path | str) -> Generator[sqlite3.Connection]:
    index = sqlite3.connect(path, timeout=_WAIT)
    try:
        if path != ":memory:":
            _write_ahead(index)
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):  # of a newer unweave: it is only an index
            raise sqlite3.DatabaseError("of another version")
        if version < len(_MIGRATIONS):
            _migrate(index)
        yield index
    finally:
        index.close()


def _write_ahead(index: sqlite3.Connection) -> None:
    """Let readers and a writer work at once; SQLite does not wait for others who ask for that at the same time."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            index.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _migrate(index: sqlite3.Connection) -> None:
    index.execute("BEGIN IMMEDIATE")  # two processes may find it old at once
    (version,) = index.execute("PRAGMA user_version").fetchone()
    for number, statement in enumerate(_MIGRATIONS[version:], start=version + 1):
        index.execute(statement)
        index.execute(f"PRAGMA user_version = {number}")
    index.commit()


def _refresh(store: Store, index: sqlite3.Connection, used: dict[str, float]) -> None:
    there = {key: stamp for key in store.keys() if (stamp := _stamp(store, key))}  # noqa: SIM118
    known: dict[str, str] = dict(index.execute("SELECT key, stamp FROM objects"))
    if there == known:
        return
    new = [(key, stamp) for key, stamp in sorted(there.items()) if known.get(key) != stamp]
    if again := {key for key, _ in new} & known.keys():  # as in a store that was moved: the same, in other files
        used = {**{row.key: row.used for row, _ in _rows(index) if row.key in again}, **used}
    rows = [(row, stamp) for key, stamp in new if (row := _row(store, key, used.get(key, 0.0))) is not None]
    with index:
        index.executemany("DELETE FROM objects WHERE key = ?", [(key,) for key in known.keys() - there])
        index.executemany(_INSERT, [_sealed(*one) for one in rows])


def _stamp(store: Store, key: str) -> str:
    """What tells the sidecar from one that was written before or after it, or "" if it is gone."""
    try:
        state = store.paths(key)[1].stat()
    except OSError:
        return ""
    return f"{state.st_ino} {state.st_mtime_ns} {state.st_size}"


def _row(store: Store, key: str, used: float) -> StoredObject | None:
    """What the sidecar of an object says, or None if it is gone."""
    try:
        text = store.paths(key)[1].read_bytes()
    except OSError:
        return None
    try:
        sidecar = read_sidecar(key, text)
    except CorruptObjectError:
        return StoredObject(key, "damaged", len(text), "", "", "", "", "", used)
    fields: Fields = sidecar["fields"]
    about: Fields = {**fields, **sidecar["notes"]}
    data, training_ids = (str(about.get(name, "")) for name in ("data", "training_ids"))
    versions = _versions({**about, **about.get("versions", {})})
    kind, size = str(fields.get("kind", "")), len(text) + sidecar["bytes"]
    return StoredObject(key, kind, size, sidecar["content"], data, training_ids, _same(fields), versions, used)


def _same(fields: Fields) -> str:
    return key_of({name: value for name, value in fields.items() if name not in _VERSIONS})


def _versions(fields: Fields) -> str:
    return ", ".join(f"{name} {fields[name]}" for name in _VERSIONS if name in fields)
