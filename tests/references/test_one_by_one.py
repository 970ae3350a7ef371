"""Models that are trained one by one are written one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unweave._errors import DivergedError
from unweave.data import fingerprint
from unweave.learners import specify
from unweave.references import Setting, Store, ensure, key_of, model_fields, plan
from unweave.training.engine import many

N = 24
WORLD = plan(N, np.array([2]), np.array([2, 3, 5]), models=4, null=3, paired=False, seed=0)["untrained"]


@pytest.fixture(params=["cnn", "resnet9"])
def setting(request) -> Setting:
    rng = np.random.default_rng(0)
    x, y, ids = rng.random((N, 8, 8), dtype=np.float32), rng.integers(0, 3, N), np.arange(N)
    config = {"channels": 2} if request.param == "cnn" else {"width": 2}
    learner = specify(request.param, (8, 8), 3, recipe={"epochs": 1, "batch_size": 8}, config=config)
    return Setting(learner, x, y, ids, fingerprint(x, y, ids), rng.random((7, 8, 8), dtype=np.float32))


def stopping(after: int, keys: list[int]):
    def train(*args, **kwargs):
        keys.extend(kwargs["keys"])
        if len(keys) > after:
            raise KeyboardInterrupt
        return many(*args, **kwargs)

    return train


def test_a_run_that_was_stopped_loses_one_model(tmp_path: Path, setting: Setting, monkeypatch: pytest.MonkeyPatch):
    whole, stopped = Store(tmp_path / "whole"), Store(tmp_path / "stopped")
    expected, count = ensure.ensure_outputs(whole, setting, WORLD)
    assert count == 4
    keys: list[int] = []
    monkeypatch.setattr(ensure, "many", stopping(2, keys))
    with pytest.raises(KeyboardInterrupt):
        ensure.ensure_models(stopped, setting, WORLD)
    assert keys == list(WORLD.keys[:3])
    assert [stopped.has(key_of(one)) for one in model_fields(setting, WORLD)] == [True, True, False, False]
    monkeypatch.setattr(ensure, "many", many)
    found, count = ensure.ensure_outputs(stopped, setting, WORLD)
    assert count == 2
    np.testing.assert_array_equal(found.logits, expected.logits)


def test_what_was_trained_is_what_is_read(tmp_path: Path, setting: Setting):
    """Statistics and counts of batches as well, of the types they had."""
    store = Store(tmp_path)
    ensure.ensure_models(store, setting, WORLD)
    again = ensure.load_models(store, setting, WORLD)
    counts = [value for name, value in again.buffers.items() if name.endswith("num_batches_tracked")]
    assert len(counts) == (8 if setting.learner.name == "resnet9" else 0)
    assert all(value.tolist() == [3] * 4 for value in counts)


def test_a_model_that_diverges_is_not_written(tmp_path: Path, setting: Setting, monkeypatch: pytest.MonkeyPatch):
    broken = setting._replace(x=np.full_like(setting.x, np.nan))
    store = Store(tmp_path)
    with pytest.raises(DivergedError, match="1 of 1 models are not finite"):
        ensure.ensure_models(store, broken, WORLD)
    # The ids of the data and of the training set are there, since they come first.
    assert {json.loads(store.paths(key)[1].read_bytes())["fields"]["kind"] for key in store.keys()} == {
        "data",
        "training set",
    }
