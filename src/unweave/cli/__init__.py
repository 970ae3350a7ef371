"""The command line: one file per command; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

# Spinning BLAS threads on a busy machine are many times slower than one thread per process;
# these count only if they are set before numpy and torch are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(143)


def main() -> None:
    """Entry point of `unweave`."""
    signal.signal(signal.SIGTERM, _terminate)
    from unweave.cli.app import app

    app()
