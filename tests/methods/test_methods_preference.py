"""Preference losses and weighted ascent: values, gradients, limits, and what is wrong with public ones."""

from __future__ import annotations

import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy as mean_loss
from torch.nn.functional import log_softmax

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.methods import METHODS, Net
from unweave.methods.losses import cross_entropy
from unweave.methods.preference import negative_preference, simple_preference
from unweave.methods.reweighting import weighted_ascent

_spec = spec_from_file_location("stepping", Path(__file__).with_name("stepping.py"))
stepping = module_from_spec(_spec)
_spec.loader.exec_module(stepping)


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def at(loss: float, function) -> tuple[float, float]:
    """Value and slope of a function of a loss."""
    point = torch.tensor([loss], dtype=torch.float64, requires_grad=True)
    value = function(point).sum()
    return value.item(), torch.autograd.grad(value, point)[0].item()


# ---- formulas ----


@given(st.floats(0, 10), st.floats(0.05, 6), st.floats(0, 3))
def test_simple_preference_is_of_the_probability(loss, beta, margin):
    """(2/β)·log(1 + e^δ·p^β), of which the slope is −2·e^δ·p^β/(1 + e^δ·p^β)."""
    value, slope = at(loss, lambda c: simple_preference(c, beta=beta, margin=margin))
    power = math.exp(margin) * math.exp(-loss) ** beta
    assert value == pytest.approx(2 / beta * math.log1p(power), rel=1e-9, abs=1e-12)
    assert slope == pytest.approx(-2 * power / (1 + power), rel=1e-9)


@given(st.floats(0, 10), st.floats(1e-6, 1e-4))
def test_simple_preference_without_beta_is_ascent(loss, beta):
    assert at(loss, lambda c: simple_preference(c, beta=beta))[1] == pytest.approx(-1, abs=10 * beta)


@given(st.floats(0, 10), st.floats(0.05, 6))
def test_simple_preference_is_that_against_an_original_that_was_certain(loss, beta):
    certain = at(loss, lambda c: negative_preference(c, 0 * c.detach(), beta=beta))
    assert at(loss, lambda c: simple_preference(c, beta=beta)) == pytest.approx(certain)


@given(st.floats(1e-3, 10), st.floats(0, 6), st.floats(0, 3))
def test_weighted_ascent_climbs_by_a_weight_that_is_not_differentiated(loss, known, unsure):
    value, slope = at(loss, lambda c: weighted_ascent(c, known=known, unsure=unsure))
    p = math.exp(-loss)
    assert value == pytest.approx(-(p**known) * (1 - p) ** unsure * loss, rel=1e-9)
    assert slope == pytest.approx(-(p**known) * (1 - p) ** unsure, rel=1e-9)


def test_a_differentiated_weight_descends_where_the_label_is_unlikely():
    def wrong(c):
        return -(-c).exp() * c

    assert at(3.0, lambda c: weighted_ascent(c, known=1.0))[1] < 0 < at(3.0, wrong)[1]


@given(st.floats(0, 10))
def test_weighted_ascent_without_exponents_is_ascent(loss):
    assert at(loss, lambda c: weighted_ascent(c, known=0.0)) == pytest.approx((-loss, -1))


def test_a_certain_label_is_a_number():
    found = weighted_ascent(torch.tensor([0.0, -1e-7]), known=5.0, unsure=0.5)
    assert found.abs().max() == 0


# ---- of logits, by row ----

P = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.5, 0.25]])
Y = torch.tensor([0, 0, 1])
OF = torch.tensor([0.5, 0.1, 0.5])
LOSSES = {
    "simnpo": (lambda c: simple_preference(c, beta=2.0), torch.log1p(OF**2)),
    "wga": (lambda c: weighted_ascent(c, known=2.0), OF**2 * OF.log()),
    "satimp": (lambda c: weighted_ascent(c, known=2.0, unsure=1.0), OF**2 * (1 - OF) * OF.log()),
}


