"""Running tasks here and in workers: values, errors, crews, and that nothing is left behind."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from unweave._errors import CorruptObjectError, SpecError, UnweaveError, UserError
from unweave.execute import Task, WorkerError, crew_of_workers, run_tasks


def echoes(*values: Any) -> list[Task]:
    return [Task("tasks_of_test_execute:echo", {"value": value}) for value in values]


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_values_in_order_and_every_task_reported_once(named, workers: int):
    values = [3, None, [1.5, {"two": True}]]
    # The first task is the slowest, so with several workers the others end before it.
    tasks = [named("echo", value=value, after=0.2 * (n == 0)) for n, value in enumerate(values)]
    seen: list[tuple[int, Any]] = []
    assert run_tasks(tasks, workers=workers, on_done=lambda number, value: seen.append((number, value))) == values
    assert sorted(number for number, _ in seen) == [0, 1, 2]
    assert all(value == values[number] for number, value in seen)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_tasks_at_all(workers: int):
    assert run_tasks([], workers=workers) == []


def test_values_do_not_depend_on_the_workers_nor_on_which_task_ends_first(named):
    rng = random.Random(5)
    values = [[number, rng.random()] for number in range(24)]
    orders: list[list[int]] = []
    for workers in (1, 2, 8):
        tasks = [named("echo", value=value, after=rng.choice([0.0, 0.1])) for value in values]
        orders.append([])
        found = run_tasks(tasks, workers=workers, on_done=lambda number, _: orders[-1].append(number))
        assert found == values, workers
    assert orders[0] == sorted(orders[0]) and all(order != sorted(order) for order in orders[1:])


def test_unicode_control_characters_and_a_megabyte_pass_unchanged():
    values = ["D∖S \u2028 \x00 \r\n \ud800 🙂", "x" * 1_000_000, ["é" * 300_000], 1e-300]
    assert run_tasks(echoes(*values), workers=2) == values


def test_workers_have_one_blas_thread_each(named, monkeypatch: pytest.MonkeyPatch):
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "MARK"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MARK", "inherited")
    found = run_tasks([named("environment", names=names)] * 2, workers=2)
    assert found == [["1", "1", "1", "1", "inherited"]] * 2


def test_a_print_is_no_answer_and_stdin_holds_no_request(named):
    tasks = [named("noisy", value=n) for n in range(3)] + [named("greedy", value=n) for n in range(3)]
    assert run_tasks(tasks, workers=2) == [0, 1, 2, *([n, "", ""] for n in range(3))]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["UserError", "plugin", "SpecError", "CorruptObjectError"])
def test_errors_made_on_purpose_keep_their_class_and_text(named, kind: str, workers: int):
    expected = {"SpecError": SpecError, "CorruptObjectError": CorruptObjectError}.get(kind, UserError)
    text = "`lr` is −1; expected a positive number.\nSee {the} docs %s."
    with pytest.raises(UnweaveError) as caught:
        run_tasks([named("refuse", label="training A(D)", kind=kind, text=text), *echoes(1, 2)], workers=workers)
    assert type(caught.value) is expected
    rest = "This was in task training A(D). The other 2 tasks are done and what they made is stored."
    assert str(caught.value) == f"{text}\n{rest}"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unknown_name_is_a_user_error_with_near_names(named, workers: int):
    with pytest.raises(UserError) as caught:
        run_tasks([named("misname"), *echoes(1)], workers=workers)
    assert str(caught.value).startswith("Unknown method `scrap`. Did you mean `scrub`? Known: delete, scrub.\n")


@pytest.mark.parametrize(
    ("bad", "trace", "workers"),
    [
        (Task("tasks_of_test_execute:buggy", {"divisor": 0}), "ZeroDivisionError: division by zero", 1),
        (Task("tasks_of_test_execute:buggy", {"divisor": 0}), "ZeroDivisionError: division by zero", 2),
        (Task("tasks_of_test_execute:echo", {}), "missing 1 required positional argument: 'value'", 1),
        (Task("tasks_of_test_execute:unregistered", {}), "KeyError: 'tasks_of_test_execute:unregistered'", 1),
        (Task("no_such_module_anywhere:f", {}), "ModuleNotFoundError", 2),
    ],
)
def test_a_bug_is_reported_with_its_traceback(bad: Task, trace: str, workers: int):
    with pytest.raises(WorkerError) as caught:
        run_tasks([*echoes(1), bad], workers=workers)
    message = str(caught.value)
    assert message.startswith(f"Task {bad.function} failed: Traceback")
    assert trace in message


@pytest.mark.parametrize("workers", [1, 2])
def test_code_that_would_end_the_program_is_an_error_of_its_task(named, workers: int):
    with pytest.raises(WorkerError, match=r"leave would have ended the program \(exit code 0\)"):
        run_tasks([named("leave", code=0), named("echo", value=1)], workers=workers)


def test_a_value_that_is_no_json_is_a_bug_and_not_a_death(named):
    with pytest.raises(WorkerError, match="TypeError: Object of type set is not JSON serializable"):
        run_tasks([named("unspeakable")] * 2, workers=2)


def test_arguments_that_are_no_json_are_refused_before_any_process_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with pytest.raises(TypeError, match="not JSON serializable"):
        run_tasks(echoes(1, {2}), workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_bug_among_300_tasks_costs_one_value(named, workers: int):
    tasks = [named("buggy", label=f"training {n}", divisor=n - 17) for n in range(300)]
    values: dict[int, float] = {}
    failed: list[tuple[int, str]] = []
    with pytest.raises(WorkerError) as caught:
        run_tasks(
            tasks,
            workers=workers,
            on_done=values.__setitem__,
            on_failed=lambda number, error: failed.append((number, str(error))),
        )
    assert values == {n: 1 / (n - 17) for n in range(300) if n != 17}
    message = str(caught.value)
    assert message.startswith("Task training 17 failed: Traceback (most recent call last):")
    assert message.endswith("division by zero\nThe other 299 tasks are done and what they made is stored.")
    assert len(re.findall(r"\btraining \d+", message)) == 1 and message.count("Traceback") == 1
    assert [number for number, _ in failed] == [17] and message.startswith(failed[0][1].rstrip())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_told_as_it_happens_and_is_tried_once(named, workers: int):
    told: list[str] = []
    tasks = [named("refuse", kind="UserError", text="no"), named("echo", value=1, after=2.0), named("misname")]
    with pytest.raises(UserError, match="2 of 3 tasks failed. The other task is done"):
        run_tasks(
            tasks,
            workers=workers,
            on_done=lambda number, _: told.append(f"done {number}"),
            on_failed=lambda number, error: told.append(f"failed {number} {type(error).__name__}"),
        )
    assert told[0] == "failed 0 UserError" and sorted(told[1:]) == ["done 1", "failed 2 UserError"]


def test_what_a_callback_raises_ends_everything_at_once(named, tmp_path: Path):
    def full(number: int, value: Any) -> None:
        raise RuntimeError(f"no room for {number}: {value}")

    lingering = named("linger", folder=str(tmp_path))
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="no room for 1: here"):
        run_tasks([lingering, named("echo", value="here"), lingering], workers=2, on_done=full)
    with pytest.raises(RuntimeError, match="no room for 1: not here"):
        run_tasks([lingering, named("refuse", kind="UserError", text="not here")], workers=2, on_failed=full)
    assert time.monotonic() - begin < 30


def test_an_interrupt_in_this_process_ends_everything_at_once(named):
    values: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run_tasks([*echoes(1), named("interrupt"), *echoes(2)], on_done=lambda _, value: values.append(value))
    assert values == [1]


def stillborn(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system starts no process after so many."""
    real, started = subprocess.Popen, []

    def start(*args: Any, **kwargs: Any) -> Any:
        started.append(1)
        if len(started) > count:
            raise BlockingIOError("Resource temporarily unavailable")
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", start)


