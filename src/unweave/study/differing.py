"""Which probes a row answers by another law than a reference: a permutation test at every probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key, generator
from unweave.stats import Labellings, benjamini_hochberg, labellings, permutation_p_values
from unweave.study.samples import Distances, Floats, Sample

# p ≥ 1/500: enough to find any share of a group above 4% (500·.05 = 25 ≥ 1/.04), at half the time of 999.
PROBE_PERMUTATIONS = 499
DIFFERING_LEVEL = 0.05


def differing(p_values: Floats, groups: Iterable[NDArray[np.integer]]) -> NDArray[np.bool_]:
    """Probes [n] whose law differs, at a false discovery rate of 5% within each group.

    Among a thousand probes of other groups the twenty of S could never be found.

    Args:
        p_values: P-value at each probe [n].
        groups: Probes of each group.

    Example:
        >>> differing(np.array([0.002, 0.04, 0.5]), [np.array([0]), np.array([1, 2])]).tolist()
        [True, False, False]
    """
    differ = np.zeros(len(p_values), dtype=bool)
    for rows in groups:
        differ[rows] = benjamini_hochberg(p_values[rows]) <= DIFFERING_LEVEL
    return differ


class ProbeTests:
    """P-values at every probe that a sample differs from each reference, made while distances are measured.

    All samples whose block ids coincide in the same way share their permutations, and so their luck.
    """

    def __init__(self, distances: Distances, references: Sequence[Sample], key: Key) -> None:
        self._distances = distances
        self._references = references
        self._key = key
        self._drawn: dict[bytes, Labellings] = {}
        # What the pairs within a reference add to E² under each labelling.
        self._own: dict[tuple[str, bytes], NDArray[np.float32]] = {}
        self._found: dict[str, dict[str, Floats]] = {}

    def p_values(self, row: Sample) -> dict[str, Floats]:
        """P-values [n] against each reference, by its name.

        Ask for them before other distances of the row: these are measured here, and need not be again.
        """
        if row.name not in self._found:
            self._found[row.name] = self._test(row)
        return self._found[row.name]

    def _test(self, row: Sample) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        within: dict[bytes, NDArray[np.float32]] = {}
        for reference in self._references:
            pattern = _pattern(row, reference)
            if pattern not in self._drawn:
                rng = generator(self._key, "probes")
                self._drawn[pattern] = labellings(
                    row.blocks, reference.blocks, permutations=PROBE_PERMUTATIONS, rng=rng
                )
            drawn, own = self._drawn[pattern], (reference.name, pattern)
            if pattern not in within:
                within[pattern] = self._distances.sums(row, row, drawn.within_p)
            if own not in self._own:
                self._own[own] = self._distances.sums(reference, reference, drawn.within_q)
            statistic = self._distances.sums(row, reference, drawn.cross)
            statistic += within[pattern]
            statistic += self._own[own]
            across, within_row, within_reference = self._distances.means_by_probe(row, reference)
            scale = (2 * across + within_row + within_reference) / 4
            found[reference.name] = permutation_p_values(statistic, scale)
        return found


def _pattern(row: Sample, reference: Sample) -> bytes:
    """Which block ids of two samples coincide, whatever they are called."""
    pooled = np.concatenate([row.blocks, reference.blocks])
    _, begins, place = np.unique(pooled, return_index=True, return_inverse=True)
    return np.array([len(row.blocks), *begins[place]]).tobytes()