def check_rows(function, expected: Tensor) -> None:
    """A function of logits and labels has its value in each row, whatever the logits are shifted by."""
    torch.testing.assert_close(function(P.log(), Y), expected, atol=1e-5, rtol=1e-5)
    shift = torch.tensor([[3.0], [-2.0], [7.0]])
    torch.testing.assert_close(function(P.log() + shift, Y), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(function(P.log()[:1], Y[:1]), expected[:1], atol=1e-5, rtol=1e-5)
    assert (function(P.log(), torch.tensor([1, 2, 0])) - expected).abs().min() > 1e-3


WRONG = {
    "raw logits over the vocabulary": lambda z, y: -z.mean(-1),
    "log-probabilities over the vocabulary": lambda z, y: -log_softmax(z, -1).mean(-1),
    "the label's logit": lambda z, y: -z[torch.arange(len(y)), y],
    "the mean of the batch": lambda z, y: cross_entropy(z, y).mean().expand(len(y)),
    "all labels in each row": lambda z, y: -log_softmax(z, -1)[:, y].mean(-1),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_of_the_log_probability_of_the_label(name):
    loss, expected = LOSSES[name]
    check_rows(lambda z, y: loss(cross_entropy(z, y)), expected)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_losses_are_caught(name, wrong):
    loss, expected = LOSSES[name]
    with pytest.raises(AssertionError):
        check_rows(lambda z, y: loss(WRONG[wrong](z, y)), expected)


# ---- steps ----


def label_log_p(net, part) -> Tensor:
    return net(part.x).log_softmax(-1)[torch.arange(len(part.y)), part.y]


def simnpo_oracle(net, toy, beta=1.7, margin=0.4):
    lost = 2 / beta * torch.log(1 + torch.exp(beta * label_log_p(net, toy.forget) + margin)).mean()
    return 0.3 * lost + 0.8 * mean_loss(net(toy.retain.x), toy.retain.y)


def weighted_oracle(known, unsure):
    def oracle(net, toy):
        log_p = label_log_p(net, toy.forget)
        p = log_p.detach().exp()
        climb = (p**known * (1 - p) ** unsure * log_p).mean()
        return 0.7 * climb + mean_loss(net(toy.retain.x), toy.retain.y)

    return oracle


def safe_oracle(net, toy, gamma=0.6, turned=False):
    _, params = stepping.double(toy)
    before = Net(toy.learner, State(params, {}), train=False)
    others = before(toy.forget.x).clone()
    others[torch.arange(len(toy.forget.y)), toy.forget.y] = -1e9
    now, then = label_log_p(net, toy.forget), label_log_p(before, toy.forget)
    ratio = (then - now if turned else now - then).exp()
    lost = torch.log(1 + ratio**0.5).mean()  # −log σ(−β·log r) = log(1 + r^β)
    kept = mean_loss(net(toy.retain.x), toy.retain.y)
    return 0.4 * lost + gamma * mean_loss(net(toy.forget.x), others.argmax(-1)) + kept


SAFE = {"alpha": 0.4, "beta": 0.5, "gamma": 0.6}


def test_simnpo_takes_the_step_of_its_formula(toy):
    params = {"beta": 1.7, "margin": 0.4, "forget_weight": 0.3, "retain_weight": 0.8}
    stepping.check_step(toy, of("simnpo", **params)(), simnpo_oracle)
    with pytest.raises(AssertionError):
        stepping.check_step(toy, of("npo", beta=1.7)(), simnpo_oracle)


def test_wga_and_satimp_take_the_steps_of_their_formulas(toy):
    wga = of("wga", beta=1.5, forget_weight=0.7)()
    satimp = of("satimp", beta1=3.0, beta2=0.5, forget_weight=0.7)()
    stepping.check_step(toy, wga, weighted_oracle(1.5, 0.0))
    stepping.check_step(toy, satimp, weighted_oracle(3.0, 0.5))
    for method, oracle in ((wga, weighted_oracle(0.0, 0.0)), (satimp, weighted_oracle(3.0, 0.0))):
        with pytest.raises(AssertionError):
            stepping.check_step(toy, method, oracle)


def test_safe_unlearning_takes_the_step_of_its_formula(toy):
    stepping.check_step(toy, of("safe_unlearning", **SAFE)(), safe_oracle)
    for wrong in ({"turned": True}, {"gamma": 0.0}):
        with pytest.raises(AssertionError):
            stepping.check_step(
                toy, of("safe_unlearning", **SAFE)(), lambda net, toy, wrong=wrong: safe_oracle(net, toy, **wrong)
            )


# ---- on nets that know S by heart ----

STRONG = {
    "simnpo": {"forget_weight": 1.0},
    "wga": {},
    "satimp": {"forget_weight": 30.0},
    "safe_unlearning": {},
}


@pytest.mark.parametrize("name", STRONG)
def test_labels_of_s_become_unlikely_and_the_rest_is_kept(name, contract, memorised):
    right = contract.probability_on("forget")
    contract.check_moves(of(name, **STRONG[name]), memorised, right, by=-0.2)
    kept = contract.loss_on("retain")(memorised, memorised.edit(of(name, **STRONG[name])).state)
    assert (kept < 0.3).all()


@pytest.mark.parametrize("name", ["simnpo", "wga", "satimp"])
def test_without_their_term_they_are_finetuning(name, contract, memorised):
    tuned = memorised.edit(of("finetune", epochs=1 / 6)).state
    assert contract.gap(memorised.edit(of(name, forget_weight=0.0)).state, tuned) <= 1e-6
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of(name, forget_weight=0.0), memorised, contract.probability_on("forget"), by=-0.2)


def test_the_safe_label_is_what_the_original_would_say_instead(memorised):
    """S carries wrong labels: what the nets would say instead is mostly the true one, and so they do."""
    x, y = memorised.forget
    true = x[:, :3].argmax(1)
    edited = memorised.edit(of("safe_unlearning", gamma=3.0, alpha=0.0, epochs=1.0)).state
    z = torch.stack(
        [
            memorised.learner.apply(
                State({n: v[k] for n, v in edited.params.items()}, {}), x, train=False, key=None
            )[0]
            for k in range(3)
        ]
    )
    assert (z.argmax(-1) != y).float().mean() > 0.9
    assert (z.argmax(-1) == true).float().mean() > 0.5


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("simnpo", {"beta": 0.0}),
        ("safe_unlearning", {"beta": -1.0}),
        ("wga", {"beta": -1.0}),
        ("satimp", {"beta2": -1.0}),
    ],
)
def test_exponents_and_slopes_are_checked(name, params):
    with pytest.raises(SpecError, match=f"{name}.{next(iter(params))} is"):
        of(name, **params)()
