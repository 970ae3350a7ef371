"""Attribution by gradients against plain formulas, exact removal and a step of training; planted wrong signs."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from unweave._errors import UserError
from unweave.influence import gradients
from unweave.influence.attribution import Checkpoints, checkpoints, datainf, tracin
from unweave.influence.influence_functions import influence_functions
from unweave.influence.trak import random_signs, trak
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import Examples, Net
from unweave.training.engine import many, stack, unstack

_spec = spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = module_from_spec(_spec)
_spec.loader.exec_module(naive)
close, naive_gradients, naive_tracin = naive.close, naive.naive_gradients, naive.naive_tracin


# ---- TracIn ----


def test_tracin_is_the_sum_of_products_of_gradients(nets):
    found = tracin(nets.learner, Checkpoints([nets.stacked] * 2, [0.1, 0.3]), nets.train, nets.probes)
    close(found, *naive_tracin(nets, [0.1, 0.3]))


def test_tracin_in_parts_is_the_same(nets, monkeypatch):
    given = nets.learner, Checkpoints([nets.stacked], [0.1]), nets.train, nets.probes
    whole = tracin(*given)
    monkeypatch.setattr("unweave.influence.attribution._COLUMNS", 500)
    close(tracin(*given), *whole, rtol=1e-12)


def test_tracin_of_images(images):
    given = Checkpoints([images.stacked], [0.2])
    close(tracin(images.learner, given, images.train, images.probes), *naive_tracin(images, [0.2]), rtol=1e-6)


def step_on(models, i, rate):
    """The fall of every probe's loss by one step of SGD on example i of one model."""
    learner, (state,) = models.learner, unstack(models.stacked)
    g = torch.from_numpy(naive_gradients(learner, state, Examples(*(part[i : i + 1] for part in models.train))))[0]
    params, after, begin = {}, {}, 0
    for name in sorted(state.params):
        value = state.params[name].double()
        params[name], size = value, value.numel()
        after[name] = value - rate * g[begin : begin + size].reshape(value.shape)
        begin += size
    losses = []
    for some in (params, after):
        z = learner.apply(State(some, {}), models.probes.x.double(), train=False, key=None)[0]
        losses.append(torch.nn.functional.cross_entropy(z, models.probes.y, reduction="none").numpy())
    return losses[0] - losses[1]


def check_one_step(score, models) -> None:
    fall = np.stack([step_on(models, i, 1e-5) for i in range(5)])
    np.testing.assert_allclose(score(models)[:5], fall, rtol=1e-2, atol=1e-9)


def by_tracin(models):
    return tracin(models.learner, Checkpoints([models.stacked], [1e-5]), models.train, models.probes).score


def test_tracin_is_the_fall_of_the_loss_in_one_step(relu):
    one = relu.only(1)
    check_one_step(by_tracin, one)
    for wrong in (lambda m: -by_tracin(m), lambda m: by_tracin(m).T.reshape(40, 7)):
        with pytest.raises(AssertionError):
            check_one_step(wrong, one)


def test_checkpoints_are_models_as_they_were_with_their_rates(relu):
    learner, (x, y) = relu.learner, relu.train
    rows, keys = [np.arange(40)] * 3, [11, 12, 13]
    found = checkpoints(learner, x, y, rows=rows, keys=keys, epochs=[1, 3], chunk=2)
    torch.testing.assert_close(found.states[-1].params, relu.stacked.params, rtol=0, atol=1e-6)
    steady = replace(learner.spec.recipe, schedule="constant")
    for epochs in (1, 2):  # of a constant rate the first epochs are those of a shorter training
        long, short = (
            replace(learner, spec=replace(learner.spec, recipe=replace(steady, epochs=e))) for e in (3, epochs)
        )
        kept = checkpoints(long, x, y, rows=rows, keys=keys, epochs=[epochs]).states[0]
        torch.testing.assert_close(kept.params, many(short, x, y, rows=rows, keys=keys).params, rtol=0, atol=1e-6)
    recipe = learner.recipe
    assert found.rates == [recipe.rate(4, 15), recipe.rate(14, 15)]  # 5 steps an epoch
    for epochs in ([], [0], [4]):
        with pytest.raises(UserError, match="expected some of 1…3"):
            checkpoints(learner, x, y, rows=rows, keys=keys, epochs=epochs)


def test_tracin_refuses_checkpoints_without_rates(relu):
    with pytest.raises(UserError, match="1 checkpoints and 2 rates"):
        tracin(relu.learner, Checkpoints([relu.stacked], [0.1, 0.2]), relu.train, relu.probes)


