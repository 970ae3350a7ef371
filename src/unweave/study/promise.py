"""What the cut-off of a discovery promises, of what, and what that rests on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave.records.discovery import Promise
from unweave.study.assemble import Assembly

if TYPE_CHECKING:
    from unweave.influence.discovery import Cut
    from unweave.study.found import Asked

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST = 4
"""Fewest units of S: half of them to learn from, half to calibrate on."""

EXAMPLE = "example"


class Units(NamedTuple):
    """What S was discovered in, piece by piece.

    Attributes:
        name: What one is called: `example`, or `document`, `paraphrase`, `person`, `group`.
        of: The unit of each row of D, those of one unit with one number [n].
        found: How many of them S is.
    """

    name: str
    of: Ints
    found: int

    @property
    def calibrate(self) -> bool:
        """Whether they are enough to teach by some and to calibrate by others."""
        return self.found >= LEAST

    @property
    def split(self) -> Ints:
        """By what S is split [n]: by these units, or by examples where they are too few."""
        return self.of if self.calibrate else np.arange(len(self.of))


def units_of(assembly: Assembly) -> Units:
    """What S was discovered in; examples wherever each unit of B, or of D where B is not known, is one of them."""
    of, planted = assembly.found_in, assembly.planted
    if of is not None:
        whole = of[planted.members] if planted.known else of
        if len(np.unique(whole)) < len(whole):
            return Units(assembly.case.forget.unit or "document", of, len(np.unique(of[assembly.forget])))
    return Units(EXAMPLE, np.arange(len(planted.y)), len(assembly.forget))


def least_scores(scores: Floats, rows: Ints, of: Ints) -> Floats:
    """The least score among the rows of each unit: above a cut at it, all of the unit lies.

    Example:
        >>> least_scores(np.array([0.9, 0.2, 0.5, 0.7]), np.array([0, 1, 3]), np.array([4, 4, 6, 5])).tolist()
        [0.2, 0.7]
    """
    names, at = np.unique(of[rows], return_inverse=True)
    least = np.full(len(names), np.inf)
    np.minimum.at(least, at, scores[rows])
    return least


def chance_of_rest(cut: Cut, rest: int, target: float) -> float:
    """Probability, over draws of S, that of the M undiscovered units a share of at least the target is flagged.

        R ~ beta-binomial(M, k, n + 1 − k),    P(R ≥ target·M)

    The n units that calibrate and the M are in random order, so of the M as many lie above the k-th of the n as
    Pólya's urn gives.

    Args:
        cut: Where the ranking was cut: k and n.
        rest: M ≥ 1.
        target: In (0, 1).

    Example:
        >>> from unweave.influence.discovery import calibrate
        >>> cut = calibrate(np.arange(100.0), target=0.9, confident=True)
        >>> round(chance_of_rest(cut, 25, 0.9), 3)
        0.858
    """
    from scipy.stats import betabinom

    if cut.rank > cut.members:
        return 1.0
    least = math.ceil(target * rest - 1e-9)
    return float(betabinom.sf(least - 1, rest, cut.rank, cut.members + 1 - cut.rank))


class _Found(NamedTuple):
    """How S was found: whether the promise holds, in a sentence, and why not in the words of the headline."""

    status: Literal["holds", "assumed", "void"]
    said: str
    why: str = ""


def promise_of(assembly: Assembly, asked: Asked, cut: Cut, units: Units) -> tuple[Promise, str]:
    """What a cut promises and what that rests on; and why it promises nothing, "" where it does."""
    found = _found(assembly, units)
    status, conditions, why = found.status, [found.said], found.why
    unit = units.name if units.calibrate else EXAMPLE
    if unit == EXAMPLE:
        counted = "Recall is that of the members of B∖S; what"
    else:
        counted = (
            f"Promised are {unit}s of B∖S with all their members, not a share of the members: a {unit} of which "
            "one member is missed counts as missed. What"
        )
    conditions.append(f"{counted} is flagged beyond them is for a person to sort out.")
    if asked.confirmed:
        status, why = "void", why or "members were confirmed from an earlier ranking"
        conditions.append(
            "Confirmed examples were found by an earlier ranking: the members that are left are those it missed."
        )
    if asked.rejected:
        conditions.append(
            "Rejected examples are left out of the list and change no score: if one was a member, it is missed."
        )
    rest, chance = _rest(assembly, asked, units), None
    noun = "member" if unit == EXAMPLE else unit
    if status != "void" and asked.confidence == "95":
        conditions.append(
            f"The 95% are of the law of {noun}s, from which those of B∖S come: the share of these that is flagged "
            "scatters about its own, the more the fewer there are."
        )
    if status != "void" and rest:
        chance = chance_of_rest(cut, rest, asked.target)
        conditions.append(
            f"Of the {rest} {noun}s of B∖S that there are here, {asked.target:.0%} or more are flagged in "
            f"{_percent(chance)} of draws of S."
        )
    threshold = None if math.isinf(cut.threshold) else cut.threshold
    promise = Promise(
        asked.target,
        asked.confidence,
        cut.promised,
        cut.members,
        cut.rank,
        threshold,
        status,
        tuple(conditions),
        unit,
        rest,
        chance,
    )
    return promise, why


def _found(assembly: Assembly, units: Units) -> _Found:
    chosen = assembly.case.forget
    noun = "member" if units.name == EXAMPLE else units.name
    as_any = f"each {noun} of B was as likely to be discovered as any other"
    if chosen.ids is None and chosen.selection != "random":
        how = f"S was found by `{chosen.selection}`, which is not at random"
        return _Found("void", f"A promise takes that {as_any}. {how}: members unlike S may score lower.", how)
    if not units.calibrate:
        few = f"S is {units.found} {units.name}{'' if units.found == 1 else 's'}"
        return _Found(
            "void",
            f"A promise takes that {as_any}, and at least {LEAST} of them: half to teach, half to calibrate. "
            f"{few}, so it is split by examples: those that calibrate are of what teaches, those of B∖S are not.",
            f"{few}, too few to calibrate by",
        )
    if chosen.ids is not None:
        return _Found(
            "assumed",
            f"Assumed, not known: S is a random part of B, so that {as_any}, and none because of another. S was "
            "named, so nobody but you can say whether it is.",
        )
    return _Found("holds", f"S was drawn from B at random: {as_any}.")


def _rest(assembly: Assembly, asked: Asked, units: Units) -> int | None:
    """How many units B∖S has, without what was confirmed; None where B is not known."""
    if not assembly.planted.known:
        return None
    known = np.union1d(assembly.forget, np.array(asked.confirmed, dtype=np.int64))
    return len(np.unique(units.split[np.setdiff1d(assembly.planted.members, known)]))


def _percent(chance: float) -> str:
    """A probability in whole percent, which is 100% where it is sure and not where it is nearly so."""
    return "more than 99%" if 0.995 <= chance < 1 else f"{chance:.0%}"


def headline_of(promise: Promise, why: str, flagged: int, candidates: int) -> str:
    """A discovery in a sentence: what is flagged, and what is promised of B∖S, or why nothing is."""
    said = f"{flagged} of {candidates} examples are flagged; "
    if promise.status == "void":
        return f"{said}here nothing is promised of how much of B∖S is among them: {why}."
    by_example, recall = promise.unit == EXAMPLE, f"{promise.recall:.0%}"
    noun = "member" if by_example else promise.unit
    each = "" if by_example else ", each with all its members,"
    if promise.confidence == "mean":
        told = f"among them are {recall} of {'' if by_example else f'the {noun}s of '}B∖S or more{each} on average"
    elif promise.rest and promise.chance is not None:
        told = (
            f"among them are {recall} or more of the {promise.rest} {noun}s of B∖S{each} with "
            f"{_percent(promise.chance)} confidence"
        )
    else:
        whole = "" if by_example else " with all its members"
        told = f"with 95% confidence, a {noun} of B∖S is among them{whole} with a chance of {recall} or more"
    return f"{said}{told}{_ASSUMED if promise.status == 'assumed' else ''}."


_ASSUMED = ", if S is a random part of B, which is assumed"
