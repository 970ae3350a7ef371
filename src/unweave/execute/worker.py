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
from typing import IO, Any

from unweave._errors import UnweaveError
from unweave.execute.tasks import call


def _answer(line: str) -> dict[str, Any]:
    request = json.loads(line)
    try:
        return {"value": call(request["function"], request["arguments"])}
    except UnweaveError as error:
        return {"error": str(error), "class": type(error).__name__}
    except Exception:  # noqa: BLE001 - whatever it was, the driver reports it with its traceback
        return {"error": traceback.format_exc(), "class": ""}


def _serve(requests: IO[str], answers: IO[str]) -> None:
    for line in requests:
        answers.write(json.dumps(_answer(line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray print must not look like an answer
    _serve(sys.stdin, channel)
