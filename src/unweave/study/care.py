"""Care of a store as people ask for it: what is in it, what this version of the code has no use for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from unweave._errors import StoreError
from unweave.references import (
    TRAINING_VERSION,
    Fields,
    Health,
    Purged,
    Removed,
    Store,
    StoredData,
    StoredObject,
    data_sets,
    gc,
    installed,
    manifest,
    migrate,
    purge,
    stored_objects,
    verify,
)
from unweave.study.code import analysis_code, methods_code

STORE = Path(".unweave/store")
"""Where models and outputs are kept unless it is said otherwise."""


class Contents(NamedTuple):
    """What is in a store.

    Attributes:
        objects: All objects, from the index.
        data: Data sets that models of it were trained on.
        manifest: One digest of all models and outputs: equal in two stores that hold the same ones.
        quarantined: Number of bad objects that were set aside.
    """

    objects: list[StoredObject]
    data: list[StoredData]
    manifest: str
    quarantined: int


def list_store(root: Path) -> Contents:
    """What is in a store; nothing but its index is written."""
    store = _existing(root)
    store.check_format()
    rows = stored_objects(store)
    return Contents(rows, data_sets(store), manifest(store), len(store.quarantined()))


def verify_store(root: Path) -> Health:
    """Read every byte of a store and hold it against the digests; see `unweave.references.verify`."""
    return verify(_existing(root))


def clean_store(root: Path, *, stale: bool, unused_days: float | None, dry_run: bool) -> Removed:
    """Remove what nobody needs; see `unweave.references.gc`."""
    return gc(_existing(root), stale=is_stale if stale else None, unused_days=unused_days, dry_run=dry_run)


def purge_store(
    root: Path, forget_ids: Collection[int | str], *, data: str | None, allow_unknown: bool, dry_run: bool
) -> Purged:
    """Remove what was trained on certain examples; see `unweave.references.purge`."""
    return purge(_existing(root), forget_ids, data=data, allow_unknown=allow_unknown, dry_run=dry_run)


def migrate_store(root: Path) -> list[str]:
    """Bring a store of an older format to this one; see `unweave.references.migrate`."""
    return migrate(_existing(root))


def _existing(root: Path) -> Store:
    if not (root / "objects").is_dir():
        raise StoreError(f"There is no store {root}. Name its folder with --store.")
    return Store(root.absolute())


def is_stale(fields: Fields, notes: Fields) -> bool:
    """Whether an object is of other versions of the code or its libraries, and so will not be used again here.

    Outputs that do not say which versions they are of are not taken for stale.
    """
    about: dict[str, Any] = {**fields, **notes.get("versions", {})}
    code = {"method outputs": methods_code, "analysis": analysis_code}.get(str(fields.get("kind")))
    if code is not None and fields.get("code") != code():
        return True
    if about.get("training_version", TRAINING_VERSION) != TRAINING_VERSION:
        return True
    return any(name in about and about[name] != installed(name) for name in ("torch", "scikit-learn"))
