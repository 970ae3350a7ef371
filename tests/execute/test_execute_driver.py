"""A driver that is interrupted, killed or stopped, and what becomes of its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def pids(folder: Path) -> list[int]:
    return [int(one.name) for one in folder.iterdir()]


@pytest.mark.parametrize("how", ["sleep", "deaf", "stop"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_driver_takes_its_workers_with_it(driver, wait_for, gone, tmp_path, how, number, code):
    process = driver(f"""
try:
    run_tasks([named("linger", folder=folder, how="{how}")] * 4, workers=2)
except KeyboardInterrupt:
    sys.exit(130)
""")
    workers = wait_for(lambda: pids(tmp_path), count=2)
    process.send_signal(number)
    assert process.wait(timeout=10) == code
    assert gone(workers, seconds=0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_driver_is_interrupted_in_a_task_of_its_own(driver, wait_for, tmp_path, number, code):
    process = driver("""
try:
    run_tasks([named("linger", folder=folder)], workers=1)
except KeyboardInterrupt:
    sys.exit(130)
""")
    assert wait_for(lambda: pids(tmp_path), count=1) == [process.pid]
    process.send_signal(number)
    assert process.wait(timeout=10) == code


HOLDING = """
def fork(number, value):  # a process of the user's holds all pipes of the driver
    if os.fork() == 0:
        signal.alarm(30)
        signal.pause()
run_tasks([named("echo", value=0), *[named("linger", folder=folder)] * 2], workers=2, on_done=fork)
"""


@pytest.mark.parametrize(
    "code",
    [
        'run_tasks([named("linger", folder=folder)] * 4, workers=2)',
        'run_tasks([named("linger", folder=folder, how="compute")] * 4, workers=2)',
        HOLDING,
    ],
    ids=["sleep", "compute", "held"],
)
def test_a_killed_driver_takes_its_workers_with_it(driver, wait_for, gone, tmp_path, code):
    process = driver(code)
    workers = wait_for(lambda: pids(tmp_path), count=2)
    process.kill()
    process.wait()
    assert gone(workers, seconds=8)


@pytest.mark.parametrize("end", ["stdin", "stdout"])
def test_a_worker_at_work_ends_when_either_end_is_closed(wait_for, tmp_path, end):
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", "unweave.execute.worker"], stdin=pipe, stdout=pipe) as worker:
        arguments = f'{{"folder": "{tmp_path}"}}'
        worker.stdin.write(f'{{"function": "tasks_of_test_execute:linger", "arguments": {arguments}}}\n'.encode())
        worker.stdin.flush()
        wait_for(lambda: pids(tmp_path), count=1)
        getattr(worker, end).close()
        assert worker.wait(timeout=8) == 1


def test_time_in_which_all_were_stopped_is_nobodys_silence(driver, wait_for, tmp_path):
    # As Ctrl-Z does it.
    process = driver("""
tasks = [named("toil", seconds=4.0, how="Python"), named("share", folder=folder, name="s", seconds=4.0)]
run_tasks(tasks, workers=2, patience=Patience(silence=3.5, idleness=3.5))
""")
    (tmp_path / "s").mkdir()
    wait_for(lambda: list((tmp_path / "s").iterdir()), count=1)
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(7)
    os.killpg(process.pid, signal.SIGCONT)
    assert process.wait(timeout=30) == 0
    assert len(list((tmp_path / "s").iterdir())) == 1
