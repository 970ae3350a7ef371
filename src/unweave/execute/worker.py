"""A worker process: reads one task per line from stdin, writes one answer per task to stdout.

Started as `python -m unweave.execute.worker` with one BLAS thread in its environment, so that a
user's script needs no `__main__` guard. While a task runs, a thread writes each second how much
processor time the process has used, and ends it when its driver is gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import IO

from unweave.execute.failures import as_answer, out_of_memory
from unweave.execute.tasks import call

_BEAT = 1.0  # seconds

Send = Callable[[str], None]


def _serve(requests: IO[str], working: threading.Event, send: Send) -> None:
    for line in requests:
        working.set()
        answer, usable = _answer(line)
        working.clear()
        send(answer)
        if not usable:
            return


def _answer(line: str) -> tuple[str, bool]:
    """The answer to a request, and whether the process is fit for another: not once memory ran out in it."""
    request = json.loads(line)
    try:
        return json.dumps({"value": call(request["function"], request["arguments"])}), True
    except Exception as error:  # noqa: BLE001 - whatever it was, the driver reports it
        return json.dumps(as_answer(error)), not out_of_memory(error)


def _beat(requests: IO[str], working: threading.Event, send: Send) -> None:
    driver = os.getppid()
    closed = select.poll()
    closed.register(requests.fileno(), 0)  # nothing is asked for, so it tells only of a closed other end
    while True:
        working.wait()
        # Its own time is not that of the task, which may be in a deadlock.
        send(json.dumps({"beat": time.process_time() - time.thread_time()}))
        # A process that the driver has forked may keep the pipe open that the driver no longer holds.
        if (closed.poll(1000 * _BEAT) or os.getppid() != driver) and working.is_set():
            os._exit(1)


def _send(answers: int, lock: threading.Lock, line: str) -> None:
    rest = memoryview(line.encode() + b"\n")
    with lock:
        while rest:
            try:
                rest = rest[os.write(answers, rest) :]
            except BrokenPipeError:  # the driver is gone, and with it whoever would need the task
                os._exit(1)


def _run(part: Callable[[], None]) -> None:
    try:
        part()
    except MemoryError:  # not even a word about it is possible; the driver knows what this signal means
        os.kill(os.getpid(), signal.SIGKILL)


def _own_channels() -> tuple[IO[str], int]:
    # A task that prints must not look like an answer, and one that reads stdin must not eat a request.
    requests = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return requests, answers


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    requests, answers = _own_channels()
    send = partial(_send, answers, threading.Lock())
    send(json.dumps({"beat": time.process_time()}))  # it has started
    parts = (requests, threading.Event(), send)
    threading.Thread(target=_run, args=(partial(_beat, *parts),), daemon=True).start()
    _run(partial(_serve, *parts))


if __name__ == "__main__":
    _main()
