"""Influence functions against exact removal and matrices written down; planted signs, orders and terms."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from unweave._errors import UserError
from unweave.influence.attribution import Attributions
from unweave.influence.influence_functions import influence_functions
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import Examples, Net
from unweave.methods.per_example import flatten
from unweave.training.engine import unstack

_spec = spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = module_from_spec(_spec)
_spec.loader.exec_module(naive)
close, naive_gradients, naive_tracin = naive.close, naive.naive_gradients, naive.naive_tracin


def regression(decay=0.05, n=200, seed=0):
    """Softmax regression at its optimum, by a solver of scipy, and what it takes to fit it again."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = (rng.normal(size=(3, 4))[y] + rng.normal(size=(n, 4))).astype(np.float32)
    recipe = {"weight_decay": decay}
    learner = build(specify("softmax", (4,), 3, recipe=recipe))
    full = np.concatenate([x, np.ones((n, 1))], 1)

    def solved(rows):
        def loss(theta):
            weight = theta.reshape(3, 5)
            z = full[rows] @ weight.T
            slope = (softmax(z, 1) - np.eye(3)[y[rows]]).T @ full[rows] / len(rows) + decay * weight
            value = -log_softmax(z, 1)[np.arange(len(rows)), y[rows]].mean() + decay * (theta**2).sum() / 2
            return value, slope.ravel()

        return minimize(loss, np.zeros(15), jac=True, method="BFGS", options={"gtol": 1e-9}).x.reshape(3, 5)

    return learner, x, y, solved


def losses(weight, x, y):
    z = x @ weight[:, :4].T + weight[:, 4]
    return -log_softmax(z, 1)[np.arange(len(y)), y]


@pytest.fixture(scope="module")
def removal():
    """A regression, and the exact rise of each loss without each of the first examples."""
    learner, x, y, solved = regression()
    best = solved(np.arange(200))
    probes = slice(40, 52)
    rise = [losses(solved(np.delete(np.arange(200), i)), x, y) - losses(best, x, y) for i in range(20)]
    params = {"0.weight": torch.tensor(best[None, :, :4]), "0.bias": torch.tensor(best[None, :, 4])}
    train = Examples(torch.tensor(x), torch.tensor(y))
    asked = Examples(torch.tensor(x[probes]), torch.tensor(y[probes]))
    own = np.array([one[i] for i, one in enumerate(rise)])
    return learner, State(params, {}), train, asked, np.stack(rise)[:, probes], own


def check_removal(of, removal) -> None:
    learner, state, train, probes, rise, own = removal
    found = of(learner, state, train, probes)
    assert found.score.shape == (200, 12)
    scale = (found.score[:20] * rise).sum() / (rise**2).sum()
    assert 0.9 < scale < 1.0, "the rise without an example, to first order"
    assert np.corrcoef(found.score[:20].ravel(), rise.ravel())[0, 1] > 0.99
    assert np.corrcoef(found.own[:20], own)[0, 1] > 0.99
    np.testing.assert_allclose(found.score.sum(0), 0, atol=1e-6)  # at an optimum nothing pulls


def influences(learner, state, train, probes, **given):
    return influence_functions(learner, state, train, probes, damping=0.0, **given)


def test_influence_functions_are_exact_removal_to_first_order(removal):
    check_removal(influences, removal)


def test_they_are_by_conjugate_gradients_too(removal, monkeypatch):
    exact = influences(*removal[:4]).score
    monkeypatch.setattr("unweave.influence.influence_functions._SMALL", 0)
    monkeypatch.setattr("unweave.influence.influence_functions.MOST_EXACT", 0)
    monkeypatch.setattr("unweave.influence.influence_functions._AT_ONCE", 200 * 8 * 5)  # five of twelve at once
    np.testing.assert_allclose(
        influences(*removal[:4], iterations=40, own=False).score, exact, rtol=1e-6, atol=1e-9
    )
    few = influences(*removal[:4], iterations=2, own=False).score
    assert np.abs(few - exact).max() > 0.01 * np.abs(exact).max()


def wrong_sign(*given):
    found = influences(*given)
    return Attributions(-found.score, -found.own)


def transposed(learner, state, train, probes):
    found = influences(learner, state, train, probes)
    return found._replace(score=found.score.T.reshape(found.score.shape))


