"""What is derived of the cells of a sweep: gap closed, points of curves and heat maps, sufficiency, prices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import Enough, GapClosed, Price, SweepCell, SweepPoint, SweepRow
from unweave.stats import Term, mean_of_estimates, pooled_mean, pooled_share
from unweave.study.sweep_cells import regularity_of

_SHARES = ("utility", "healed", "score", "survival")
_PLACED = ("generality", "residual_untraining", "residual_unlearning")
_TARGETED = "residual_unlearning"
TOO_FEW, MISSED = "too few models for a verdict", "fresh retrains miss their anchors"
_CURVES = (_TARGETED, "survival")
_WORLDS = ("original", "untrained", "unlearned")


class Found(NamedTuple):
    """A row and the cell that it stands in."""

    cell: SweepCell
    row: SweepRow


def row_ids(cells: Iterable[SweepCell]) -> list[str]:
    """All rows of a sweep, in the order in which they first occur; worlds of a panel are its own."""
    return list(dict.fromkeys(row.id for cell in cells for row in cell.rows))


def _rows(cells: Sequence[SweepCell], name: str) -> list[Found]:
    return [Found(cell, row) for cell in cells for row in cell.rows if row.id == name and row.status == "ok"]


def world_of(cell: SweepCell, name: str) -> SweepRow | None:
    """A reference of a cell; of a panel, that of its own worlds."""
    wanted = f"{name} ({cell.panel} worlds)" if cell.panel else name
    return next((row for row in cell.rows if row.id == wanted), None)


def term_of(row: SweepRow, key: str, weight: float = 1.0) -> Term:
    """The mean of one number of a row over its models, as part of a sum."""
    return Term(row.models, np.array(row.per_model[key]), weight)


def with_verdicts(cells: Sequence[SweepCell]) -> tuple[SweepCell, ...]:
    """The cells, without r_S and r_B of methods where no verdict rests on them.

    Where fresh retrains miss their anchors, or models are too few for any verdict, a small residual is no finding.
    """
    return tuple(replace(cell, rows=tuple(_with_verdict(cell, row) for row in cell.rows)) for cell in cells)


def _with_verdict(cell: SweepCell, row: SweepRow) -> SweepRow:
    changes: dict[str, Measured] = {}
    for key, outcome in (("residual_untraining", row.untraining), (_TARGETED, row.unlearning)):
        void = not cell.null_ok or outcome == "not measured"
        if row.kind == "method" and void and isinstance(getattr(row, key), Estimate):
            changes[key] = NotMeasured(TOO_FEW if cell.null_ok else MISSED)
    return replace(row, **changes)


def gap_closed(cells: Sequence[SweepCell]) -> dict[str, GapClosed]:
    """The pooled share of the gap that each row closed; see `stats.pooled_share` for the formula.

    A cell counts where the score of the row and of both references was measured.
    """
    ran = [cell for cell in cells if cell.status == "ok"]
    found: dict[str, GapClosed] = {}
    for name in row_ids(ran):
        rows = _rows(ran, name)
        whole = _share(rows)
        by = [
            _by(rows, axis)
            for axis in (lambda c: f"{c.discovery:g}", lambda c: c.behaviour, lambda c: c.selection)
        ]
        counted = [one.row for one in rows if gap_terms(one) is not None]
        score = _mean_share(counted, "score") if counted else whole
        own = [cell for cell in ran if any(row.id == name for row in cell.rows)]
        found[name] = GapClosed(whole, *by, cells=len(counted), of=len(own), score=score)
    return found


def _by(rows: Sequence[Found], axis: Callable[[SweepCell], str]) -> dict[str, Measured]:
    keys = dict.fromkeys(axis(one.cell) for one in rows)
    return {key: _share([one for one in rows if axis(one.cell) == key]) for key in keys}


def gap_terms(one: Found) -> tuple[list[Term], list[Term]] | None:
    """How far a row came, and the whole gap, in one cell; None where a score was not measured."""
    low, high = (world_of(one.cell, name) for name in ("untrained", "unlearned"))
    if low is None or high is None or any("score" not in row.per_model for row in (one.row, low, high)):
        return None
    base = term_of(low, "score", -1.0)
    return [term_of(one.row, "score"), base], [term_of(high, "score"), base]


def _share(rows: Sequence[Found]) -> Measured:
    terms = [found for one in rows if (found := gap_terms(one)) is not None]
    if not terms:
        reasons = [row.score.not_measured for _, row in rows if isinstance(row.score, NotMeasured)]
        return NotMeasured(reasons[0] if reasons else "no cell where the score was measured")
    return pooled_share([one for above, _ in terms for one in above], [one for _, below in terms for one in below])


def points(cells: Sequence[SweepCell]) -> tuple[SweepPoint, ...]:
    """Means over cases and seeds of each row, at each behaviour, γ and selection.

    A mean is over the cells where its number was measured. Cells of low power have no r_S or r_B, so that from one
    γ to the next the mean could change by which cells it is of: curves are of the same cases and seeds throughout.
    """
    found: list[SweepPoint] = []
    for name in row_ids(cells):
        curves: dict[tuple[str, str], dict[float, list[Found]]] = {}
        for one in _rows(cells, name):
            at = curves.setdefault((one.cell.behaviour, one.cell.selection), {})
            at.setdefault(one.cell.discovery, []).append(one)
        for (behaviour, selection), at in curves.items():
            shared = {key: _shared(at.values(), key) for key in _CURVES}
            for discovery, rows in at.items():
                sizes = [one.cell.sizes.get("S") for one in rows]
                known = [one for one in sizes if one is not None]
                place = (behaviour, discovery, selection)
                holding = [c for c in cells if (c.behaviour, c.discovery, c.selection) == place]
                found.append(
                    SweepPoint(
                        *(name, *place, len(rows)),
                        **{key: _mean(rows, key) for key in (*_PLACED, *_SHARES)},
                        examples=float(np.mean(known)) if known else None,
                        of=sum(any(row.id == name for row in cell.rows) for cell in holding),
                        measured={key: len(_with(rows, key)) for key in (*_PLACED, *_SHARES)},
                        along={key: _along(rows, key, spots) for key, spots in shared.items()},
                        along_cells={key: len(spots) for key, spots in shared.items()},
                    )
                )
    return tuple(found)


def _with(rows: Sequence[Found], key: str) -> list[Found]:
    """Those that have a number."""
    if key in _SHARES:
        return [one for one in rows if key in one.row.per_model]
    return [one for one in rows if isinstance(getattr(one.row, key), Estimate)]


def _mean(rows: Sequence[Found], key: str) -> Measured:
    measured = [one.row for one in _with(rows, key)]
    if not measured:
        return getattr(rows[0].row, key)
    if key in _SHARES:
        return _mean_share(measured, key)
    return mean_of_estimates([getattr(row, key) for row in measured])


def _spot(one: Found) -> tuple[str, int]:
    return one.cell.case, one.cell.seed


def _shared(curve: Iterable[Sequence[Found]], key: str) -> set[tuple[str, int]]:
    """The cases and seeds that have a number at every γ at which any of them has it."""
    measured = [{_spot(one) for one in _with(rows, key)} for rows in curve]
    return set.intersection(*[spots for spots in measured if spots] or [set()])


def _along(rows: Sequence[Found], key: str, spots: set[tuple[str, int]]) -> Measured:
    if not _with(rows, key):
        return getattr(rows[0].row, key)
    own = [one for one in rows if _spot(one) in spots]
    return _mean(own, key) if own else NotMeasured("no case and seed where it was measured along the whole curve")


def _mean_share(rows: Sequence[SweepRow], key: str) -> Measured:
    found = pooled_mean([term_of(row, key, 1 / len(rows)) for row in rows])
    return _within(found, 0.0)  # a share lies in 0…1, whatever Student's t says


def enough(all_points: Sequence[SweepPoint], target: float) -> tuple[Enough, ...]:
    """The smallest γ, and |S|, at which each row has r_B ≤ target, by straight lines between points."""
    curves: dict[tuple[str, str, str], list[SweepPoint]] = {}
    for one in all_points:
        if one.row.partition(" ")[0] not in _WORLDS:  # anchors have no way to go, and the original goes none
            curves.setdefault((one.row, one.behaviour, one.selection), []).append(one)
    found: list[Enough] = []
    for key, curve in curves.items():
        share = smallest_discovery(curve, target)
        known = {one.discovery for one in curve if isinstance(one.on_curve(_TARGETED), Estimate)}
        tried = {one.discovery for one in all_points if (one.behaviour, one.selection) == key[1:]}
        found.append(
            Enough(
                *key,
                discovery=share,
                examples=_in_examples(share, curve),
                cells=curve[0].along_cells.get(_TARGETED),
                of=max((one.of for one in curve if one.of is not None), default=None),
                without=tuple(sorted(tried - known)),
            )
        )
    return tuple(found)


def _in_examples(share: Measured, curve: Sequence[SweepPoint]) -> Measured:
    """γ as a number of discovered examples, by the mean |S| of the points."""
    if not isinstance(share, Estimate):
        return share
    sizes = sorted((one.discovery, one.examples) for one in curve if one.examples is not None)
    if not sizes:
        return NotMeasured("|S| is not known")
    grid, count = np.array(sizes).T

    def examples(end: float | None) -> float | None:
        return None if end is None else float(np.interp(end, grid, count))

    return Estimate(float(np.interp(share.value, grid, count)), examples(share.low), examples(share.high), share.n)


def smallest_discovery(curve: Sequence[SweepPoint], target: float) -> Measured:
    """Where the curve r_B(γ) first falls to the target, with the same of both ends of its interval.

    Args:
        curve: Points of one row.
        target: A residual in (0, 1).

    Returns:
        γ; smaller is better. An end is None where it lies below the smallest γ, or beyond the largest. The points
        are of the same cases and seeds, those measured at every γ at which any was.
    """
    known = [(one.discovery, one.on_curve(_TARGETED)) for one in curve]
    points_ = sorted(((g, r) for g, r in known if isinstance(r, Estimate)), key=lambda pair: pair[0])
    if not points_:
        return NotMeasured(next((r.not_measured for _, r in known if isinstance(r, NotMeasured)), "no points"))
    grid = [g for g, _ in points_]
    value = crossing(grid, [r.value for _, r in points_], target)
    if value is None:
        return NotMeasured(f"r_B stays above {target:g} up to γ = {grid[-1]:g}")
    low = crossing(grid, [-np.inf if r.low is None else r.low for _, r in points_], target)
    high = crossing(grid, [np.inf if r.high is None else r.high for _, r in points_], target)
    low = None if low is None or low <= grid[0] else low
    return Estimate(value, low, high, min(r.n for _, r in points_))


def crossing(grid: Sequence[float], values: Sequence[float], target: float) -> float | None:
    """Where values on a rising grid first fall to the target, by straight lines; None if nowhere.

    Example:
        >>> crossing([0.0, 1.0], [1.0, 0.0], 0.25)
        0.75
    """
    if values[0] <= target:
        return float(grid[0])
    for (left, above), (right, below) in pairwise(zip(grid, values, strict=True)):
        if below <= target:
            slanted = np.isfinite(above) and np.isfinite(below)
            return float(left + (right - left) * (above - target) / (above - below)) if slanted else float(right)
    return None


def prices(cells: Sequence[SweepCell]) -> tuple[Price, ...]:
    """What each row takes: gradients, and accuracy on test less than that of A(D∖B), in shares of 1."""
    found: list[Price] = []
    for name in row_ids(cells):
        rows = _rows(cells, name)
        terms: list[Term] = []
        pairs = [(row, ideal) for cell, row in rows if (ideal := world_of(cell, "unlearned")) is not None]
        pairs = [
            (row, ideal) for row, ideal in pairs if "utility" in row.per_model and "utility" in ideal.per_model
        ]
        for row, ideal in pairs:
            terms += [term_of(ideal, "utility", 1 / len(pairs)), term_of(row, "utility", -1 / len(pairs))]
        lost = pooled_mean(terms) if terms else NotMeasured("no cell with accuracy on test beside A(D∖B)")
        costs = [row.cost for _, row in rows if row.cost is not None]
        found.append(Price(name, float(np.mean(costs)) if costs else None, lost))
    return tuple(found)


def _within(one: Measured, least: float) -> Measured:
    """Cut an interval to `least`…1, which loses no coverage."""
    if not isinstance(one, Estimate):
        return one
    low, high = (None if end is None else min(max(end, least), 1.0) for end in (one.low, one.high))
    return Estimate(one.value, low, high, one.n)


def regularity(cells: Sequence[SweepCell]) -> dict[str, Measured]:
    """How regular each behaviour is: the share of it that is taught by the rest of B, at the smallest γ swept."""
    own = [cell for cell in cells if cell.status == "ok" and not cell.panel]
    found: dict[str, Measured] = {}
    for name in dict.fromkeys(cell.behaviour for cell in own):
        of_kind = [cell for cell in own if cell.behaviour == name]
        least = min(cell.discovery for cell in of_kind)
        at = [
            {row.id: {key: term_of(row, key) for key in row.per_model} for row in cell.rows if row.id in _WORLDS}
            for cell in of_kind
            if cell.discovery == least
        ]
        found[name] = regularity_of(at)
    return found
