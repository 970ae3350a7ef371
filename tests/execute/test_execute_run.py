"""Running tasks here and in workers: values, errors, deaths, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from unweave._errors import CorruptObjectError, SpecError, UserError
from unweave.execute import Task, crew_of_workers, run_tasks
from unweave.execute.failures import WorkerError

MODULE = '''
import os, signal, subprocess, sys, time
from pathlib import Path

from unweave import _errors
from unweave.execute import task


class PluginError(_errors.UserError):
    """A subclass that only the plugin knows."""


@task
def echo(value, after=0.0):
    time.sleep(after)
    return value


@task
def environment(names):
    return [os.environ.get(name) for name in names]


@task
def whoami(after):
    time.sleep(after)
    return os.getpid()


@task
def noisy(value):
    print('{"value": "forged"}')
    sys.stdout.flush()
    os.write(1, b'{"value": "forged"}\\n')
    subprocess.run([sys.executable, "-c", "print('{}')"], check=True)
    return value


@task
def greedy(value):
    eaten = sys.stdin.read()
    return [value, eaten, subprocess.run(["cat"], capture_output=True, text=True).stdout]


@task
def refuse(kind, text):
    raise {"plugin": PluginError, **vars(_errors)}[kind](text)


@task
def misname():
    raise _errors.UnknownNameError("method", "scrap", ["scrub", "delete"])


@task
def buggy(divisor):
    return 1 / divisor


@task
def unspeakable():
    return {1, 2}


@task
def die(folder, times, how):
    """Dies while fewer than `times` deaths are recorded in the folder; then says which try this is."""
    tries = len(list(Path(folder).iterdir()))
    if tries < times:
        (Path(folder) / str(tries)).touch()
        if how == "exit":
            os._exit(7)
        os.kill(os.getpid(), signal.SIGKILL)
    return tries


@task
def linger(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def unregistered():
    return 1
'''


@pytest.fixture(scope="module")
def folder_of_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "tasks_of_test_execute.py").write_text(MODULE, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def importable(folder_of_tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder_of_tasks))
    monkeypatch.setenv("PYTHONPATH", str(folder_of_tasks), prepend=os.pathsep)


def children() -> set[int]:
    """Processes, zombies included, whose parent is this one."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            found.add(int(stat.parent.name))
    return found


def open_files() -> set[str]:
    return {entry for entry in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{entry}")}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = children(), open_files()
    yield
    assert (children(), open_files()) == before


def named(name: str, **arguments: Any) -> Task:
    return Task(f"tasks_of_test_execute:{name}", arguments)


def echoes(*values: Any) -> list[Task]:
    return [named("echo", value=value) for value in values]


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_values_in_order_and_every_task_reported_once(workers: int):
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


def test_unicode_control_characters_and_a_megabyte_pass_unchanged():
    values = ["D∖S \u2028 \x00 \r\n \ud800 🙂", "x" * 1_000_000, ["é" * 300_000], 1e-300]
    assert run_tasks(echoes(*values), workers=2) == values


def test_workers_have_one_blas_thread_each(monkeypatch: pytest.MonkeyPatch):
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "MARK"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MARK", "inherited")
    found = run_tasks([named("environment", names=names)] * 2, workers=2)
    assert found == [["1", "1", "1", "1", "inherited"]] * 2


def test_a_print_is_no_answer_and_stdin_holds_no_request():
    tasks = [named("noisy", value=n) for n in range(3)] + [named("greedy", value=n) for n in range(3)]
    assert run_tasks(tasks, workers=2) == [0, 1, 2, *([n, "", ""] for n in range(3))]


@pytest.mark.parametrize(
    ("kind", "workers"),
    [("UserError", 1), ("plugin", 1), ("SpecError", 2), ("CorruptObjectError", 2), ("plugin", 2)],
)
def test_errors_made_on_purpose_keep_their_class_and_text(kind: str, workers: int):
    expected = {"SpecError": SpecError, "CorruptObjectError": CorruptObjectError}.get(kind, UserError)
    text = "`lr` is −1; expected a positive number.\nSee {the} docs %s."
    with pytest.raises(expected) as caught:
        run_tasks([named("refuse", kind=kind, text=text)] * 2, workers=workers)
    assert str(caught.value) == text


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unknown_name_is_a_user_error_with_near_names(workers: int):
    with pytest.raises(UserError) as caught:
        run_tasks([named("misname")] * 2, workers=workers)
    assert str(caught.value) == "Unknown method `scrap`. Did you mean `scrub`? Known: delete, scrub."


@pytest.mark.parametrize(
    ("bad", "trace", "workers"),
    [
        (named("buggy", divisor=0), "ZeroDivisionError: division by zero", 1),
        (named("buggy", divisor=0), "ZeroDivisionError: division by zero", 2),
        (named("echo"), "missing 1 required positional argument: 'value'", 1),
        (named("unregistered"), "KeyError: 'tasks_of_test_execute:unregistered'", 1),
        (Task("no_such_module_anywhere:f", {}), "ModuleNotFoundError", 2),
    ],
)
def test_a_bug_is_reported_with_its_traceback(bad: Task, trace: str, workers: int):
    with pytest.raises(WorkerError) as caught:
        run_tasks([bad, bad], workers=workers)
    message = str(caught.value)
    assert message.startswith(f"Task {bad.function} failed: Traceback")
    assert trace in message


def test_a_value_that_is_no_json_is_a_bug_and_not_a_death():
    with pytest.raises(WorkerError, match="TypeError: Object of type set is not JSON serializable"):
        run_tasks([named("unspeakable")] * 2, workers=2)


def test_arguments_that_are_no_json_are_refused_before_any_process_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with pytest.raises(TypeError, match="not JSON serializable"):
        run_tasks(echoes(1, {2}), workers=2)


def test_a_worker_that_cannot_be_started_is_an_error_and_no_hang(monkeypatch: pytest.MonkeyPatch):
    real, count = subprocess.Popen, []

    def second_fails(*args: Any, **kwargs: Any) -> Any:
        count.append(1)
        if len(count) == 2:
            raise BlockingIOError("Resource temporarily unavailable")
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", second_fails)
    with pytest.raises(WorkerError, match="temporarily unavailable"):
        run_tasks(echoes(1, 2, 3), workers=3)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_worker_that_dies_costs_its_task_only(tmp_path: Path, how: str):
    tasks = [*echoes(0, 1), named("die", folder=str(tmp_path), times=2, how=how), *echoes(3, 4)]
    seen: list[int] = []
    assert run_tasks(tasks, workers=2, on_done=lambda number, _: seen.append(number)) == [0, 1, 2, 3, 4]
    assert sorted(seen) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("how", "named_so"), [("exit", "with exit code 7"), ("kill", "by signal 9")])
