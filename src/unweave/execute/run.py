"""Running tasks: here one after the other, or by worker processes of one thread each."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from unweave import _errors
from unweave._errors import UnweaveError
from unweave.execute.tasks import Task, call

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_TRIES = 3

Done = Callable[[int, Any], None]


class WorkerError(UnweaveError):
    """A task failed in a worker: its traceback, or that the worker died several times over it."""


def run_tasks(tasks: Sequence[Task], *, workers: int = 1, on_done: Done | None = None) -> list[Any]:
    """Run tasks and return their values in the order of the tasks.

    With one worker they run in this process. Otherwise each worker is a process with one BLAS
    thread; a worker that dies costs its task only, which is tried up to three times.

    Args:
        tasks: What to run; tasks must not depend on each other.
        workers: Number of processes.
        on_done: Called in this thread with the number and value of each task as it ends.

    Raises:
        UnweaveError: the first error of a task, after which no further task is started.
    """
    if workers <= 1 or len(tasks) <= 1:
        values: list[Any] = []
        for number, item in enumerate(tasks):
            values.append(call(item.function, item.arguments))
            if on_done is not None:
                on_done(number, values[-1])
        return values
    return _run_in_processes(tasks, min(workers, len(tasks)), on_done)


def _run_in_processes(tasks: Sequence[Task], workers: int, on_done: Done | None) -> list[Any]:
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(tasks)):
        pending.put(number)
    answers: queue.SimpleQueue[tuple[int, dict[str, Any]]] = queue.SimpleQueue()
    stop = threading.Event()
    values: list[Any] = [None] * len(tasks)
    with _processes() as started:
        for _ in range(workers):
            arguments = (tasks, pending, answers, stop, started)
            threading.Thread(target=_drive, args=arguments, daemon=True).start()
        for _ in range(len(tasks)):
            number, answer = answers.get()
            if "error" in answer:
                stop.set()
                raise _as_exception(tasks[number], answer)
            values[number] = answer["value"]
            if on_done is not None:
                on_done(number, values[number])
    return values


@contextmanager
def _processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    try:
        yield started
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _start() -> subprocess.Popen[str]:
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    command = [sys.executable, "-m", "unweave.execute.worker"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    )


def _drive(
    tasks: Sequence[Task],
    pending: queue.SimpleQueue[int],
    answers: queue.SimpleQueue[tuple[int, dict[str, Any]]],
    stop: threading.Event,
    started: list[subprocess.Popen[str]],
) -> None:
    process = _start()
    started.append(process)
    while not stop.is_set():
        try:
            number = pending.get_nowait()
        except queue.Empty:
            return
        answer: dict[str, Any] | None = None
        for _ in range(_TRIES):
            answer = _ask(process, tasks[number])
            if answer is not None or stop.is_set():
                break
            process = _start()
            started.append(process)
        lost = {"error": f"its worker died {_TRIES} times over it", "class": ""}
        answers.put((number, lost if answer is None else answer))


def _ask(process: subprocess.Popen[str], item: Task) -> dict[str, Any] | None:
    """The worker's answer, or None if it died."""
    if process.stdin is None or process.stdout is None:
        return None
    try:
        process.stdin.write(json.dumps({"function": item.function, "arguments": item.arguments}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (OSError, ValueError):
        return None
    return json.loads(line) if line.endswith("\n") else None


def _as_exception(item: Task, answer: dict[str, Any]) -> UnweaveError:
    # The classes of `_errors` survive the way through JSON; UnknownNameError has said all in its text.
    name = {"UnknownNameError": "UserError"}.get(answer["class"], answer["class"])
    known = getattr(_errors, name, None)
    if isinstance(known, type) and issubclass(known, UnweaveError):
        return known(answer["error"])
    return WorkerError(f"Task {item.function} failed: {answer['error']}")
