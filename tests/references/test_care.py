"""Verifying a store, and removing from it what nobody needs: nothing live, and nothing twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unweave._errors import StoreError
from unweave.references import (
    Entry,
    Store,
    gc,
    in_use,
    key_of,
    lease,
    manifest,
    model_fields,
    read_verified,
    touch,
    verify,
)
from unweave.references import locks as locks_module
from unweave.references.leases import live_leases
from unweave.references.locks import alone, shared
from unweave.references.objects import check, unpack

KINDS = {"model": 9, "outputs": 3, "training set": 3, "data": 1}


def kinds(store: Store) -> dict[str, int]:
    found: dict[str, int] = {}
    for key in store.keys():  # noqa: SIM118
        kind = check(store.read_packed(key))["fields"]["kind"]
        found[kind] = found.get(kind, 0) + 1
    return found


@pytest.fixture
def originals(small) -> list[str]:
    """Keys of the original models."""
    return [key_of(fields) for fields in model_fields(small.setting(), small.worlds()["original"])]


def damage(store: Store, key: str) -> None:
    path = store.paths(key)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_sound_store(filled: Store):
    assert kinds(filled) == KINDS
    found = verify(filled)
    assert found.sound and found.objects == 16 and (found.left, found.quarantined) == (0, 0)
    assert found.bytes == sum(path.stat().st_size for path in (filled.root / "objects").rglob("*.*"))


def test_a_bad_object_is_named_and_nothing_else(filled: Store, originals):
    bad = originals[1]
    damage(filled, bad)
    found = verify(filled)
    assert not found.sound and [key for key, _ in found.bad] == [bad]
    assert "model" in found.bad[0][1]
    assert kinds_but_bad(filled) == 15
    # The next that needs it sets it aside; then the store is sound and lacks one.
    assert read_verified(filled, bad) is None
    after = verify(filled)
    assert after.sound and (after.objects, after.quarantined) == (15, 1)


def kinds_but_bad(store: Store) -> int:
    good = 0
    for key in store.keys():  # noqa: SIM118
        try:
            unpack(store.read_packed(key))
            good += 1
        except StoreError:
            pass
    return good


@pytest.mark.parametrize("what", ["arrays lost", "sidecar"])
def test_what_is_bad_is_said(filled: Store, originals, what: str):
    content, sidecar = filled.paths(originals[0])
    if what == "arrays lost":
        content.unlink()
        expected = "has lost its arrays"
    else:
        sidecar.write_bytes(sidecar.read_bytes()[:-1])
        expected = "Its sidecar is damaged"
    assert expected in verify(filled).bad[0][1]


def test_a_damaged_record_of_data_is_named(filled: Store):
    file = filled.root / "data" / "x.json"
    file.parent.mkdir()
    file.write_text('{"fingerprint": "abc"}')
    assert verify(filled).bad_files[0].startswith("data/x.json")


def test_no_store_is_no_sound_store(tmp_path: Path):
    with pytest.raises(StoreError, match="There is no store"):
        verify(Store(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_the_manifest_tells_contents_and_nothing_else(filled: Store, originals, small, tmp_path: Path):
    other = Store(tmp_path / "other")
    setting = small.setting()
    small.fill(other, setting, ("unlearned", "original", "untrained"))  # in another order
    other.write([Entry({"kind": "analysis", "n": 1}, {}, {"seconds": 3})])
    assert manifest(other) == manifest(filled)
    key = originals[0]
    filled.discard(key)
    assert manifest(other) != manifest(filled)
    fields = model_fields(setting, small.worlds()["original"])[0]
    arrays, _ = other.read(key)
    arrays["params/0.bias"] = arrays["params/0.bias"] + 1e-7
    filled.write([Entry(fields, arrays, {})])
    assert manifest(other) != manifest(filled)


def test_gc_removes_what_counts_for_nothing_and_no_object(filled: Store, originals):
    before = manifest(filled)
    folder = filled.paths(originals[0])[0].parent
    (folder / f".{'a' * 64}.json.0123.tmp").write_bytes(b"half")
    (folder / f"{'b' * 64}.safetensors").write_bytes(b"arrays without a sidecar")
    (filled.root / "data").mkdir()
    (filled.root / "data" / ".x.json.12.tmp").write_bytes(b"half")
    damage(filled, bad := originals[2])
    filled.set_aside(bad)
    (filled.root / "mapped").mkdir()
    (filled.root / "mapped" / "x.npy").write_bytes(b"shared by workers of a killed run")
    would = gc(filled, dry_run=True)
    assert (would.files, would.objects) == (6, {}) and would.kept == 15
    assert verify(filled).left == 3
    done = gc(filled)
    assert done == would
    assert verify(filled).sound and verify(filled).left == 0
    assert not (filled.root / "mapped").exists() and not (filled.root / "quarantine").exists()
    assert gc(filled).files == 0
    filled.write([Entry({"kind": "model", "n": 1}, {}, {})])
    assert before != manifest(filled)


def test_stale_objects_go_with_the_ids_that_only_they_were_made_of(filled: Store, small):
    original = small.worlds()["original"]
    keys = {key_of(fields) for fields in model_fields(small.setting(), original)}
    ids = model_fields(small.setting(), original)[0]["training_ids"]

    def stale(fields, notes):
        return {**fields, **notes}.get("training_ids") == ids and fields["kind"] != "training set"

    found = gc(filled, stale=stale)
    assert found.objects == {"model": 3, "outputs": 1, "training set": 1}
    assert not any(filled.has(key) for key in keys)
    assert kinds(filled) == {"model": 6, "outputs": 2, "training set": 2, "data": 1}
    everything = gc(filled, stale=lambda fields, notes: fields["kind"] in ("model", "outputs"))
    assert everything.objects == {"data": 1, "model": 6, "outputs": 2, "training set": 2} and everything.kept == 0


def test_unused_objects_go_by_when_a_run_last_used_them(filled: Store, originals):
    day, now = 86400.0, time.time()
    recent = originals
    touch(filled, recent, now=now + 9 * day)
    assert gc(filled, unused_days=10.0, now=now + 9 * day).objects == {}
    found = gc(filled, unused_days=10.0, now=now + 11 * day)
    assert all(filled.has(key) for key in recent)
    assert found.objects == {"model": 6, "outputs": 3, "training set": 2}
    # A clock that was put back makes nothing old.
    assert gc(filled, unused_days=10.0, now=now - 400 * day).objects == {}


def test_what_a_run_had_in_use_counts_as_used_and_a_moved_store_remembers(filled: Store, originals, tmp_path):
    day, now = 86400.0, time.time()
    for one in filled.root.rglob("*"):
        os.utime(one, (now - 60 * day, now - 60 * day))
    with pytest.raises(KeyError), in_use(filled, originals):
        raise KeyError  # a run that fails has used them as well
    kept = gc(filled, unused_days=30.0, dry_run=True)
    assert kept.objects == {"model": 6, "outputs": 3, "training set": 2}
    shutil.copytree(filled.root, tmp_path / "moved")
    assert gc(Store(tmp_path / "moved"), unused_days=30.0, dry_run=True).objects == kept.objects


def test_what_is_leased_stays(filled: Store, originals):
    mine = originals
    with lease(filled.root, [*mine, "f" * 64]):
        found = gc(filled, stale=lambda fields, notes: fields["kind"] == "model")
        assert found.objects["model"] == 6 and found.leased == 3
        assert all(filled.has(key) for key in mine)
        (filled.root / "mapped").mkdir()
        (filled.root / "mapped" / "x.npy").write_bytes(b"in use")
        gc(filled)
        assert (filled.root / "mapped" / "x.npy").exists()
    assert gc(filled, stale=lambda fields, notes: fields["kind"] == "model").objects["model"] == 3


HOLDER = """
import sys, time
from pathlib import Path
from unweave.references.leases import lease
from unweave.references.locks import alone, one_writer, shared