def without_weight_decay(learner, state, train, probes):
    """∇ℓ(z) alone, as if an example left its share of weight decay behind."""
    decay = learner.recipe.weight_decay
    plain = replace(learner, spec=replace(learner.spec, recipe=replace(learner.recipe, weight_decay=0.0)))
    return influence_functions(plain, state, train, probes, damping=decay)


@pytest.mark.parametrize("wrong", [wrong_sign, transposed, without_weight_decay])
def test_wrong_influences_are_caught(wrong, removal):
    with pytest.raises(AssertionError):
        check_removal(wrong, removal)


def naive_influence(models, damping, decay=0.0):
    score, own, n, count = 0.0, 0.0, len(models.train.y), len(unstack(models.stacked))
    for state in unstack(models.stacked):
        g, v = (naive_gradients(models.learner, state, part) for part in (models.train, models.probes))
        matrix = np.zeros((g.shape[1],) * 2)
        for i in range(n):
            x = models.train.x[i : i + 1]
            net = Net(models.learner, State(state.params, state.buffers), train=False)
            p = net(x).double().softmax(1)[0].detach().numpy()
            per_class = [
                naive_gradients(models.learner, state, Examples(x, torch.tensor([c]))) for c in range(len(p))
            ]
            # Σ_c p_c·∇ℓ(c)·∇ℓ(c)ᵀ is the Fisher information of the prediction, hence the Gauss-Newton matrix.
            matrix += sum(p[c] * one.T @ one for c, one in enumerate(per_class)) / n
        inverse = np.linalg.inv(matrix + (damping + decay) * np.eye(len(matrix)))
        pull = decay * flatten(state.params).double().numpy()
        score = score + (g + pull) @ inverse @ v.T / n / count
        own = own + np.einsum("id,de,ie->i", g + pull, inverse, g) / n / count
    return score, own


def test_influence_functions_of_nets_with_matrices(nets, monkeypatch):
    spec = nets.learner.spec
    learner = replace(nets.learner, spec=replace(spec, recipe=replace(spec.recipe, weight_decay=0.02)))
    few = nets.only(1)._replace(train=Examples(nets.train.x[:12], nets.train.y[:12]))
    given = learner, few.stacked, few.train, few.probes
    naive = naive_influence(few, 0.1, 0.02)
    close(influence_functions(*given, damping=0.1), *naive, rtol=1e-5)
    monkeypatch.setattr("unweave.influence.influence_functions._SMALL", 0)
    monkeypatch.setattr("unweave.influence.influence_functions.MOST_EXACT", 0)
    close(influence_functions(*given, damping=0.1, iterations=50), *naive, rtol=1e-5)
    assert np.isnan(influence_functions(*given, damping=0.1, iterations=2, own=False).own).all()


def test_influence_functions_of_images(images):
    few = images.only(0)._replace(probes=Examples(images.probes.x[:2], images.probes.y[:2]))
    given = few.learner, few.stacked, few.train, few.probes
    found, more = (influence_functions(*given, damping=0.5, iterations=i, own=False).score for i in (12, 24))
    assert found.shape == (6, 2)
    np.testing.assert_allclose(found, more, rtol=1e-3, atol=1e-4 * np.abs(more).max())
    # With much damping it is TracIn, divided by the damping and n, but for the weight decay.
    far = influence_functions(*given, damping=1e5, iterations=3, own=False).score * 1e5 * 6
    (state,) = unstack(few.stacked)
    gradient_of_decay = few.learner.recipe.weight_decay * flatten(state.params).double().numpy()
    pull = gradient_of_decay @ naive_gradients(few.learner, state, few.probes).T
    np.testing.assert_allclose(far, naive_tracin(few, [1.0])[0] + pull, rtol=1e-3, atol=1e-5)


def test_influence_functions_refuse_a_singular_matrix(relu):
    with pytest.raises(UserError, match="at least one of the first two above 0"):
        influence_functions(relu.learner, relu.stacked, relu.train, relu.probes, damping=0.0)
    lost = State({name: torch.full_like(value, torch.nan) for name, value in relu.stacked.params.items()}, {})
    with pytest.raises(UserError, match="the model is not finite"):
        influence_functions(relu.learner, lost, relu.train, relu.probes)
