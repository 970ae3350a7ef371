"""A small store of models with data and training sets, as runs leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from unweave.data import fingerprint
from unweave.learners import specify
from unweave.references import Origin, Setting, Store, WorldName, WorldPlan, plan
from unweave.references.ensure import ensure_outputs

N, CLASSES = 24, 3
FORGET, MEMBERS = np.array([2]), np.array([2, 3, 5])


def _setting(*, texts: bool = False, name: str = "people.csv", seed: int = 0) -> Setting:
    rng = np.random.default_rng(seed)
    x, y = rng.random((N, 4), dtype=np.float32), rng.integers(0, CLASSES, N)
    ids = np.array([f"p{i:02}" for i in range(N)]) if texts else np.arange(100, 100 + N)
    test_ids = np.array(["t1", "t2"]) if texts else np.array([900, 901])
    learner = specify("softmax", (4,), CLASSES, recipe={"epochs": 1, "batch_size": 8})
    own = fingerprint(x, y, ids)
    return Setting(
        learner, x, y, ids, own, rng.random((7, 4), dtype=np.float32), origin=Origin(name, own, test_ids)
    )


def _worlds(models: int = 3) -> dict[WorldName, WorldPlan]:
    return plan(N, FORGET, MEMBERS, models=models, null=models, paired=False, seed=0)


def _fill(store: Store, setting: Setting, names: tuple[WorldName, ...] = ("original", "untrained", "unlearned")):
    worlds = _worlds()
    for name in names:
        ensure_outputs(store, setting, worlds[name])


class Small(NamedTuple):
    """How such a store is made: its setting, its worlds, and filling one."""

    setting: Callable[..., Setting] = _setting
    worlds: Callable[..., dict[WorldName, WorldPlan]] = _worlds
    fill: Callable[..., None] = _fill


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """Three worlds of three models each, their outputs, three training sets and the data they are of."""
    store = Store(tmp_path / "store")
    store.check_writable()
    _fill(store, _setting())
    return store
