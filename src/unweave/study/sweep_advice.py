"""More discovery, or rely on generalisation? What follows from the intervals of a sweep, by fixed rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import Advice, AdviceOutcome, ExpansionGain, Merit, SweepAdvice, SweepCell, SweepPoint
from unweave.report.numbers import estimate_text, number_text
from unweave.report.sweep_tables import row_title
from unweave.stats import Term, pooled_mean
from unweave.study.sweep_views import Found, world_of
from unweave.study.sweep_worth import (
    MORE,
    NO_LARGER,
    Curve,
    Place,
    curves_of,
    examples_at,
    expansions_of,
    gains_of_expansion,
    mean_or_reason,
    merit_of,
    merit_sign,
    merit_terms,
    slope_terms,
    worth_of_examples,
)

RELY: AdviceOutcome = "rely on generalisation"
EXPAND: AdviceOutcome = "expand"
SEARCH: AdviceOutcome = "search on"
UNTOLD: AdviceOutcome = "cannot be told"


class Bounds(NamedTuple):
    """The r_B that is sufficient, the difference of scores that does not matter, retrainings per found example."""

    target: float
    margin: float
    cost_per_example: float | None


class Evidence(NamedTuple):
    """What is known of a row at one behaviour, selection and γ.

    Attributes:
        row: The row.
        merit: What is meant by better.
        residual: r_B.
        lacking: By how much A(D∖B) is better.
        worth: By how much one further example makes it better.
        gain: Its expansion beside it; None where the sweep has none.
        spared: gain · cost per example − worth · extra cost of expansion: above 0 where a retraining spent on
            expansion brings more than one spent on search; None where that cannot be asked.
        residual_of: In how many cells r_B was measured, where those are not all.
    """

    row: str
    merit: Merit
    residual: Measured
    lacking: Measured
    worth: Measured
    gain: ExpansionGain | None
    spared: Measured | None
    residual_of: str = ""


def advise(cells: Sequence[SweepCell], points: Sequence[SweepPoint], bounds: Bounds) -> SweepAdvice:
    """The numbers and the advice of a sweep.

    For a row X at a behaviour, selection and γ, with the interval [low, high] of each number:

        rely on generalisation:  high(r_B) ≤ target,  or  high(s(A(D∖B)) − s(X)) ≤ margin and low(w) ≤ 0 ≤ high(w)
        expand:                  else, where low(s(expand(X)) − s(X)) > 0
        search on:               else, where low(w) > 0
        cannot be told:          else

    s is the mean score (where nothing can be healed, minus survival), w its change per further example up to the
    next γ. Where a cost c per example is given and both of the middle two hold, search is advised instead where
    high(gain·c − w·e) < 0, e being the extra cost of expansion. The leading row of a place is, of those that may
    be relied on, else of all, the one with the highest s, its expansion's included.

    Args:
        cells: All cells.
        points: Their means.
        bounds: Target, margin and cost.

    Returns:
        Numbers and advice.

    Source: the question is (iv) of arXiv 2604.07962; the rules are ours.
    """
    curves = curves_of(cells)
    wide = expansions_of(curves)
    gains = {(one.alone, one.behaviour, one.selection, one.discovery): one for one in gains_of_expansion(curves)}
    means = {(one.row, one.behaviour, one.selection, one.discovery): one for one in points}
    taken = {one.row for one in wide.values()}
    places: dict[tuple[str, str, float], list[Curve]] = {}
    for curve in curves:
        for discovery in curve.at if curve.row not in taken else ():
            places.setdefault((curve.behaviour, curve.selection, discovery), []).append(curve)
    found: list[Advice] = []
    for (behaviour, selection, discovery), here in places.items():
        merit = merit_of(here)
        told: list[Advice] = []
        best: list[tuple[bool, float]] = []
        for curve in here:
            key = (curve.row, behaviour, selection)
            known = evidence(
                curve,
                wide.get(key),
                discovery,
                merit=merit,
                residual=means[(*key, discovery)].residual_unlearning,
                gain=gains.get((*key, discovery)),
                cost=bounds.cost_per_example,
            )._replace(residual_of=_of_some(means[(*key, discovery)]))
            outcome, reason = rule(known, bounds)
            own = [curve.at[discovery], wide[key].at.get(discovery, {}) if key in wide else {}]
            best.append((outcome == RELY, max(_mean(cells_, merit) for cells_ in own)))
            name = wide[key].row if key in wide else ""
            size = examples_at(curve.at[discovery])
            told.append(Advice(curve.row, name, behaviour, selection, discovery, size, False, outcome, reason))
        leading = best.index(max(best))
        found += [replace(one, leading=number == leading) for number, one in enumerate(told)]
    return SweepAdvice(
        margin=bounds.margin,
        cost_per_example=bounds.cost_per_example,
        further=worth_of_examples(curves),
        expansions=tuple(gains.values()),
        advice=tuple(sorted(found, key=lambda one: _ordered(one, found))),
    )


def _of_some(point: SweepPoint) -> str:
    measured, of = point.measured["residual_unlearning"], point.of or point.cells
    return f", measured in {measured} of {of} cells," if measured < of else ""


def _ordered(one: Advice, found: Sequence[Advice]) -> tuple[int, float]:
    kinds = list(dict.fromkeys((other.behaviour, other.selection) for other in found))
    return kinds.index((one.behaviour, one.selection)), one.discovery


def _mean(cells: dict[Place, Found], merit: Merit) -> float:
    values = [np.mean(one.row.per_model[merit]) for one in cells.values() if merit in one.row.per_model]
    return merit_sign(merit) * float(np.mean(values)) if values else -np.inf


def evidence(
    curve: Curve,
    wide: Curve | None,
    discovery: float,
    *,
    merit: Merit,
    residual: Measured,
    gain: ExpansionGain | None,
    cost: float | None,
) -> Evidence:
    """What is known of a row at one γ of its curve.

    Args:
        curve: The row.
        wide: Its expansion.
        discovery: γ.
        merit: What is meant by better.
        residual: r_B there.
        gain: The expansion beside it.
        cost: Retrainings per example that is found.
    """
    here = curve.at[discovery]
    ideal = {
        key: Found(one.cell, world) for key, one in here.items() if (world := world_of(one.cell, "unlearned"))
    }
    lacking = mean_or_reason(merit_terms(ideal, here, merit), merit)
    until = next((high for low, high in pairwise(curve.at) if low == discovery), None)
    slope = slope_terms(curve, discovery, until, merit, merit_sign(merit)) if until is not None else []
    worth = mean_or_reason(slope, merit) if until is not None else NotMeasured(NO_LARGER)
    spared: Measured | None = None
    if wide is not None and gain is not None and gain.extra_cost is not None and cost is not None and slope:
        terms = scaled(merit_terms(wide.at[discovery], here, merit), cost)
        spared = pooled_mean([*terms, *scaled(slope, -gain.extra_cost)]) if terms else None
    return Evidence(curve.row, merit, residual, lacking, worth, gain, spared)


def scaled(terms: Sequence[Term], factor: float) -> list[Term]:
    """The parts of a sum, each times a number.

    Example:
        >>> [one.weight for one in scaled([Term("a", np.ones(3), 0.5)], 4.0)]
        [2.0]
    """
    return [one._replace(weight=one.weight * factor) for one in terms]


def rule(known: Evidence, bounds: Bounds) -> tuple[AdviceOutcome, str]:
    """The advice that follows from intervals, and why; the rules stand in `advise`.

    Example:
        >>> low = Estimate(0.04, 0.02, 0.06, 8)
        >>> none = NotMeasured("not of interest")
        >>> rule(Evidence("npo", "score", low, none, none, None, None), Bounds(0.1, 0.05, None))
        ('rely on generalisation', 'r_B 0.04 [0.02, 0.06] is at most 0.1.')
    """
    if _most(known.residual) <= bounds.target:
        return RELY, f"r_B {estimate_text(known.residual)}{known.residual_of} is at most {bounds.target:g}."
    near = _most(known.lacking) <= bounds.margin
    if near and _least(known.worth) <= 0 <= _most(known.worth, missing=-np.inf):
        return RELY, (
            f"The {known.merit} of A(D∖B) is at most {bounds.margin:g} better ({estimate_text(known.lacking)}), "
            f"and {_worth(known)}, not shown to differ from 0."
        )
    searched = _least(known.worth) > 0
    if known.gain is None or _least(known.gain.gain) <= 0:
        return (SEARCH, _sentence(_worth(known))) if searched else (UNTOLD, _untold(known))
    said = _sentence(_expansion(known.gain))
    if not searched:
        return EXPAND, said
    said += f" Search helps too: {_worth(known)}."
    if known.spared is None:
        return EXPAND, said
    if _most(known.spared) < 0:
        return SEARCH, f"{said} {_prices(known, bounds)}: search is cheaper."
    cheaper = "expansion is cheaper" if _least(known.spared) > 0 else "which is cheaper cannot be told"
    return EXPAND, f"{said} {_prices(known, bounds)}: {cheaper}."


def _untold(known: Evidence) -> str:
    said: list[str] = []
    if known.gain is not None:
        told = known.gain.gain
        missing = isinstance(told, NotMeasured)
        said.append(f"{known.gain.row}: {told.not_measured}" if missing else _expansion(known.gain))
    if isinstance(known.worth, NotMeasured):
        said.append(f"worth of a further example: {known.worth.not_measured}")
    elif _most(known.worth) < 0:
        said.append(f"{_worth(known)}: it does harm")
    else:
        said.append(f"{_worth(known)}, not shown to differ from 0")
    lacks = known.lacking
    if isinstance(lacks, Estimate):
        said.append(f"the {known.merit} of A(D∖B) is {estimate_text(lacks)} better")
    return _sentence("; ".join(said))


def _worth(known: Evidence) -> str:
    """The worth of an example in points, hundredths of a score."""
    one = known.worth
    if isinstance(one, NotMeasured):
        return one.not_measured
    return f"a further example is worth {points(one)} points of {known.merit}"


def points(one: Estimate) -> str:
    """An estimate times 100.

    Example:
        >>> points(Estimate(0.002, 0.001, 0.003, 8))
        '0.20 [0.10, 0.30]'
    """
    low, high = (None if end is None else 100 * end for end in (one.low, one.high))
    return estimate_text(Estimate(100 * one.value, low, high, one.n))


def _expansion(gain: ExpansionGain) -> str:
    text = f"with {gain.row} the {gain.merit} is {estimate_text(gain.gain)} better"
    if gain.extra_cost is not None:
        text += f", for {number_text(gain.extra_cost, 1)} retrainings more"
    needed, alone = gain.further_examples, row_title(gain.alone)
    if isinstance(needed, Estimate):
        text += f"; {alone} alone would need {estimate_text(needed, 0)} further examples"
    elif needed.not_measured.startswith(MORE):
        text += f"; {alone} alone would need {needed.not_measured}"
    return text


def _prices(known: Evidence, bounds: Bounds) -> str:
    """What a point costs either way, in retrainings."""
    gain, worth = known.gain, known.worth
    assert gain is not None and gain.extra_cost is not None and bounds.cost_per_example is not None
    assert isinstance(gain.gain, Estimate) and isinstance(worth, Estimate)
    wide, search = gain.extra_cost / (100 * gain.gain.value), bounds.cost_per_example / (100 * worth.value)
    return f"A point costs {number_text(wide)} retrainings by expansion and {number_text(search)} by search"


def _most(one: Measured, missing: float = np.inf) -> float:
    if not isinstance(one, Estimate):
        return missing
    return np.inf if one.high is None else one.high


def _least(one: Measured) -> float:
    return -np.inf if not isinstance(one, Estimate) or one.low is None else one.low


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
