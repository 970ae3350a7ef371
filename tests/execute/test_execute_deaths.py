"""Workers that die or hang cost their task only; none of them makes the driver wait for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from unweave._errors import UserError
from unweave.execute import Patience, WorkerError, crew_of_workers, run_tasks

HASTY = Patience(silence=3.5, idleness=3.5)


@pytest.mark.parametrize("how", ["exit", "SIGKILL", "SIGTERM"])
def test_a_worker_that_dies_costs_its_task_only(named, folder, how: str):
    tasks = [named("echo", value=n) for n in range(5)]
    tasks[2] = named("die", folder=folder("dying"), times=2, how=how)
    seen: list[int] = []
    assert run_tasks(tasks, workers=2, on_done=lambda number, _: seen.append(number)) == [0, 1, 2, 3, 4]
    assert sorted(seen) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("how", "named_so"),
    [
        ("exit", "last with exit code 7."),
        ("SIGSEGV", "last by signal 11."),
        (
            "SIGKILL",
            "last by signal 9. That is how a system ends a process when memory runs out. Try fewer --workers",
        ),
    ],
)
def test_the_third_death_is_the_last_and_stops_no_other_task(named, folder, how: str, named_so: str):
    dying = named("die", label="training A(D∖S)", folder=folder("dying"), times=99, how=how)
    done: list[Any] = []
    with pytest.raises(WorkerError) as caught:
        run_tasks(
            [dying, *(named("echo", value=n, after=0.1) for n in range(9))],
            workers=2,
            on_done=lambda _, value: done.append(value),
        )
    message = str(caught.value)
    assert message.startswith(f"Task training A(D∖S) failed: its worker died 3 times over it, {named_so}")
    assert message.endswith("The other 9 tasks are done and what they made is stored.")
    assert sorted(done) == list(range(9))
    assert len(os.listdir(dying.arguments["folder"])) == 3


def test_twenty_tasks_whose_workers_are_killed_while_they_work(named, folder):
    tasks = [named("die_at_a_random_time", folder=folder(number), seconds=0.2) for number in range(20)]
    assert run_tasks(tasks, workers=3) == ["value" * 1000] * 20
    for task in tasks:
        where = Path(task.arguments["folder"])
        made = [name for name in os.listdir(where) if not name.startswith("half-")]
        assert sorted(made) == ["made", "try-0", "try-1"] and (where / "made").read_text() == "value" * 1000


def test_a_task_that_is_run_twice_makes_one_thing(named, folder):
    where = folder("once")
    tasks = [named("die_before_the_answer", folder=where, text="made"), named("echo", value=1)]
    assert run_tasks(tasks, workers=2) == ["made", 1]
    assert sorted(os.listdir(where)) == ["made", "try-0", "try-1"]


def test_a_death_in_the_middle_of_a_large_request_is_cleaned_up(named, monkeypatch: pytest.MonkeyPatch):
    # The worker is dead before it reads: the rest of the request does not fit into the pipe.
    real = subprocess.Popen

    def stillborn(_: Any, **kwargs: Any) -> Any:
        return real([sys.executable, "-c", "import os; os._exit(3)"], **kwargs)

    monkeypatch.setattr(subprocess, "Popen", stillborn)
    with pytest.raises(WorkerError, match="2 of 2 tasks failed.\n.*died 3 times over it, last with exit code 3"):
        run_tasks([named("echo", value="x" * 1_000_000)] * 2, workers=2)


def test_a_death_is_seen_though_a_process_that_the_task_has_started_holds_the_pipe(named, folder):
    begin = time.monotonic()
    tasks = [named("die_with_a_child", folder=folder("forked")), named("echo", value=1)]
    assert run_tasks(tasks, workers=2) == ["told", 1]
    assert time.monotonic() - begin < 40


def test_errors_beside_workers_that_die_and_restart_leave_nothing(named, folder, children):
    # What is left is looked for right after the error: a worker started late would be seen.
    dying = [named("die", folder=folder(number), times=2, how="exit") for number in range(2)]
    with pytest.raises(UserError, match="enough"):
        run_tasks([*dying, named("refuse", kind="UserError", text="enough")], workers=3)
    assert not children()


HANGING = {
    "stopped": "because it did not answer for 3.5 s",
    "keeps the lock of Python": "because it did not answer for 3.5 s",
    "deadlock": "because it used next to no processor time for 3.5 s",
}


@pytest.mark.parametrize("how", HANGING)
def test_a_worker_that_hangs_is_ended_and_its_task_tried_again(named, folder, how: str):
    tasks = [
        named("hang", folder=folder("hanging"), how=how, times=1),
        *(named("echo", value=n) for n in range(3)),
    ]
    seen: list[int] = []
    begin = time.monotonic()
    values = run_tasks(tasks, workers=2, patience=HASTY, on_done=lambda number, _: seen.append(number))
    assert values == [1, 0, 1, 2]
    assert seen[-1] == 0 and 3.5 < time.monotonic() - begin < 60


@pytest.mark.parametrize("how", ["stopped", "deadlock"])
def test_a_task_that_always_hangs_is_named_with_how(named, folder, how: str):
    tasks = [named("hang", label="training 5", folder=folder("hanging"), how=how, times=9), named("echo", value=1)]
    with pytest.raises(WorkerError) as caught:
        run_tasks(tasks, workers=2, patience=HASTY)
    assert str(caught.value) == (
        f"Task training 5 failed: its worker died 3 times over it, last {HANGING[how]}.\n"
        "The other task is done and what it made is stored."
    )


def test_a_worker_that_computes_for_long_does_not_hang(named):
    tasks = [named("toil", seconds=5.0, how=how) for how in ("Python", "C")]
    assert run_tasks(tasks, workers=2, patience=HASTY) == ["Python", "C"]


def test_a_worker_that_sleeps_does_not_hang(named, folder):
    # Silence is counted in signs of life, which a sleeping worker gives.
    patience = Patience(silence=3.5)
    assert run_tasks([named("echo", value=n, after=5.5) for n in range(2)], workers=2, patience=patience) == [0, 1]
    assert Patience() == (60.0, 600.0)


def test_a_worker_stopped_in_the_middle_of_its_answer_holds_nobody_up(named, folder, wait_for):
    where = folder("stopped")
    done: list[tuple[int, float]] = []
    begin = time.monotonic()

    def on_done(number: int, value: Any) -> None:
        done.append((number, time.monotonic() - begin))
        if number == 1:  # while nobody reads the long answer, the worker waits in the middle of it
            (begun,) = wait_for(lambda: list(Path(where).glob("try-0")), count=1)
            time.sleep(2)
            os.kill(int(begun.read_text()), signal.SIGSTOP)

    tasks = [named("long_answer", folder=where), *(named("echo", value=n, after=0.5 * (n > 0)) for n in range(4))]
    values = run_tasks(tasks, workers=2, patience=HASTY, on_done=on_done)
    assert values == ["x" * 10_000_000, 0, 1, 2, 3]
    assert sorted(os.listdir(where)) == ["try-0", "try-1"]
    assert [number for number, _ in done] == [1, 2, 3, 4, 0]
    assert done[3][1] < done[4][1] - 0.5


def test_a_large_request_to_a_stopped_worker_holds_nobody_up(named, children):
    with crew_of_workers() as crew:
        assert run_tasks([named("echo", value=n, after=0.3) for n in range(2)], workers=2, crew=crew) == [0, 1]
        stopped = min(children())
        os.kill(stopped, signal.SIGSTOP)
        tasks = [named("echo", value=str(number) * 3_000_000) for number in range(4)]
        done: list[int] = []
        values = run_tasks(
            tasks, workers=2, crew=crew, patience=HASTY, on_done=lambda number, _: done.append(number)
        )
        assert values == [task.arguments["value"] for task in tasks]
        assert len(done) == 4 and stopped not in children()
