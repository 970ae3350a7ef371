"""Loss curvature, holdout retraining and the sign of every proxy against what is known by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from unweave._errors import ApplicabilityError, UserError
from unweave.data import Encoding
from unweave.influence import DIRECTION
from unweave.influence.attribution import Checkpoints, datainf, tracin
from unweave.influence.events import el2n, forgetting_score, learning_events
from unweave.influence.holdout import holdout_retraining, symmetric_divergence
from unweave.influence.influence_functions import influence_functions
from unweave.influence.input_curvature import loss_curvature
from unweave.influence.trak import trak
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import Examples
from unweave.training.engine import unstack
from unweave.training.outputs import logits

# ---- loss curvature ----


def softmax_regression(seed: int = 0, models: int = 2):
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(models, 3, 4)), rng.normal(size=(models, 3))
    state = State({"0.weight": torch.tensor(weight).float(), "0.bias": torch.tensor(bias).float()}, {})
    x, y = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 3, 9)
    return build(specify("softmax", (4,), 3)), state, x, y


def naive_curvature(state, x, y, *, h=0.01, unit=True):
    """∇ₓℓ = Wᵀ(p − e_y), written out for softmax regression."""
    weight, bias = (state.params[name].double().numpy() for name in ("0.weight", "0.bias"))
    found = np.zeros((len(weight), len(x)))
    for k in range(len(weight)):
        for i in range(len(x)):

            def slope(at, k=k, i=i):
                return weight[k].T @ (softmax(weight[k] @ at + bias[k]) - np.eye(3)[y[i]])

            at = x[i].astype(np.float64)
            sign = np.sign(slope(at))
            z = sign / np.linalg.norm(sign) if unit else sign
            found[k, i] = np.linalg.norm(slope(at + h * z) - slope(at))
    return found


def test_curvature_of_softmax_regression_by_hand(monkeypatch):
    learner, state, x, y = softmax_regression()
    monkeypatch.setattr("unweave.influence.input_curvature._AT_ONCE", 20)  # two examples at a time
    found = loss_curvature(learner, state, torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(found, naive_curvature(state, x, y), rtol=1e-9)
    far = loss_curvature(learner, state, torch.tensor(x), torch.tensor(y), h=0.5)
    np.testing.assert_allclose(far, naive_curvature(state, x, y, h=0.5), rtol=1e-9)
    with pytest.raises(AssertionError):  # a way longer by the root of the number of pixels
        np.testing.assert_allclose(found, naive_curvature(state, x, y, unit=False), rtol=1e-2)


@pytest.mark.parametrize("kind", ["relu", "images"])
def test_curvature_is_each_models_and_examples_own(kind, request):
    models = request.getfixturevalue(kind)
    x, y = models.train
    whole = loss_curvature(models.learner, models.stacked, x, y)
    assert whole.shape == (len(next(iter(models.stacked.params.values()))), len(y))
    order = torch.arange(len(y)).flip(0)
    turned = loss_curvature(models.learner, models.stacked, x[order], y[order])
    np.testing.assert_allclose(turned, whole[:, ::-1], rtol=1e-9)
    np.testing.assert_allclose(
        loss_curvature(models.learner, models.only(1).stacked, x[:1], y[:1])[0, 0], whole[1, 0], rtol=1e-9
    )
    other = loss_curvature(models.learner, models.stacked, x, (y + 1) % 3)
    assert (np.abs(other - whole) > 1e-12).mean() > 0.5


def test_curvature_without_a_gradient_is_0():
    learner, state, x, y = softmax_regression()
    flat = State({name: torch.zeros_like(value) for name, value in state.params.items()}, {})
    assert not loss_curvature(learner, flat, torch.tensor(x), torch.tensor(y)).any()


def test_curvature_refuses_tables_and_no_way():
    learner, state, x, y = softmax_regression()
    with pytest.raises(UserError, match="a length above 0"):
        loss_curvature(learner, state, torch.tensor(x), torch.tensor(y), h=0.0)
    table = build(specify("softmax", (4,), 3, encoding=Encoding((0, 1, 2, 3), (-1,) * 4, ())))
    with pytest.raises(ApplicabilityError, match="those of a table"):
        loss_curvature(table, state, torch.tensor(x), torch.tensor(y))


# ---- holdout retraining ----


def check_divergence(of) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 2, (2, 6, 4))
    p, q = softmax(one, -1), softmax(other, -1)
    expected = (entropy(p, q, axis=-1) + entropy(q, p, axis=-1)) / 2
    np.testing.assert_allclose(of(torch.tensor(one), torch.tensor(other)), expected, rtol=1e-9)


def one_way(logits, others):
    p, q = softmax(logits.numpy(), -1), softmax(others.numpy(), -1)
    return (p * np.log(p / q)).sum(-1)


def mean_over_classes(logits, others):
    p, q = softmax(logits.numpy(), -1), softmax(others.numpy(), -1)
    return ((p - q) * np.log(p / q)).mean(-1) / 2


def test_the_divergence_is_symmetric_and_halved():
    check_divergence(symmetric_divergence)


@pytest.mark.parametrize("wrong", [one_way, mean_over_classes])
def test_other_divergences_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_divergence(wrong)


def test_the_divergence_of_sure_models_is_not_cut_off():
    far = symmetric_divergence(torch.tensor([[100.0, 0.0]]), torch.tensor([[0.0, 100.0]]))
    assert far.item() == pytest.approx(100)  # cut off at 1e-10 it is 23


def test_holdout_retraining_reads_held_out_data_alone(mislabelled):
    models, held_out = mislabelled.models, mislabelled.held_out
    given = {"held_out": held_out, "keys": mislabelled.keys, "epochs": 0.1}
    before = {name: value.clone() for name, value in models.stacked.params.items()}
    whole = holdout_retraining(models.learner, models.stacked, models.train.x, **given)
    assert whole.shape == (4, 120)
    for name, value in before.items():
        torch.testing.assert_close(models.stacked.params[name], value, rtol=0, atol=0)
    some = holdout_retraining(models.learner, models.stacked, models.train.x[5:9], **given)
    np.testing.assert_array_equal(some, whole[:, 5:9])
    other = Examples(held_out.x, (held_out.y + 1) % 4)
    far = holdout_retraining(models.learner, models.stacked, models.train.x, **{**given, "held_out": other})
    assert far.mean() > 2 * whole.mean()
    still = holdout_retraining(models.learner, models.stacked, models.train.x, **given, lr=0.0)
    assert not still.any()


def test_holdout_retraining_is_that_of_a_loop_by_hand(relu):
    one = relu.only(0)
    held_out = Examples(relu.probes.x, relu.probes.y)  # one batch a pass: no order
    found = holdout_retraining(one.learner, one.stacked, one.train.x, held_out=held_out, keys=[3], lr=0.1)
    recipe = one.learner.recipe
    params = {n: v[0].clone().requires_grad_() for n, v in one.stacked.params.items()}
    optimiser = torch.optim.SGD(params.values(), lr=recipe.lr * 0.1, momentum=recipe.momentum)
    for _ in range(recipe.epochs):  # at one rate
        optimiser.zero_grad()
        z = one.learner.apply(State(params, {}), held_out.x, train=True, key=None)[0]
        torch.nn.functional.cross_entropy(z, held_out.y).backward()
        optimiser.step()
    after = State({n: v.detach()[None] for n, v in params.items()}, {})
    p, q = (softmax(logits(one.learner, s, one.train.x).double().numpy(), -1) for s in (one.stacked, after))
    np.testing.assert_allclose(found, ((p - q) * np.log(p / q)).sum(-1) / 2, rtol=1e-3, atol=1e-7)


def test_holdout_retraining_refuses_what_it_cannot_use(relu):
    none = Examples(relu.probes.x[:0], relu.probes.y[:0])
    with pytest.raises(UserError, match="there are none"):
        holdout_retraining(relu.learner, relu.stacked, relu.train.x, held_out=none, keys=[1, 2, 3])
    with pytest.raises(UserError, match="one key for each, got 2"):
        holdout_retraining(relu.learner, relu.stacked, relu.train.x, held_out=relu.probes, keys=[1, 2])


# ---- the sign of every proxy ----


def area(score, wrong):
    """Share of pairs in which the mislabelled example has the higher score: 1 = all of them."""
    above = score[wrong][:, None] > score[~wrong]
    return above.mean() + (score[wrong][:, None] == score[~wrong]).mean() / 2


def proxies(case):
    models, of = case.models, learning_events(case.recorded)
    learner, stacked, train = models.learner, models.stacked, models.train
    sides = (learner, stacked, train, case.held_out)
    return {
        "confidence": of.confidence,
        "accuracy": of.accuracy,
        "maximum": of.maximum,
        "entropy": of.entropy,
        "forgetting": forgetting_score(case.recorded.correct),
        "el2n": el2n(case.recorded.distance, 2),
        "curvature": loss_curvature(learner, stacked, *train).mean(0),
        "holdout": holdout_retraining(
            learner, stacked, train.x, held_out=case.held_out, keys=case.keys, epochs=0.5, lr=0.2
        ).mean(0),
        "self-influence tracin": tracin(learner, Checkpoints([stacked], [0.2]), *sides[2:]).own,
        "self-influence functions": influence_functions(
            learner, State(*({n: v[:1] for n, v in part.items()} for part in stacked)), *sides[2:]
        ).own,
        "self-influence trak": trak(*sides, dimensions=40, key=1).own,
        "self-influence datainf": datainf(*sides).own,
    }


def check_signs(found, wrong, direction) -> None:
    for name, score in found.items():
        assert area(direction[name.split(" ")[0]] * score, wrong) > 0.8, name


def test_every_proxy_ranks_the_mislabelled_highest(mislabelled):
    found = proxies(mislabelled)
    assert {name.split(" ")[0] for name in found} == set(DIRECTION)
    assert mislabelled.recorded.correct[-1][:, mislabelled.wrong].mean() > 0.9  # they are known by heart
    check_signs(found, mislabelled.wrong, DIRECTION)
    for name in DIRECTION:  # the check sees each sign that is wrong
        with pytest.raises(AssertionError, match=name):
            check_signs(found, mislabelled.wrong, {**DIRECTION, name: -DIRECTION[name]})


def test_a_model_is_measured_the_same_in_any_stack(mislabelled):
    models = mislabelled.models
    whole = loss_curvature(models.learner, models.stacked, *models.train)
    for k, state in enumerate(unstack(models.stacked)):
        one = State({name: value[None] for name, value in state.params.items()}, {})
        np.testing.assert_allclose(loss_curvature(models.learner, one, *models.train)[0], whole[k], rtol=1e-9)
    by_itself = replace(models.learner, stacked=False)
    np.testing.assert_allclose(loss_curvature(by_itself, models.stacked, *models.train), whole, rtol=1e-9)