def test_where_no_worker_can_be_started_that_is_an_error(monkeypatch: pytest.MonkeyPatch):
    stillborn(0, monkeypatch)
    with pytest.raises(WorkerError, match="temporarily unavailable. Try fewer with --workers"):
        run_tasks(echoes(1, 2, 3), workers=3)


def test_where_fewer_workers_can_be_started_they_do_it_all(monkeypatch: pytest.MonkeyPatch):
    stillborn(1, monkeypatch)
    assert run_tasks(echoes(1, 2, 3), workers=3) == [1, 2, 3]


def test_a_crew_works_for_several_calls(named, children):
    pids = [named("whoami", after=0.1) for _ in range(2)]
    with crew_of_workers() as crew:
        assert run_tasks(pids, workers=1, crew=crew) == [os.getpid()] * 2
        assert not children(), "workers were started before there was work for them"
        first = set(run_tasks(pids, workers=2, crew=crew))
        assert first == children() and len(first) == 2
        assert set(run_tasks(pids * 2, workers=2, crew=crew)) == first
        assert first < set(run_tasks(pids * 2, workers=3, crew=crew)) == children()
        assert run_tasks(echoes(1, 2), workers=2, crew=crew) == [1, 2]
    assert not children()


def test_a_crew_goes_on_after_an_error(named, children):
    with crew_of_workers() as crew:
        with pytest.raises(UserError):
            run_tasks([named("whoami", after=0.3), named("misname")], workers=2, crew=crew)
        first = children()
        assert set(run_tasks([named("whoami", after=0.1)] * 2, workers=2, crew=crew)) == first


def test_a_crew_is_replaced_after_an_interrupt_and_after_deaths(named, children, folder):
    def stop(number: int, value: Any) -> None:
        raise KeyboardInterrupt

    with crew_of_workers() as crew:
        with pytest.raises(KeyboardInterrupt):  # the other is still at work when this ends
            run_tasks([named("echo", value="late", after=0.3), *echoes(1)], workers=2, crew=crew, on_done=stop)
        assert not children()
        assert run_tasks(echoes(1, 2, 3), workers=2, crew=crew) == [1, 2, 3]
        for pid in children():
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        # They died idle, which is not counted as a try of the next task.
        dying = named("die", folder=folder("dying"), times=2, how="exit")
        assert run_tasks([dying, *echoes(5, 6)], workers=2, crew=crew) == [2, 5, 6]


def test_a_worker_ends_with_its_requests():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", "unweave.execute.worker"], stdin=pipe, stdout=pipe) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        worker.stdin.write(b'{"function": "tasks_of_test_execute:echo", "arguments": {"value": 5}}\n')
        worker.stdin.flush()
        lines = iter(worker.stdout.readline, b"")
        assert next(line for line in lines if b"beat" not in line) == b'{"value": 5}\n'
        worker.stdin.close()
        assert worker.wait(10) == 0
