"""The command line: one file per command; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from unweave._threads import ONE_THREAD

for _name, _one in ONE_THREAD.items():
    os.environ.setdefault(_name, _one)


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(143)


def main() -> None:
    """Entry point of `unweave`."""
    signal.signal(signal.SIGTERM, _terminate)
    from unweave.cli.app import app

    app()
