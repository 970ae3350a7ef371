"""Samples of models as arrays of outputs, and the distances between them, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unweave._types import NotMeasured
from unweave.metrics import (
    PairDistances,
    admissible_pairs,
    energy,
    energy_by_probe,
    mean_shift,
    pair_distances,
)
from unweave.stats import Design, leave_outs

Floats = NDArray[np.float64]
Kind = Literal["norm", "squared", "stacked"]


@dataclass(frozen=True)
class Sample:
    """K models of one world or method: outputs [K, n, classes] and the block id of each model [K]."""

    name: str
    outputs: Floats
    blocks: NDArray[np.int64]


def probabilities(logits: NDArray[np.float32]) -> Floats:
    """Softmax over the last axis in float64.

    Example:
        >>> probabilities(np.zeros((1, 1, 2), np.float32)).tolist()
        [[[0.5, 0.5]]]
    """
    z = logits.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    return z / z.sum(axis=-1, keepdims=True)


class Distances:
    """Distances between samples per group of probes; a pair of samples is measured once and kept."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._known: dict[tuple[str, str], PairDistances] = {}

    def pairs(self, a: Sample, b: Sample) -> PairDistances:
        """Model × model distances of two samples, per group, and per probe over independent pairs."""
        key = (a.name, b.name)
        if key not in self._known:
            self._known[key] = pair_distances(
                a.outputs,
                None if a.name == b.name else b.outputs,
                weights=self._weights,
                admissible=admissible_pairs(a.blocks, b.blocks),
            )
        return self._known[key]

    def energy(self, a: Sample, b: Sample, design: Design, *, group: int, kind: Kind = "norm") -> Floats:
        """E² between two samples on one group, for every leave-out of the design [1+L]."""
        return self._distance(energy, kind, a, b, design, group)

    def shift(self, a: Sample, b: Sample, design: Design, *, group: int) -> Floats:
        """V² between two samples on one group, for every leave-out of the design [1+L]."""
        return self._distance(mean_shift, "squared", a, b, design, group)

    def _distance(
        self, distance: Callable[..., Floats], kind: Kind, a: Sample, b: Sample, design: Design, group: int
    ) -> Floats:
        cross, within_a, within_b = (getattr(self.pairs(*pair), kind)[group] for pair in ((a, b), (a, a), (b, b)))
        return distance(
            cross,
            within_a,
            within_b,
            blocks_p=a.blocks,
            blocks_q=b.blocks,
            weights_p=design.weights[a.name],
            weights_q=design.weights[b.name],
        )

    def by_probe(self, a: Sample, b: Sample) -> Floats:
        """E² between two samples at every probe [n]."""
        parts = [self.pairs(*pair).by_probe for pair in ((a, b), (a, a), (b, b))]
        cross, within_a, within_b = (part for part in parts if part is not None)
        return energy_by_probe(cross, within_a, within_b)


def design_of(*samples: Sample) -> Design:
    """The leave-outs of all samples that enter one statistic; a sample may be named twice."""
    blocks: Mapping[str, NDArray[np.int64]] = {sample.name: sample.blocks for sample in samples}
    design = leave_outs(blocks)
    if isinstance(design, NotMeasured):  # Case.check refuses so few models before any training
        raise ValueError(design.not_measured)
    return design
