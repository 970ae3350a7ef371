"""The registry of scorers: what ranks the examples of D by how likely they are of B."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from unweave._registry import Registry

Scorer = TypeVar("Scorer", bound=Callable[..., Any])


@dataclass(frozen=True)
class Scoring:
    """What a scorer declares.

    Attributes:
        needs: Fields of `Evidence` beside labels that it reads.
        reads_forget: Whether it looks at S at all.
        cite: Key of its source; "" = our own.
    """

    needs: frozenset[str]
    reads_forget: bool
    cite: str


SCORERS: Registry[Scoring] = Registry("discovery method")


def scorer(
    *, name: str, needs: set[str] | frozenset[str], cite: str, reads_forget: bool = True
) -> Callable[[Scorer], Scorer]:
    """Register `(evidence, seeds) → scores [n]`, higher = more likely of B, always.

    A scorer may treat the seeds differently from the rest of D, but no two examples of the rest: on that alone the
    promised recall rests.
    """

    def add(function: Scorer) -> Scorer:
        SCORERS.add(name, function, Scoring(frozenset(needs), reads_forget, cite))
        return function

    return add
