"""Whether margins φ over S tell models that were trained on S from models that were not."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unweave.influence import Margins
from unweave.stats import labellings, permutation_p_values

_PERMUTATIONS = 999
_AT_ONCE = 1 << 21  # distances of pairs of models, over some examples
# Quantiles of the normal law for a test at 2.5%, which each of the two is, with power 80%. The energy of few
# models has somewhat less: measured .70 with 19 models of each, .78 with 32.
_QUANTILES = 2.2414 + 0.8416

Floats = NDArray[np.float64]


def told_by_margins(
    original: Floats, untrained: Floats, *, paired: bool = False, rng: np.random.Generator
) -> Margins:
    """Test whether φ of the labels of S follows one law in models with S and in models without.

    Two permutation tests of whole models, after Bonferroni: of E² on average over S, and of the largest E² of an
    example, each in units of its own mean distance. The first sees what all of S shares; the second one example
    that is known by heart among many that are not, which an average hides. Accuracy sees neither, where margins
    move and predictions do not.

    Args:
        original: φ over S of models of D [K, s], finite.
        untrained: The same of models of D∖S [L, s].
        paired: Whether model k of both had one seed (K = L).
        rng: Source of the permutations.

    Returns:
        The p-value, and the power: see `Margins`. The shift is that of a normal law in which all of S moves as
        one, (z(.9875) + z(.8))·√(1/K + 1/L); where examples vary by themselves, smaller ones are told.

    Source: Székely & Rizzo 2013, Energy statistics; Westfall & Young 1993 for the largest of many.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> with_s, without = rng.normal(3, 1, (32, 5)), rng.normal(0, 1, (32, 5))
        >>> told_by_margins(with_s, without, rng=rng).p
        0.002
    """
    models, others = len(original), len(untrained)
    first = np.arange(models)
    second = first if paired else np.arange(models, models + others)
    drawn = labellings(first, second, permutations=_PERMUTATIONS, rng=rng)
    tables = [one.reshape(len(one), -1) for one in drawn]
    total, widths = np.zeros(len(tables[0])), 0.0
    largest = np.full(len(total), -np.inf)
    size = max(1, _AT_ONCE // (models + others) ** 2)
    for begin in range(0, original.shape[1], size):
        p, q = (one[:, begin : begin + size] for one in (original, untrained))
        pairs = [np.abs(a[:, None] - b[None]).reshape(-1, p.shape[1]) for a, b in ((p, p), (p, q), (q, q))]
        energy = np.sum([of @ pair for of, pair in zip(tables, pairs, strict=True)], axis=0)
        # The mean distance of all pairs is the same however models are labelled.
        width = (pairs[0].sum(0) + 2 * pairs[1].sum(0) + pairs[2].sum(0)) / (models + others) ** 2
        total, widths = total + energy.sum(1), widths + float(width.sum())
        if (varying := width > 0).any():
            largest = np.maximum(largest, (energy[:, varying] / width[varying]).max(1))
    tests = np.column_stack([total, np.where(np.isfinite(largest), largest, 0.0)])
    found = permutation_p_values(tests, np.array([widths, 1.0]))
    shift = _QUANTILES * math.sqrt(1 / models + 1 / others)
    return Margins(min(1.0, 2 * float(found.min())), shift)
