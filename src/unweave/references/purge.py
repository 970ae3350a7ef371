"""Purging: nothing in a store shows any more that it was trained on certain examples.

Models that were trained on a person's data are personal data themselves, and so are their outputs; so is what any
model says of that person's example.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from unweave._errors import CorruptObjectError, StoreError, UserError
from unweave.references import index
from unweave.references.care import Removed, remove
from unweave.references.leases import live_leases
from unweave.references.locks import alone
from unweave.references.membership import Ids, StoredData, all_ids, stored_data, without
from unweave.references.objects import Fields, read_sidecar, unpack
from unweave.references.one_source import by_source, is_called
from unweave.references.sealed import unseal
from unweave.references.store import Store

_NAMED = 10


class Elsewhere(NamedTuple):
    """Data of another source in which some of the ids stay.

    Attributes:
        names: What they are called.
        read: Fingerprints of their states as they were read.
        ids: The ids of the request that are in them, sorted.
        models: Models that stay and were trained on some of these, or of which that is not known.
    """

    names: tuple[str, ...]
    read: tuple[str, ...]
    ids: tuple[str, ...]
    models: int


class Purged(NamedTuple):
    """What `purge` removed, or would have, and what stays.

    Attributes:
        objects: Number of removed objects by kind.
        bytes: Size of all removed files.
        files: Number of other files: temporary, quarantined, of runs that are no more.
        leased: Always 0: a purge is refused while a run is at work.
        kept: Objects that stay.
        unknown: Ids of the request that nothing in the store held, sorted.
        models: Models that stay, or outputs that stand for one of which nothing else is kept.
        elsewhere: Data of other sources that hold ids of the request; empty = none of the models that stay was
            trained on an example of these ids, and no list of ids has one.
    """

    objects: dict[str, int]
    bytes: int
    files: int
    leased: int
    kept: int
    unknown: tuple[str, ...]
    models: int
    elsewhere: tuple[Elsewhere, ...]


class _Known(NamedTuple):
    """What a store knows of who is in it.

    Attributes:
        sidecars: Of all objects that are as they were written.
        damaged: Keys of the others.
        records: Data sets by key.
        sets: Training sets by their digest.
        of_data: Ids in lists and in training sets, by the fingerprint of the data.
        unlisted: Ids in training sets, and in notes of rows, that no list of ids of these data has.
    """

    sidecars: dict[str, Fields]
    damaged: set[str]
    records: dict[str, StoredData]
    sets: dict[str, Ids]
    of_data: dict[str, Ids]
    unlisted: Ids

    def ids_of(self, own: Sequence[StoredData]) -> Ids:
        """All ids that the store knows of a source."""
        return Ids().union(*(self.of_data[one.data] for one in own))


class _Meant(NamedTuple):
    """Data sets of one source, those of others, by source, that hold ids of the request, and ids nobody knows."""

    hit: list[StoredData]
    elsewhere: list[list[StoredData]]
    unknown: tuple[str, ...]


def purge(
    store: Store,
    forget_ids: Collection[int | str],
    *,
    data: str | None = None,
    allow_unknown: bool = False,
    dry_run: bool = False,
) -> Purged:
    """Remove every model that was trained on certain examples, and all outputs on data that hold them.

    Data are one source under all names of their file and in all their states: changed, or without what
    earlier requests left out (`by_source`).

    What stays are models whose training set is known and holds none of the examples, but none of tables: see
    `_tells_nothing`. Of these go the outputs as well, since the probes may hold the examples; the next run makes
    them anew. Objects of which it is not known what they were trained on, and damaged ones, are removed where they
    may be of these data, and analyses of whichever data. All temporary, quarantined and shared files go, and the
    index is made anew, so that it holds no bytes of what was removed.

    Args:
        store: The store; no run may be at work in it.
        forget_ids: Ids of the examples.
        data: Name of the data that the ids are of, their path, or first digits of their fingerprint as they were
            read; needed where data of several sources have such ids.
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


