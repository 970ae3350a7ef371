"""From evidence to a discovery: the ranking, its cut-off, what is promised, and what is true where B is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive, generator
from unweave.records.discovery import DISCOVERY_SCHEMA, Candidate, Discovery, Promise, Ranked, Truth
from unweave.study.assemble import Assembly
from unweave.study.examples import label_name, of_data
from unweave.study.promise import EXAMPLE, Units, headline_of, least_scores, promise_of, units_of
from unweave.study.spec import case_to_tree

if TYPE_CHECKING:
    from unweave.influence.discovery import Evidence

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


def halves_of_forget(forget: Ints, seed: int, of: Ints) -> tuple[Ints, Ints]:
    """S in two at random: units that teach the ranking, and those it is calibrated on, of which there are more.

    No unit has rows in both: what calibrates is to be as strange to what teaches as B∖S is.

    Args:
        forget: Rows of S.
        seed: Determines the halves.
        of: The unit of each row of D [n].

    Example:
        >>> seeds, calibration = halves_of_forget(np.arange(5), 0, np.arange(5))
        >>> len(seeds), len(calibration), np.union1d(seeds, calibration).tolist()
        (2, 3, [0, 1, 2, 3, 4])
        >>> [half.tolist() for half in halves_of_forget(np.arange(6), 5, np.array([7, 7, 7, 8, 8, 9]))]
        [[0, 1, 2], [3, 4, 5]]
    """
    own = of[forget]
    units = own[np.sort(np.unique(own, return_index=True)[1])]
    order = generator(seed, "discover", "halves of S").permutation(units)
    teaching = np.isin(own, order[: len(order) // 2])
    return np.sort(forget[teaching]), np.sort(forget[~teaching])


def judge_discovery(
    assembly: Assembly, evidence: Evidence, asked: Asked
) -> tuple[Callable[[dict[str, float], dict[str, Any]], Discovery], tuple[Ranked, ...]]:
    """Rank all candidates, choose the cut-off, and say what it promises.

    Returns:
        What makes the record of costs and provenance, and the ranking, best first.
    """
    from unweave.influence.discovery import SCORERS, best_first, calibrate, in_rounds, mixture

    seed, forget = assembly.case.seed, assembly.forget
    units = units_of(assembly)
    teaching, calibration = halves_of_forget(forget, seed, units.split)
    confirmed, rejected = (np.array(one, dtype=np.int64) for one in (asked.confirmed, asked.rejected))
    seeds = np.union1d(teaching, confirmed)
    score = SCORERS.get(asked.method).factory
    key = derive(seed, "discover", asked.method)
    scores = in_rounds(score, evidence, seeds, rounds=asked.rounds, key=key)
    held_out = least_scores(scores, calibration, units.split)
    cut = calibrate(held_out, target=asked.target, confident=asked.confidence == "95")
    candidates = np.setdiff1d(np.arange(len(scores)), np.concatenate([forget, confirmed, rejected]))
    ranked = best_first(scores, candidates, key)
    flagged = scores[ranked] >= cut.threshold
    size, precision = mixture(
        scores[_one_of_each(calibration, units.split, seed)], scores[candidates], cut.threshold
    )
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
    lowest = cut.threshold if math.isfinite(cut.threshold) else float(held_out.min())
    asked_for = places_to_ask(int((scores[ranked] >= lowest).sum()), len(ranked), asked.ask)

    def shown(places: Iterable[int]) -> tuple[Candidate, ...]:
        chosen = ((int(ranked[at]), ranking[at]) for at in places)
        return tuple(Candidate(of_data(assembly, row), one.score, one.rank, one.flagged) for row, one in chosen)

    promise, why = promise_of(assembly, asked, cut, units)
    truth = _truth(assembly, confirmed, ranked, flagged, units)

    def made(cost: dict[str, float], provenance: dict[str, Any]) -> Discovery:
        return Discovery(
            schema=DISCOVERY_SCHEMA,
            name=assembly.case.name,
            headline=headline_of(promise, why, int(flagged.sum()), len(ranked)),
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
            warnings=_warnings(asked, promise, len(ranked)),
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


def _one_of_each(rows: Ints, of: Ints, seed: int) -> Ints:
    """A row of each unit, drawn at random: members of one unit are alike, and count as one draw."""
    drawn = generator(seed, "discover", "one of each").permutation(rows)
    return np.sort(drawn[np.unique(of[drawn], return_index=True)[1]])


def _truth(
    assembly: Assembly, confirmed: Ints, ranked: Ints, flagged: NDArray[np.bool_], units: Units
) -> Truth | None:
    if not assembly.planted.known:
        return None
    # Members that were rejected by mistake are missed.
    left = np.setdiff1d(assembly.planted.members, np.union1d(assembly.forget, confirmed))
    found = np.intersect1d(ranked[flagged], assembly.planted.members)
    recall = len(found) / len(left) if len(left) else None
    truth = Truth(len(left), len(found), recall, len(found) / int(flagged.sum()) if flagged.any() else None)
    if units.name == EXAMPLE or not units.calibrate:
        return truth
    every, missed = units.of[left], units.of[np.setdiff1d(left, found)]
    return replace(truth, units=len(np.unique(every)), units_found=len(np.setdiff1d(every, missed)))


def _warnings(asked: Asked, promise: Promise, candidates: int) -> tuple[str, ...]:
    found: list[str] = []
    if promise.threshold is None:
        kind = "member" if promise.unit == EXAMPLE else promise.unit
        found.append(
            f"{promise.members} calibration {kind}s cannot promise a recall of {asked.target:.0%}"
            f"{' with 95% confidence' if asked.confidence == '95' else ''}, so all {candidates} examples are "
            "flagged. Discover more of B, or ask for less."
        )
    return tuple(found)
