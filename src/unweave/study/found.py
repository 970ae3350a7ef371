"""From evidence to a discovery: the ranking, its cut-off, what is promised, and what is true where B is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive, generator
from unweave.records.discovery import DISCOVERY_SCHEMA, Candidate, Discovery, Promise, Ranked, Truth
from unweave.study.assemble import Assembly
from unweave.study.examples import label_name, of_data
from unweave.study.spec import case_to_tree

if TYPE_CHECKING:
    from unweave.influence.discovery import Cut, Evidence

_SHOWN = 200
Ints = NDArray[np.int64]


class Asked(NamedTuple):
    """What the ranking is asked for; rows of D that a person judged, none of S; and how many questions to ask."""

    target: float
    confidence: Literal["mean", "95"]
    rounds: int
    method: str
    confirmed: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()
    ask: int = 0


def halves_of_forget(forget: Ints, seed: int) -> tuple[Ints, Ints]:
    """S in two at random: members that teach the ranking, and those it is calibrated on, of which there are more.

    Example:
        >>> seeds, calibration = halves_of_forget(np.arange(5), 0)
        >>> len(seeds), len(calibration), np.union1d(seeds, calibration).tolist()
        (2, 3, [0, 1, 2, 3, 4])
    """
    order = generator(seed, "discover", "halves of S").permutation(forget)
    return np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])


def judge_discovery(
    assembly: Assembly, evidence: Evidence, asked: Asked
) -> tuple[Callable[[dict[str, float], dict[str, Any]], Discovery], tuple[Ranked, ...]]:
    """Rank all candidates, choose the cut-off, and say what it promises.

    Returns:
        What makes the record of costs and provenance, and the ranking, best first.
    """
    from unweave.influence.discovery import SCORERS, best_first, calibrate, in_rounds, mixture

    seed, forget = assembly.case.seed, assembly.forget
    teaching, calibration = halves_of_forget(forget, seed)
    confirmed, rejected = (np.array(one, dtype=np.int64) for one in (asked.confirmed, asked.rejected))
    seeds = np.union1d(teaching, confirmed)
    score = SCORERS.get(asked.method).factory
    key = derive(seed, "discover", asked.method)
    scores = in_rounds(score, evidence, seeds, rounds=asked.rounds, key=key)
    cut = calibrate(scores[calibration], target=asked.target, confident=asked.confidence == "95")
    candidates = np.setdiff1d(np.arange(len(scores)), np.concatenate([forget, confirmed, rejected]))
    ranked = best_first(scores, candidates, key)
    flagged = scores[ranked] >= cut.threshold
    size, precision = mixture(scores[calibration], scores[candidates], cut.threshold)
    ranking = tuple(
        Ranked(
            str(assembly.setting.ids[row]),
            float(scores[row]),
            place,
            bool(above),
            label_name(assembly, int(assembly.setting.y[row])),
        )
        for place, (row, above) in enumerate(zip(ranked.tolist(), flagged.tolist(), strict=True), 1)
    )
    first = range(min(_SHOWN, len(ranked)))
    lowest = cut.threshold if math.isfinite(cut.threshold) else float(scores[calibration].min())
    asked_for = places_to_ask(int((scores[ranked] >= lowest).sum()), len(ranked), asked.ask)

    def shown(places: Iterable[int]) -> tuple[Candidate, ...]:
        chosen = ((int(ranked[at]), ranking[at]) for at in places)
        return tuple(Candidate(of_data(assembly, row), one.score, one.rank, one.flagged) for row, one in chosen)

    promise = _promise(assembly, asked, cut)
    truth = _truth(assembly, confirmed, ranked, flagged)

    def made(cost: dict[str, float], provenance: dict[str, Any]) -> Discovery:
        return Discovery(
            schema=DISCOVERY_SCHEMA,
            name=assembly.case.name,
            headline=_headline(promise, int(flagged.sum()), len(ranked)),
            case=case_to_tree(assembly.case),
            method=asked.method,
            rounds=asked.rounds,
            forget=len(forget),
            seeds=len(teaching),
            confirmed=tuple(str(one) for one in assembly.setting.ids[confirmed].tolist()),
            candidates=len(ranked),
            flagged=int(flagged.sum()),
            promise=promise,
            size=size,
            precision=precision,
            truth=truth,
            shown=shown(first),
            warnings=_warnings(asked, cut, len(ranked)),
            cost=cost,
            provenance=provenance,
            rejected=tuple(str(one) for one in assembly.setting.ids[rejected].tolist()),
            questions=shown(asked_for),
        )

    return made, ranking


def places_to_ask(above: int, candidates: int, count: int) -> range:
    """Places in the ranking of those that a person should look at next: the last above the cut.

    Example:
        >>> list(places_to_ask(30, 100, 3)), list(places_to_ask(1, 100, 3)), list(places_to_ask(2, 2, 3))
        ([27, 28, 29], [0, 1, 2], [0, 1])
    """
    begin = max(above - count, 0)
    return range(begin, min(begin + count, candidates))


def _promise(assembly: Assembly, asked: Asked, cut: Cut) -> Promise:
    chosen = assembly.case.forget
    rest = "Recall is that of the members of B∖S; what is flagged beyond them is for a person to sort out."
    status: Literal["holds", "assumed", "void"] = "holds"
    conditions = ["S is a random part of B: each member of B was as likely to be discovered as any other.", rest]
    if chosen.ids is not None:
        status = "assumed"
        conditions.append("S was named, so nobody but you can say whether it is a random part of B.")
    if chosen.ids is None and chosen.selection != "random":
        status = "void"
        conditions.append(
            f"S was found by `{chosen.selection}`, which is not at random: members unlike S may score lower."
        )
    if asked.confirmed:
        status = "void"
        conditions.append(
            "Confirmed examples were found by an earlier ranking: the members that are left are those it missed."
        )
    if asked.rejected:
        conditions.append(
            "Rejected examples are left out of the list and change no score: if one was a member, it is missed."
        )
    threshold = None if math.isinf(cut.threshold) else cut.threshold
    return Promise(
        asked.target,
        asked.confidence,
        cut.promised,
        cut.members,
        cut.rank,
        threshold,
        status,
        tuple(conditions),
    )


def _truth(assembly: Assembly, confirmed: Ints, ranked: Ints, flagged: NDArray[np.bool_]) -> Truth | None:
    if not assembly.planted.known:
        return None
    # Members that were rejected by mistake are missed.
    left = len(np.setdiff1d(assembly.planted.members, np.union1d(assembly.forget, confirmed)))
    found = int((np.isin(ranked, assembly.planted.members) & flagged).sum())
    return Truth(
        left, found, found / left if left else None, found / int(flagged.sum()) if flagged.any() else None
    )


_STATUS = {
    "holds": "",
    "assumed": " if S is a random part of B",
    "void": " if S were a random part of B, which it is not: here nothing is promised",
}


def _headline(promise: Promise, flagged: int, candidates: int) -> str:
    how = "on average" if promise.confidence == "mean" else "with 95% confidence"
    return (
        f"{flagged} of {candidates} examples are flagged; among them are {promise.recall:.0%} of B∖S or more {how}"
        f"{_STATUS[promise.status]}."
    )


def _warnings(asked: Asked, cut: Cut, candidates: int) -> tuple[str, ...]:
    found: list[str] = []
    if cut.rank > cut.members:
        found.append(
            f"{cut.members} calibration members cannot promise a recall of {asked.target:.0%}"
            f"{' with 95% confidence' if asked.confidence == '95' else ''}, so all {candidates} examples are "
            "flagged. Discover more of B, or ask for less."
        )
    return tuple(found)
