"""DP-SGD: a stack equals a loop over examples, none counts for more than the clip, the account is exact."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from unweave._errors import ApplicabilityError, SpecError
from unweave.data import Encoding
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor, normal
from unweave.learners.privacy import epsilon, gaussian_parameter, most_influence
from unweave.study.warnings import _upwards
from unweave.training import private
from unweave.training.engine import many, unstack
from unweave.training.loop import fit
from unweave.training.private import add_noise, private_gradient, shares


@pytest.mark.parametrize("batch", [8, 21])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_stack_is_trained_as_one_by_one(batch, depth, toy_data, toy_learner):
    learner = toy_learner(depth, clip=0.5, noise=1.5, batch_size=batch, weight_decay=1e-3)
    x, y = toy_data(30)
    rows, keys = [np.arange(k, k + 21) for k in range(3)], [4, 5, 6]
    for one, r, k in zip(unstack(many(learner, x, y, rows=rows, keys=keys)), rows, keys, strict=True):
        alone = fit(learner, x, y, rows=r, key=k)
        for name, value in alone.params.items():
            torch.testing.assert_close(one.params[name], value, atol=1e-5, rtol=0)


@given(norms=st.lists(st.floats(0, 100), min_size=1, max_size=6), clip=st.floats(0.01, 10))
def test_no_example_counts_for_more_than_the_clip(norms, clip):
    directions = torch.randn(len(norms), 5, generator=torch.Generator().manual_seed(0))
    directions /= directions.norm(dim=1, keepdim=True)
    scaled = directions * torch.tensor(norms, dtype=torch.float32)[:, None]
    each = {"a": scaled[:, :2].reshape(-1, 1, 2), "b": scaled[:, 2:]}
    kept = scaled * shares(each, clip)[:, None]
    expected = [min(length, clip) for length in norms]
    np.testing.assert_allclose(kept.norm(dim=1).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_one_more_example_moves_the_sum_by_at_most_the_clip(toy_data, toy_learner):
    """What the account rests on; with the mean of a batch in place of a fixed divisor it does not hold."""
    learner = toy_learner(1, clip=0.5, noise=0.0, batch_size=20)
    x, y = toy_data(20)
    params = {name: value[None] for name, value in learner.init(1).params.items()}
    step = private_gradient(learner)
    with_it = step(params, {}, x[None], y[None], key_tensor([1]))
    without = step(params, {}, x[None, :-1], y[None, :-1], key_tensor([1]))
    moved = torch.cat([(with_it[n] - without[n]).reshape(-1) for n in params]).norm().item()
    assert 0 < moved * 20 <= 0.5 + 1e-5


def test_noise_is_that_of_the_recipe_and_of_the_key_alone(toy_learner):
    learner = toy_learner(1, clip=0.5, noise=3.0, batch_size=10)
    zeros = {"a": torch.zeros(400, 50), "b": torch.zeros(300)}
    found = add_noise(zeros, learner, key_tensor([7])[0])
    assert found["a"].std().item() == pytest.approx(3.0 * 0.5 / 10, rel=0.02)
    again = add_noise(dict(reversed(zeros.items())), learner, key_tensor([7])[0])
    assert torch.equal(found["a"], again["a"]) and torch.equal(found["b"], again["b"])
    other = add_noise(zeros, learner, key_tensor([8])[0])
    assert not torch.equal(found["a"], other["a"])


def test_normal_numbers_are_normal():
    z = normal(key_tensor([3])[0], 200_000).numpy()
    for q in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert np.mean(z < norm.ppf(q)) == pytest.approx(q, abs=4 * math.sqrt(q * (1 - q) / len(z)))
    assert np.isfinite(z).all() and np.abs(z).max() < 5.6


@pytest.mark.parametrize(
    ("mu", "delta", "expected"),
    # Balle & Wang (2018), "Improving the Gaussian mechanism", theorem 8, with σ = 1/μ at sensitivity 1.
    [(1.0, 1e-5, 4.3771), (0.5, 1e-5, 1.9931), (2.0, 1e-5, 9.9973)],
)
def test_epsilon_solves_its_equation(mu, delta, expected):
    found = epsilon(mu, delta)
    assert norm.cdf(-found / mu + mu / 2) - math.exp(found) * norm.cdf(-found / mu - mu / 2) == pytest.approx(
        delta, rel=1e-6
    )
    assert found == pytest.approx(expected, rel=0.02)


def test_epsilon_is_0_where_delta_alone_suffices():
    assert epsilon(0.01, 0.1) == 0.0 and most_influence(0.01) < 0.1


def test_there_is_an_account_only_of_full_batches_with_noise():
    recipe = {"lr": 1.0, "epochs": 100, "batch_size": 50, "clip": 1.0, "noise": 5.0}
    spec = specify("mlp", (4,), 2, recipe=recipe)
    assert gaussian_parameter(spec, 50) == 2.0 and gaussian_parameter(spec, 51) is None
    for changed in ({**recipe, "noise": 0.0}, {**recipe, "batch_size": 49}, {"epochs": 100, "batch_size": 50}):
        assert gaussian_parameter(specify("mlp", (4,), 2, recipe=changed), 50) is None
    # A table's columns are standardised by each world's own data, and one value can move a scale without bound.
    assert gaussian_parameter(replace(spec, encoding=Encoding((0,), (-1,), (1,))), 50) is None


def test_epsilon_is_finite_however_little_noise_there_is():
    found = [epsilon(mu, 1e-5) for mu in (1.0, 10.0, 31.0, 100.0, 1000.0)]
    assert all(math.isfinite(one) for one in found) and found == sorted(found)
    # Far out ε is near μ²/2 + μ·Φ⁻¹(1−δ), the tail of the privacy loss N(μ²/2, μ²).
    assert found[-1] == pytest.approx(1000**2 / 2 + 1000 * norm.isf(1e-5), rel=1e-3)


def test_a_large_batch_is_differentiated_in_parts(monkeypatch):
    learner = build(specify("mlp", (4,), 2, recipe={"clip": 0.1, "noise": 1.0, "batch_size": 30, "epochs": 2}))
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    y, rows = torch.arange(30) % 2, np.arange(30)
    whole = many(learner, x, y, rows=[rows] * 2, keys=[1, 2])
    monkeypatch.setattr(private, "_MOST_NUMBERS", 7 * 450)
    parts = many(learner, x, y, rows=[rows] * 2, keys=[1, 2])
    for name, value in whole.params.items():
        torch.testing.assert_close(parts.params[name], value, atol=1e-6, rtol=1e-5)
    assert any(not torch.equal(parts.params[name], value) for name, value in whole.params.items())


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        ({"clip": 0.0}, SpecError, "learner.clip"),
        ({"clip": math.nan}, SpecError, "learner.clip"),
        ({"clip": 1.0, "noise": -1.0}, SpecError, "learner.noise"),
        ({"noise": 1.0}, SpecError, "without `learner.clip`"),
    ],
)
def test_bad_recipes_are_refused(recipe, error, message):
    with pytest.raises(error, match=message):
        specify("mlp", (4,), 2, recipe=recipe)


def test_learners_with_statistics_of_batches_are_refused():
    with pytest.raises(ApplicabilityError, match="every single example"):
        specify("resnet9", (8, 8), 2, recipe={"clip": 1.0})


def test_what_is_trained_without_privacy_keeps_its_identity():
    plain = build(specify("mlp", (4,), 2)).spec.identity()
    assert "clip" not in plain["recipe"] and "noise" not in plain["recipe"]
    private = specify("mlp", (4,), 2, recipe={"clip": 1.0, "noise": 2.0}).identity()
    assert (private["recipe"]["clip"], private["recipe"]["noise"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("bound", "text"),
    [(0.3847, "0.39"), (0.0446, "0.045"), (0.38, "0.38"), (12.01, "13"), (284.2, "290"), (1.0, "1.0")],
)
def test_bounds_are_rounded_so_that_they_stay_bounds(bound, text):
    assert _upwards(bound) == text