def _purge(store: Store, forget: Ids, data: str | None, *, allow_unknown: bool, dry_run: bool) -> Purged:
    known = _look(store)
    try:
        meant = _choose(known, forget, data, store, allow_unknown=allow_unknown)
    except UserError as error:
        if not known.damaged:
            raise
        raise UserError(
            f"{error} {len(known.damaged)} objects are damaged, and may be lists of ids (`unweave store verify` "
            "names them): the next run of their case makes them anew."
        ) from None
    others = {one.data for one in known.records.values()} - {one.data for one in meant.hit}
    doomed = set(known.damaged)  # nobody can say of what they are
    for key, sidecar in known.sidecars.items():
        about = {**sidecar["fields"], **sidecar["notes"]}
        kind = about.get("kind")
        # An analysis names ids that it was asked about, whether or not they are in its data.
        if kind == "data" or (about.get("data") in others and kind != "analysis"):
            continue
        clean = _is_clean(about, known, forget)
        if not (clean and (kind == "training set" or (kind == "model" and _tells_nothing(about)))):
            doomed.add(key)
    removed = remove(store, doomed, known.sidecars, mapped=True, leased=0, dry_run=dry_run)
    if not dry_run:
        _forget_rows(store, forget, kept={one.read for own in meant.elsewhere for one in own})
        index.rebuild(store)
        # Last, new before old: what is interrupted finds the data again by the ids in these. The state with the
        # most of them, from which the others were left out, is the last to go.
        mine = [(key, one) for key, one in known.records.items() if one in meant.hit and one.ids & forget]
        for key, _ in sorted(mine, key=lambda pair: len(pair[1].ids & forget)):
            store.put(without(store.look(key), forget))
            store.discard(key)
    return _purged(removed, known, meant, forget, doomed)


def _look(store: Store) -> _Known:
    known = _Known({}, set(), {}, {}, {}, Ids())
    for key in list(store.keys()):
        try:
            sidecar = read_sidecar(key, store.paths(key)[1].read_bytes())
            fields = sidecar["fields"]
            if fields.get("kind") == "data":
                one = known.records[key] = stored_data(store.look(key))
                known.of_data[one.data] = known.of_data.get(one.data, Ids()) | one.ids
            if fields.get("kind") == "training set":
                ids = known.sets[fields["training_ids"]] = all_ids(unpack(store.look(key))[0])
                known.of_data[fields["data"]] = known.of_data.get(fields["data"], Ids()) | ids
            known.sidecars[key] = sidecar
        except CorruptObjectError:
            known.damaged.add(key)
    listed = {one.data for one in known.records.values()}
    unlisted = [ids for data, ids in known.of_data.items() if data not in listed]
    for _, read, ids in _noted_rows(store):
        unlisted.append(ids - known.ids_of([one for one in known.records.values() if one.read == read]))
    return known._replace(unlisted=Ids().union(*unlisted))


def _is_clean(about: Fields, known: _Known, forget: Ids) -> bool:
    """Whether the training set of an object is known and holds none of the examples, nor what was made of them."""
    own = known.sets.get(about.get("training_ids", ""))
    mixed = any(one.mixed and one.data == about.get("data") for one in known.records.values())
    return own is not None and not own & forget and not (mixed and about.get("kind") != "training set")


def _tells_nothing(model: Fields) -> bool:
    """Whether a model holds nothing of examples that it was not trained on.

    Numbers of a table are in units of the whole table: from what the training set makes of them, and the examples
    of that set, those that are missing can be computed.
    """
    return model.get("learner", {}).get("encoding") is None


