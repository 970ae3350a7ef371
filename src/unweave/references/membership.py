"""Which examples the objects of a store were made of: who asks to be forgotten must be found in it.

Beside the models the store keeps, per data set, the ids of its examples, and per training set the ids that are
in it. Without them nobody could say which models were trained on an example.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import StoreError
from unweave.references.index import stored_objects
from unweave.references.keys import Origin, Setting, digest, read_verified
from unweave.references.objects import Arrays, Entry, Fields, Objects, Packed, check, key_of, pack, unpack
from unweave.references.plan import WorldPlan
from unweave.references.store import Store

Ids = frozenset[str]
"""Ids as texts: what people call 17 is the same id, whether a file of data has numbers or texts."""


class StoredData(NamedTuple):
    """A data set that models of a store were trained on, with one behaviour planted in it.

    Attributes:
        name: What it is called: its source or path.
        read: Fingerprint of the data as they were read.
        data: Fingerprint of the training data after planting, which is in the keys of models.
        examples: Number of ids, of training and test parts.
        ids: These ids.
        file: The file or folder that they were read from, absolute, as the run noted it; "" = it noted none.
        mixed: Whether rows of it were made of other examples than their ids say.
    """

    name: str
    read: str
    data: str
    examples: int
    ids: Ids
    file: str
    mixed: bool = False


def register(store: Objects, setting: Setting, world: WorldPlan) -> None:
    """Keep the ids of a data set and of a training set, before any model of them is kept.

    Args:
        store: Where the models will be.
        setting: With all of D.
        world: With the rows that its models are trained on.
    """
    data, rows = data_fields(setting), set_fields(setting, world)
    if read_verified(store, key_of(data)) is None:
        arrays = {"ids": packed_ids(setting.ids)}
        if setting.origin is not None:
            arrays["test_ids"] = packed_ids(setting.origin.test_ids)
        store.write([Entry(data, arrays, _notes(setting))])
    if read_verified(store, key_of(rows)) is None:
        store.write([Entry(rows, {"ids": packed_ids(setting.ids[world.rows])}, {})])


def _notes(setting: Setting) -> Fields:
    """What is no part of the key: the same data are the same, wherever they lie."""
    if setting.origin is None:
        return {}
    found = {"file": setting.origin.file, "mixed": setting.origin.mixed}
    return {name: value for name, value in found.items() if value}


def data_fields(setting: Setting) -> Fields:
    """What identifies the ids of a data set: the data, their source, and the ids, which a purge makes fewer."""
    origin = setting.origin or Origin("data without a name", setting.fingerprint, setting.ids[:0])
    return {
        "kind": "data",
        "data": setting.fingerprint,
        "name": origin.name,
        "read": origin.fingerprint,
        "ids": digest(setting.ids),
        "test_ids": digest(origin.test_ids),
    }


def set_fields(setting: Setting, world: WorldPlan) -> Fields:
    """What identifies the ids of a training set."""
    return {
        "kind": "training set",
        "data": setting.fingerprint,
        "training_ids": digest(setting.ids[world.rows]),
    }


def packed_ids(ids: NDArray[Any]) -> NDArray[Any]:
    """Ids as an array that safetensors can hold: int64 [n], or texts as the bytes of a JSON list.

    Example:
        >>> sorted(all_ids({"ids": packed_ids(np.array(["a", "b7"])), "test_ids": packed_ids(np.array(["c"]))}))
        ['a', 'b7', 'c']
    """
    if ids.dtype.kind != "U":
        return ids.astype(np.int64)
    return np.frombuffer(json.dumps(ids.tolist()).encode(), np.uint8)


def all_ids(arrays: Arrays) -> Ids:
    """All ids in a stored data set or training set."""
    return frozenset(str(one) for array in arrays.values() for one in _unpacked(array))


def data_sets(store: Store) -> list[StoredData]:
    """All data sets that models of a store were trained on; damaged ones are left out."""
    found: list[StoredData] = []
    for row in stored_objects(store):
        if row.kind == "data":
            with suppress(StoreError):
                found.append(stored_data(store.read_packed(row.key)))
    return found


def stored_data(packed: Packed) -> StoredData:
    """A data set from its object.

    Raises:
        CorruptObjectError: if a byte of it is not as it was written.
    """
    fields, (arrays, notes) = check(packed)["fields"], unpack(packed)
    ids = all_ids(arrays)
    file, mixed = notes.get("file", ""), notes.get("mixed", False)
    return StoredData(fields["name"], fields["read"], fields["data"], len(ids), ids, file, mixed)


def without(packed: Packed, forget: Ids) -> Packed:
    """The object of a data set without some of its ids; its key is another."""
    fields, (arrays, notes) = check(packed)["fields"], unpack(packed)
    kept = {name: _drop(array, forget) for name, array in arrays.items()}
    own = {name: digest(array) for name, array in kept.items()}
    return pack(Entry({**fields, **own}, {n: packed_ids(a) for n, a in kept.items()}, notes))


def _drop(array: NDArray[Any], ids: Ids) -> NDArray[Any]:
    kept = [one for one in _unpacked(array) if str(one) not in ids]
    return np.array(kept, dtype=np.str_ if array.dtype == np.uint8 else np.int64)


def _unpacked(array: NDArray[Any]) -> list[int | str]:
    return json.loads(array.tobytes()) if array.dtype == np.uint8 else array.tolist()
