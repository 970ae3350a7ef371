"""Golden values: whoever changes what training gives must raise TRAINING_VERSION, and then these."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from unweave._random import derive, generator
from unweave.learners.noise import fold_in, key_tensor, uniform
from unweave.training import TRAINING_VERSION
from unweave.training.batches import epoch_orders
from unweave.training.engine import many, unstack
from unweave.training.loop import fit

RECORDED_AT = 5
ORDERS = "cc6a476d4c20273bc14bba928e6d30a57415e4773d9c1a3afff7fa0637d6301b"
INIT = "dd5fa4855d3bd2e08916f36709108f0826e3957cf62f53f503b63251b724b847"
TRAINED = {
    0: [-0.01875, 0.00278, 0.16278, -0.01871, -0.42738, 0.28727, -0.20051, 0.38944, -0.26724],
    1: [0.14299, 0.27667, -0.14028, -0.16433, 0.03106, 0.08419, -0.18256, 0.36509, 0.11075],
    2: [-0.02618, -0.33444, 0.33046, -0.1633, 0.14508, 0.0311, -0.35854, 0.34323, -0.10433],
}
REMEDY = (
    "Training gives something else than it did: models stored under the old version would be mixed with new ones. "
    "If that is meant, raise TRAINING_VERSION in unweave/training/__init__.py and record these values anew."
)


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def data():
    key = key_tensor([derive(0, "golden")])[0]
    x = 2 * uniform(fold_in(key, 0), 24, 6) - 1
    return x, (3 * uniform(fold_in(key, 1), 24)).to(torch.int64)


def test_these_values_are_of_the_present_version():
    assert TRAINING_VERSION == RECORDED_AT, "TRAINING_VERSION was raised: record the golden values anew."


def test_keys_and_orders():
    assert derive(7, "report", 3) == 5441921728282753337, REMEDY
    assert generator(7, "order", 0).permutation(8).tolist() == [2, 6, 5, 0, 7, 3, 1, 4], REMEDY
    rows = np.array([0, 2, 3, 5, 8, 13, 21])
    tables = np.stack([epoch_orders(24, rows, 5, derive(7, "report", k)) for k in range(4)])
    assert sha256(tables.astype("<i8")) == ORDERS, REMEDY


def test_initial_weights(toy_learner):
    digest = hashlib.sha256()
    for depth in (0, 1, 2):
        for name, value in sorted(toy_learner(depth).init(derive(7, "report", depth)).params.items()):
            digest.update(f"{depth}{name}{tuple(value.shape)}".encode() + value.numpy().astype("<f4").tobytes())
    assert digest.hexdigest() == INIT, REMEDY


@pytest.mark.parametrize("engine", ["fit", "many"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_trained_weights(engine, depth, toy_learner):
    """To four decimals, since the last bits may differ between processors."""
    learner = toy_learner(depth, lr=0.3, epochs=5, weight_decay=5e-4, schedule="linear")
    (x, y), rows, key = data(), np.arange(2, 22), derive(7, "report", depth)
    if engine == "fit":
        state = fit(learner, x, y, rows=rows, key=key)
    else:
        state = unstack(many(learner, x, y, rows=[rows, rows], keys=[key, key + 1]))[0]
    found = torch.cat([state.params[f"{depth}.weight"].flatten()[:6], state.params[f"{depth}.bias"]])
    assert found.tolist() == pytest.approx(TRAINED[depth], abs=1e-4), REMEDY


PRIVATE = [0.19866, -0.04823, -0.32472, 0.03504, 0.07744, -0.07478, -0.86533, 0.59292, 0.28614]


@pytest.mark.parametrize("engine", ["fit", "many"])
def test_privately_trained_weights(engine, toy_learner):
    learner = toy_learner(1, lr=0.3, epochs=5, clip=0.5, noise=2.0)
    (x, y), rows, key = data(), np.arange(2, 22), derive(7, "report", 1)
    if engine == "fit":
        state = fit(learner, x, y, rows=rows, key=key)
    else:
        state = unstack(many(learner, x, y, rows=[rows, rows], keys=[key, key + 1]))[0]
    found = torch.cat([state.params["1.weight"].flatten()[:6], state.params["1.bias"]])
    assert found.tolist() == pytest.approx(PRIVATE, abs=1e-4), REMEDY


@pytest.mark.parametrize("change", ["learner", "rows"])
def test_the_golden_values_notice_a_change(change, toy_learner):
    rate = 0.31 if change == "learner" else 0.3
    learner = toy_learner(1, lr=rate, epochs=5, weight_decay=5e-4, schedule="linear")
    rows = np.arange(2, 22) if change == "learner" else np.arange(1, 21)
    state = fit(learner, *data(), rows=rows, key=derive(7, "report", 1))
    found = torch.cat([state.params["1.weight"].flatten()[:6], state.params["1.bias"]])
    assert found.tolist() != pytest.approx(TRAINED[1], abs=1e-4)
