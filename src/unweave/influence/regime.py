"""Which of the regimes of untraining a request is in: what taking out S would change, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from unweave._types import Level, RegimeName

HIGH_SELF = 0.25
"""Memorization, of an example or of S on average, that counts as known by heart (Feldman & Zhang 2020)."""
HIGH_CROSS = 0.05
"""Change of a group's accuracy without S, in either direction, from which S counts as influencing it."""
LITTLE_SELF = 0.1
"""Change of the accuracy on S without S below which untraining may be a no-op: what a verdict tolerates by
default, and about the least that 32 models can show of examples that stand and fall together (`unseen_share`)."""
TOLD = 0.05
"""Level of the test whether margins over S tell."""
FINE_SHIFT = 1.0
"""Shift of margins, in standard deviations between models, that a test has to find for its silence to count."""


class Range(NamedTuple):
    """A number with the interval it is known in."""

    value: float
    low: float
    high: float


class Margins(NamedTuple):
    """Whether margins φ over S tell models with S from models without.

    Attributes:
        p: P-value that they do not.
        shift: Difference of the two, in standard deviations between models, that is told about three times in
            four; 0 for what is known without doubt.
    """

    p: float
    shift: float


class Regime(NamedTuple):
    """What untraining S would change.

    Attributes:
        self_level: Whether S is memorized.
        cross_level: Whether S, all of it together, changes how other groups are predicted.
        groups: Groups that it does.
        name: `no-op`: neither, by bounds, and margins over S do not tell either; `little`: neither, but more than
            nothing; `S alone`: S is wrong without itself, no other group changes; `S and others`: both;
            `others alone`: S is hardly known by heart, and still it matters to others; or undecided.
        text: One sentence, with the bounds.
    """

    self_level: Level
    cross_level: Level
    groups: tuple[str, ...]
    name: RegimeName
    text: str


