"""Data with two features: a grid over their plane, and what each row of a case predicts on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unweave.data import Dataset
from unweave.problem import Planted
from unweave.records import Plane, PlanePoint, Region
from unweave.references import Outputs
from unweave.study.samples import probabilities

SIZE = 48
"""Grid points along each side."""

_SIGNS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BORDER = 0.08


def grid(data: Dataset, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points of the grid [SIZE², 2], row by row from below; none for data that are not points in a plane.

    Args:
        data: The data; those of a table are encoded features, not a plane.
        x: Features of D [n, ...].

    Example:
        >>> from unweave.data import load
        >>> digits = load("digits")
        >>> grid(digits, digits.train.x).shape
        (0, 8, 8)
    """
    if x.shape[1:] != (2,) or data.encoding is not None or data.classes > len(_SIGNS):
        return x[:0]
    (left, right), (low, high) = _ranges(x)
    across, up = np.linspace(left, right, SIZE), np.linspace(low, high, SIZE)
    return np.stack([np.tile(across, SIZE), np.repeat(up, SIZE)], axis=1).astype(np.float32)


def _ranges(x: NDArray[np.float32]) -> list[tuple[float, float]]:
    low, high = x.min(axis=0).astype(float), x.max(axis=0).astype(float)
    # A feature that is constant gets some width too, more than the last bits of a large number.
    border = _BORDER * np.maximum(high - low, 1e-6 * np.maximum(1, np.maximum(abs(low), abs(high))))
    return list(zip((low - border).tolist(), (high + border).tolist(), strict=True))


def plane_of(
    data: Dataset, planted: Planted, forget: NDArray[np.int64], outputs: Mapping[str, Outputs]
) -> Plane | None:
    """The picture of a case in the plane of its two features.

    Args:
        data: The data before planting.
        planted: The training data with the behaviour in it.
        forget: Rows of S.
        outputs: Logits on the grid [K, SIZE², classes] per row of the result.

    Returns:
        None where there is no grid.
    """
    if next(iter(outputs.values())).logits.shape[1] == 0:
        return None
    part = np.full(len(planted.y), "ordinary", dtype="<U12")
    part[planted.members] = "undiscovered"
    part[forget] = "forget"
    across, up = _ranges(planted.x)
    names = data.labels or tuple(str(label) for label in range(data.classes))
    own = data.train.columns.get("shape")
    # Where planting moved a point, or set one outside D, it has no shape of its own.
    shapes = [
        str(own[row]) if own is not None and row < len(own) and np.array_equal(x, data.train.x[row]) else ""
        for row, x in enumerate(planted.x)
    ]
    points = zip(planted.x.tolist(), planted.y.tolist(), part.tolist(), shapes, strict=True)
    return Plane(
        x=across,
        y=up,
        size=SIZE,
        class_names=names,
        points=tuple(PlanePoint(x, y, label, of, shape) for (x, y), label, of, shape in points),
        regions={name: _region(one.logits) for name, one in outputs.items()},
    )


def _region(logits: NDArray[np.float32]) -> Region:
    mean = probabilities(logits).mean(axis=0)
    tenths = np.minimum((10 * mean.max(axis=1)).astype(int), 9)
    return Region("".join(_SIGNS[label] for label in mean.argmax(axis=1)), "".join(str(tenth) for tenth in tenths))
