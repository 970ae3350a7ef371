"""Which examples the objects of a store were made of: who asks to be forgotten must be found in it.

Beside the models the store keeps, per data set, the ids of its examples, and per training set the ids that are
in it. Without them nobody could say which models were trained on an example.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave.references.keys import Setting, digest
from unweave.references.objects import Arrays, Entry, Fields, Objects, key_of
from unweave.references.plan import WorldPlan

Ids = frozenset[int | str]


def register(store: Objects, setting: Setting, world: WorldPlan) -> None:
    """Keep the ids of a data set and of a training set, before any model of them is kept.

    Args:
        store: Where the models will be.
        setting: With all of D.
        world: With the rows that its models are trained on.
    """
    data, rows = data_fields(setting.fingerprint), set_fields(setting, world)
    if not store.has(key_of(data)):
        origin, arrays = setting.origin, {"ids": packed_ids(setting.ids)}
        notes: Fields = {"name": "data without a name", "read": setting.fingerprint}
        if origin is not None:
            arrays["test_ids"] = packed_ids(origin.test_ids)
            notes = {"name": origin.name, "read": origin.fingerprint}
        store.write([Entry(data, arrays, notes)])
    if not store.has(key_of(rows)):
        store.write([Entry(rows, {"ids": packed_ids(setting.ids[world.rows])}, {})])


def data_fields(fingerprint: str) -> Fields:
    """What identifies the ids of a data set."""
    return {"kind": "data", "data": fingerprint}


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
    return frozenset(one for array in arrays.values() for one in _unpacked(array))


def drop(array: NDArray[Any], ids: Ids) -> NDArray[Any]:
    """Packed ids without some of them."""
    kept = [one for one in _unpacked(array) if one not in ids]
    return packed_ids(np.array(kept, dtype=np.str_ if array.dtype == np.uint8 else np.int64))


def _unpacked(array: NDArray[Any]) -> list[int | str]:
    return json.loads(array.tobytes()) if array.dtype == np.uint8 else array.tolist()
