"""From evidence to a discovery: the ranking, its cut-off, what is promised, and what is true where B is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive, generator
from unweave._types import Estimate, Measured, NotMeasured
from unweave.records.discovery import DISCOVERY_SCHEMA, Candidate, Discovery, Promise, Ranked, Truth
from unweave.study.assemble import Assembly
from unweave.study.examples import label_name, of_data
from unweave.study.spec import case_to_tree

if TYPE_CHECKING:
    from unweave.influence.discovery import Cut, Evidence

_SHOWN = 200
Ints = NDArray[np.int64]


class Asked(NamedTuple):
    """What the ranking is asked for; `confirmed` are rows of D, none of S."""

    target: float
    confidence: Literal["mean", "95"]
    rounds: int
    method: str
    confirmed: tuple[int, ...] = ()


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
    from unweave.influence.discovery import SCORERS, behaviour_size, calibrate, in_rounds

    seed, forget = assembly.case.seed, assembly.forget
    teaching, calibration = halves_of_forget(forget, seed)
    confirmed = np.array(asked.confirmed, dtype=np.int64)
    seeds = np.union1d(teaching, confirmed)
    score = SCORERS.get(asked.method).factory
    key = derive(seed, "discover", asked.method)
    scores = in_rounds(score, evidence, seeds, rounds=asked.rounds, key=key)
    cut = calibrate(scores[calibration], target=asked.target, confident=asked.confidence == "95")
    candidates = np.setdiff1d(np.arange(len(scores)), np.union1d(forget, confirmed))
    # Of those that score the same none comes first by its place in D.
    shuffled = generator(key, "ties").permutation(candidates)
    ranked = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    flagged = scores[ranked] >= cut.threshold
    size = behaviour_size(scores[calibration], scores[candidates])
    precision = _precision(size, cut, int(flagged.sum()))
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
    shown = tuple(
        Candidate(of_data(assembly, row), one.score, one.rank, one.flagged)
        for row, one in zip(ranked[:_SHOWN].tolist(), ranking, strict=False)
    )
    promise = _promise(assembly, asked, cut)
    truth = _truth(assembly, ranked, flagged)

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
            shown=shown,
            warnings=_warnings(asked, cut, len(ranked)),
            cost=cost,
            provenance=provenance,
        )

    return made, ranking


def _precision(size: Measured, cut: Cut, flagged: int) -> Measured:
    """Expected members above the cut, N̂·recall, over all that is flagged."""
    if isinstance(size, NotMeasured):
        return size
    if flagged == 0:
        return NotMeasured("nothing is flagged")
    recall = min(cut.rank, cut.members + 1) / (cut.members + 1)
    value, low, high = (
        min(recall * float(one or 0.0) / flagged, 1.0) for one in (size.value, size.low, size.high)
    )
    return Estimate(value, low, high, size.n)


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


def _truth(assembly: Assembly, ranked: Ints, flagged: NDArray[np.bool_]) -> Truth | None:
    if not assembly.planted.known:
        return None
    member = np.isin(ranked, assembly.planted.members)
    found = int((member & flagged).sum())
    recall = found / int(member.sum()) if member.any() else None
    return Truth(int(member.sum()), found, recall, found / int(flagged.sum()) if flagged.any() else None)


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
