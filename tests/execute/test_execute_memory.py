"""Memory that runs out: fewer tasks at once, up to three tries, then a failure with a name and advice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from unweave.execute import Task, WorkerError, run_tasks


@pytest.mark.parametrize("how", ["of the system", "torch"])
def test_a_worker_whose_memory_ran_out_is_replaced_and_its_task_tried_again(named, folder, how: str):
    where = folder("hungry")
    tasks = [named("exhaust", folder=where, how=how, times=2), *(named("whoami", after=0.2) for _ in range(5))]
    tries, *pids = run_tasks(tasks, workers=2)
    assert tries == 2
    begun = [int((Path(where) / name).read_text()) for name in ("try-0", "try-1", "try-2")]
    assert len(set(begun)) == 3 and len({begun[0], begun[1]} & set(pids)) <= 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("of the system", "MemoryError"),
        (
            "torch",
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate",
        ),
    ],
)
def test_the_third_time_is_the_last_and_stops_no_other_task(named, folder, how: str, said: str):
    where = folder("hungry")
    hungry = named("exhaust", label="training A(D) of tiny", folder=where, how=how, times=99)
    done: list[Any] = []
    with pytest.raises(WorkerError) as caught:
        run_tasks(
            [hungry, *(named("echo", value=n, after=0.1) for n in range(6))],
            workers=2,
            on_done=lambda _, value: done.append(value),
        )
    assert str(caught.value) == (
        f"Task training A(D) of tiny failed: memory ran out 3 times over it: {said}. "
        "Try fewer --workers, or a machine with more memory.\n"
        "The other 6 tasks are done and what they made is stored."
    )
    assert sorted(done) == list(range(6)) and len(os.listdir(where)) == 3


def test_in_this_process_it_is_a_failure_of_the_task_at_once(named, folder):
    where = folder("hungry")
    tasks = [named("exhaust", folder=where, how="torch", times=99), named("echo", value=1)]
    with pytest.raises(WorkerError, match="memory ran out over it: RuntimeError.*fewer --workers.*\n.*is done"):
        run_tasks(tasks, workers=1)
    assert len(os.listdir(where)) == 1


def test_a_worker_without_memory_to_say_so_is_understood_all_the_same(named):
    tasks = [named("refuse", kind="unspeakable", text=""), named("echo", value=1)]
    with pytest.raises(WorkerError, match="died 3 times over it, last by signal 9. .* memory runs out"):
        run_tasks(tasks, workers=2)


def shared(named: Any, where: str, count: int, seconds: float, **options: Any) -> list[Task]:
    return [named("share", folder=where, name=f"s{n}", seconds=seconds, **options) for n in range(count)]


def seen_at_work(where: str, name: str) -> list[int]:
    """How many tasks were at work, looked at again and again by the last try of this one."""
    return [int(line) for line in (Path(where) / f"seen-{name}").read_text().split()]


def test_two_tasks_that_have_room_one_by_one_alone(named, folder, crew):
    where = folder("memory")
    for number in range(6):
        folder(f"memory/s{number}")
    assert run_tasks(shared(named, where, 6, 0.4), workers=2, crew=crew(2)) == [f"s{n}" for n in range(6)]
    tries = [len(os.listdir(Path(where) / f"s{n}")) for n in range(6)]
    assert sum(tries) > 6, "they never met, so that nothing was tested"
    assert all(seen_at_work(where, f"s{n}")[-1] == 1 for n in range(6))


def test_of_four_workers_two_go_on_and_the_others_end(named, folder, children, crew):
    where = folder("memory")
    for number in range(10):
        folder(f"memory/s{number}")
    at_once: list[int] = []
    members = crew(4)
    tasks = shared(named, where, 10, 0.5, most=9)
    tasks.insert(4, named("exhaust", folder=folder("hungry"), how="torch", times=1))
    run_tasks(tasks, workers=4, crew=members, on_done=lambda *_: at_once.append(len(children())))
    assert max(at_once[-4:]) <= 2 and not members
    assert max(max(seen_at_work(where, f"s{n}")) for n in range(4)) > 2 >= max(seen_at_work(where, "s9"))
    # The next call begins with as many as it is given.
    assert len(set(run_tasks([named("whoami", after=3.0)] * 3, workers=3, crew=members))) == 3


def test_the_last_try_has_the_machine_for_itself(named, folder, crew):
    where = folder("memory")
    for name in [*(f"s{n}" for n in range(20)), "greedy"]:
        folder(f"memory/{name}")
    tasks = shared(named, where, 20, 0.5, most=999)
    tasks.insert(7, named("share", folder=where, name="greedy", seconds=0.3, need=100, most=100))
    assert run_tasks(tasks, workers=8, crew=crew(8)) == [task.arguments["name"] for task in tasks]
    assert len(os.listdir(Path(where) / "greedy")) == 3, "it was not short of memory twice"
    assert set(seen_at_work(where, "greedy")[-5:]) == {1}
