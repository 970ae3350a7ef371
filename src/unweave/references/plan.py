"""Which models a question needs: worlds × seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key, derive

Ints = NDArray[np.int64]
WorldName = Literal["original", "untrained", "unlearned", "null_untrained", "null_unlearned"]

WORLDS: tuple[WorldName, ...] = ("original", "untrained", "unlearned", "null_untrained", "null_unlearned")


@dataclass(frozen=True)
class WorldPlan:
    """One training set and the keys of its models.

    Attributes:
        name: Which world.
        training_set: The set in words.
        rows: Rows of D to train on, sorted.
        keys: One key per model.
    """

    name: WorldName
    training_set: str
    rows: Ints
    keys: tuple[Key, ...]


def plan(
    n: int, forget: Ints, members: Ints | None, *, models: int, null: int, paired: bool, seed: int
) -> dict[WorldName, WorldPlan]:
    """The worlds of a comparison: A(D), A(D∖S), A(D∖B), and a fresh batch of both references.

    Keys are independent between worlds, or shared by number where `paired`; fresh retrains always
    have keys of their own stream.

    Args:
        n: Number of training examples |D|.
        forget: Rows of S.
        members: Rows of B; None where the behaviour is not declared: then there is no world D∖B.
        models: Models per world (K).
        null: Fresh retrains per aim.
        paired: Whether model k of the three worlds shares its key.
        seed: The run's seed.

    Example:
        >>> worlds = plan(10, np.array([1]), np.array([1, 2]), models=3, null=3, paired=False, seed=0)
        >>> worlds["unlearned"].rows.tolist(), len(set(worlds["original"].keys))
        ([0, 3, 4, 5, 6, 7, 8, 9], 3)
    """
    everything = np.arange(n)
    sets = {"original": ("D", everything), "untrained": ("D∖S", np.setdiff1d(everything, forget))}
    if members is not None:
        sets["unlearned"] = ("D∖B", np.setdiff1d(everything, members))
    worlds: dict[WorldName, WorldPlan] = {}
    for name in WORLDS:
        if name.removeprefix("null_") not in sets:
            continue
        fresh = name.startswith("null_")
        training_set, rows = sets[name.removeprefix("null_")]
        path = ("null", name) if fresh else ("report", "paired" if paired else name)
        keys = tuple(derive(seed, *path, k) for k in range(null if fresh else models))
        worlds[name] = WorldPlan(name, training_set, rows, keys)
    return worlds
