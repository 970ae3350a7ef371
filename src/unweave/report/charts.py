"""What the charts of the page draw, as plain JSON: points, ellipses, bars, and the texts beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unweave._types import Estimate, Measured
from unweave.records import CaseResult, MapPoint, Row
from unweave.report.best import stage_of
from unweave.report.columns import group_heads, label_cell, placed_rows, verdict_columns
from unweave.report.numbers import estimate_text, number_text, one_line
from unweave.report.words import UNLEARNED, UNTRAINED, row_name, told_reason

CORNERS = 48
_LEVEL = 0.95
_LEFT, _RIGHT, _TOP = -0.6, 1.6, 1.25
_PAD = 0.12


def confidence_radius(n_models: int) -> float | None:
    """Radius of a joint confidence region of two estimates, in standard deviations.

    Hotelling's T²: r² = 2(n−1)/(n−2) · F_{2,n−2}(.95), and F_{2,ν}(q) = ν/2·((1−q)^(−2/ν) − 1) exactly.

    Args:
        n_models: models behind the covariance.

    Returns:
        The radius, √5.99 in the limit; `None` below 4 models, where no region of use exists.

    Example:
        >>> round(confidence_radius(32), 2), round(confidence_radius(100_000), 2)
        (2.62, 2.45)
    """
    if n_models < 4:
        return None
    freedom = n_models - 2
    return math.sqrt((n_models - 1) * math.expm1(-2 / freedom * math.log(1 - _LEVEL)))


def ellipse(point: MapPoint, n_models: int) -> list[tuple[float, float]] | None:
    """Corners of a 95% confidence ellipse of a point, taken in (t, off-line²) and drawn in (t, off-line).

    Args:
        point: place and covariance, the height as a signed square.
        n_models: models behind it.

    Returns:
        Corners (t, √max(height², 0)); `None` where there are too few models or no spread.
    """
    (a, b), (_, c) = point.covariance
    radius = confidence_radius(n_models)
    determinant = a * c - b * b
    if radius is None or a <= 0 or determinant < 0:
        return None
    across, slope, along = math.sqrt(a), b / math.sqrt(a), math.sqrt(determinant / a)
    corners: list[tuple[float, float]] = []
    for step in range(CORNERS):
        angle = 2 * math.pi * step / CORNERS
        u, v = radius * math.cos(angle), radius * math.sin(angle)
        height = point.y + slope * u + along * v
        corners.append((point.x + across * u, math.sqrt(max(height, 0.0))))
    return corners


def height_of(point: MapPoint) -> float:
    """The drawn height of a point: √max(off-line², 0)."""
    return math.sqrt(max(point.y, 0.0))


def map_frame(rows: Sequence[Row]) -> dict[str, Any]:
    """The part of the plane to draw: both references, the original, and all points not far outside.

    Far points would squash the rest; they are marked on the border with their coordinates.
    """
    placed = [(row, row.xy.x, height_of(row.xy)) for row in rows if row.xy is not None]
    top = max([_TOP] + [1.1 * y for row, _, y in placed if row.kind != "method"])
    left = min([_LEFT] + [x for row, x, _ in placed if row.kind != "method"])
    right = max([_RIGHT] + [x for row, x, _ in placed if row.kind != "method"])
    near = [(x, y) for _, x, y in placed if left <= x <= right and y <= top]
    xs, ys = [0.0, 1.0] + [x for x, _ in near], [0.3] + [y for _, y in near]
    return {"x": [min(xs) - _PAD, max(xs) + _PAD], "y": [0.0, max(ys) + _PAD]}


def shared_frame(charts: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The smallest frame that holds those of all maps, so that distances compare between cases.

    Args:
        charts: What `case_charts` returned, for each case.

    Returns:
        The frame; None where nothing is drawn.
    """
    frames = [one["map"]["frame"] for one in charts if one["map"] is not None]
    if not frames:
        return None
    ends = {side: [frame[side] for frame in frames] for side in ("x", "y")}
    shared: dict[str, Any] = {
        side: [min(low for low, _ in of), max(high for _, high in of)] for side, of in ends.items()
    }
    # The band for points beyond the top takes height from the scale, so all maps have it or none.
    points = [point for one in charts if one["map"] is not None for point in one["map"]["points"]]
    shared["beyond"] = any(point["y"] > shared["y"][1] for point in points)
    return shared