# ---- DataInf ----


def by_names(learner, state):
    """Columns of each layer in naive gradients."""
    columns, begin = {}, 0
    for name in sorted(state.params):
        size = state.params[name].numel()
        columns.setdefault(name.rpartition(".")[0], []).extend(range(begin, begin + size))
        begin += size
    return columns.values()


def naive_datainf(models, damping=0.1, *, inverse_of_the_mean=False):
    """Matrices written down: (1/n)·vᵀ·[(1/n)·Σ_i (g_i·g_iᵀ + λ·I)⁻¹]·g_k for each layer."""
    score, own, count = 0.0, 0.0, len(unstack(models.stacked))
    for state in unstack(models.stacked):
        g, v = (naive_gradients(models.learner, state, part) for part in (models.train, models.probes))
        for columns in by_names(models.learner, state):
            a, b = g[:, columns], v[:, columns]
            n, d = a.shape
            ridge = damping / (n * d) * (a**2).sum()
            if inverse_of_the_mean:
                inverse = np.linalg.inv(a.T @ a / n + ridge * np.eye(d))
            else:
                inverse = sum(np.linalg.inv(np.outer(one, one) + ridge * np.eye(d)) for one in a) / n
            score = score + a @ inverse @ b.T / n / count
            own = own + np.einsum("id,de,ie->i", a, inverse, a) / n / count
    return score, own


def test_datainf_is_its_formula_with_matrices(nets):
    close(datainf(nets.learner, nets.stacked, nets.train, nets.probes), *naive_datainf(nets), rtol=1e-6)


def test_datainf_in_parts_is_the_same(nets, monkeypatch):
    whole = datainf(nets.learner, nets.stacked, nets.train, nets.probes)
    monkeypatch.setattr("unweave.influence.attribution._COLUMNS", 200)
    close(datainf(nets.learner, nets.stacked, nets.train, nets.probes), *whole, rtol=1e-12)


def test_datainf_of_one_example_is_the_exact_inverse(relu):
    one = relu._replace(train=Examples(relu.train.x[:1], relu.train.y[:1]))
    found = datainf(one.learner, one.stacked, one.train, one.probes, damping=0.5)
    close(found, *naive_datainf(one, 0.5, inverse_of_the_mean=True), rtol=1e-6)
    copies = relu._replace(train=Examples(relu.train.x[:1].repeat(4, 1), relu.train.y[:1].repeat(4)))
    found = datainf(copies.learner, copies.stacked, copies.train, copies.probes, damping=0.5)
    close(found, *naive_datainf(copies, 0.5, inverse_of_the_mean=True), rtol=1e-6)  # rank 1
    found = datainf(relu.learner, relu.stacked, relu.train, relu.probes)
    with pytest.raises(AssertionError):  # of several examples the two differ
        close(found, *naive_datainf(relu, inverse_of_the_mean=True), rtol=1e-2)


def test_datainf_needs_damping_and_leaves_out_a_layer_without_gradient(relu):
    with pytest.raises(UserError, match="a number above 0"):
        datainf(relu.learner, relu.stacked, relu.train, relu.probes, damping=0.0)
    dead = {**relu.stacked.params, "0.bias": torch.full_like(relu.stacked.params["0.bias"], -1e4)}
    found = datainf(relu.learner, State(dead, {}), relu.train, relu.probes)
    assert np.isfinite(found.score).all()


# ---- TRAK ----


def naive_trak(models, dimensions, key):
    """As in the paper, with numpy alone but for the projection itself."""
    from unweave._random import derive

    kernel, rest, own = 0.0, 0.0, 0.0
    for k, state in enumerate(unstack(models.stacked), 1):
        f, v = (naive_gradients(models.learner, state, part, "margin") for part in (models.train, models.probes))
        own_key = derive(key, "projection", k)
        signs = torch.cat(random_signs(f.shape[1], dimensions, own_key, torch.device("cpu"))).numpy().astype(float)
        phi = f @ signs
        inverse = np.linalg.inv(phi.T @ phi)
        kernel = kernel + phi @ inverse @ (v @ signs).T
        own = own + np.diag(phi @ inverse @ phi.T)
        z = Net(models.learner, state, train=False)(models.train.x).detach().double().numpy()
        rest = rest + 1 - softmax(z, 1)[np.arange(len(z)), models.train.y]
    count = len(unstack(models.stacked))
    return kernel / count * (rest / count)[:, None], own / count * rest / count


