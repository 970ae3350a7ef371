"""What a store says when it cannot work, and the order of its writing as this process sees it."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.shim import watched

from unweave import _durable
from unweave._errors import StoreError, UserError
from unweave.references import Entry, Store, key_of
from unweave.references import store as store_module
from unweave.references.care import gc
from unweave.references.leases import lease
from unweave.study import Comparison


def entry(number: int, size: int = 50, **notes: Any) -> Entry:
    return Entry({"number": number}, {"a": np.full(size, number, np.float32)}, notes)


def violations(events: list[tuple[str, str]], files: list[Path]) -> list[str]:
    """What is wrong with the order in which the files, the last of which makes them count, were written."""
    wrong: list[str] = []
    at = 0
    for file in files:
        steps = [(what, path.replace(str(file.parent), ".")) for what, path in events[at:]]
        temporary = next((path for what, path in steps if what == "write" and path.endswith(".tmp")), "?")
        expected = [
            ("write", temporary),
            ("fsync", temporary),
            ("rename", f"{temporary} → ./{file.name}"),
            ("fsync", "."),
        ]
        for step in expected:
            found = next((n for n in range(at, len(events)) if steps[n - at] == step), None)
            if found is None:
                return [*wrong, f"{file.suffix}: no {step[0]} {step[1]} after event {at}"]
            steps, at = steps[found + 1 - at :], found + 1
        if any(what == "write" and path == str(file) for what, path in events):
            wrong.append(f"{file.suffix}: written in place")
    return wrong


def record_one_write(root: Path) -> list[str]:
    events: list[tuple[str, str]] = []
    store = Store(root)
    with watched(root, lambda what, path: events.append((what, path))):
        (key,) = store.write([entry(1)])
    folder = root / "objects" / key[:2]
    assert store.has(key)
    return violations(events, [folder / f"{key}.safetensors", folder / f"{key}.json"])


def in_place(path: Path, content: bytes) -> None:
    with _durable.open(path, "wb") as handle:  # type: ignore[attr-defined]
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def unflushed(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with _durable.open(temporary, "wb") as handle:  # type: ignore[attr-defined]
        handle.write(content)
    os.replace(temporary, path)


def flushed_late(path: Path, content: bytes) -> None:
    unflushed(path, content)
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def test_order_of_writing(tmp_path: Path):
    assert record_one_write(tmp_path / "store") == []


@pytest.mark.parametrize("naive", [in_place, unflushed, flushed_late])
def test_the_check_of_the_order_catches_a_naive_writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, naive):
    monkeypatch.setattr(store_module, "write_durably", naive)
    assert record_one_write(tmp_path / "store") != []


def test_the_check_of_the_order_catches_a_sidecar_before_its_object(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    held: list[tuple[Path, bytes]] = []
    durably = store_module.write_durably

    def sidecar_first(path: Path, content: bytes) -> None:
        held.append((path, content))
        if path.suffix == ".json":
            for one in reversed(held):
                durably(*one)

    monkeypatch.setattr(store_module, "write_durably", sidecar_first)
    assert record_one_write(tmp_path / "store") != []


def complete(store: Store) -> set[str]:
    """Keys of all objects that count as complete, each read and verified."""
    keys = {path.stem for path in (store.root / "objects").glob("*/*.json")}
    for key in keys:
        arrays, _ = store.read(key)
        assert key == key_of({"number": int(arrays["a"][0])})
    return keys


def test_a_disk_that_cannot_be_read_is_a_store_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    store = Store(tmp_path / "store")
    (key,) = store.write([entry(1)])

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StoreError, match=f"{key}.*{os.strerror(errno.EIO)}"):
        store.read(key)


def test_the_store_is_checked_the_way_it_is_written(tmp_path: Path):
    store = Store(tmp_path / "deep" / "store")
    store.check_writable()
    assert {path.name for path in store.root.rglob("*") if path.is_file()} == {"format", "gate", "store"}

    for refused in ("open", "write", "fsync", "rename"):

        def fail(what: str, path: str, refused: str = refused) -> None:
            if what == refused:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

        refusal = f"Cannot write to the store .*{os.strerror(errno.EROFS)}.*--store"
        with watched(tmp_path, fail), pytest.raises(StoreError, match=refusal):
            store.check_writable()


@pytest.mark.parametrize("place", ["file", "file/below", "store/objects"])
def test_a_root_that_cannot_hold_a_store_is_refused(tmp_path: Path, place: str):
    blocked = tmp_path / place
    if place == "file/below":
        (tmp_path / "file").write_bytes(b"")
    else:
        blocked.parent.mkdir(exist_ok=True)
        blocked.write_bytes(b"")
    store = Store(tmp_path / "store" if place == "store/objects" else blocked)
    with pytest.raises(StoreError) as caught:
        store.check_writable()
    assert str(store.root) in str(caught.value)
    with pytest.raises(StoreError):
        store.write([entry(1)])


def test_temporary_files_of_crashed_writers_do_not_hinder(tmp_path: Path):
    store = Store(tmp_path)
    key = key_of({"number": 1})
    folder = tmp_path / "objects" / key[:2]
    folder.mkdir(parents=True)
    for suffix in ("safetensors", "json"):
        (folder / f".{key}.{suffix}.0123.tmp").write_bytes(b"half of")
    assert not store.has(key)
    store.write([entry(1)])
    assert complete(store) == {key}


def test_two_at_once_may_set_the_same_object_aside(tmp_path: Path):
    store = Store(tmp_path)
    (key,) = store.write([entry(1)])
    errors: list[BaseException] = []

    def aside() -> None:
        try:
            for _ in range(20):
                store.paths(key)[0].write_bytes(b"bad")
                store.set_aside(key)
                store.write([entry(1)])
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=aside) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_lease_that_cannot_be_read_stops_removal_while_its_run_lives(tmp_path: Path):
    store = Store(tmp_path)
    store.check_writable()
    (key,) = store.write([entry(1)])
    with lease(tmp_path, [key]):
        (file,) = (tmp_path / "leases").iterdir()
        file.write_bytes(file.read_bytes()[:-5])
        with pytest.raises(StoreError, match=r"The lease .*cannot be read.*nothing is removed"):
            gc(store, stale=lambda fields, notes: True)
        assert store.has(key)
    assert gc(store, stale=lambda fields, notes: True).kept == 0


def test_results_that_cannot_be_saved_are_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    module = sys.modules["unweave.study.comparison"]

    def fail(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_atomically", fail)
    for name in ("to_json", "rows_csv", "markdown_table", "render_page"):
        monkeypatch.setattr(module, name, lambda result: "")
    study = object.__new__(Comparison)
    object.__setattr__(study, "result", None)
    with pytest.raises(UserError, match=r"Cannot write results to .*No space left.*nothing is trained anew"):
        study.save(tmp_path)