_TEXTS: dict[RegimeName, str] = {
    "no-op": "Untraining is a no-op here, within bounds: without S accuracy on S changes by at most {own}"
    "{others}; margins on S do not tell (p = {p}; a shift of {shift} standard deviations is told three times in "
    "four).",
    "little": "Untraining changes little here: without S accuracy on S changes by at most {own}{others}; "
    "but {why}.",
    "S alone": "Untraining makes S wrong: S is known by heart, and without it accuracy{elsewhere}.",
    "S and others": "Untraining makes S wrong and changes how others are predicted: {groups}.",
    "others alone": "Without S accuracy on S changes by at most {own}, but others are predicted differently: "
    "{groups}.",
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


def unseen_share(models: int) -> float:
    """The largest share of models that lose all of S and yet are missing among so many, once in twenty times.

    That all models agree does not show that the next one does: an interval over models that are all right has no
    width, and a set of few examples may stand and fall as one.

    Example:
        >>> round(unseen_share(32), 3), round(unseen_share(8), 3)
        (0.089, 0.312)
    """
    return 1 - 0.05 ** (1 / models)


def regime_of(
    memorization: Range,
    on_forget: Range,
    joint: Mapping[str, Range],
    margins: Margins | None = None,
    *,
    unseen: float = 0.0,
) -> Regime:
    """The regime of a request.

    S counts as known by heart if its examples are so one by one, or all of them together: copies of each other
    have next to no memorization, since each is predicted from the others. What is below that is no no-op yet: that
    needs bounds near nothing, and margins over S that do not tell though they could.

    Args:
        memorization: Mean memorization of S.
        on_forget: infl(S→S), the change of accuracy on S itself when S is left out together.
        joint: infl(S→G), the same on each group G other than S.
        margins: Whether margins over S tell; None = not known.
        unseen: Share of models that may lose all of S without having been seen (`unseen_share`).

    Example:
        >>> nothing, silent = Range(0.0, -0.01, 0.01), Margins(0.6, 0.8)
        >>> regime_of(Range(0.6, 0.5, 0.7), Range(0.6, 0.5, 0.7), {"test": nothing}).name
        'S alone'
        >>> regime_of(nothing, Range(0.9, 0.8, 1.0), {"test": nothing}).name  # ten copies of one example
        'S alone'
        >>> regime_of(nothing, nothing, {"test": nothing}, silent).name
        'no-op'
        >>> regime_of(nothing, nothing, {"test": nothing}, Margins(0.002, 0.8)).name
        'little'
    """
    both = [level(found, HIGH_SELF) for found in (memorization, on_forget)]
    own: Level = "high" if "high" in both else "undecided" if "undecided" in both else "low"
    levels = {name: level(found, HIGH_CROSS) for name, found in joint.items()}
    groups = tuple(name for name, one in levels.items() if one == "high")
    unsure = [name for name, one in levels.items() if one == "undecided"]
    cross: Level = "high" if groups else "undecided" if unsure else "low"
    named: dict[tuple[Level, Level], RegimeName] = {
        ("high", "low"): "S alone",
        ("high", "high"): "S and others",
        ("low", "high"): "others alone",
    }
    name = named.get((own, cross), "undecided")
    unclear = ["whether S is known by heart"] if own == "undecided" else []
    unclear += [f"its influence on {group}" for group in unsure]
    bound = max(_most(on_forget), abs(on_forget.value) + unseen)
    why: list[str] = []
    if (own, cross) == ("low", "low"):
        why = _changes(memorization, on_forget, margins)
        unclear = _not_shown(memorization, bound, margins)
        name = "little" if why else "undecided" if unclear else "no-op"
    elsewhere = max(map(_most, joint.values()), default=None)
    text = _TEXTS[name].format(
        groups=", ".join(groups),
        open="; ".join(unclear),
        own=_number(bound),
        others="" if elsewhere is None else f" and on others by at most {_number(elsewhere)}",
        elsewhere=" on S falls" if elsewhere is None else f" on others changes by at most {_number(elsewhere)}",
        why="; ".join(why),
        p="" if margins is None else _number(margins.p),
        shift="" if margins is None else f"{margins.shift:.2g}",
    )
    return Regime(own, cross, groups, name, text)


def _changes(memorization: Range, on_forget: Range, margins: Margins | None) -> list[str]:
    """What is shown to change on S, though S is not known by heart."""
    found: list[str] = []
    if level(on_forget, LITTLE_SELF) == "high":
        found.append(f"accuracy on S does change, by {_number(abs(on_forget.value))}")
    elif level(memorization, LITTLE_SELF) == "high":
        found.append(f"the mean memorization of S is {_number(memorization.value)}")
    if margins is not None and margins.p <= TOLD:
        found.append(f"margins on S tell whether a model was trained on it (p = {_number(margins.p)})")
    return found


def _not_shown(memorization: Range, bound: float, margins: Margins | None) -> list[str]:
    """What a no-op lacks."""
    found: list[str] = []
    if bound >= LITTLE_SELF:
        found.append(
            f"whether accuracy on S changes by less than {LITTLE_SELF:g} (it may by {_number(bound)}; that takes "
            "at least 29 models of each, since one that loses all of S may be missing among fewer)"
        )
    if level(memorization, LITTLE_SELF) != "low":
        found.append(f"whether the mean memorization of S is below {LITTLE_SELF:g}")
    if margins is None:
        found.append("whether margins on S tell, which was not tested")
    elif margins.shift > FINE_SHIFT:
        found.append(
            f"whether margins on S tell (p = {_number(margins.p)}, but so few models find only a shift of "
            f"{margins.shift:.2g} standard deviations)"
        )
    return found


def _most(found: Range) -> float:
    return max(abs(found.low), abs(found.high))


def _number(value: float) -> str:
    """Two digits after the point, and three where these are none.

    Example:
        >>> _number(0.031), _number(0.002)
        ('0.03', '0.002')
    """
    return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3f}"