root, what = Path(sys.argv[1]), sys.argv[2]
held = {"lease": lambda: lease(root, ["a" * 64]), "shared": lambda: shared(root), "alone": lambda: alone(root),
        "writer": lambda: one_writer(root, "aa")}[what]
with held():
    print("held", flush=True)
    time.sleep(60)
"""


def holder(root: Path, what: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(root), what], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("what", ["lease", "shared", "alone", "writer"])
def test_a_lock_ends_with_its_process_and_not_before(filled: Store, what: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks_module, "PATIENCE", 0.3)
    with holder(filled.root, what) as process:
        try:
            os.kill(process.pid, signal.SIGSTOP)  # it holds on, though it does nothing
            if what == "lease":
                with alone(filled.root):
                    assert [one.pid for one in live_leases(filled.root)] == [process.pid]
            elif what == "writer":
                filled.write([Entry({"n": n}, {}, {}) for n in range(3)])
                wanted = next(Entry({"n": n}, {}, {}) for n in range(9999) if key_of({"n": n}).startswith("aa"))
                with pytest.raises(StoreError, match="locked by another process"):
                    filled.write([wanted])
            else:
                with pytest.raises(StoreError, match="locked by another process"), alone(filled.root):
                    pytest.fail("a live lock was stolen")
        finally:
            process.kill()
    begun = time.monotonic()
    with alone(filled.root):
        assert live_leases(filled.root) == [] and not list((filled.root / "leases").glob("*"))
    with shared(filled.root):
        pass
    assert time.monotonic() - begun < 1


def test_a_lease_of_a_number_that_another_process_has_now_protects_nothing(filled: Store):
    with holder(filled.root, "lease") as process:
        process.kill()
    (file,) = (filled.root / "leases").glob("*.json")
    file.write_text(file.read_text().replace(f'"pid": {process.pid}', f'"pid": {os.getpid()}'))
    with alone(filled.root):
        assert live_leases(filled.root) == []
