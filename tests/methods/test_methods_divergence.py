"""Ascent runs away linearly in steps, negative preference optimisation logarithmically.

Zhang et al. (2024), arXiv 2404.05868, theorem 2. Sixteen-dimensional points under 128 fixed random relu features
and a linear classifier on them: 200 examples to forget, 1 000 to retain, 2 000 steps on the whole of S.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.learners import specify
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, run
from unweave.training.engine import many

pytestmark = pytest.mark.slow
STEPS = (500, 1000, 2000)
TRAINING = 500
KEYS = [1, 2]


@pytest.fixture(scope="module")
def problem():
    """Two originals."""
    rng = torch.Generator().manual_seed(0)
    x, teacher = torch.randn(1200, 16, generator=rng), torch.randn(16, 2, generator=rng)
    features = torch.relu(x @ (torch.randn(16, 128, generator=rng) / 4))
    y = (x @ teacher).argmax(1)
    recipe = {"epochs": TRAINING, "batch_size": 1200, "lr": 0.05, "momentum": 0.0, "schedule": "constant"}
    learner = build(specify("softmax", (128,), 2, recipe=recipe))
    originals = many(learner, features, y, rows=[np.arange(1200)] * 2, keys=KEYS)
    return learner, originals, Examples(features[:200], y[:200]), Examples(features[200:], y[200:])


def distances(problem, name: str, steps_taken=STEPS, **given: float) -> torch.Tensor:
    """‖θ_t − θ_o‖ after each number of steps [steps, models]."""
    learner, originals, forget, retain = problem
    # Nothing here weighs D∖S: a few of it are enough, and sooner passed through.
    retain = Examples(retain.x[:8], retain.y[:8])
    found = []
    for steps in steps_taken:
        method = METHODS.get(name).build(epochs=steps / TRAINING, lr=1.0, **given)
        edited = run(method, learner, originals, forget=forget, retain=retain, keys=KEYS)
        assert edited.steps == steps
        moved = [(v - originals.params[n]).flatten(1).square().sum(1) for n, v in edited.state.params.items()]
        found.append(sum(moved).sqrt())
    return torch.stack(found)


def check_linear(found: torch.Tensor) -> None:
    """Twice the steps go twice as far."""
    ratios = found[1:] / found[:-1]
    assert ((ratios > 1.9) & (ratios < 2.25)).all(), ratios


def check_logarithmic(found: torch.Tensor) -> None:
    """Twice the steps add the same distance, and little of it."""
    added = found[1:] - found[:-1]
    assert (added > 0).all()
    assert (added.amax(0) < 1.25 * added.amin(0)).all(), added
    assert (found[-1] < 1.25 * found[-2]).all(), found


def test_ascent_diverges_linearly(problem):
    check_linear(distances(problem, "gradient_ascent"))


def test_npo_diverges_logarithmically(problem):
    check_logarithmic(distances(problem, "npo", beta=0.1, retain_weight=0.0))


def test_npo_without_its_weight_diverges_linearly(problem):
    """β → 0 takes the defining term away: what is left is ascent, and the check above would not pass."""
    found = distances(problem, "npo", (250, 500, 1000), beta=1e-6, retain_weight=0.0)
    check_linear(found)
    with pytest.raises(AssertionError):
        check_logarithmic(found)