def _choose(known: _Known, forget: Ids, data: str | None, store: Store, *, allow_unknown: bool) -> _Meant:
    """The data sets that are meant: all states of one source, under all its names, with all that was planted."""
    sources = by_source(list(known.records.values()))
    asked = [own for own in sources if data is None or any(is_called(one, data) for one in own)]
    holding = [own for own in sources if forget & known.ids_of(own)]
    hit = [own for own in holding if own in asked]
    unknown = sorted(forget.difference(known.unlisted, *map(known.ids_of, asked)))
    if unknown and not (allow_unknown and len(unknown) < len(forget)):
        among = f"the data {data} in " if data else ""
        there = [own for own in holding if known.ids_of(own).intersection(unknown)]
        raise UserError(
            f"{len(unknown)} of {len(forget)} ids are not known to {among}the store {store.root}: "
            f"{_named(unknown)}. {_of_unknown(len(forget) - len(unknown), there)} "
            f"Data sets of the store: {_listed(sources)}."
        )
    if len(hit) > 1:
        raise UserError(
            f"Examples of these ids are in several data sets of the store {store.root}, which are not known to be "
            f"of one file: {_listed(hit)}. Say which are meant with --data and a name, a path or the first digits "
            "of a fingerprint, and purge one after the other if all are; nothing was removed."
        )
    mine = hit[0] if hit else []
    nowhere = [one for one in unknown if not any(one in known.ids_of(own) for own in holding)]
    return _Meant(mine, [own for own in holding if own is not mine], tuple(nowhere))


def _of_unknown(known: int, there: Sequence[Sequence[StoredData]]) -> str:
    """What to do about ids that the data that are meant do not have, where they have so many of the others."""
    said = f"Nothing was removed{f'; known and still there: {known}' if known else ''}."
    if there:
        return f"{said} Some are in other data of the store: {_listed(there)}."
    said += " Correct those that are mistyped; if they were purged before, that is as it should be"
    also = ", and --allow-unknown (in Python: allow_unknown=True) purges the others" if known else ""
    return f"{said}{also}."


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(repr, ids[:_NAMED])) + more


def _listed(sources: Sequence[Sequence[StoredData]]) -> str:
    """Sources in words: the states of one between commas, and a semicolon before the next."""
    each = [", ".join(sorted({f"{one.name} ({one.read[:12]})" for one in own})) for own in sources]
    return "; ".join(sorted(each)) or "none"


def _purged(removed: Removed, known: _Known, meant: _Meant, forget: Ids, doomed: set[str]) -> Purged:
    """What was done, with what is held against every object that stays."""
    staying = [
        about
        for key, sidecar in known.sidecars.items()
        if key not in doomed
        and (about := {**sidecar["fields"], **sidecar["notes"]}).get("kind") in ("model", "opaque outputs")
    ]
    elsewhere: list[Elsewhere] = []
    for own in meant.elsewhere:
        prints = {one.data for one in own}
        models = sum(one.get("data") in prints and not _is_clean(one, known, forget) for one in staying)
        names, read = (tuple(sorted({getattr(one, name) for one in own})) for name in ("name", "read"))
        elsewhere.append(Elsewhere(names, read, tuple(sorted(known.ids_of(own) & forget)), models))
    return Purged(*removed, unknown=meant.unknown, models=len(staying), elsewhere=tuple(elsewhere))


def _noted_rows(store: Store) -> list[tuple[Path, str, Ids]]:
    """What was noted of rows to notice changes: the file, the fingerprint of the data, and their ids.

    Of a damaged file nobody can say whose rows they are.
    """
    found: list[tuple[Path, str, Ids]] = []
    for file in sorted((store.root / "data").glob("*.json")):
        try:
            noted = unseal(file.read_bytes())
            found.append((file, noted["fingerprint"], Ids(str(one) for one in noted["ids"])))
        except ValueError:
            found.append((file, "", Ids()))
    return found


def _forget_rows(store: Store, forget: Ids, *, kept: set[str]) -> None:
    """Remove what was noted of rows, unless it is of other data that keep these ids, or without them."""
    for file, read, ids in _noted_rows(store):
        if not read or (ids & forget and read not in kept):
            file.unlink()
