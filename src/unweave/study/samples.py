"""Samples of models as arrays of outputs, and the distances between them, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
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

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted class of every model on every probe [K, n]."""
        return self.outputs.argmax(axis=-1)


def probabilities(logits: NDArray[np.float32]) -> Floats:
    """Softmax over the last axis in float64, laid out class by class: that is how distances read it.

    Example:
        >>> probabilities(np.zeros((1, 1, 2), np.float32)).tolist()
        [[[0.5, 0.5]]]
    """
    z = np.moveaxis(logits, -1, 0).astype(np.float64, order="C")
    z -= z.max(axis=0)
    np.exp(z, out=z)
    z /= z.sum(axis=0)
    return np.moveaxis(z, 0, -1)


class Distances:
    """Distances between samples per group of probes; a pair of samples is measured once and kept."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights
        self._known: dict[tuple[str, str], PairDistances] = {}
        self._values: dict[tuple[str, ...], Floats] = {}

    def pairs(self, a: Sample, b: Sample) -> PairDistances:
        """Model × model distances of two samples, per group, and per probe over independent pairs."""
        key = (a.name, b.name)
        if key not in self._known:
            self._known[key] = self._measure(a, b, None)
        return self._known[key]

    def sums(self, a: Sample, b: Sample, coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
        """Measure two samples, and take linear sums of the distances at each probe [F, n] on the way.

        Only the distances are kept: the sums of all samples would fill the memory.
        """
        found = self._measure(a, b, coefficients)
        assert found.linear is not None  # it was asked for
        self._known[a.name, b.name] = found._replace(linear=None)
        return found.linear

    def _measure(self, a: Sample, b: Sample, coefficients: NDArray[np.float32] | None) -> PairDistances:
        return pair_distances(
            a.outputs,
            None if a.name == b.name else b.outputs,
            weights=self._weights,
            admissible=admissible_pairs(a.blocks, b.blocks),
            coefficients=coefficients,
        )

    def energy(self, a: Sample, b: Sample, design: Design, *, group: int, kind: Kind = "norm") -> Floats:
        """E² between two samples on one group, for every leave-out of the design [1+L]."""
        return self._distance(energy, kind, a, b, design)[group]

    def shift(self, a: Sample, b: Sample, design: Design, *, group: int) -> Floats:
        """V² between two samples on one group, for every leave-out of the design [1+L]."""
        return self._distance(mean_shift, "squared", a, b, design)[group]

    def _distance(
        self, distance: Callable[..., Floats], kind: Kind, a: Sample, b: Sample, design: Design
    ) -> Floats:
        # All groups at once, and once: a design is that of the samples which it names.
        key = (distance.__name__, kind, a.name, b.name, *design.weights)
        if key not in self._values:
            cross, within_a, within_b = (getattr(self.pairs(*pair), kind) for pair in ((a, b), (a, a), (b, b)))
            self._values[key] = distance(
                cross,
                within_a,
                within_b,
                blocks_p=a.blocks,
                blocks_q=b.blocks,
                weights_p=design.weights[a.name],
                weights_q=design.weights[b.name],
            )
        return self._values[key]

    def by_probe(self, a: Sample, b: Sample) -> Floats:
        """E² between two samples at every probe [n]."""
        return energy_by_probe(*self.means_by_probe(a, b))

    def means_by_probe(self, a: Sample, b: Sample) -> tuple[Floats, Floats, Floats]:
        """Mean distance at every probe of the pairs across, within `a` and within `b`, each [n]."""
        across, within_a, within_b = (self.pairs(*pair).by_probe for pair in ((a, b), (a, a), (b, b)))
        assert across is not None and within_a is not None and within_b is not None  # always asked for
        return across, within_a, within_b


def design_of(*samples: Sample) -> Design:
    """The leave-outs of all samples that enter one statistic; a sample may be named twice."""
    blocks: Mapping[str, NDArray[np.int64]] = {sample.name: sample.blocks for sample in samples}
    design = _leave_outs(tuple(tuple(ids.tolist()) for ids in blocks.values()))
    if isinstance(design, NotMeasured):  # Case.check refuses so few models before any training
        raise ValueError(design.not_measured)
    return replace(design, weights=dict(zip(blocks, design.weights.values(), strict=True)))


# A case asks for a few dozen designs, a thousand times: all methods have the blocks of the originals.
@lru_cache(maxsize=32)
def _leave_outs(blocks: tuple[tuple[int, ...], ...]) -> Design | NotMeasured:
    return leave_outs({str(place): np.array(ids, dtype=np.int64) for place, ids in enumerate(blocks)})
