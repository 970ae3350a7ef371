"""Purging: nothing in a store shows any more that it was trained on certain examples.

Models that were trained on a person's data are personal data themselves, and so are their outputs; so is what any
model says of that person's example.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from unweave._durable import write_durably
from unweave._errors import CorruptObjectError, StoreError, UserError
from unweave.references import index
from unweave.references.care import Removed, remove
from unweave.references.leases import live_leases
from unweave.references.locks import alone
from unweave.references.membership import Ids, StoredData, all_ids, data_fields, drop, stored_data
from unweave.references.objects import Entry, Fields, key_of, pack, read_sidecar, unpack
from unweave.references.sealed import unseal
from unweave.references.store import Store


def purge(
    store: Store, forget_ids: Collection[int | str], *, data: str | None = None, dry_run: bool = False
) -> Removed:
    """Remove every model that was trained on certain examples, and all outputs on data that hold them.

    What stays are models whose training set is known and holds none of the examples. Of these go the outputs as
    well, since the probes may hold the examples; the next run computes them anew. Objects of which it is not known
    what they were trained on, and damaged ones, are removed where they may be of these data. All temporary,
    quarantined and shared files go, and the index is made anew, so that it holds no bytes of what was removed.

    Args:
        store: The store; no run may be at work in it.
        forget_ids: Ids of the examples.
        data: Name of the data that the ids are of, or first digits of their fingerprint as they were read; needed
            where several data sets have such ids.
        dry_run: Remove nothing, only count.

    Raises:
        UserError: if no data set of the store has any of these ids, or several have and `data` names none.
        StoreError: if a run is at work, or the store cannot be written.
    """
    store.check_format()
    forget = frozenset(str(one) for one in forget_ids)
    try:
        with alone(store.root):
            if leases := live_leases(store.root):
                raise StoreError(
                    f"A run is at work in the store {store.root} (process {leases[0].pid}) and could write again "
                    "what is removed. Stop it, or wait for its end, and run the same command again."
                )
            return _purge(store, forget, data, dry_run=dry_run)
    except OSError as error:
        raise StoreError(
            f"Cannot remove from the store {store.root}: {error.strerror}. Run the same command again to go on."
        ) from error


def _purge(store: Store, forget: Ids, data: str | None, *, dry_run: bool) -> Removed:
    sidecars: dict[str, Fields] = {}
    doomed: set[str] = set()
    sets: dict[str, Ids] = {}
    of: dict[str, set[str]] = {}
    known: dict[str, StoredData] = {}
    for key in list(store.keys()):
        try:
            sidecar = read_sidecar(key, store.paths(key)[1].read_bytes())
            fields = sidecar["fields"]
            if fields.get("kind") == "data":
                known[fields["data"]] = stored_data(store.look(key))
            if fields.get("kind") == "training set":
                sets[fields["training_ids"]] = ids = all_ids(unpack(store.look(key))[0])
                of.setdefault(fields["data"], set()).update(ids)
            sidecars[key] = sidecar
        except CorruptObjectError:  # nobody can say of what it is
            doomed.add(key)
    for fingerprint, ids in of.items():  # of data whose own record is lost
        lost = StoredData("data without a name", fingerprint, fingerprint, len(ids), frozenset(ids))
        known.setdefault(fingerprint, lost)
    hit = _data_of(known, forget, data, store)
    for key, sidecar in sidecars.items():
        about = {**sidecar["fields"], **sidecar["notes"]}
        if about.get("data") in known and about["data"] not in hit:
            continue
        own = sets.get(about.get("training_ids", ""))
        clean = own is not None and not own & forget
        kind = about.get("kind")
        if kind != "data" and not (clean and kind in ("model", "training set")):
            doomed.add(key)
    removed = remove(store, doomed, sidecars, mapped=True, leased=0, dry_run=dry_run)
    if not dry_run:
        _forget_rows(store, forget, others={one.read for key, one in known.items() if key not in hit})
        index.remove(store.root)
        # Last: what is interrupted finds the data again by the ids in these.
        for key in sorted(key_of(data_fields(fingerprint)) for fingerprint in hit):
            if key in sidecars:
                _without(store, key, forget)
    return removed


def _data_of(known: dict[str, StoredData], forget: Ids, data: str | None, store: Store) -> set[str]:
    """Fingerprints of the data sets that hold an example: all states of one source, with all that was planted."""
    hit = {
        key: one
        for key, one in known.items()
        if one.ids & forget and (data is None or data == one.name or one.read.startswith(data))
    }
    if not hit:
        among = f"the data {data} in " if data else ""
        raise UserError(
            f"None of the {len(forget)} ids is known to {among}the store {store.root}: nothing was removed. If "
            "they were purged before, that is as it should be. "
            f"Data sets of the store: {_listed(known.values())}."
        )
    if len({one.name for one in hit.values()}) > 1:
        raise UserError(
            f"Examples of these ids are in several data sets of the store {store.root}: {_listed(hit.values())}. "
            "Say which are meant with --data and a name or the first digits of a fingerprint; nothing was removed."
        )
    return set(hit)


def _listed(data: Collection[StoredData]) -> str:
    return ", ".join(sorted({f"{one.name} ({one.read[:12]})" for one in data})) or "none"


def _forget_rows(store: Store, forget: Ids, *, others: set[str]) -> None:
    """Remove what was noted of rows to notice changes, unless it is of other data or without these ids."""
    for file in sorted((store.root / "data").glob("*.json")):
        with suppress(ValueError):
            noted = unseal(file.read_bytes())
            if noted["fingerprint"] in others or not forget & {str(one) for one in noted["ids"]}:
                continue
        file.unlink()


def _without(store: Store, key: str, forget: Ids) -> None:
    """Put the ids of a data set without those to be forgotten in place of the old ones."""
    old = store.look(key)
    arrays, notes = unpack(old)
    kept = {name: drop(array, forget) for name, array in arrays.items()}
    new = pack(Entry(read_sidecar(key, old.sidecar)["fields"], kept, notes))
    # The arrays first: no file with the old ids stays behind, wherever this is interrupted.
    for path, content in zip(store.paths(key), (new.content, new.sidecar), strict=True):
        write_durably(path, content)
