"""Tasks for workers, drivers to be killed, and the check that no test leaves a process or a file open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from unweave.execute import Crew, Task, crew_of_workers, run_tasks

collect_ignore = ["tasks_of_test_execute.py"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("PYTHONPATH", here, prepend=os.pathsep)


@pytest.fixture
def named() -> Callable[..., Task]:
    """A task of `tasks_of_test_execute`, by name."""
    return lambda name, /, label="", **arguments: Task(f"tasks_of_test_execute:{name}", arguments, label)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Any], str]:
    """A new folder for a task, by any name."""

    def make(name: Any) -> str:
        (tmp_path / str(name)).mkdir()
        return str(tmp_path / str(name))

    return make


@pytest.fixture
def crew(named: Callable[..., Task]) -> Iterator[Callable[[int], Crew]]:
    """A crew of so many workers that have started, so that their tasks begin at the same time."""
    with crew_of_workers() as members:

        def start(count: int) -> Crew:
            run_tasks([named("echo", value=1)] * count, workers=count, crew=members)
            return members

        yield start


def _children() -> set[int]:
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            found.add(int(stat.parent.name))
    return found


def _open_files() -> set[str]:
    return {entry for entry in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{entry}")}


@pytest.fixture
def children() -> Callable[[], set[int]]:
    """Processes, zombies included, whose parent is this one."""
    return _children


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = _children(), _open_files()
    yield
    assert (_children(), _open_files()) == before


@pytest.fixture
def wait_for() -> Callable[..., list[Any]]:
    """Look again and again until there are so many."""

    def wait(look: Callable[[], list[Any]], *, count: int) -> list[Any]:
        end = time.monotonic() + 30
        while len(found := look()) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} after half a minute"
            time.sleep(0.02)
        return found

    return wait


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def gone() -> Callable[..., bool]:
    """Whether processes that need not be our own end within that many seconds."""

    def wait(pids: list[int], *, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while any(map(_alive, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        return not any(map(_alive, pids))

    return wait


_HEAD = """
import os, signal, sys, time
from unweave.execute import Patience, Task, run_tasks

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
folder = sys.argv[1]

def named(name, /, **arguments):
    return Task(f"tasks_of_test_execute:{name}", arguments)

"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a process of its own that runs tasks, as a script; it leads a group of processes."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        # Who runs the tests in the background of a script has them ignore Ctrl-C, and all they start.
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        command = [sys.executable, "-c", _HEAD + code, str(tmp_path)]
        started.append(subprocess.Popen(command, preexec_fn=heed, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
