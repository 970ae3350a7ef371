"""The most memory a process has held, without what the process that started it held."""

import resource
import sys
from pathlib import Path


def peak_memory() -> int:
    """Bytes of memory that this process held at most so far.

    Linux tells it for the program alone. `getrusage`, which is asked elsewhere, may count what the parent held
    when it forked: on Linux its figure survives `exec`.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
