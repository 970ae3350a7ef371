"""Points in a plane: the toy of Figure 1, where everything that training does can be seen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive, generator
from unweave.data.dataset import Dataset, Examples
from unweave.data.sources import Wanted, add_source, limited

_KEY = derive(20_260_001, "shapes")

_CLASSES = ("triangle", "square", "circle")
# What, its class, its centre and radius, how many train, how many test.
_DISCS = (
    ("triangle", 0, (-1.0, 0.5), 0.85, 120, 80),
    ("square", 1, (1.0, 0.5), 0.85, 120, 80),
    ("circle", 2, (0.0, -1.2), 0.55, 60, 60),
    ("far circle", 2, (0.0, 1.75), 0.2, 10, 40),
)
_STAR = (-2.1, 0.9)


def shapes(wanted: Wanted) -> Dataset:
    """311 points in a plane: triangles left, squares right, circles below and a few far above, and one star.

    A table of the column `shape`: triangle, square, circle or star.

    The star is labelled as a circle and lies beside the triangles, far from all circles: what is learned of it is
    memorised. The circles below teach each other, so that each alone is superfluous; the far circles are all there
    is of their kind. Ids are texts: `triangle 0`, `circle 7`, `far circle 3`, `star`.
    """
    parts: dict[str, list[tuple[NDArray[np.float64], int, str]]] = {"train": [], "test": []}
    for name, label, centre, radius, *counts in _DISCS:
        for part, count in zip(parts, counts, strict=True):
            points = _disc(centre, radius, count, name, part)
            first = 0 if part == "train" else counts[0]
            parts[part] += [(point, label, f"{name} {first + i}") for i, point in enumerate(points)]
    parts["train"].append((np.array(_STAR), _CLASSES.index("circle"), "star"))
    train, test = (_examples(part) for part in parts.values())
    kept = limited(np.arange(len(train)), wanted.limit)
    columns = {"shape": train.columns["shape"][kept]}
    train = Examples(train.x[kept], train.y[kept], train.ids[kept], columns)
    return Dataset("shapes", train, test, len(_CLASSES), _CLASSES)


def _disc(centre: tuple[float, float], radius: float, count: int, name: str, part: str) -> NDArray[np.float64]:
    """Points uniform in a disc [count, 2]."""
    rng = generator(_KEY, name, part)
    angle, distance = rng.uniform(0, 2 * math.pi, count), radius * np.sqrt(rng.uniform(0, 1, count))
    return np.stack([centre[0] + distance * np.cos(angle), centre[1] + distance * np.sin(angle)], axis=1)


def _examples(part: list[tuple[NDArray[np.float64], int, str]]) -> Examples:
    points, labels, names = zip(*part, strict=True)
    kinds = [name.rstrip("0123456789 ").split()[-1] for name in names]
    return Examples(
        np.stack(points).astype(np.float32),
        np.array(labels, np.int64),
        np.array(names),
        {"shape": np.array(kinds)},
    )


add_source("shapes", shapes, shape="311×2, 3 classes", cite="figure 1 of arXiv 2604.07962")
