"""Worker processes: started, given tasks, listened to and ended; none of them can make the driver wait for it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from unweave._threads import ONE_THREAD
from unweave.execute.failures import WorkerError

_LOOK = 1.0  # seconds between two looks at who is silent
_FIRST_WORD = 60.0  # seconds at least: on a busy machine a process may take long to start
_LAST_BREATH = 1.0  # seconds between the end of a worker's answers and its own
_BURIAL = 5.0  # seconds; a process that waits for a dead disk may not end even when it is killed
_LEAST_SHARE = 0.001  # of one core: who uses less computes nothing
_CHUNK = 1 << 20


class Patience(NamedTuple):
    """When a worker at work is taken for hanging, is ended, and its task given to another.

    A legitimate task may sleep, wait for another process or stay in one long C function, as long as that releases
    Python's lock now and then. What is not noticed: an endless loop, which nothing tells from work. What
    processes compute that a task has started does not count as its own work.

    Attributes:
        silence: Seconds without a sign of life: it is stopped or swapped out, or keeps Python's lock.
        idleness: Seconds in which it used less than a thousandth of a core: a deadlock, a dead network disk.
    """

    silence: float = 60.0
    idleness: float = 600.0


class Death(NamedTuple):
    """How a worker died, as "by signal 11"; and whether it may have been for want of memory."""

    how: str
    memory: bool = False


@dataclass(eq=False)
class Worker:
    """A process, what has yet to be sent to it, what it has sent of a line, and how long it has been quiet."""

    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    answers: IO[bytes]
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    line: bytearray = field(default_factory=bytearray)
    silent: float = 0.0
    idle: float = 0.0
    computed: float = 0.0
    heard: bool = False


Crew = list[Worker]
Answer = dict[str, Any]


@contextmanager
def crew_of_workers() -> Generator[Crew]:
    """Workers for several calls of `run_tasks`: started when needed, gone however the block ends.

    A worker that has imported torch once need not do so for the next stage of a run.
    """
    crew: Crew = []
    try:
        yield crew
    finally:
        dissolve(crew)


def start() -> Worker:
    """Start a worker.

    Raises:
        WorkerError: if the system starts no further process.
    """
    command = [sys.executable, "-m", "unweave.execute.worker"]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=os.environ | ONE_THREAD, bufsize=0)
    except OSError as error:
        raise WorkerError(f"Cannot start a worker process: {error}. Try fewer with --workers.") from error
    if process.stdin is None or process.stdout is None:
        raise WorkerError("Cannot start a worker process: it has no pipes.")
    for end in (process.stdin, process.stdout):
        os.set_blocking(end.fileno(), False)
    return Worker(process, process.stdin, process.stdout)


def alive(worker: Worker) -> bool:
    """Whether the process of a worker is there still."""
    return worker.process.poll() is None


def give(worker: Worker, request: bytes) -> None:
    """Begin to send a request; `listen` sends what the pipe does not take now."""
    worker.unsent = memoryview(request)
    worker.silent = worker.idle = 0.0
    _push(worker)


def listen(busy: Collection[Worker], patience: Patience) -> list[tuple[Worker, Answer | Death]]:
    """Wait until one of the workers at work, or several, have answered, died or hung for too long."""
    while True:
        began = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.answers, selectors.EVENT_READ, worker)
                if worker.unsent:
                    selector.register(worker.requests, selectors.EVENT_WRITE, worker)
            ready = selector.select(_LOOK)
        # Only time in which they could be heard: all of them, driver included, may have been stopped for an hour.
        waited = min(time.monotonic() - began, _LOOK)
        for worker in busy:
            worker.silent += waited
            worker.idle += waited
        found: dict[Worker, Answer | Death] = {}
        for key, events in ready:
            if events & selectors.EVENT_WRITE:
                _push(key.data)
            elif (news := _pull(key.data)) is not None:
                found[key.data] = news
        for worker in busy:
            if worker not in found and (death := _quiet_death(worker, patience)):
                found[worker] = death
        if found:
            return list(found.items())


def _push(worker: Worker) -> None:
    try:
        worker.unsent = worker.unsent[os.write(worker.requests.fileno(), worker.unsent) :]
    except BlockingIOError:
        pass
    except OSError:  # a dead worker is noticed by the end of its answers
        worker.unsent = memoryview(b"")


def _pull(worker: Worker) -> Answer | Death | None:
    """Read what there is: an answer, the end of the worker, or None if it is neither yet."""
    try:
        part = os.read(worker.answers.fileno(), _CHUNK)
    except BlockingIOError:
        return None
    if not part:
        return _death(worker)
    worker.silent, worker.heard = 0.0, True
    worker.line += part
    if b"\n" not in part:
        return None
    *lines, worker.line = worker.line.split(b"\n")
    for line in lines:
        said: Answer = json.loads(line)
        if "beat" not in said:
            return said
        if said["beat"] - worker.computed > _LEAST_SHARE * worker.idle:
            worker.computed, worker.idle = said["beat"], 0.0
    return None


def _quiet_death(worker: Worker, patience: Patience) -> Death | None:
    if worker.silent > 2 * _LOOK and not alive(worker):  # what it has started keeps its pipe open
        return _death(worker)
    silence = patience.silence if worker.heard else max(patience.silence, _FIRST_WORD)
    if worker.silent > silence:
        return Death(f"because it did not answer for {silence:g} s")
    if worker.heard and worker.idle > patience.idleness:
        return Death(f"because it used next to no processor time for {patience.idleness:g} s")
    return None


def _death(worker: Worker) -> Death:
    try:
        code = worker.process.wait(_LAST_BREATH)
    except subprocess.TimeoutExpired:
        return Death("because it closed its answers")
    if code >= 0:
        return Death(f"with exit code {code}")
    return Death(f"by signal {-code}", memory=code == -signal.SIGKILL)


def dismiss(crew: Crew, worker: Worker) -> None:
    """End a worker and take it out of the crew."""
    _bury(worker, _BURIAL)
    crew.remove(worker)


def dissolve(crew: Crew) -> None:
    """End all workers, whatever they are doing."""
    for worker in crew:
        worker.process.kill()
    end = time.monotonic() + _BURIAL
    while crew:
        _bury(crew[-1], max(0.0, end - time.monotonic()))
        crew.pop()


def _bury(worker: Worker, seconds: float) -> None:
    worker.process.kill()
    with suppress(subprocess.TimeoutExpired):
        worker.process.wait(seconds)
    worker.requests.close()
    worker.answers.close()
