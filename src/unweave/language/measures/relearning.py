"""Retraining on T (RTT): what comes back of some facts when a model is trained on others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH
from unweave.language.measures.contract import Floats, measure

Folds = NDArray[np.int64]
Relearn = Callable[[NDArray[np.int64]], NDArray[np.floating]]


def folds_of(groups: NDArray[np.integer], *, parts: int, seed: int) -> Folds:
    """Deal facts at random into folds of nearly equal numbers of groups; a group stays together: [n] in 0…parts−1.

    Args:
        groups: What each fact is bound to [n]: facts of one group tell something of each other, as wordings
            of one fact, or the city and the country of one person do, and never stand on both sides.
        parts: Number of folds, ≥ 2.
        seed: Same seed, same folds.

    Raises:
        UserError: there are fewer groups than folds, or fewer than two folds.

    Example:
        >>> folds = folds_of(np.array([5, 5, 8, 8]), parts=2, seed=0)
        >>> bool(folds[0] == folds[1] != folds[2] == folds[3])
        True
    """
    names, which = np.unique(groups, return_inverse=True)
    if not 2 <= parts <= len(names):
        raise UserError(f"Expected 2 to {len(names)} folds of {len(names)} groups of facts, got {parts}.")
    dealt = np.empty(len(names), dtype=np.int64)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % parts
    return dealt[which]


@measure(
    name="rtt",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="that of what is read",
    bounds=(-np.inf, np.inf),
    cite="deeb2025unlearning",
)
def rtt(relearn: Relearn, folds: Folds) -> Floats:
    """What models know of facts after they were trained on other facts of the same kind, a mean over all folds.

        RTT_k = mean over folds f, then over facts i in V_f, of s_k(i; trained on T_f),   T_f all facts
        outside V_f

    Facts of V cannot be guessed from those of T, so what comes back was in the weights. The references,
    trained on T by the same function, are the goal: they show what T teaches of the form of V without any
    of its facts.

    Args:
        relearn: Trains copies of K models on the facts of which it is given the numbers [t], and returns
            what they then know of every fact [K, n], such as whether it is answered, or a log-probability;
            higher = better known. It is called once per fold, and has to leave the models as they were.
        folds: Fold of each fact [n], from `folds_of`; each is V once.

    Returns:
        [K] in the unit of what `relearn` returns; higher = more comes back. NaN where it is.

    Raises:
        UserError: a fold holds all facts, or `relearn` returns other shapes.

    Source: Deeb and Roger (2025), arXiv 2410.08827, section 3. Deviations: every fold is V once; they test
    one choice of V, take the best of many learning rates, which is the caller's, and divide by the accuracy
    before unlearning.

    Example:
        >>> rtt(lambda taught: np.full((1, 4), len(taught) / 4.0), np.array([0, 0, 1, 1]))
        array([0.5])
    """
    names = np.unique(folds)
    if folds.ndim != 1 or len(names) < 2:
        raise UserError(
            f"Expected a fold of each fact, two folds or more, got {len(names)} in shape {folds.shape}."
        )
    found: list[Floats] = []
    for name in names:
        held = folds == name
        known = relearn(np.flatnonzero(~held).astype(np.int64))
        if known.ndim != 2 or known.shape[1] != len(folds) or (found and len(known) != len(found[0])):
            raise UserError(f"Expected `relearn` to return [models, {len(folds)}] each time, got {known.shape}.")
        found.append(known[:, held].astype(np.float64).mean(1))
    return np.mean(found, axis=0)
