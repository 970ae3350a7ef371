"""Heat maps and curves of a sweep as SVG, drawn here: the page needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unweave._types import Estimate, Measured
from unweave.records import SweepPoint
from unweave.report.numbers import DASH, estimate_text, number_text, one_line

_WIDTH, _HEIGHT, _PAD = 340, 200, 34
_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    *("#8a6d3b", "#7f3c8d", "#666666", "#11a579"),
)
_DASHES = ("", "5 3", "2 2")

QUANTITIES = {
    "residual_untraining": ("r_S", "left on the way to A(D∖S); 0 is best", (0.0, 1.0), True),
    "residual_unlearning": ("r_B", "left on the way to A(D∖B); 0 is best", (0.0, 1.0), True),
    "generality": ("t", "0 = at A(D∖S), 1 = at A(D∖B)", (0.0, 1.0), False),
    "score": ("score", "utility × healed; 1 is best", (0.0, 1.0), False),
    "survival": (
        "survival",
        "share of B∖S and unseen instances that show the behaviour; 0 is best",
        (0.0, 1.0),
        True,
    ),
}
"""Name, meaning, range of the colours and whether low is good, by field of a point."""


class HeatCell(NamedTuple):
    """A cell of a heat map: the text, the shade in tenths (10 = best), and all of it in words."""

    text: str
    shade: int
    told: str


class HeatMap(NamedTuple):
    """One quantity at one selection: rows × (behaviour, γ)."""

    title: str
    meaning: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[HeatCell, ...]], ...]


class Curve(NamedTuple):
    """A line of a chart: name, colour, dashes, points of the line, bars of the intervals."""

    name: str
    colour: str
    dash: str
    line: str
    bars: tuple[tuple[float, float, float], ...]


class Chart(NamedTuple):
    """Curves of one quantity against γ at one behaviour and selection."""

    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def heat_maps(points: Sequence[SweepPoint]) -> list[HeatMap]:
    """A heat map of each quantity and selection that has any number.

    Example:
        >>> heat_maps([])
        []
    """
    found: list[HeatMap] = []
    for selection in dict.fromkeys(one.selection for one in points):
        here = [one for one in points if one.selection == selection]
        columns = list(dict.fromkeys((one.behaviour, one.discovery) for one in here))
        rows = list(dict.fromkeys(one.row for one in here))
        at = {(one.row, one.behaviour, one.discovery): one for one in here}
        for key, (name, meaning, span, low_is_good) in QUANTITIES.items():
            if not any(isinstance(getattr(one, key), Estimate) for one in here):
                continue
            lines = tuple(
                (one_line(row), tuple(_heat(at.get((row, *column)), key, span, low_is_good) for column in columns))
                for row in rows
            )
            heads = tuple(f"{one_line(behaviour)} γ {share:g}" for behaviour, share in columns)
            found.append(HeatMap(f"{name}, S {selection}", meaning, heads, lines))
    return found


def _heat(point: SweepPoint | None, key: str, span: tuple[float, float], low_is_good: bool) -> HeatCell:
    if point is None:
        return HeatCell(DASH, -1, "not run")
    value: Measured = getattr(point, key)
    if not isinstance(value, Estimate):
        return HeatCell(DASH, -1, one_line(value.not_measured))
    place = min(max((value.value - span[0]) / (span[1] - span[0]), 0.0), 1.0)
    shade = round(10 * (1 - place if low_is_good else place))
    measured, of = point.measured.get(key, point.cells), point.of or point.cells
    few = f" ({measured}/{of})" if measured < of else ""
    told = f"{estimate_text(value)}, {measured} of {of} cells"
    return HeatCell(f"{number_text(value.value)}{few}", shade, told)


def of_all(points: Sequence[SweepPoint], key: str) -> str:
    """Of how many cases and seeds a curve is, where those are not all; with what is to stand before it.

    Example:
        >>> of_all([], "survival")
        ''
    """
    of = max((one.of or one.cells for one in points), default=0)
    cells = min((one.along_cells.get(key, of) for one in points), default=0)
    return f" ({cells} of {of} cells)" if cells < of else ""


def charts(points: Sequence[SweepPoint], key: str, rows: Sequence[str]) -> list[Chart]:
    """Curves of a quantity against γ, one chart for each behaviour and selection; a curve is of the same cells.

    Args:
        points: All points.
        key: A field of a point, as in `QUANTITIES`.
        rows: Which rows are drawn, in the order of their colours.
    """
    found: list[Chart] = []
    for behaviour, selection in dict.fromkeys((one.behaviour, one.selection) for one in points):
        here = [one for one in points if (one.behaviour, one.selection) == (behaviour, selection)]
        measured = {row: [(one.discovery, one.on_curve(key)) for one in here if one.row == row] for row in rows}
        known = {row: [(g, v) for g, v in own if isinstance(v, Estimate)] for row, own in measured.items()}
        values = [v.value for own in known.values() for _, v in own]
        if not values:
            continue
        top = min(max(1.0, *values), 2.0)
        shares = sorted({one.discovery for one in here})
        right = shares[-1]
        curves = tuple(
            _curve(
                f"{row}{of_all([one for one in here if one.row == row], key)}",
                number,
                sorted(own, key=lambda pair: pair[0]),
                right,
                top,
            )
            for number, (row, own) in enumerate(known.items())
            if own
        )
        name = QUANTITIES[key][0]
        found.append(
            Chart(
                f"{name} · {one_line(behaviour)} · S {selection}",
                curves,
                tuple((_x(share, right), f"{share:g}") for share in shares),
                tuple((_y(value, top), f"{value:.2g}") for value in (0.0, top / 2, top)),
            )
        )
    return found


def _x(share: float, right: float) -> float:
    return round(_PAD + share / right * (_WIDTH - 2 * _PAD), 1)


def _y(value: float, top: float) -> float:
    place = min(max(value / top, 0.0), 1.0)
    return round(_HEIGHT - _PAD + 8 - place * (_HEIGHT - 1.4 * _PAD), 1)


def _curve(row: str, number: int, own: Sequence[tuple[float, Estimate]], right: float, top: float) -> Curve:
    line = " ".join(f"{_x(g, right)},{_y(v.value, top)}" for g, v in own)
    bars = tuple(
        (
            _x(g, right),
            _y(0.0 if v.low is None else v.low, top),
            _y(top if v.high is None else v.high, top),
        )
        for g, v in own
    )
    colour, dash = _COLOURS[number % len(_COLOURS)], _DASHES[number // len(_COLOURS) % len(_DASHES)]
    return Curve(one_line(row), colour, dash, line, bars)
