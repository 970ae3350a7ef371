"""A worker process: reads one task per line from stdin, answers one line per task on stdout.

Started as `python -m unweave.execute.worker` with one BLAS thread in its environment, so that a
user's script needs no `__main__` guard.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import IO

from unweave.execute.failures import as_answer
from unweave.execute.tasks import call


def _answer(line: str) -> str:
    request = json.loads(line)
    try:
        return json.dumps({"value": call(request["function"], request["arguments"])})
    except Exception as error:  # noqa: BLE001 - whatever it was, the driver reports it
        return json.dumps(as_answer(error))


def _serve(requests: IO[str], answers: IO[str]) -> None:
    for line in requests:
        answers.write(_answer(line) + "\n")
        answers.flush()


def _own_channels() -> tuple[IO[str], IO[str]]:
    # A task that prints must not look like an answer, and one that reads stdin must not eat a request.
    requests = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return requests, answers


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    _serve(*_own_channels())
