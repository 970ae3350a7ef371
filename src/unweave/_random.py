"""One seed, many named streams: every random choice is a function of a key, never of a global state."""

from __future__ import annotations

import hashlib

import numpy as np

Key = int
"""A non-negative integer below 2**63 that determines everything random below it."""


def derive(seed: int, *names: str | int) -> Key:
    """The key of a named stream below `seed`.

    key = first 63 bits of SHA-256(seed, names): the same names give the same key on every machine,
    other names an unrelated one.

    Args:
        seed: The seed or key above.
        names: The path of the stream, such as `"report", "untrained", 7`.

    Example:
        >>> derive(0, "report", 1) == derive(0, "report", 1), derive(0, "report", 1) == derive(0, "null", 1)
        (True, False)
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(key: Key, *names: str | int) -> np.random.Generator:
    """A numpy generator for the stream `names` below `key`."""
    return np.random.Generator(np.random.Philox(derive(key, *names)))
