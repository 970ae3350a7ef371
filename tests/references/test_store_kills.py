"""Real processes, real kills: what a writer leaves behind at any moment, and several writers at once."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# One process that has imported what it needs, and forks the writers that are killed: a real kill, at
# little cost. The disk is slow, so that most kills come in the middle of a write.
HARNESS = '''
import json, os, random, resource, shutil, signal, sys, time
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from unweave import _durable
from unweave._errors import StoreError
from unweave.references import Entry, Store, store as store_module

mode, root = sys.argv[1], Path(sys.argv[2])


class SlowFile:
    def __init__(self, path, kind):
        self.handle = open(path, kind, buffering=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handle.close()

    def write(self, content):
        part = -(-len(content) // 8)
        for start in range(0, len(content), part):
            self.handle.write(content[start : start + part])
            time.sleep(0.0005)

    def flush(self):
        pass

    def fileno(self):
        return self.handle.fileno()


def in_place(path, content):
    with SlowFile(path, "wb") as handle:
        handle.write(content)


def sidecar_first(path, content, held=[]):
    held.append((path, content))
    if path.suffix == ".json":
        for one in (held.pop(), held.pop()):
            in_place(*one)


def entry(number, size=4000, **notes):
    return Entry({"number": number}, {"a": np.full(size, number, np.int64)}, {"n": number, **notes})


def write_for_ever(store):
    for number in range(10**9):
        store.write([entry(number)])


def look(store):
    """What a reader finds: the objects that count and are bad, and other files that are not whole."""
    listed, bad, leftover = [], [], []
    for path in (store.root / "objects").rglob("*"):
        if path.suffix == ".json":
            listed.append(path.stem)
            try:
                arrays, notes = store.read(path.stem)
                assert (arrays["a"] == notes["n"]).all()
            except StoreError as error:
                bad.append(str(error))
        elif path.suffix == ".safetensors":
            try:
                load(path.read_bytes())
            except Exception as error:
                leftover.append(f"{path.name}: {error}")
        elif path.is_file() and path.suffix != ".tmp":
            leftover.append(path.name)
    return listed, bad, leftover


def kill_at_random(rounds):
    rng = random.Random(0)
    totals = {"listed": 0, "tmp": 0, "bad": [], "leftover": [], "hindered": []}
    for number in range(rounds):
        store = Store(root / str(number))
        writer = os.fork()
        if writer == 0:
            try:
                write_for_ever(store)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0, 0.06))
        os.kill(writer, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(writer, 0)[1])
        listed, bad, leftover = look(store)
        totals["listed"] += len(listed)
        totals["tmp"] += len(list(store.root.rglob("*.tmp")))
        totals["bad"] += bad
        totals["leftover"] += leftover
        if mode == "durable":  # what the writer left must not hinder the next one
            keys = store.write([entry(0), entry(1)])
            found, again, _ = look(store)
            totals["hindered"] += again + [key for key in {*listed, *keys} if key not in found]
        shutil.rmtree(store.root, ignore_errors=True)
    return totals


def at_once(rounds):
    """Four writers of the same twenty keys, whose notes differ, and a reader beside them."""
    wrong, seen = [], 0
    for number in range(rounds):
        store = Store(root / str(number))
        start, writers = time.monotonic() + 0.05, []
        for writer in range(4):
            writers.append(os.fork())
            if writers[-1] == 0:
                code = 1
                try:
                    entries = [entry(n, by=writer) for n in range(20)]
                    time.sleep(max(0, start - time.monotonic()))
                    store.write(entries)
                    code = 0
                finally:
                    os._exit(code)
        running = set(writers)
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                running.remove(pid)
                wrong += [f"a writer failed: {status}"] if status else []
            listed, bad, _ = look(store)
            wrong += bad
            seen += len(listed) < 20
        listed, bad, leftover = look(store)
        wrong += bad + leftover + ([] if len(listed) == 20 else [f"{len(listed)} objects"])
        wrong += [str(path) for path in store.root.rglob("*.tmp")]
    return {"wrong": wrong, "seen": seen}


def no_room():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = Store(root)
    store.write([entry(0, size=10)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        store.write([entry(1)])
        message = ""
    except StoreError as error:
        message = str(error)
    listed, bad, leftover = look(store)
    tmp = [str(path) for path in store.root.rglob("*.tmp")]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.write([entry(1)])
    return {"message": message, "listed": len(listed), "wrong": bad + leftover + tmp, "after": len(look(store)[0])}


if mode != "at once" and mode != "no room":
    _durable.open = SlowFile
if mode == "in place":
    store_module.write_durably = in_place
if mode == "sidecar first":
    store_module.write_durably = sidecar_first
jobs = {"at once": lambda: at_once(3), "no room": no_room}
print(json.dumps(jobs.get(mode, lambda: kill_at_random(30))()))
'''


def harness(mode: str, root: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, mode, str(root)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_killed_writers_leave_whole_objects_and_temporary_files_only(tmp_path: Path):
    found = harness("durable", tmp_path)
    assert (found["bad"], found["leftover"], found["hindered"]) == ([], [], [])
    assert found["listed"] > 0 and found["tmp"] > 0, "no kill came in the middle of a write"


def test_the_harness_of_kills_catches_a_writer_without_rename(tmp_path: Path):
    assert harness("in place", tmp_path)["leftover"]


def test_the_harness_of_kills_catches_a_sidecar_that_comes_first(tmp_path: Path):
    assert harness("sidecar first", tmp_path)["bad"]


def test_four_writers_of_the_same_keys_and_a_reader(tmp_path: Path):
    found = harness("at once", tmp_path)
    assert found["wrong"] == []
    assert found["seen"] > 0, "the reader came too late to see anything in the making"


def test_a_file_that_may_not_grow_is_a_store_error_and_work_goes_on_afterwards(tmp_path: Path):
    found = harness("no room", tmp_path)
    assert os.strerror(errno.EFBIG) in found["message"] and str(tmp_path) in found["message"]
    assert (found["listed"], found["wrong"], found["after"]) == (1, [], 2)
