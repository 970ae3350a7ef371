"""A handful of models, each trained on a random half of D, in pairs whose halves are each other's rest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import DivergedError
from unweave._random import derive
from unweave.references.keys import Setting, about, read_verified, versions_of
from unweave.references.membership import register
from unweave.references.objects import Entry, Fields, Objects, key_of
from unweave.references.plan import WorldPlan
from unweave.references.subsampled import Asked, subsets, trained_logits


class Halves(NamedTuple):
    """What half-split models make of D.

    Attributes:
        inside: Whether example i is in the half that model k was trained on [2·pairs, n].
        logits: Of each model on all of D [2·pairs, n, classes].
    """

    inside: NDArray[np.bool_]
    logits: NDArray[np.float32]


def half_fields(setting: Setting, seed: int, pair: int) -> Fields:
    """What identifies the logits of a pair of models."""
    return {
        "kind": "half-split logits",
        "learner": setting.learner.identity(),
        "data": setting.fingerprint,
        "seed": seed,
        "pair": pair,
        **versions_of(setting),
    }


def halves_of(n: int, seed: int, pair: int) -> NDArray[np.bool_]:
    """Which examples each of a pair is trained on: a random half, and the others [2, n].

    Example:
        >>> halves_of(5, 0, 0).sum(0).tolist()
        [1, 1, 1, 1, 1]
    """
    one = subsets(n, range(pair, pair + 1), share=0.5, key=derive(seed, "halves"))[0]
    return np.stack([one, ~one])


def ensure_pair(store: Objects, setting: Setting, seed: int, pair: int) -> int:
    """Train a pair of models, unless their logits are stored; returns how many were trained.

    Raises:
        DivergedError: if a logit is not finite.
    """
    fields = half_fields(setting, seed, pair)
    if read_verified(store, key_of(fields)) is not None:
        return 0
    everything = WorldPlan("original", "D", np.arange(len(setting.y)), ())
    register(store, setting, everything)
    rows = [np.flatnonzero(one) for one in halves_of(len(setting.y), seed, pair)]
    keys = [derive(seed, "half model", pair, side) for side in (0, 1)]
    found = trained_logits(setting, rows, keys, Asked(setting.x[:0], setting.y[:0]))
    if not np.isfinite(found).all():
        raise DivergedError("Training on half of D diverged: outputs are not finite. Lower `learner.lr`.")
    store.write([Entry(fields, {"logits": found}, about(setting, everything))])
    return 2


def read_halves(store: Objects, setting: Setting, seed: int, pairs: int) -> Halves:
    """Logits of all pairs on all of D; what is missing or damaged is made anew."""
    found: list[NDArray[np.float32]] = []
    for pair in range(pairs):
        ensure_pair(store, setting, seed, pair)
        stored = read_verified(store, key_of(half_fields(setting, seed, pair)))
        assert stored is not None  # it was written a moment ago
        found.append(stored[0]["logits"])
    inside = [halves_of(len(setting.y), seed, pair) for pair in range(pairs)]
    return Halves(np.concatenate(inside), np.concatenate(found))
