"""Which of the regimes of untraining a request is in: what taking out S would change, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from unweave._types import Level, RegimeName

HIGH_SELF = 0.25
"""Mean memorization of S from which it counts as known by heart (Feldman & Zhang 2020)."""
HIGH_CROSS = 0.05
"""Change of a group's accuracy without S, in either direction, from which S counts as influencing it."""


class Range(NamedTuple):
    """A number with the interval it is known in."""

    value: float
    low: float
    high: float


class Regime(NamedTuple):
    """What untraining S would change.

    Attributes:
        self_level: Whether S is memorized.
        cross_level: Whether S, all of it together, changes how other groups are predicted.
        groups: Groups that it does.
        name: `no-op`: neither; `S alone`: S is wrong without itself, nothing else changes; `S and others`: both;
            `others alone`: S is predicted without itself, and still it matters to others; or undecided.
        text: One sentence.
    """

    self_level: Level
    cross_level: Level
    groups: tuple[str, ...]
    name: RegimeName
    text: str


_TEXTS: dict[RegimeName, str] = {
    "no-op": "Untraining is a no-op here: without S a model predicts S and all groups as it does with it.",
    "S alone": "Untraining makes S wrong and changes nothing else: S is known by heart and teaches nothing else.",
    "S and others": "Untraining makes S wrong and changes how others are predicted: {groups}.",
    "others alone": "Without S a model predicts S as well, but others differently: {groups}.",
    "undecided": "It is not decided what untraining changes: {open}. More models narrow the intervals.",
}


def level(found: Range, threshold: float) -> Level:
    """Whether a number is at least a threshold in absolute value: by its interval, else undecided.

    Example:
        >>> level(Range(0.4, 0.3, 0.5), 0.25), level(Range(0.3, 0.2, 0.4), 0.25)
        ('high', 'undecided')
    """
    if found.low >= threshold or found.high <= -threshold:
        return "high"
    return "low" if -threshold < found.low and found.high < threshold else "undecided"


def regime_of(memorization: Range, on_forget: Range, joint: Mapping[str, Range]) -> Regime:
    """The regime of a request.

    S counts as known by heart if its examples are so one by one, or all of them together: copies of each other
    have next to no memorization, since each is predicted from the others.

    Args:
        memorization: Mean memorization of S.
        on_forget: infl(S→S), the change of accuracy on S itself when S is left out together.
        joint: infl(S→G), the same on each group G other than S.

    Example:
        >>> nothing = Range(0.0, -0.01, 0.01)
        >>> regime_of(Range(0.6, 0.5, 0.7), Range(0.6, 0.5, 0.7), {"test": nothing}).name
        'S alone'
        >>> regime_of(nothing, Range(0.9, 0.8, 1.0), {"test": nothing}).name  # ten copies of one example
        'S alone'
    """
    both = [level(found, HIGH_SELF) for found in (memorization, on_forget)]
    own: Level = "high" if "high" in both else "undecided" if "undecided" in both else "low"
    levels = {name: level(found, HIGH_CROSS) for name, found in joint.items()}
    groups = tuple(name for name, one in levels.items() if one == "high")
    unsure = [name for name, one in levels.items() if one == "undecided"]
    cross: Level = "high" if groups else "undecided" if unsure else "low"
    named: dict[tuple[Level, Level], RegimeName] = {
        ("low", "low"): "no-op",
        ("high", "low"): "S alone",
        ("high", "high"): "S and others",
        ("low", "high"): "others alone",
    }
    name = named.get((own, cross), "undecided")
    unclear = ["whether S is known by heart"] if own == "undecided" else []
    unclear += [f"its influence on {group}" for group in unsure]
    text = _TEXTS[name].format(groups=", ".join(groups), open="; ".join(unclear))
    return Regime(own, cross, groups, name, text)
