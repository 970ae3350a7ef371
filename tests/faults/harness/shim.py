"""System calls of this process on files below a folder: announced before they happen, made slow, or failed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from unweave import _durable

Hook = Callable[[str, str], None]
"""Called as (what, path)."""

CALLS = {
    "fsync": "fsync",
    "replace": "rename",
    "mkdir": "mkdir",
    "open": "open",
    "close": "close",
    "unlink": "unlink",
    "write": "write",
}
"""Functions of `os`, and what they are called here."""


class Watched:
    """An open file whose writes and closing are announced; unbuffered, so that each write is one."""

    def __init__(self, handle: Any, path: str, hook: Hook) -> None:
        self.handle, self.path, self.hook = handle, path, hook

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.close()
        self.hook("close", self.path)

    def write(self, content: bytes) -> None:
        self.hook("write", self.path)
        self.handle.write(content)

    def flush(self) -> None:
        self.handle.flush()

    def fileno(self) -> int:
        return self.handle.fileno()


@contextmanager
def watched(root: Path, hook: Hook) -> Generator[None]:
    """Call `hook` before every call on a file below a folder, and after every close.

    Objects are written through the `open` of `unweave._durable`; locks, leases and folders are opened by
    `os.open`. A descriptor is gone, whatever closing it reports.
    """

    def within(path: Any) -> bool:
        return str(path).startswith(str(root))

    def opened(path: Any, mode: str) -> Watched:
        hook("open", str(path))
        return Watched(open(path, mode), str(path), hook)

    def call_of(name: str, what: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(first: Any, *rest: Any, **more: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else first
            if name == "close":
                real(first)
            if within(path):
                hook(what, str(path) if name != "replace" else f"{path} → {rest[0]}")
            return None if name == "close" else real(first, *rest, **more)

        return call

    with mock.patch.object(_durable, "open", opened, create=True):
        patches = [mock.patch.object(os, name, call_of(name, what)) for name, what in CALLS.items()]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()


class SlowFile:
    """A file that takes each write in eight parts."""

    def __init__(self, path: Any, mode: str) -> None:
        self.handle = open(path, mode, buffering=0)

    def __enter__(self) -> SlowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.close()

    def write(self, content: bytes) -> None:
        part = -(-len(content) // 8) or 1
        for start in range(0, len(content), part):
            self.handle.write(content[start : start + part])
            time.sleep(0.0003)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return self.handle.fileno()


def slow_disk() -> None:
    """Make the disk of this process slow for good, so that most kills come in the middle of a write."""
    _durable.open = SlowFile  # type: ignore[attr-defined]
    for name in ("fsync", "replace"):
        setattr(os, name, _after_a_while(getattr(os, name)))


def _after_a_while(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        time.sleep(0.0003)
        real(*args)
        time.sleep(0.0003)

    return call
