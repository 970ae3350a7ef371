"""What one more discovered example is worth, what expansion gains, and what a selection of S costs.

All are sums of means over models, so that models that several cells share are deleted from all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import ExpansionGain, FurtherExample, Merit, SelectionCost, SweepCell
from unweave.stats import (
    Share,
    Term,
    mean_of_estimates,
    pooled_difference,
    pooled_mean,
    sum_of_dependent,
)
from unweave.study.sweep_views import Found, crossing, gap_terms, row_ids, term_of

RETRAINED = "null_untrained"
"""The row of retraining without S."""
_ANCHORS = ("original", "untrained", "unlearned", "null_unlearned")
_SIGN: dict[Merit, float] = {"score": 1.0, "survival": -1.0}
NO_LARGER = "no larger γ was swept"
MORE = "more than the"
"""How the reason begins where a method alone would need more examples than were swept."""
_EXPANDS = re.compile(r"expand\((?P<inside>.+?)\)(?P<params>\([^()]*=[^()]*\))?(?P<panel> \([^()]+ worlds\))?")

Place = tuple[str, int]
"""Case and seed."""


class Curve(NamedTuple):
    """A row at one behaviour and selection: by γ, its cells by case and seed."""

    row: str
    behaviour: str
    selection: str
    at: dict[float, dict[Place, Found]]


def curves_of(cells: Sequence[SweepCell]) -> list[Curve]:
    """The curves of methods and of retraining without S, in the order of the rows."""
    found: list[Curve] = []
    for name in row_ids(cells):
        if name.partition(" ")[0] in _ANCHORS:
            continue
        own: dict[tuple[str, str], dict[float, dict[Place, Found]]] = {}
        for cell in cells:
            for row in cell.rows:
                if row.id == name and row.status == "ok":
                    at = own.setdefault((cell.behaviour, cell.selection), {})
                    at.setdefault(cell.discovery, {})[cell.case, cell.seed] = Found(cell, row)
        found += [Curve(name, *key, at=dict(sorted(at.items()))) for key, at in own.items()]
    return found


def examples_at(cells: dict[Place, Found]) -> float:
    """Mean |S| over cells."""
    return float(np.mean([_examples(one) for one in cells.values()]))


def _examples(one: Found) -> int:
    return one.cell.sizes["S"] or 0


def merit_of(curves: Sequence[Curve]) -> Merit:
    """The score, or survival where no row of these curves has one."""
    rows = (one.row for curve in curves for cells in curve.at.values() for one in cells.values())
    return "score" if any("score" in row.per_model for row in rows) else "survival"


def merit_sign(merit: Merit) -> float:
    """1 where more is better, −1 where less is."""
    return _SIGN[merit]


def merit_terms(first: dict[Place, Found], second: dict[Place, Found], merit: Merit) -> list[Term]:
    """By how much the first is better than the second: a mean over the cases and seeds that both have."""
    pairs = [(first[key], second[key]) for key in first if key in second]
    pairs = [(a, b) for a, b in pairs if merit in a.row.per_model and merit in b.row.per_model]
    weight = _SIGN[merit] / max(len(pairs), 1)
    return [one for a, b in pairs for one in (term_of(a.row, merit, weight), term_of(b.row, merit, -weight))]


def mean_or_reason(terms: Sequence[Term], merit: str) -> Measured:
    """The pooled mean, or that no cell has what is to be averaged."""
    return pooled_mean(terms) if terms else NotMeasured(f"no case and seed where both have a {merit}")


def slope_terms(curve: Curve, discovery: float, until: float, key: str, sign: float = 1.0) -> list[Term]:
    """Change of a number per further example between two γ, over cases and seeds at both.

    w = 1/C · Σ_c (s̄_c(γ′) − s̄_c(γ)) / (|S_c(γ′)| − |S_c(γ)|)

    Args:
        curve: The row.
        discovery: γ.
        until: γ′.
        key: What is averaged over models, such as `score`.
        sign: −1.0 turns it round.
    """
    pairs = [
        (a, b) for a, b in _steps(curve, discovery, until) if key in a.row.per_model and key in b.row.per_model
    ]
    found: list[Term] = []
    for a, b in pairs:
        weight = sign / (len(pairs) * (_examples(b) - _examples(a)))
        found += [term_of(b.row, key, weight), term_of(a.row, key, -weight)]
    return found


def _steps(curve: Curve, discovery: float, until: float) -> list[tuple[Found, Found]]:
    below, above = curve.at[discovery], curve.at[until]
    pairs = [(below[key], above[key]) for key in below if key in above]
    return [(a, b) for a, b in pairs if _examples(b) > _examples(a)]


def worth_of_examples(curves: Sequence[Curve]) -> tuple[FurtherExample, ...]:
    """The worth of a further example between all neighbouring γ of all curves."""
    found: list[FurtherExample] = []
    for curve in curves:
        for low, high in pairwise(curve.at):
            if not (pairs := _steps(curve, low, high)):
                continue
            shares: dict[str, Measured] = {}
            for key in ("score", "survival"):
                terms = slope_terms(curve, low, high, key)
                reasons = [getattr(a.row, key) for a, _ in pairs]
                why = next((one for one in reasons if isinstance(one, NotMeasured)), None)
                shares[key] = why if why is not None and not terms else mean_or_reason(terms, key)
            found.append(
                FurtherExample(
                    row=curve.row,
                    behaviour=curve.behaviour,
                    selection=curve.selection,
                    discovery=low,
                    until=high,
                    examples=float(np.mean([_examples(a) for a, _ in pairs])),
                    further=float(np.mean([_examples(b) - _examples(a) for a, b in pairs])),
                    residual=_residual_slope(pairs),
                    **shares,
                )
            )
    return tuple(found)


def _residual_slope(pairs: Sequence[tuple[Found, Found]]) -> Measured:
    """Of r_B only intervals are known: within a seed, whose cells share models, their halves add up."""
    seeds: dict[int, list[tuple[Estimate, Estimate, int]]] = {}
    reason = "r_B was not measured at both γ"
    for a, b in pairs:
        low, high = a.row.residual_unlearning, b.row.residual_unlearning
        if isinstance(low, Estimate) and isinstance(high, Estimate):
            seeds.setdefault(a.cell.seed, []).append((low, high, _examples(b) - _examples(a)))
        else:
            reason = next((one.not_measured for one in (low, high) if isinstance(one, NotMeasured)), reason)
    if not seeds:
        return NotMeasured(reason)
    each: list[Estimate] = []
    for own in seeds.values():
        weights = [1 / (len(own) * step) for _, _, step in own]
        parts = [(high, weight) for (_, high, _), weight in zip(own, weights, strict=True)]
        parts += [(low, -weight) for (low, _, _), weight in zip(own, weights, strict=True)]
        each.append(sum_of_dependent(parts))
    return mean_of_estimates(each)


def expansions_of(curves: Sequence[Curve]) -> dict[tuple[str, str, str], Curve]:
    """The expansion of each row that has one, by row, behaviour and selection.

    `expand(X)` belongs to X; `expand(retrain)` to retraining without S where no row is called `retrain`.
    """
    names = {curve.row for curve in curves}
    found: dict[tuple[str, str, str], Curve] = {}
    for curve in curves:
        if (alone := alone_of(curve.row, names)) is not None:
            found[alone, curve.behaviour, curve.selection] = curve
    return found


def alone_of(row: str, names: set[str]) -> str | None:
    """The row of which `row` is the expansion; None where it is none, or that row is not there.

    Example:
        >>> alone_of("expand(npo)", {"npo", "expand(npo)"}), alone_of("expand(retrain)", {"null_untrained"})
        ('npo', 'null_untrained')
    """
    if (found := _EXPANDS.fullmatch(row)) is None:
        return None
    inside, params, panel = (found[key] or "" for key in ("inside", "params", "panel"))
    asked = [inside + params + panel, inside + panel, *([RETRAINED + panel] if inside == "retrain" else [])]
    return next((one for one in asked if one in names), None)


def gains_of_expansion(curves: Sequence[Curve]) -> tuple[ExpansionGain, ...]:
    """Every expansion beside its method, at every γ that both have."""
    at = {(one.row, one.behaviour, one.selection): one for one in curves}
    found: list[ExpansionGain] = []
    for key, wide in expansions_of(curves).items():
        if (alone := at.get(key)) is None:
            continue
        for discovery in (one for one in wide.at if one in alone.at):
            merit = merit_of([wide, alone])
            both, own = wide.at[discovery], alone.at[discovery]
            costs = [(both[k].row.cost, own[k].row.cost) for k in both if k in own]
            known = [a - b for a, b in costs if a is not None and b is not None]
            found.append(
                ExpansionGain(
                    row=wide.row,
                    alone=alone.row,
                    behaviour=wide.behaviour,
                    selection=wide.selection,
                    discovery=discovery,
                    merit=merit,
                    gain=mean_or_reason(merit_terms(both, own, merit), merit),
                    further_examples=_alone_needs(both, alone, discovery, merit),
                    extra_cost=float(np.mean(known)) if known and len(known) == len(costs) else None,
                )
            )
    return tuple(found)


def _alone_needs(wide: dict[Place, Found], alone: Curve, discovery: float, merit: Merit) -> Measured:
    """Further examples until the curve of the method alone reaches the expansion, by straight lines.

    The ends are where the ends of the intervals of the difference fall to 0.
    """
    grid: list[float] = []
    lacks: list[Estimate] = []
    for share, cells in alone.at.items():
        terms = merit_terms(wide, cells, merit)
        lack = mean_or_reason(terms, merit)
        if share < discovery or not isinstance(lack, Estimate):
            continue
        grid.append(float(np.mean([_examples(cells[k]) - _examples(wide[k]) for k in wide if k in cells])))
        lacks.append(lack)
    if not lacks:
        return NotMeasured(f"no case and seed where both have a {merit}")
    value = crossing(grid, [one.value for one in lacks], 0.0)
    if value is None:
        return NotMeasured(NO_LARGER if len(grid) == 1 else f"{MORE} {grid[-1]:.0f} further ones that were tried")
    low = crossing(grid, [-np.inf if one.low is None else one.low for one in lacks], 0.0)
    high = crossing(grid, [np.inf if one.high is None else one.high for one in lacks], 0.0)
    return Estimate(value, low, high, min(one.n for one in lacks))


def selection_costs(cells: Sequence[SweepCell], *, usual: str = "random") -> tuple[SelectionCost, ...]:
    """Share of the gap closed and score under each selection less those under the usual one.

    Only cells count whose case, behaviour, γ and seed are there under both selections.
    """
    found: list[SelectionCost] = []
    for name in row_ids(cells):
        rows = [Found(cell, row) for cell in cells for row in cell.rows if row.id == name and row.status == "ok"]
        if name.partition(" ")[0] in (*_ANCHORS, RETRAINED):
            continue
        rows = [one for one in rows if gap_terms(one) is not None]
        usuals = {_spot(one.cell): one for one in rows if one.cell.selection == usual}
        kinds = list(dict.fromkeys(one.cell.behaviour for one in rows))
        for selection in dict.fromkeys(one.cell.selection for one in rows if one.cell.selection != usual):
            own = [one for one in rows if one.cell.selection == selection and _spot(one.cell) in usuals]
            for kind in ["", *kinds] if len(kinds) > 1 else kinds:
                pairs = [(usuals[_spot(one.cell)], one) for one in own if kind in ("", one.cell.behaviour)]
                if pairs:
                    found.append(SelectionCost(name, kind, selection, *_costs(pairs), cells=len(pairs)))
    return tuple(found)


def _spot(cell: SweepCell) -> tuple[str, str, float, int, str]:
    return cell.case, cell.behaviour, cell.discovery, cell.seed, cell.panel


def _costs(pairs: Sequence[tuple[Found, Found]]) -> tuple[Measured, Measured]:
    shares: list[Share] = []
    for side in (1, 0):
        terms = [gap_terms(pair[side]) or ([], []) for pair in pairs]
        shares.append(Share([t for above, _ in terms for t in above], [t for _, below in terms for t in below]))
    weight = 1 / len(pairs)
    scores = [(term_of(b.row, "score", weight), term_of(a.row, "score", -weight)) for a, b in pairs]
    return pooled_difference(*shares), pooled_mean([one for pair in scores for one in pair])
