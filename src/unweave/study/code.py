"""Digests of our own code: a stored analysis or method output is of this code, or it is not used."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# Everything between the outputs and the record.
_ANALYSIS = (
    "metrics",
    "attacks",
    "language/measures",
    "stats",
    "study",
    "records",
    "report",
    "problem",
    "learners/privacy.py",
    "_types.py",
    "_random.py",
    "_gate.py",
    "_logits.py",
)
# What turns originals into edited models. Training of references has a version of its own, guarded by
# golden tests: it is dear, and a comment changed there must not throw away hundreds of models.
_NETS = ("language/model.py", "language/nets.py", "language/answering.py")
_METHODS = ("methods", "learners", "training", *_NETS, "_random.py")

# What makes scores of the answers of models, which have versions of their own.
_SCORES = ("influence/subsampled.py", "influence/events.py", "study/scores.py")
# What turns models into proxies of memorization and attributions.
_INFLUENCE = (*_METHODS, "influence", "study/proxies.py", "study/evidence.py")

# What makes Ŝ of the outputs of models, which have versions of their own.
_EXPANSION = ("influence/discovery", "learners", "study/evidence.py", "study/expansion.py", "_random.py")


def analysis_code() -> str:
    """SHA-256 over the sources of all rooms that measure, test and put into words."""
    return _digest(_ANALYSIS)


def methods_code() -> str:
    """SHA-256 over the sources of all rooms that run a method: an edited method is run again."""
    return _digest(_METHODS)


def scores_code() -> str:
    """SHA-256 over the sources that make scores of S from answers of models."""
    return _digest(_SCORES)


def influence_code() -> str:
    """SHA-256 over the sources of all that computes a proxy or an attribution."""
    return _digest(_INFLUENCE)


def expansion_code() -> str:
    """SHA-256 over the sources that order D∖S and say how much of it joins S."""
    return _digest(_EXPANSION)


def whole_code() -> str:
    """SHA-256 over all sources: what workers on other machines must have as well."""
    return _digest(("",))


@cache
def _digest(rooms: tuple[str, ...]) -> str:
    root = Path(__file__).parent.parent
    sources = [file for room in rooms for file in sorted([root / room, *(root / room).rglob("*.py")])]
    digest = hashlib.sha256()
    for file in sources:
        if file.is_file():
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
