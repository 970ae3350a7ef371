"""Stores of older formats: read after a migration that trains nothing, refused before it, never misread."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from unweave._errors import StoreError
from unweave.references import Store, manifest, migrate, stored_objects, unseal, verify
from unweave.references import migrations as migrations_module
from unweave.references.objects import FORMAT

# Written by unweave at the last commit of format 1: `compare --case digits-mislabel` with softmax regression, 3
# models, 1 epoch, 300 examples, 25 probes a group, methods noop and finetune.
FIXTURES = {1: Path(__file__).with_name("format_1.tar.xz")}


@pytest.fixture(params=sorted(FIXTURES))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    with tarfile.open(FIXTURES[request.param]) as archive:
        archive.extractall(tmp_path / "store", filter="data")
    return Store(tmp_path / "store")


def arrays_of(store: Store) -> dict[str, str]:
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.root.rglob("*.safetensors")}


def test_there_is_a_fixture_of_every_format_before_this_one():
    assert sorted(FIXTURES) == list(range(1, FORMAT)) == sorted(migrations_module._STEPS)


def test_an_old_store_is_refused_with_the_command_that_helps(old: Store):
    before = {path: path.read_bytes() for path in old.root.rglob("*") if path.is_file()}
    for use in (old.check_writable, lambda: verify(old)):
        with pytest.raises(StoreError, match=f"of format 1, .*unweave store migrate --store {old.root}"):
            use()
    for key in old.keys():  # noqa: SIM118 - and is not misread by who does not ask
        with pytest.raises(StoreError):
            old.read(key)
    assert {p: c for p in before if (c := p.read_bytes()) != before[p]} == {}


def test_a_migrated_store_has_all_that_it_had(old: Store):
    arrays = arrays_of(old)
    notes = {path.stem: json.loads(path.read_text()) for path in (old.root / "objects").rglob("*.json")}
    data = {path.name: json.loads(path.read_text()) for path in (old.root / "data").iterdir()}
    assert len(notes) == 23 and len(data) == 1
    assert migrate(old) == []
    assert old.format() == FORMAT and verify(old).sound
    assert arrays_of(old) == arrays and {row.key for row in stored_objects(old)} == notes.keys()
    for key, before in notes.items():
        assert old.read(key)[1] == before["notes"]
    for name, before in data.items():
        assert unseal((old.root / "data" / name).read_bytes()) == before
    assert migrate(old) == []  # nothing is left to do


def test_a_migration_that_is_interrupted_goes_on(old: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    whole = Store(tmp_path / "whole")
    shutil.copytree(old.root, whole.root)
    migrate(whole)
    real = migrations_module.write_durably
    for allowed in (0, 1, 7, 9):
        count = 0

        def stopped(path: Path, content: bytes, allowed: int = allowed) -> None:
            nonlocal count
            if count == allowed:
                raise KeyboardInterrupt
            count += 1
            real(path, content)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(migrations_module, "write_durably", stopped)
            migrate(old)
        assert old.format() == 1
    assert migrate(old) == [] and verify(old).sound and manifest(old) == manifest(whole)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_what_was_damaged_is_named_and_not_taken_over(old: Store, suffix: str):
    key = sorted(old.keys())[4]
    path = next((old.root / "objects").rglob(f"{key}{suffix}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert migrate(old) == [key]
    assert not old.has(key) and len(old.quarantined()) == 1 and verify(old).sound


def test_a_newer_store_is_refused(old: Store):
    migrate(old)
    (old.root / "format").write_text(f"{FORMAT + 1}\n")
    for use in (old.check_writable, lambda: verify(old), lambda: migrate(old)):
        with pytest.raises(StoreError, match=f"of format {FORMAT + 1}, made by a newer unweave"):
            use()


@pytest.mark.parametrize("text", ["", "two", "-1", "\x00\x00"])
def test_a_damaged_number_is_no_number(old: Store, text: str):
    migrate(old)
    (old.root / "format").write_text(text)
    with pytest.raises(StoreError, match="expected the number of a format"):
        old.check_writable()
