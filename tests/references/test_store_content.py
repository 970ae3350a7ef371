"""What the store holds comes back unchanged, or is refused: keys, round trips, and damage to any bit."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unweave._errors import CorruptObjectError, StoreError
from unweave.references import Entry, Store, key_of, read_verified, seal, unseal

FIELDS = {"kind": "model", "key": 7, "learner": {"name": "mlp", "recipe": {"lr": 0.1}}, "set": "D∖S"}
ARRAYS = {"params/0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "buffers/count": np.array(5)}
NOTES = {"seconds": 0.30000000000000004, "cite": "someone2024method", "params": {"steps": [1, None, True]}}

dtypes = st.sampled_from(["f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?", ">f4", ">i8"])
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
arrays = dtypes.flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), shapes))
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
trees = st.dictionaries(st.text(max_size=6), json_values, max_size=4)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def paths(store: Store, key: str) -> tuple[Path, Path]:
    folder = store.root / "objects" / key[:2]
    return folder / f"{key}.safetensors", folder / f"{key}.json"


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Equal names, shapes, kinds and bits (in whatever byte order)."""
    return found.keys() == expected.keys() and all(
        found[name].shape == value.shape
        and found[name].dtype == value.dtype.newbyteorder("=")
        and found[name].tobytes() == value.astype(value.dtype.newbyteorder("=")).tobytes()
        for name, value in expected.items()
    )


@settings(deadline=None, max_examples=60)
@given(fields=trees, named=st.dictionaries(st.text(max_size=8), arrays, max_size=3), notes=trees)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, fields, named, notes):
    named.pop("__metadata__", None)
    store = Store(tmp_path_factory.mktemp("store"))
    (key,) = store.write([Entry(fields, named, notes)])
    found, noted = store.read(key)
    assert key == key_of(fields)
    assert same(found, named)
    assert noted == notes


@pytest.mark.parametrize(
    "array",
    [np.arange(12).reshape(3, 4).T, np.arange(12)[::-3], np.broadcast_to(np.float32(2), (2, 2)), np.array(3)],
)
def test_any_memory_layout_keeps_shape_and_values(store: Store, array: np.ndarray):
    (key,) = store.write([Entry(FIELDS, {"a": array}, {})])
    assert same(store.read(key)[0], {"a": array})


@settings(deadline=None)
@given(trees, st.randoms())
def test_the_key_does_not_depend_on_the_order_of_fields(fields, rng):
    def shuffled(value):
        if isinstance(value, list):
            return [shuffled(one) for one in value]
        if not isinstance(value, dict):
            return value
        items = list(value.items())
        rng.shuffle(items)
        return {name: shuffled(one) for name, one in items}

    assert key_of(shuffled(fields)) == key_of(fields)
    assert len(key_of(fields)) == 64 and set(key_of(fields)) <= set("0123456789abcdef")


@settings(deadline=None)
@given(trees, trees)
def test_keys_are_equal_exactly_when_fields_are(a, b):
    assert (key_of(a) == key_of(b)) == (json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True))


def test_a_field_that_is_no_number_has_no_key():
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of({"lr": math.nan})


def test_what_is_there_already_is_left_alone(store: Store):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    before = [path.read_bytes() for path in paths(store, key)]
    assert store.write([Entry(FIELDS, {"other": np.zeros(3)}, {})]) == [key]
    assert [path.read_bytes() for path in paths(store, key)] == before


def test_equal_content_gives_equal_bytes(tmp_path: Path):
    files = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
        files.append([path.read_bytes() for path in paths(store, key)])
    assert files[0] == files[1]


def test_what_is_not_there_is_a_store_error_with_key_and_folder(store: Store):
    key = key_of(FIELDS)
    assert not store.has(key)
    assert read_verified(store, key) is None
    with pytest.raises(StoreError) as caught:
        store.read(key)
    assert not isinstance(caught.value, CorruptObjectError)
    assert key in str(caught.value) and str(store.root) in str(caught.value)


def test_without_its_sidecar_an_object_is_not_there_and_can_be_written(store: Store):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    paths(store, key)[1].unlink()
    assert not store.has(key)
    with pytest.raises(StoreError):
        store.read(key)
    store.write([Entry(FIELDS, ARRAYS, NOTES)])
    assert same(store.read(key)[0], ARRAYS)


def test_every_single_bit_of_object_and_sidecar_is_watched(store: Store):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    silent: list[str] = []
    for path in paths(store, key):
        content = path.read_bytes()
        for bit in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            if not refused(store, key):
                silent.append(f"{path.suffix} bit {bit}: {content[bit // 8]:#x} → {flipped[bit // 8]:#x}")
        path.write_bytes(content)
    assert silent == []
    assert same(store.read(key)[0], ARRAYS)


def refused(store: Store, key: str) -> bool:
    try:
        store.read(key)
    except CorruptObjectError as error:
        return key in str(error) and str(store.root) in str(error)
    return False


def test_random_flips_in_a_large_object_are_found(store: Store):
    rng = random.Random(0)
    (key,) = store.write([Entry(FIELDS, {"w": np.random.default_rng(0).random((200, 200))}, NOTES)])
    path = paths(store, key)[0]
    content = path.read_bytes()
    for _ in range(100):
        flipped = bytearray(content)
        bit = rng.randrange(8 * len(content))
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert refused(store, key), f"bit {bit}"


def other(store: Store) -> str:
    return store.write([Entry(FIELDS | {"key": 8}, {**ARRAYS, "more": np.ones(2)}, {})])[0]


