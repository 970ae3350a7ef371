"""Care of a store: is everything in it as it was written, and what may go."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from unweave._errors import CorruptObjectError, MissingObjectError, StoreError
from unweave.references import index
from unweave.references.leases import live_leases
from unweave.references.locks import alone
from unweave.references.objects import Fields, check, key_of, read_sidecar
from unweave.references.sealed import unseal
from unweave.references.store import Store

_REPEATABLE = (
    "model",
    "outputs",
    "opaque outputs",
    "method outputs",
    "subset answers",
    "learning events",
    "proxies",
    "half-split logits",
    "evidence",
    "expansion order",
    "expansion rung",
)

Progress = Callable[[int, int], None]
Stale = Callable[[Fields, Fields], bool]
"""Whether an object of these fields and notes is of no use to this version of the code."""


class Health(NamedTuple):
    """What `verify` found.

    Attributes:
        objects: Number of objects.
        bytes: Their size, sidecars included.
        bad: Key of each object that does not hold what was written, and why.
        bad_files: Other files of the store that do not.
        index_differed: Whether the index had to be made anew.
        left: Files that killed processes left; harmless, `gc` removes them.
        quarantined: Bad objects that runs have set aside.
    """

    objects: int
    bytes: int
    bad: tuple[tuple[str, str], ...]
    bad_files: tuple[str, ...]
    index_differed: bool
    left: int
    quarantined: int

    @property
    def sound(self) -> bool:
        """Whether all is as it was written."""
        return not (self.bad or self.bad_files or self.index_differed)


class Removed(NamedTuple):
    """What `gc` or `purge` removed, or would have.

    Attributes:
        objects: Number of objects by kind.
        bytes: Size of all files.
        files: Number of other files: temporary, quarantined, of runs that are no more.
        leased: Objects that were kept since a run is at work on them.
        kept: Objects that stay.
    """

    objects: dict[str, int]
    bytes: int
    files: int
    leased: int
    kept: int


def verify(store: Store, *, on_progress: Progress | None = None) -> Health:
    """Read every byte of a store and hold it against the digests; nothing is changed but a wrong index.

    Args:
        store: The store; runs may be at work in it.
        on_progress: Called as (objects done, of how many).

    Raises:
        StoreError: if it cannot be read, or is of another format.
    """
    if not store.root.is_dir():
        raise StoreError(f"There is no store {store.root}.")
    store.check_format()
    keys = list(store.keys())
    bad: list[tuple[str, str]] = []
    size = 0
    for number, key in enumerate(keys, start=1):
        try:
            packed = store.read_packed(key)
            size += len(packed.content) + len(packed.sidecar)
            check(packed)
        except CorruptObjectError as error:
            bad.append((key, _why(store, key, str(error))))
        except MissingObjectError:  # removed since it was listed
            continue
        except StoreError as error:
            bad.append((key, str(error)))
        if on_progress is not None:
            on_progress(number, len(keys))
    sound, left = True, 0
    if os.access(store.root, os.W_OK):  # else nobody uses what is wrong in an index
        with alone(store.root):
            sound = index.rebuild(store)
            left = len(list(_left_behind(store)))
    return Health(len(keys), size, tuple(bad), _bad_files(store), not sound, left, len(store.quarantined()))


def _why(store: Store, key: str, said: str) -> str:
    content, sidecar = store.paths(key)
    if not content.exists():
        return f"Object {key} has lost its arrays."
    try:
        kind = read_sidecar(key, sidecar.read_bytes())["fields"].get("kind", "object")
    except (OSError, StoreError):
        return f"{said} Its sidecar is damaged."
    return f"{said} It is a {kind}; its arrays are damaged."


def _bad_files(store: Store) -> tuple[str, ...]:
    found: list[str] = []
    for file in sorted((store.root / "data").glob("*.json")):
        try:
            unseal(file.read_bytes())
        except ValueError as error:
            found.append(f"{file.relative_to(store.root)}: {error}")
        except OSError as error:
            found.append(f"{file.relative_to(store.root)}: {error.strerror}")
    return tuple(found)


def gc(
    store: Store,
    *,
    stale: Stale | None = None,
    unused_days: float | None = None,
    now: float | None = None,
    dry_run: bool = False,
) -> Removed:
    """Remove what killed processes left, bad objects that were set aside, and what else is asked for.

    Objects that a run at work has leased are never removed.

    Args:
        store: The store.
        stale: Which objects are of no use to this version of the code; None = keep them.
        unused_days: Remove objects that no run used for so many days; None = keep them.
        now: Seconds since 1970, if not now.
        dry_run: Remove nothing, only say what would be.

    Raises:
        StoreError: if the store cannot be written, is of another format, or others do not let it go for a minute.
    """
    store.check_format()
    when = time.time() if now is None else now
    used = {} if unused_days is None else {row.key: row.used for row in index.stored_objects(store)}
    try:
        with alone(store.root):
            leases = live_leases(store.root)
            leased = frozenset[str]().union(*(one.keys for one in leases))
            sidecars = dict(_sidecars(store))
            doomed: set[str] = set()
            for key, sidecar in sidecars.items():
                old = unused_days is not None and _unused_for(store, key, used, when) > 86400 * unused_days
                out = stale is not None and stale(sidecar["fields"], sidecar["notes"])
                if old or out:
                    doomed.add(key)
            spared = doomed & leased
            doomed = _with_membership(sidecars, doomed - leased) - leased
            # A run at work has arrays in `mapped` that its workers share.
            return remove(store, doomed, sidecars, mapped=not leases, leased=len(spared), dry_run=dry_run)
    except OSError as error:
        raise StoreError(f"Cannot remove from the store {store.root}: {error.strerror}.") from error


def _unused_for(store: Store, key: str, used: dict[str, float], now: float) -> float:
    with suppress(OSError):
        return now - max(used.get(key, 0.0), store.paths(key)[1].stat().st_mtime)
    return 0.0


def manifest(store: Store) -> str:
    """One digest of all models and outputs of a store: equal in two stores that hold the same ones.

    SHA-256 over a line `key content` for each, sorted. Analyses are left out, which hold how long things took, and
    so are notes.
    """
    lines = [
        f"{key} {sidecar['content']}\n"
        for key, sidecar in _sidecars(store)
        if sidecar["fields"].get("kind") in _REPEATABLE
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _with_membership(sidecars: dict[str, Fields], doomed: set[str]) -> set[str]:
    """The ids of data and training sets go with the last object that was made of them."""
    needed: set[str] = set()
    for key, sidecar in sidecars.items():
        about = {**sidecar["fields"], **sidecar["notes"]}
        if about.get("kind") in ("data", "training set"):
            doomed = doomed - {key}
        elif key not in doomed and "data" in about:
            needed |= {about["data"], _set_key(about)}
    for key, sidecar in sidecars.items():
        name = {"data": sidecar["fields"].get("data"), "training set": key}.get(sidecar["fields"].get("kind"))
        if name is not None and name not in needed:
            doomed = doomed | {key}
    return doomed


def _set_key(about: Fields) -> str:
    named = {name: about.get(name) for name in ("data", "training_ids")}
    return key_of({"kind": "training set", **named})


def _sidecars(store: Store) -> Iterator[tuple[str, Fields]]:
    """Sidecars that are as they were written; what is damaged is not for `gc` to judge."""
    for key in list(store.keys()):
        with suppress(CorruptObjectError, OSError):
            yield key, read_sidecar(key, store.paths(key)[1].read_bytes())


def remove(
    store: Store, doomed: set[str], sidecars: dict[str, Fields], *, mapped: bool, leased: int, dry_run: bool
) -> Removed:
    """Remove objects, and all files that count for nothing; for whoever has the store alone.

    Args:
        store: The store.
        doomed: Keys of the objects.
        sidecars: Of all objects that have a sound one.
        mapped: Whether arrays that workers share go as well.
        leased: Number of objects that were spared.
        dry_run: Remove nothing.
    """
    junk = [*_left_behind(store), *_files(store.root / "quarantine"), *(_files(store.root / "mapped") * mapped)]
    kinds = Counter(str(sidecars[key]["fields"].get("kind")) if key in sidecars else "damaged" for key in doomed)
    objects = [path for key in sorted(doomed) for path in store.paths(key) if path.exists()]
    size = sum(path.stat().st_size for path in (*junk, *objects))
    if not dry_run:
        for path in junk:
            path.unlink(missing_ok=True)
        for folder in ("quarantine", "mapped"):
            with suppress(OSError):  # not empty, or not there
                (store.root / folder).rmdir()
        for key in sorted(doomed):
            store.discard(key)
    kept = sum(key not in doomed for key in store.keys())  # noqa: SIM118
    return Removed(dict(sorted(kinds.items())), size, len(junk), leased, kept)


def _left_behind(store: Store) -> Iterator[Path]:
    """Temporary files, and arrays without a sidecar. Nobody is writing, or it could be theirs."""
    objects = store.root / "objects"
    for folder in (store.root, store.root / "data", objects, *sorted(objects.glob("*"))):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            orphan = path.suffix == ".safetensors" and not path.with_suffix(".json").exists()
            if path.is_file() and ((path.name.startswith(".") and path.suffix == ".tmp") or orphan):
                yield path


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
