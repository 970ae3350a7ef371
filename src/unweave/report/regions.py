"""Data with two features: what each row predicts, drawn as an image under the training points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unweave.records import CaseResult, Plane, Row
from unweave.report.numbers import clean
from unweave.report.png import png_address
from unweave.report.words import row_name

SIDE = 100
"""Width and height of a panel in its own units."""

# Okabe and Ito's colours, which stay apart for colour-blind readers; later classes take them again.
_COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233))
_PALEST, _DEEPEST = 0.12, 0.5
_MARKS = {
    "triangle": "M0,-2.4L2.1,1.4L-2.1,1.4Z",
    "square": "M-1.6,-1.6h3.2v3.2h-3.2Z",
    "circle": "M-1.8,0a1.8,1.8 0 1 0 3.6,0a1.8,1.8 0 1 0 -3.6,0Z",
    "diamond": "M0,-2.3L1.8,0L0,2.3L-1.8,0Z",
    "star": "M0,-3.6L.8,-1.1L3.4,-1.1L1.3,.4L2.1,2.9L0,1.4L-2.1,2.9L-1.3,.4L-3.4,-1.1L-.8,-1.1Z",
}
_BY_CLASS = ("triangle", "square", "circle", "diamond")


class Panel(NamedTuple):
    """One row in the plane: its name, its kind, and its regions as the address of an image."""

    name: str
    kind: str
    image: str


class Mark(NamedTuple):
    """One training point: an outline at a place of the panel, a colour, and the part of D it is in."""

    outline: str
    x: float
    y: float
    colour: str
    part: str


def panels(case: CaseResult) -> list[Panel]:
    """A panel for the original, each reference and each method that ran; none without a plane."""
    plane = case.plane
    if plane is None:
        return []
    shown = [(row, plane.regions[row.id]) for row in _in_order(case.rows) if row.id in plane.regions]
    return [
        Panel(row_name(row), row.kind, _image(plane.size, region.classes, region.certainty))
        for row, region in shown
    ]


def _in_order(rows: Sequence[Row]) -> list[Row]:
    order = ("original", "reference", "method")
    return sorted((row for row in rows if row.kind in order), key=lambda row: order.index(row.kind))


def marks(plane: Plane) -> list[Mark]:
    """The training points as they are drawn in every panel, those of S last: nothing covers them."""
    left, right = plane.x
    low, high = plane.y
    last = ("ordinary", "undiscovered", "forget")
    points = sorted(plane.points, key=lambda point: last.index(point.part))
    return [
        Mark(
            _MARKS.get(point.shape) or _MARKS[_BY_CLASS[point.label % len(_BY_CLASS)]],
            round(SIDE * (point.x - left) / (right - left), 1),
            round(SIDE * (high - point.y) / (high - low), 1),
            "#{:02x}{:02x}{:02x}".format(*_colour(point.label)),
            point.part,
        )
        for point in points
    ]


def class_colours(plane: Plane) -> list[tuple[str, str]]:
    """Name and colour of each class."""
    return [
        (clean(name), "#{:02x}{:02x}{:02x}".format(*_colour(label)))
        for label, name in enumerate(plane.class_names)
    ]


def _colour(label: int) -> tuple[int, int, int]:
    return _COLOURS[label % len(_COLOURS)]


def _image(size: int, classes: str, certainty: str) -> str:
    """The regions as a PNG of one pixel per grid point: a class is a colour, deeper where it is more certain."""
    rows: list[bytes] = []
    for up in reversed(range(size)):  # the grid begins below, an image above
        line = bytearray()
        for place in range(up * size, (up + 1) * size):
            depth = _PALEST + (_DEEPEST - _PALEST) * int(certainty[place]) / 9
            line += bytes(round(255 - depth * (255 - part)) for part in _colour(int(classes[place], 36)))
        rows.append(bytes(line))
    return png_address(b"".join(rows), size, size, colours=True)
