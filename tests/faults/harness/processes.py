"""Real processes that do one thing, forked from one that has imported what they need."""

from __future__ import annotations

import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

Tell = Callable[[int], None]
"""Tells the parent a number."""


class Child(NamedTuple):
    """A forked process, and the pipe by which it tells numbers."""

    pid: int
    told: int


def fork(work: Callable[[Tell], None]) -> Child:
    """Let a child do something; it ends with 0, or with 1 and a line on stderr."""
    told, tell = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(tell)
        return Child(pid, told)
    code = 1
    try:
        os.close(told)
        work(lambda number: os.write(tell, struct.pack("<q", number)) and None)
        code = 0
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(
            f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})", file=sys.stderr, flush=True
        )
    finally:
        os._exit(code)


def next_told(child: Child) -> int | None:
    """The next number that a child tells, or None at its end."""
    text = os.read(child.told, 8)
    return struct.unpack("<q", text)[0] if len(text) == 8 else None


def rest_told(child: Child) -> list[int]:
    """All numbers that a child told and nobody has read; to be called when it has ended."""
    with open(child.told, "rb") as pipe:
        text = pipe.read()
    return [number for (number,) in struct.iter_unpack("<q", text[: len(text) // 8 * 8])]


def kill(child: Child) -> list[int]:
    """Kill a child that is at work, and return what it had told."""
    os.kill(child.pid, signal.SIGKILL)
    status = os.waitpid(child.pid, 0)[1]
    assert os.WIFSIGNALED(status), f"a writer ended by itself with status {status}"
    return rest_told(child)


def end_of(child: Child) -> tuple[int, list[int]]:
    """Wait for a child to end by itself: its exit code, and what it told meanwhile."""
    told = rest_told(child)
    return os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]), told
