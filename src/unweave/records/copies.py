"""Copies of S that stay in the data when S is removed, as records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CopyLeft:
    """An example of D∖S that is a copy of one of S: their ids, their distance (0 = exact), and labels."""

    forget: str
    left: str
    distance: float
    same_label: bool


@dataclass(frozen=True)
class Copies:
    """What a search for copies of S in D found.

    `exact`, `near`: how many examples of D∖S are exact or near copies of one of S; `other_label`: how many of
    these have another label than it; `within`: how many examples of S have a copy in S; `pairs`: the first of
    those that stay, exact ones and then the nearest.
    """

    exact: int
    near: int
    other_label: int
    within: int
    pairs: tuple[CopyLeft, ...]
