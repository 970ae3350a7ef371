"""Ray and its driver in a process of its own: who can reach it, how it ends, and what it leaves behind."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]


def wait_for(look: Any) -> Any:
    end = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


DRIVER = """
import json, os, subprocess, sys
from unweave.execute import Task, on_ray

address, *tasks = json.loads(sys.argv[1])
try:
    with on_ray(address, workers=2, cores=2, code="tasks_of_test_ray:kin", fetch=print, commit=list) as engine:
        print(engine.hardware, os.environ["RAY_AUTH_TOKEN"] if address is None else "", flush=True)
        print(engine.run([Task(f"tasks_of_test_ray:{name}", given) for name, given in tasks]), flush=True)
        if len(sys.argv) > 2:
            sys.stdin.readline()
except KeyboardInterrupt:
    sys.exit(130)
assert "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ
"""


def driver(address: str | None, *tasks: Any, stay: bool = False, **changes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, json.dumps([address, *tasks]), *(["stay"] if stay else [])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if address is not None:
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as the cluster of the tests
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(
        command,
        env=environment | changes,
        preexec_fn=heed,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


# 127.0.0.1, the same within IPv6, and ::1, as the kernel writes them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def of_ray(folder: str) -> dict[int, str]:
    """Processes of the Ray that keeps its files in a folder, with their commands."""
    found: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            kept = folder in text or folder.encode() in (path.parent / "environ").read_bytes()
        except OSError:
            continue
        if kept:
            found[int(path.parent.name)] = text
    return found


def listening(pids: Any) -> set[str]:
    """Addresses at which processes listen, IPv4 and IPv6, as the kernel writes them."""
    sockets: dict[str, str] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets[f"socket:[{fields[9]}]"] = fields[1].partition(":")[0]
    held: set[str] = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                held.add(os.readlink(handle))
            except OSError:
                continue
    return {sockets[one] for one in held if one in sockets}


@pytest.mark.parametrize("end", ["ends", "interrupted"])
def test_ray_started_here_listens_to_nobody_else_and_is_gone_afterwards(toys: Path, end: str):
    short = Path(tempfile.mkdtemp())  # pytest's own names are too long for sockets
    process = driver(None, ["add", {"values": [1, 2]}], stay=True, TMPDIR=str(short))
    try:
        assert process.stdout is not None
        hardware, values = process.stdout.readline(), process.stdout.readline()
        assert "1 machine, 2 cores" in hardware and values == "[3]\n"
        assert len(hardware.split()[-1]) == 64, "it has no secret"
        (folder,) = short.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        pids = [*of_ray(str(folder)), process.pid]
        assert len(pids) > 3
        assert listening(pids) and listening(pids) <= LOOPBACK
        if end == "interrupted":
            process.send_signal(signal.SIGINT)
        out, err = process.communicate("\n" if end == "ends" else None, timeout=10)
        assert (out, err, process.returncode) == ("", "", 0 if end == "ends" else 130)
        wait_for(lambda: not of_ray(str(folder)))
        assert not list(short.iterdir())
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(short)


def test_a_kill_for_memory_ends_after_three_tries(toys: Path, tmp_path: Path):
    # Ray's own retries after such a kill have no end. Here every process is too large.
    tight = {"RAY_memory_usage_threshold": "0.0001", "RAY_memory_monitor_refresh_ms": "100"}
    process = driver(None, ["wait", {"folder": str(tmp_path), "seconds": 60}], **tight)
    _, err = process.communicate(timeout=60)
    assert "WorkerError: Task tasks_of_test_ray:wait failed: memory ran out 3 times over it" in err
    assert "killed due to the node running low on memory" in err


def test_workers_with_other_code_end_the_run_at_once(toys: Path, ray_cluster: Any):
    process = driver(ray_cluster.address, *[["add", {"values": [1]}]] * 4, TOYS="2")
    _, err = process.communicate(timeout=60)
    assert err.splitlines()[-1].endswith(
        "UserError: A worker of the Ray cluster has other code than this machine: toys 1 and not 2. "
        "Models of two codes must not be mixed. Install the same on every machine, and run again."
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_an_interrupted_driver_leaves_the_cluster_free(
    toys: Path, ray_cluster: Any, tmp_path: Path, number: int, code: int
):
    process = driver(ray_cluster.address, *[["wait", {"folder": str(tmp_path), "seconds": 60}]] * 4)
    try:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        started = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code, err
    assert time.monotonic() - started < 10
    pids = [int(one.name.partition("-")[0]) for one in tmp_path.iterdir()]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