def cut(at: Callable[[int], int]) -> Callable[[bytes], bytes]:
    return lambda content: content[: at(len(content))]


@pytest.mark.parametrize("file", [0, 1], ids=["object", "sidecar"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="zero length"),
        *(pytest.param(cut(lambda n, p=p: min(2**p, n - 1)), id=f"cut to {2**p}") for p in range(10)),
        pytest.param(cut(lambda n: n - 1), id="last byte lost"),
        pytest.param(lambda content: content + b"\0", id="a NUL appended"),
        pytest.param(lambda content: content + b"\n", id="a line end appended"),
        pytest.param(lambda content: content + content, id="written twice"),
        pytest.param(lambda content: content[:40] + bytes(64) + content[104:], id="a hole of zeros"),
        pytest.param(lambda content: content[:-64] + bytes(range(64)), id="a garbage tail"),
        pytest.param(lambda content: b"\xef\xbb\xbf" + content, id="a byte order mark"),
        pytest.param(lambda content: b"[" * 100_000, id="nested without end"),
        pytest.param(lambda content: b"[]", id="another type"),
    ],
)
def test_torn_cut_and_grown_files_are_found(store: Store, file: int, damage: Callable[[bytes], bytes]):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    path = paths(store, key)[file]
    path.write_bytes(damage(path.read_bytes()))
    assert refused(store, key)


@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=["object", "sidecar", "both"])
def test_a_valid_file_of_another_key_is_found(store: Store, which: tuple[int, ...]):
    (key,), foreign = store.write([Entry(FIELDS, ARRAYS, NOTES)]), other(store)
    for file in which:
        shutil.copyfile(paths(store, foreign)[file], paths(store, key)[file])
    assert refused(store, key)
    assert store.read(foreign)[0].keys() == {*ARRAYS, "more"}


@pytest.mark.parametrize(
    "edit",
    [
        {"fields": FIELDS | {"key": 8}},
        {"notes": {}},
        {"content": "0" * 64},
        {"digest": "0" * 64},
        {"key": key_of(FIELDS | {"key": 8})},
        {"bytes": 1},
        {"notes": None},
        {"fields": None},
    ],
    ids=lambda edit: f"{next(iter(edit))}",
)
def test_an_edited_sidecar_is_found(store: Store, edit: dict[str, Any]):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    sidecar = paths(store, key)[1]
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | edit, sort_keys=True))
    assert refused(store, key)


@pytest.mark.parametrize(
    "edit",
    [
        {"fields": FIELDS | {"key": 8}},
        {"key": key_of(FIELDS | {"key": 8})},
        {"content": "0" * 64},
        {"bytes": 1},
        {"bytes": None},
        {"fields": None},
    ],
    ids=lambda edit: f"{next(iter(edit))}",
)
def test_an_edited_sidecar_is_found_even_with_a_digest_that_fits(store: Store, edit: dict[str, Any]):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    sidecar = paths(store, key)[1]
    sidecar.write_bytes(seal(unseal(sidecar.read_bytes()) | edit))
    assert refused(store, key)


def test_an_object_of_another_format_is_not_corrupt(store: Store):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    sidecar = paths(store, key)[1]
    sidecar.write_bytes(seal(unseal(sidecar.read_bytes()) | {"format": 3}))
    with pytest.raises(StoreError, match="is of format 3; this unweave reads 2") as caught:
        store.read(key)
    assert not isinstance(caught.value, CorruptObjectError)


def test_a_lost_object_with_a_sidecar_is_corrupt_and_can_be_made_anew(store: Store):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    paths(store, key)[0].unlink()
    assert refused(store, key)
    assert read_verified(store, key) is None
    store.write([Entry(FIELDS, ARRAYS, NOTES)])
    assert same(store.read(key)[0], ARRAYS)


def test_a_bad_object_is_set_aside_with_its_sidecar_and_the_others_stay(store: Store):
    (key,), healthy = store.write([Entry(FIELDS, ARRAYS, NOTES)]), other(store)
    path, sidecar = paths(store, key)
    path.write_bytes(path.read_bytes()[:-1])
    bad = [path.read_bytes(), sidecar.read_bytes()]
    assert read_verified(store, key) is None
    assert not path.exists() and not sidecar.exists() and not store.has(key)
    kept = sorted((store.root / "quarantine").iterdir(), key=lambda one: one.suffix, reverse=True)
    assert [one.read_bytes() for one in kept] == bad
    assert [one.suffix for one in kept] == [".safetensors", ".json"]
    assert len({one.stem for one in kept}) == 1 and kept[0].name.startswith(key)
    assert read_verified(store, healthy) is not None
    store.write([Entry(FIELDS, ARRAYS, NOTES)])
    assert same(store.read(key)[0], ARRAYS)


def test_setting_aside_twice_keeps_both_and_what_is_gone_is_no_error(store: Store):
    targets = set()
    for _ in range(2):
        (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
        paths(store, key)[0].write_bytes(b"")
        targets.add(store.set_aside(key))
    assert store.set_aside(key) is None
    assert len(targets) == 2 and None not in targets
    assert len(list((store.root / "quarantine").iterdir())) == 4


def test_a_good_object_is_never_set_aside(store: Store):
    (key,) = store.write([Entry(FIELDS, ARRAYS, NOTES)])
    assert store.set_aside(key) is None
    assert same(store.read(key)[0], ARRAYS) and not (store.root / "quarantine").exists()
