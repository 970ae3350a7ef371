"""Running tasks: here one after the other, or by worker processes of one thread each."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, Any, NamedTuple

from unweave.execute.failures import TRIES, WorkerError, failure, failure_here, lost
from unweave.execute.tasks import Task, call

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Done = Callable[[int, Any], None]


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    answers: IO[bytes]


Crew = list[_Worker]


def run_tasks(
    tasks: Sequence[Task], *, workers: int = 1, on_done: Done | None = None, crew: Crew | None = None
) -> list[Any]:
    """Run tasks and return their values in the order of the tasks.

    With one worker they run in this process. Otherwise each worker is a process with one BLAS
    thread; a worker that dies costs its task only, which is tried up to three times.

    Args:
        tasks: What to run; tasks must not depend on each other.
        workers: Number of processes.
        on_done: Called in this thread with the number and value of each task as it ends.
        crew: Worker processes to use again, from `crew_of_workers`; None = new ones for these tasks.

    Raises:
        UnweaveError: the first error of a task, after which no further task is started.
    """
    if workers <= 1 or len(tasks) <= 1:
        values: list[Any] = []
        for number, item in enumerate(tasks):
            values.append(_call_here(item))
            if on_done is not None:
                on_done(number, values[-1])
        return values
    with crew_of_workers() if crew is None else nullcontext(crew) as members:
        try:
            return _run_in_processes(tasks, min(workers, len(tasks)), on_done, members)
        except BaseException:
            _dissolve(members)  # some are at work still: their answers must not meet the next tasks
            raise


def _call_here(item: Task) -> Any:
    try:
        return call(item.function, item.arguments)
    except Exception as error:  # noqa: BLE001 - the same error as from a worker, whatever it was
        raise failure_here(item, error) from error


def _run_in_processes(tasks: Sequence[Task], workers: int, on_done: Done | None, crew: Crew) -> list[Any]:
    requests = [json.dumps({"function": one.function, "arguments": one.arguments}) for one in tasks]
    pending = deque(range(len(tasks)))
    deaths: Counter[int] = Counter()
    values: list[Any] = [None] * len(tasks)
    with selectors.DefaultSelector() as answers:

        def give(worker: _Worker) -> None:
            if pending:
                number = pending.popleft()
                answers.register(worker.answers, selectors.EVENT_READ, (worker, number))
                _send(worker, requests[number])

        while len(crew) < workers:
            crew.append(_start())
        for worker in crew[:workers]:
            give(worker)
        while answers.get_map():
            for event, _ in answers.select():
                worker, number = event.data
                answers.unregister(worker.answers)
                answer = _receive(worker)
                if answer is None:
                    _dismiss(worker)
                    crew.remove(worker)
                    deaths[number] += 1
                    if deaths[number] == TRIES:
                        code = worker.process.returncode
                        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
                        raise lost(tasks[number], how)
                    pending.appendleft(number)
                    crew.append(_start())
                    give(crew[-1])
                    continue
                if "error" in answer:
                    raise failure(tasks[number], answer)
                give(worker)  # first, so that it need not wait for `on_done`
                values[number] = answer["value"]
                if on_done is not None:
                    on_done(number, values[number])
    return values


@contextmanager
def crew_of_workers() -> Generator[Crew]:
    """Workers for several calls of `run_tasks`: started when needed, gone however the block ends.

    A worker that has imported torch once need not do so for the next stage of a run.
    """
    crew: Crew = []
    try:
        yield crew
    finally:
        _dissolve(crew)


def _dissolve(crew: Crew) -> None:
    for worker in crew:
        worker.process.kill()
    while crew:
        _dismiss(crew[-1])
        crew.pop()


def _start() -> _Worker:
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    command = [sys.executable, "-m", "unweave.execute.worker"]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    except OSError as error:
        raise WorkerError(f"Cannot start a worker process: {error}. Try fewer with --workers.") from error
    if process.stdin is None or process.stdout is None:
        raise WorkerError("Cannot start a worker process: it has no pipes.")
    return _Worker(process, process.stdin, process.stdout)


def _dismiss(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    with suppress(OSError):  # closing writes what is left in the buffer, and nobody reads it any more
        worker.requests.close()
    worker.answers.close()


def _send(worker: _Worker, request: str) -> None:
    with suppress(OSError):  # a dead worker is noticed by the end of its answers
        worker.requests.write(request.encode() + b"\n")
        worker.requests.flush()


def _receive(worker: _Worker) -> dict[str, Any] | None:
    """The worker's answer, or None if it died."""
    line = worker.answers.readline()
    return json.loads(line) if line.endswith(b"\n") else None