def _measured(measured: Measured) -> dict[str, float | None] | None:
    if not isinstance(measured, Estimate):
        return None
    return {"value": measured.value, "low": measured.low, "high": measured.high}


def tip_of(row: Row, case: CaseResult) -> list[Any]:
    """What is shown beside the pointer: the first columns of the verdict table, head and text."""
    return [[column.head, column.cell(row).text] for column in verdict_columns(case.rows)[:6]]


def symbol_of(row: Row) -> str:
    """The key of a row's symbol: its kind, or for a method its label."""
    return row.label.replace(" ", "-") if row.kind == "method" else row.kind


def _point(row: Row, case: CaseResult) -> dict[str, Any]:
    assert row.xy is not None
    height = height_of(row.xy)
    corners = ellipse(row.xy, row.n_models)
    return {
        "id": one_line(row.id),
        "name": row_name(row),
        "stage": stage_of(row),
        "symbol": symbol_of(row),
        "label": label_cell(row).text,
        "x": row.xy.x,
        "y": height,
        "place": f"({number_text(row.xy.x)}, {number_text(height)})",
        "ellipse": None if corners is None else [[x, y] for x, y in corners],
        "tip": tip_of(row, case),
        "words": told_reason(row),
    }


def _bars(row: Row, untraining: Measured, unlearning: Measured) -> dict[str, Any]:
    return {
        "name": row_name(row),
        "stage": stage_of(row),
        "kind": row.kind,
        "untraining": _measured(untraining),
        "unlearning": _measured(unlearning),
        "text": f"r_S {estimate_text(untraining)}, r_B {estimate_text(unlearning)}",
    }


def _group_charts(case: CaseResult, rows: Sequence[Row]) -> list[Any]:
    charts: list[Any] = []
    for name, head in group_heads(rows).items():
        bars: list[Any] = []
        for row in rows:
            group = row.groups.get(name)
            if group is None:
                continue
            if isinstance(group.residual_untraining, Estimate) or isinstance(group.residual_unlearning, Estimate):
                bars.append(_bars(row, group.residual_untraining, group.residual_unlearning))
        if bars:
            charts.append({"head": head, "rows": bars})
    return charts


def _distances(case: CaseResult) -> list[Any]:
    geometry = case.geometry
    named = (
        (f"original to {UNTRAINED}", geometry.energy_original_untrained),
        (f"original to {UNLEARNED}", geometry.energy_original_unlearned),
        (f"{UNTRAINED} to {UNLEARNED}", geometry.energy_untrained_unlearned),
    )
    return [
        {"name": name, **measured, "text": estimate_text(distance, 3)}
        for name, distance in named
        if (measured := _measured(distance)) is not None
    ]


def case_charts(case: CaseResult) -> dict[str, Any]:
    """Everything the page's charts of one case draw.

    Returns:
        `map` (`null` where the aims are not distinguishable), `residuals`, `groups`, `distances`, `margin`.
    """
    rows = placed_rows(case.rows)
    residuals: list[Any] = [
        _bars(row, row.residual_untraining, row.residual_unlearning)
        for row in rows
        if isinstance(row.residual_untraining, Estimate) or isinstance(row.residual_unlearning, Estimate)
    ]
    points: list[Any] = [_point(row, case) for row in rows if row.xy is not None]
    drawn: dict[str, Any] = {
        "frame": map_frame(rows),
        "points": points,
        "anchors": [f"{UNTRAINED} untrained", f"{UNLEARNED} unlearned"],
    }
    return {
        "name": one_line(case.name),
        "map": drawn if case.geometry.drawn else None,
        "margin": case.margin,
        "residuals": residuals,
        "groups": _group_charts(case, rows),
        "distances": _distances(case),
    }
