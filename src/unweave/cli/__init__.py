"""The command line: one file per command; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from types import FrameType

from unweave._threads import ONE_THREAD

for _name, _one in ONE_THREAD.items():
    os.environ.setdefault(_name, _one)


_GO_ON = "Interrupted. What was complete is stored; run the same command to go on."


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(143)


def main() -> None:
    """Entry point of `unweave`."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        # ∖ and γ are in no latin-1: what a terminal cannot show must not end a run.
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        from unweave.cli.app import app

        app()
    except (KeyboardInterrupt, SystemExit) as stop:
        # Said here, for a signal may come before a command has begun, or after its end.
        code = 130 if isinstance(stop, KeyboardInterrupt) else stop.code
        if code in (130, 143):
            print(_GO_ON, file=sys.stderr)
        sys.exit(code)
