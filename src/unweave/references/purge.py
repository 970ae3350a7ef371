"""Purging: nothing in a store shows any more that it was trained on certain examples.

Models that were trained on a person's data are personal data themselves, and so are their outputs; so is what any
model says of that person's example.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from unweave._errors import CorruptObjectError, StoreError, UserError
from unweave.references import index
from unweave.references.care import Removed, remove
from unweave.references.leases import live_leases
from unweave.references.locks import alone
from unweave.references.membership import Ids, StoredData, all_ids, stored_data, without
from unweave.references.objects import Fields, read_sidecar, unpack
from unweave.references.sealed import unseal
from unweave.references.store import Store


def purge(
    store: Store,
    forget_ids: Collection[int | str],
    *,
    data: str | None = None,
    allow_unknown: bool = False,
    dry_run: bool = False,
) -> Removed:
    """Remove every model that was trained on certain examples, and all outputs on data that hold them.

    What stays are models whose training set is known and holds none of the examples, but none of tables: see
    `_tells_nothing`. Of these go the outputs as well, since the probes may hold the examples; the next run makes
    them anew. Objects of which it is not known what they were trained on, and damaged ones, are removed where they
    may be of these data, and analyses of whichever data. All temporary, quarantined and shared files go, and the
    index is made anew, so that it holds no bytes of what was removed.

    Args:
        store: The store; no run may be at work in it.
        forget_ids: Ids of the examples.
        data: Name of the data that the ids are of, or first digits of their fingerprint as they were read; needed
            where several data sets have such ids.
        allow_unknown: Whether ids that no data set has are no error, as long as there are others.
        dry_run: Remove nothing, only count.

    Raises:
        UserError: for no ids, for such as no data set has, or if several have them and `data` names none.
        StoreError: if a run is at work, or the store cannot be written.
    """
    store.check_format()
    forget = frozenset(str(one) for one in forget_ids)
    if not forget:
        raise UserError("There are no ids to purge: nothing was removed.")
    try:
        with alone(store.root):
            if leases := live_leases(store.root):
                raise StoreError(
                    f"A run is at work in the store {store.root} (process {leases[0].pid}) and could write again "
                    "what is removed. Stop it, or wait for its end, and run the same command again."
                )
            return _purge(store, forget, data, allow_unknown=allow_unknown, dry_run=dry_run)
    except OSError as error:
        raise StoreError(
            f"Cannot remove from the store {store.root}: {error.strerror}. Run the same command again to go on."
        ) from error


def _purge(store: Store, forget: Ids, data: str | None, *, allow_unknown: bool, dry_run: bool) -> Removed:
    sidecars: dict[str, Fields] = {}
    doomed: set[str] = set()
    sets: dict[str, Ids] = {}
    records: dict[str, StoredData] = {}
    for key in list(store.keys()):
        try:
            sidecar = read_sidecar(key, store.paths(key)[1].read_bytes())
            if sidecar["fields"].get("kind") == "data":
                records[key] = stored_data(store.look(key))
            if sidecar["fields"].get("kind") == "training set":
                sets[sidecar["fields"]["training_ids"]] = all_ids(unpack(store.look(key))[0])
            sidecars[key] = sidecar
        except CorruptObjectError:  # nobody can say of what it is
            doomed.add(key)
    try:
        hit = _choose(list(records.values()), forget, data, store, allow_unknown=allow_unknown)
    except UserError as error:
        if not doomed:
            raise
        raise UserError(
            f"{error} {len(doomed)} objects are damaged, and may be lists of ids (`unweave store verify` names "
            "them): the next run of their case makes them anew."
        ) from None
    others = {one.data for one in records.values()} - {one.data for one in hit}
    for key, sidecar in sidecars.items():
        about = {**sidecar["fields"], **sidecar["notes"]}
        kind = about.get("kind")
        # An analysis names ids that it was asked about, whether or not they are in its data.
        if kind == "data" or (about.get("data") in others and kind != "analysis"):
            continue
        own = sets.get(about.get("training_ids", ""))
        clean = own is not None and not own & forget
        if not (clean and (kind == "training set" or (kind == "model" and _tells_nothing(about)))):
            doomed.add(key)
    removed = remove(store, doomed, sidecars, mapped=True, leased=0, dry_run=dry_run)
    if not dry_run:
        _forget_rows(store, forget, others={one.read for one in records.values()} - {one.read for one in hit})
        index.rebuild(store)
        # Last, new before old: what is interrupted finds the data again by the ids in these.
        for key in [key for key, one in records.items() if one in hit and one.ids & forget]:
            store.put(without(store.look(key), forget))
            store.discard(key)
    return removed


def _tells_nothing(model: Fields) -> bool:
    """Whether a model holds nothing of examples that it was not trained on.

    Numbers of a table are in units of the whole table: from what the training set makes of them, and the examples
    of that set, those that are missing can be computed.
    """
    return model.get("learner", {}).get("encoding") is None


def _choose(
    known: Sequence[StoredData], forget: Ids, data: str | None, store: Store, *, allow_unknown: bool
) -> list[StoredData]:
    """The data sets that are meant: all states of one source, under all its names, with all that was planted."""
    asked = [one for one in known if data is None or data == one.name or one.read.startswith(data)]
    hit = [one for one in asked if one.ids & forget]
    unknown = sorted(forget.difference(*(one.ids for one in asked)))
    among = f"the data {data} in " if data else ""
    if not hit or (unknown and not allow_unknown):
        more = "" if not hit else " --allow-unknown (in Python: allow_unknown=True) purges the others."
        raise UserError(
            f"{len(unknown)} of {len(forget)} ids are not known to {among}the store {store.root} (first: "
            f"{unknown[0]!r}): nothing was removed. If they were purged before, that is as it should be. "
            f"Data sets of the store: {_listed(known)}.{more}"
        )
    same = _of_one_source(hit[0], known)
    if any(one not in same for one in hit):
        raise UserError(
            f"Examples of these ids are in several data sets of the store {store.root}: {_listed(hit)}. "
            "Say which are meant with --data and a name or the first digits of a fingerprint; nothing was removed."
        )
    return same


def _of_one_source(first: StoredData, known: Sequence[StoredData]) -> list[StoredData]:
    names, read = {first.name}, {first.read}
    while True:
        same = [one for one in known if one.name in names or one.read in read]
        before = len(names) + len(read)
        names |= {one.name for one in same}
        read |= {one.read for one in same}
        if len(names) + len(read) == before:
            return same


def _listed(data: Sequence[StoredData]) -> str:
    return ", ".join(sorted({f"{one.name} ({one.read[:12]})" for one in data})) or "none"


def _forget_rows(store: Store, forget: Ids, *, others: set[str]) -> None:
    """Remove what was noted of rows to notice changes, unless it is of other data or without these ids."""
    for file in sorted((store.root / "data").glob("*.json")):
        with suppress(ValueError):
            noted = unseal(file.read_bytes())
            if noted["fingerprint"] in others or not forget & {str(one) for one in noted["ids"]}:
                continue
        file.unlink()