def test_the_third_death_is_the_last(tmp_path: Path, how: str, named_so: str):
    tasks = [named("die", folder=str(tmp_path), times=99, how=how), named("echo", value=1, after=0.1)]
    with pytest.raises(WorkerError, match=f"tasks_of_test_execute:die failed.* died 3 times .*{named_so}"):
        run_tasks(tasks, workers=2)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_death_in_the_middle_of_a_large_request_is_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The worker is dead before it reads: the rest of the request stays in the pipe's buffer.
    real = subprocess.Popen

    def stillborn(_: Any, **kwargs: Any) -> Any:
        return real([sys.executable, "-c", "import os; os._exit(3)"], **kwargs)

    monkeypatch.setattr(subprocess, "Popen", stillborn)
    with pytest.raises(WorkerError, match="died 3 times over it, last with exit code 3"):
        run_tasks(echoes("x" * 1_000_000, "y" * 1_000_000), workers=2)


def test_the_first_error_stops_what_runs_and_what_waits(tmp_path: Path):
    tasks = [named("linger", folder=str(tmp_path)), named("buggy", divisor=0)]
    tasks += [named("linger", folder=str(tmp_path))] * 5
    started = time.monotonic()
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        run_tasks(tasks, workers=2)
    assert time.monotonic() - started < 30
    assert len(list(tmp_path.iterdir())) <= 1


def test_an_error_while_other_workers_die_and_restart_leaves_nothing(tmp_path: Path):
    # What is left is looked for by the fixture, right after the error: a worker started late would be seen.
    folders = [tmp_path / str(number) for number in range(2)]
    for folder in folders:
        folder.mkdir()
    dying = [named("die", folder=str(folder), times=2, how="exit") for folder in folders]
    with pytest.raises(UserError, match="enough"):
        run_tasks([*dying, named("refuse", kind="UserError", text="enough")], workers=3)
    assert not children()


def test_a_crew_works_for_several_calls():
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


def test_a_crew_is_replaced_after_an_error_and_after_deaths():
    with crew_of_workers() as crew:
        with pytest.raises(UserError):  # the other is still at work when this ends
            run_tasks([named("echo", value="late", after=0.3), named("misname")], workers=2, crew=crew)
        assert not children()
        assert run_tasks(echoes(1, 2, 3), workers=2, crew=crew) == [1, 2, 3]
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        assert run_tasks(echoes(4, 5, 6), workers=2, crew=crew) == [4, 5, 6]


def test_an_error_in_the_callback_ends_the_workers(tmp_path: Path):
    def on_done(number: int, value: Any) -> None:
        raise RuntimeError(f"no room for {number}: {value}")

    with pytest.raises(RuntimeError, match="no room for 1: here"):
        run_tasks([named("linger", folder=str(tmp_path)), named("echo", value="here")], workers=2, on_done=on_done)


DRIVER = """
import sys
from unweave.execute import Task, run_tasks

folder = sys.argv[1]
try:
    run_tasks([Task("tasks_of_test_execute:linger", {"folder": folder})] * 4, workers=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupted_driver_takes_its_workers_with_it(tmp_path: Path):
    # Who runs the tests in the background of a script has them ignore Ctrl-C, and all they start.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], preexec_fn=heed)
    try:
        workers = wait_for(lambda: [int(one.name) for one in tmp_path.iterdir()], count=2)
        driver.send_signal(signal.SIGINT)
        code = driver.wait(timeout=10)
    finally:
        driver.kill()
        driver.wait()
    assert code == 130
    assert not any(alive(pid) for pid in workers)


def wait_for(look: Any, *, count: int) -> list[int]:
    end = time.monotonic() + 30
    while len(found := look()) < count:
        assert time.monotonic() < end, "the workers did not start"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_end_when_their_driver_is_gone(tmp_path: Path):
    worker = subprocess.Popen(
        [sys.executable, "-m", "unweave.execute.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = worker.communicate(b'{"function": "tasks_of_test_execute:echo", "arguments": {"value": 5}}\n', 30)
    assert (out, worker.returncode) == (b'{"value": 5}\n', 0)
