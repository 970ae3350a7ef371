"""What a sweep says of discovery, as tables: advice, what examples, expansion and selections are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import Enough, SweepPoint, SweepResult
from unweave.report.numbers import DASH, estimate_text, interval_text, number_text, one_line
from unweave.report.sweep_tables import SweepTable, row_title

_BEYOND = "null_unlearned"


def advice_table(found: SweepResult) -> SweepTable:
    """What to do next at each behaviour, selection and γ, and why."""
    advice = found.advice
    lines = tuple(
        (
            f"{one_line(one.behaviour)}, S {one.selection}",
            f"{one.discovery:g}",
            number_text(one.examples, 0),
            one.outcome,
            row_title(one.expanded if one.outcome == "expand" else one.row),
            one_line(one.reason),
        )
        for one in (advice.advice if advice is not None else ())
        if one.leading
    )
    note = (
        f"Rely on generalisation: r_B is at most {found.target:g} by its whole interval, or the score of A(D∖B) "
        f"is at most {advice.margin if advice is not None else 0:g} better and one more example not shown to "
        "change it. Expand: expansion is better by its whole interval. Search on: one more example is worth more "
        "than 0 by its whole interval. Points are hundredths of a score. Intervals are not adjusted for how many "
        "rows were looked at; the row named is that with the highest score, all are in sweep.json."
    )
    heads = ("behaviour", "γ", "|S|", "advice", "row", "why")
    return SweepTable("What to do next: search on, or rely on generalisation", note, heads, lines)


def expansion_table(found: SweepResult) -> SweepTable:
    """Each expansion beside its method."""
    lines = tuple(
        (
            row_title(one.row),
            f"{one_line(one.behaviour)}, S {one.selection}, γ {one.discovery:g}",
            estimate_text(one.gain),
            _told(one.further_examples, 0),
            DASH if one.extra_cost is None else number_text(one.extra_cost, 1),
        )
        for one in (found.advice.expansions if found.advice is not None else ())
    )
    note = (
        "Gain: mean score less that of the method alone, at the same γ (of survival, where nothing can be healed: "
        "what is taken away). Further examples: how many more the method alone would have to be given for the "
        "same, by straight lines between points of its curve. Extra cost in retrainings."
    )
    heads = ("row", "where", "gain", "further examples alone", "extra cost")
    return SweepTable("Expansion beside the method alone", note, heads, lines)


def worth_table(found: SweepResult) -> SweepTable:
    """What one more discovered example is worth to each row."""
    lines = tuple(
        (
            row_title(one.row),
            f"{one_line(one.behaviour)}, S {one.selection}",
            f"{one.discovery:g} → {one.until:g}",
            f"{number_text(one.examples, 0)} → {number_text(one.examples + one.further, 0)}",
            _hundredths(one.score),
            estimate_text(one.residual, 4),
            _hundredths(one.survival),
        )
        for one in (found.advice.further if found.advice is not None else ())
    )
    note = (
        "Change per further example between neighbouring γ: of the mean score and of survival in points, of r_B "
        "as it is. Good above 0 for the score, below 0 for the others."
    )
    heads = ("row", "behaviour", "γ", "|S|", "score, points", "r_B", "survival, points")
    return SweepTable("Worth of one more discovered example", note, heads, lines, "folded")


def _hundredths(one: Measured) -> str:
    if not isinstance(one, Estimate):
        return DASH
    low, high = (None if end is None else 100 * end for end in (one.low, one.high))
    return f"{number_text(100 * one.value)} {interval_text(low, high)}"


def enough_table(found: SweepResult) -> SweepTable:
    """The smallest γ and |S| that suffice for the target, a line for each row and selection."""
    columns = list(dict.fromkeys(one.behaviour for one in found.enough))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for one in found.enough:
        if one.row.partition(" ")[0] != _BEYOND:
            lines.setdefault((one.row, one.selection), {})[one.behaviour] = _enough(found, one)
    reached = {(one.row, one.selection) for one in found.enough if isinstance(one.discovery, Estimate)}
    wanted = [key for key in lines if key in reached] or list(lines)
    rows = tuple(
        (f"{row_title(name)}, S {how}", *(lines[name, how].get(kind, DASH) for kind in columns))
        for name, how in wanted
    )
    note = (
        f"The smallest γ, and how many examples that is, with r_B ≤ {found.target:g}, by straight lines between "
        "the points of the curve, which are of the same cells. >: not up to the largest γ that was tried; ≤: "
        "already at the smallest. Rows that reach it nowhere are left out where others do."
    )
    return SweepTable("Smallest sufficient discovery", note, ("row", *map(one_line, columns)), rows)


def _enough(found: SweepResult, one: Enough) -> str:
    curve = [
        point
        for point in found.points
        if (point.row, point.behaviour, point.selection) == (one.row, one.behaviour, one.selection)
        and isinstance(point.on_curve("residual_unlearning"), Estimate)
    ]
    if not curve:
        return DASH
    return _crossed(curve, one) + _missing(one)


def _missing(one: Enough) -> str:
    """What the curve is not of."""
    said: list[str] = []
    if one.cells is not None and one.of is not None and one.cells < one.of:
        said.append(f"{one.cells} of {one.of} cells")
    if one.without:
        said.append(f"without γ {', '.join(f'{share:g}' for share in one.without)}")
    return f"; {', '.join(said)}" if said else ""


def _crossed(curve: Sequence[SweepPoint], one: Enough) -> str:
    first, last = (end(curve, key=lambda point: point.discovery) for end in (min, max))
    if not isinstance(one.discovery, Estimate):
        # Bounds are rounded outwards: never beyond what was tried.
        few = "" if last.examples is None else f" (> {math.floor(last.examples)})"
        return f"> {last.discovery:g}{few}"
    sign = "≤ " if one.discovery.value <= first.discovery else ""
    text = sign + estimate_text(one.discovery, _digits(first.discovery))
    if isinstance(one.examples, Estimate):
        value = (
            number_text(float(math.ceil(one.examples.value)), 0) if sign else number_text(one.examples.value, 0)
        )
        low, high = one.examples.low, one.examples.high
        whole = (None if low is None else float(math.floor(low)), None if high is None else float(math.ceil(high)))
        text += f" ({sign}{value} {interval_text(*whole, 0)})"
    return text


def _digits(smallest: float) -> int:
    """As many decimals as the smallest share that was tried has, and no fewer than two."""
    return max(2, len(f"{smallest:.12f}".rstrip("0").partition(".")[2]))


def selection_table(found: SweepResult) -> SweepTable:
    """What it costs that S was not found at random."""
    kinds = list(dict.fromkeys(one.behaviour for one in found.selections))
    lines: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for one in found.selections:
        own = lines.setdefault((one.row, one.selection), {})
        own[one.behaviour] = _percent(one.gap_closed), _percent(one.score)
    main = kinds[0] if kinds else ""
    rows = tuple(
        (
            f"{row_title(name)}, S {how}",
            *(own[kind][0] if kind in own else DASH for kind in kinds),
            own[main][1] if main in own else DASH,
        )
        for (name, how), own in lines.items()
    )
    note = (
        "Share of the gap closed less that with S found at random, in percentage points; last, the mean score "
        f"less that at random, in points. Good above 0. {DASH}: no gap to close, or no score."
    )
    heads = ("row", *(one_line(kind) or "all" for kind in kinds), f"score, {one_line(main) or 'all'}")
    return SweepTable("What the choice of S costs", note, heads, rows)


def _percent(one: Measured) -> str:
    if not isinstance(one, Estimate):
        return DASH
    low, high = (None if end is None else 100 * end for end in (one.low, one.high))
    return f"{number_text(100 * one.value, 0)} {interval_text(low, high, 0)}"


def _told(one: Measured, digits: int) -> str:
    return one.not_measured if isinstance(one, NotMeasured) else estimate_text(one, digits)