def test_trak_is_its_formula_in_numpy(nets, monkeypatch):
    monkeypatch.setattr("unweave.influence.trak._BLOCK", 16 * 12)  # signs in blocks of 16 rows
    monkeypatch.setattr("unweave.influence.gradients._PART", 7 * 83)  # gradients of 7 examples at a time
    found = trak(nets.learner, nets.stacked, nets.train, nets.probes, dimensions=12, key=5)
    close(found, *naive_trak(nets, 12, 5), rtol=1e-6)
    other = trak(nets.learner, nets.stacked, nets.train, nets.probes, dimensions=12, key=6)
    assert np.abs(other.score - found.score).max() > 1e-3 * np.abs(found.score).max()


def test_trak_of_images(images):
    found = trak(images.learner, images.stacked, images.train, images.probes, dimensions=3, key=5)
    close(found, *naive_trak(images, 3, 5), rtol=1e-4)


def test_trak_without_a_projection_explains_a_linear_margin():
    """For two classes Q·Φ(ΦᵀΦ)⁻¹ is what a regression on x gives; what is in the kernel counts nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 2)), rng.integers(0, 2, 12)
    weight = rng.normal(size=(1, 2, 2))
    models = State({"0.weight": torch.tensor(weight), "0.bias": torch.zeros(1, 2).double()}, {})
    learner = build(specify("softmax", (2,), 2))
    train = Examples(torch.tensor(x), torch.tensor(y))
    found = trak(learner, models, train, train, dimensions=6, key=0)
    full = np.concatenate([x, np.ones((12, 1))], 1) * (2 * y - 1)[:, None]  # margins differ in their sign
    z = x @ weight[0].T
    q = 1 - softmax(z, 1)[np.arange(12), y]
    hat = full @ np.linalg.inv(full.T @ full) @ full.T
    np.testing.assert_allclose(found.score, hat * q[:, None], rtol=1e-8, atol=1e-12)
    with pytest.raises(AssertionError):  # Q of the probes in place of that of the training examples
        np.testing.assert_allclose(found.score, hat * q, rtol=1e-2)


def test_trak_refuses_dimensions_that_tell_all_examples_apart(relu):
    with pytest.raises(UserError, match=r"40 dimensions for 40 training examples; expected 1…39"):
        trak(relu.learner, relu.stacked, relu.train, relu.probes, dimensions=40, key=0)


# ---- what they are made of ----


def test_reductions_keep_products_on_average(images, monkeypatch):
    net = next(gradients.nets(images.learner, images.stacked))
    x, u = gradients.of_loss(net, images.train)
    assert gradients.reductions(net, 6, 0) == {}
    exact = gradients.layers(net, x, u, {})
    monkeypatch.setattr(gradients, "MOST", 6 * 2000)
    found = {}
    for key in range(30):
        reduced = gradients.reductions(net, 6, key)
        for name, layer in gradients.layers(net, x, u, reduced).items():
            found.setdefault(name, []).append(gradients.products(layer, layer).numpy())
    assert any(one[0].shape[1] > 64 for one in exact.values())
    for name, some in found.items():
        truth = gradients.products(exact[name], exact[name]).numpy()
        long = np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
        error = np.std(some, axis=0) / np.sqrt(30)
        assert (np.abs(np.mean(some, axis=0) - truth) <= 5 * error + 1e-9 * long + 1e-15).all(), name


def test_reduced_datainf_is_near_the_exact_one(images, monkeypatch):
    given = images.learner, images.stacked, images.train, images.probes
    exact = datainf(*given)
    monkeypatch.setattr(gradients, "MOST", 12 * 4000)
    found = datainf(*given, key=1)
    assert 0.9 < np.corrcoef(found.score.ravel(), exact.score.ravel())[0, 1] < 1 - 1e-9


def test_means_over_models_are_means_of_models(relu):
    for of in (
        lambda m: tracin(m.learner, Checkpoints([m.stacked], [0.1]), m.train, m.probes),
        lambda m: datainf(m.learner, m.stacked, m.train, m.probes),
        lambda m: influence_functions(m.learner, m.stacked, m.train, m.probes),
    ):
        each = [of(relu.only(k)) for k in range(3)]
        whole = of(relu._replace(stacked=stack([unstack(relu.stacked)[k] for k in range(3)])))
        close(whole, np.mean([e.score for e in each], 0), np.mean([e.own for e in each], 0), rtol=1e-9)
