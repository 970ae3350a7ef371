"""The index is made of the objects: brought up to date when asked, made anew when damaged, and never believed."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from unweave._errors import StoreError
from unweave.references import Store, index, model_fields, same_but_other, stored_objects, touch, verify


def logical(store: Store) -> list[index.StoredObject]:
    return [row._replace(used=0.0) for row in stored_objects(store)]


def test_it_says_what_is_there(filled: Store, small):
    found = stored_objects(filled)
    assert [row.key for row in found] == sorted(filled.keys())
    assert {kind: sum(row.kind == kind for row in found) for kind in {row.kind for row in found}} == {
        "model": 9,
        "outputs": 3,
        "training set": 3,
        "data": 1,
    }
    data = small.setting().fingerprint
    assert {row.data for row in found} == {data}
    for row in found:
        assert row.bytes == sum(path.stat().st_size for path in filled.paths(row.key))
    outputs = [row for row in found if row.kind == "outputs"]
    assert all("torch" in row.versions and row.training_ids for row in outputs)


def test_it_follows_what_is_written_and_removed(filled: Store):
    before = logical(filled)
    gone = before[3].key
    filled.discard(gone)
    assert gone not in {row.key for row in stored_objects(filled)} and len(logical(filled)) == 15
    (filled.root / index.NAME).unlink()
    assert logical(filled) == [row for row in before if row.key != gone]


def test_when_a_run_last_used_an_object(filled: Store):
    some = [row.key for row in stored_objects(filled)[:4]]
    touch(filled, [*some, "f" * 64], now=1000.5)
    assert {row.key: row.used for row in stored_objects(filled)} == {
        key: 1000.5 if key in some else 0.0
        for key in filled.keys()  # noqa: SIM118
    }
    assert verify(filled).sound  # which makes it anew
    assert sum(row.used == 1000.5 for row in stored_objects(filled)) == 4


def test_models_of_other_versions_are_found_by_what_else_they_are(filled: Store, small, monkeypatch):
    setting, world = small.setting(), small.worlds()["original"]
    assert same_but_other(filled, model_fields(setting, world)) == {}
    from unweave.references import keys

    monkeypatch.setattr(keys, "TRAINING_VERSION", 99)
    found = same_but_other(filled, model_fields(setting, world))
    assert len(found) == 1 and list(found.values()) == [3]
    assert "torch" in next(iter(found)) and "99" not in next(iter(found))
    other = small.setting(seed=1)
    assert same_but_other(filled, model_fields(other, world)) == {}


def damaged(content: bytes, rng: random.Random) -> bytes:
    spoilt = bytearray(content)
    spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def test_any_flipped_bit_costs_the_index_and_nothing_else(filled: Store):
    right, file = logical(filled), filled.root / index.NAME
    whole, rng, noticed = file.read_bytes(), random.Random(0), 0
    for _ in range(60):
        index.remove(filled.root)
        file.write_bytes(damaged(whole, rng))
        found = verify(filled)
        noticed += found.index_differed
        assert not found.bad and found.objects == 16
        assert logical(filled) == right, "a wrong index outlives `verify`"
    assert noticed > 5, "no flip was noticed"


@pytest.mark.parametrize("content", [b"", b"not a database at all", b"SQLite format 3\x00" + bytes(200)])
def test_what_is_no_index_is_made_anew(filled: Store, content: bytes):
    right = logical(filled)
    index.remove(filled.root)
    (filled.root / index.NAME).write_bytes(content)
    assert logical(filled) == right


def test_a_folder_in_its_place_is_one_message(filled: Store):
    index.remove(filled.root)
    (filled.root / index.NAME).mkdir()
    assert len(stored_objects(filled)) == 16
    with pytest.raises(StoreError, match="Cannot remove the index"):
        verify(filled)


def test_an_index_of_another_version_is_made_anew(filled: Store):
    right = logical(filled)
    for statement in ("PRAGMA user_version = 99", "DROP TABLE objects"):
        with sqlite3.connect(filled.root / index.NAME) as connection:
            connection.execute(statement)
        connection.close()
        assert logical(filled) == right


def test_an_index_of_the_first_version_is_migrated(filled: Store):
    right = stored_objects(filled)
    with sqlite3.connect(filled.root / index.NAME) as connection:
        connection.execute("DROP INDEX objects_same")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert stored_objects(filled) == right
    with sqlite3.connect(filled.root / index.NAME) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "objects_same" in names


def test_a_locked_index_is_waited_for_and_then_an_error(filled: Store, monkeypatch: pytest.MonkeyPatch):
    stored_objects(filled)
    monkeypatch.setattr(index, "_WAIT", 0.1)
    holder = sqlite3.connect(filled.root / index.NAME)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="Cannot use the index .*locked"):
            touch(filled, ["a" * 64])
    finally:
        holder.close()


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs a user who can become another")
def test_a_store_that_cannot_be_written_is_listed_and_verified_all_the_same(filled: Store):
    right = logical(filled)
    index.remove(filled.root)
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for this user alone
        store = Store(Path(folder) / "store")
        shutil.copytree(filled.root, store.root)
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                sound = verify(store).sound and logical(store) == right
                with pytest.raises(StoreError, match="Cannot write to the store .*Permission denied"):
                    store.check_writable()
                code = 0 if sound and not (store.root / index.NAME).exists() else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
