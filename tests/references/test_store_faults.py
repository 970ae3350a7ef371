"""Faults while writing: the order of writing, and every system call that fails."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unweave import _durable
from unweave._errors import CorruptObjectError, StoreError
from unweave.references import Entry, Store, key_of
from unweave.references import store as store_module
from unweave.references.locks import alone

Hook = Callable[[str, str], None]


class Watched:
    """An open file whose writes and closing are announced before they happen."""

    def __init__(self, handle: Any, path: str, hook: Hook) -> None:
        self.handle, self.path, self.hook = handle, path, hook

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.close()
        self.hook("close", self.path)

    def write(self, content: bytes) -> None:
        self.hook("write", self.path)
        self.handle.write(content)

    def flush(self) -> None:
        self.handle.flush()

    def fileno(self) -> int:
        return self.handle.fileno()


def watch(monkeypatch: pytest.MonkeyPatch, root: Path, hook: Hook) -> None:
    """Call `hook(what, path)` before every open, write, fsync, rename, mkdir below a folder, after every close."""

    def within(path: Any) -> bool:
        return str(path).startswith(str(root))

    def opened(path: Any, mode: str) -> Watched:
        hook("open", str(path))
        return Watched(open(path, mode), str(path), hook)

    def wrapped(name: str, what: str) -> None:
        real = getattr(os, name)

        def call(first: Any, *rest: Any, **more: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{first}") if name in ("fsync", "close") else first
            if name == "close":  # a descriptor is gone, whatever closing it reports
                real(first)
            if within(path):
                hook(what, str(path) if name != "replace" else f"{path} → {rest[0]}")
            return None if name == "close" else real(first, *rest, **more)

        monkeypatch.setattr(os, name, call)

    # Objects are written through `open`, locks and folders are opened by `os.open`.
    monkeypatch.setattr(_durable, "open", opened, raising=False)
    names = {"fsync": "fsync", "replace": "rename", "mkdir": "mkdir", "open": "open", "close": "close"}
    for name, what in names.items():
        wrapped(name, what)


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


def record_one_write(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[str]:
    events: list[tuple[str, str]] = []
    store = Store(root)
    with monkeypatch.context() as patched:
        watch(patched, root, lambda what, path: events.append((what, path)))
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


def test_order_of_writing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert record_one_write(monkeypatch, tmp_path / "store") == []


@pytest.mark.parametrize("naive", [in_place, unflushed, flushed_late])
def test_the_check_of_the_order_catches_a_naive_writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, naive):
    monkeypatch.setattr(store_module, "write_durably", naive)
    assert record_one_write(monkeypatch, tmp_path / "store") != []


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
    assert record_one_write(monkeypatch, tmp_path / "store") != []


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_system_call_may_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, persistent: bool):
    seen: set[str] = set()
    for k in range(1, 200):
        store = Store(tmp_path / str(k))
        (old,) = store.write([entry(0)])
        count, failed_at = 0, ("", "")

        def fail(what: str, path: str, k: int = k) -> None:
            nonlocal count, failed_at
            count += 1
            if count == k or (persistent and count > k):
                failed_at = what, path
                seen.add(what)
                raise OSError(code, os.strerror(code), path)

        with monkeypatch.context() as patched:
            watch(patched, store.root, fail)
            failed = fails(store, [entry(1), entry(2)], code)
        if count < k:
            break
        # What closing a lock reports is no loss of anything.
        assert failed or (failed_at[0] == "close" and "/locks/" in failed_at[1])
        assert complete(store) >= {old}
        assert not list(store.root.rglob("*.tmp"))
        # The fault is over: the same command finishes the work, and no lock was kept.
        keys = store.write([entry(1), entry(2)])
        with alone(store.root):
            pass
        assert complete(store) == {old, *keys}
    assert not failed and count == k - 1, "the sweep ended before a clean run"
    assert seen == {"open", "write", "fsync", "close", "rename", "mkdir"}


def fails(store: Store, entries: list[Entry], code: int) -> bool:
    try:
        store.write(entries)
    except StoreError as error:
        assert not isinstance(error, CorruptObjectError)
        assert str(store.root) in str(error) and os.strerror(code) in str(error)
        return True
    return False


def complete(store: Store) -> set[str]:
    """Keys of all objects that count as complete, each read and verified."""
    keys = {path.stem for path in (store.root / "objects").glob("*/*.json")}
    for key in keys:
        arrays, _ = store.read(key)
        assert key == key_of({"number": int(arrays["a"][0])})
    return keys


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_bad_object_that_cannot_be_set_aside_is_a_store_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
):
    store = Store(tmp_path / "store")
    (key,) = store.write([entry(1)])
    store.paths(key)[0].write_bytes(b"bad")

    def fail(what: str, path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    watch(monkeypatch, store.root, fail)
    with pytest.raises(StoreError, match=os.strerror(code)):
        store.set_aside(key)


def test_a_disk_that_cannot_be_read_is_a_store_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    store = Store(tmp_path / "store")
    (key,) = store.write([entry(1)])

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StoreError, match=f"{key}.*{os.strerror(errno.EIO)}"):
        store.read(key)


def test_the_store_is_checked_the_way_it_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    store = Store(tmp_path / "deep" / "store")
    store.check_writable()
    assert {path.name for path in store.root.rglob("*") if path.is_file()} == {"format", "gate", "store"}

    for refused in ("open", "write", "fsync", "rename"):

        def fail(what: str, path: str, refused: str = refused) -> None:
            if what == refused:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

        with monkeypatch.context() as patched:
            watch(patched, tmp_path, fail)
            with pytest.raises(
                StoreError, match=f"Cannot write to the store .*{os.strerror(errno.EROFS)}.*--store"
            ):
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
