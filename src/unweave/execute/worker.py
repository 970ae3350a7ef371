"""A worker process: reads one task per line from stdin, answers one line per task on stdout.

Started as `python -m unweave.execute.worker` with one BLAS thread in its environment, so that a
user's script needs no `__main__` guard.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import IO

from unweave import _errors
from unweave._errors import UnknownNameError, UnweaveError
from unweave.execute.tasks import call


def _answer(line: str) -> str:
    request = json.loads(line)
    try:
        return json.dumps({"value": call(request["function"], request["arguments"])})
    except UnweaveError as error:
        return json.dumps({"error": str(error), "class": _nearest(type(error))})
    except Exception:  # noqa: BLE001 - whatever it was, the driver reports it with its traceback
        return json.dumps({"error": traceback.format_exc(), "class": ""})


def _nearest(kind: type[UnweaveError]) -> str:
    # A plugin's own subclass of UserError is a user's error on the other side too; UnknownNameError
    # is not made from a text, and has said all in its own.
    known = [one for one in kind.__mro__ if one.__module__ == _errors.__name__ and one is not UnknownNameError]
    return known[0].__name__


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
