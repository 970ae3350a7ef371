"""Methods made for language models, on classifiers: steps beside their formulas, refusals, vectors half-way."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy as mean_loss
from torch.nn.functional import kl_div, linear, log_softmax, logsigmoid

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.encoding import Encoding
from unweave.learners.nets import build
from unweave.methods import METHODS, Net
from unweave.methods.losses import divergence
from unweave.methods.misdirection import misdirection
from unweave.methods.preference import negative_preference, preference, refused

_spec = spec_from_file_location("stepping", Path(__file__).with_name("stepping.py"))
stepping = module_from_spec(_spec)
_spec.loader.exec_module(stepping)

NAMES = ["idk_dpo", "kl_minimization", "ceu", "rmu"]


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def original(toy) -> Net:
    return Net(toy.learner, State(stepping.double(toy)[1], {}), train=False)


def log_p(net, part, y) -> Tensor:
    return log_softmax(net(part.x), 1)[torch.arange(len(y)), y]


def refusing(toy, said: int):
    """The toy with a learner that has a refusal, as those of language models do."""
    spec = replace(toy.learner.spec, config={**toy.learner.spec.config, "refusal": said})
    return toy._replace(learner=replace(toy.learner, spec=spec))


# ---- idk_dpo ----


def idk_oracle(said: int | None, *, swapped: bool = False):
    def oracle(net, toy):
        before, y = original(toy), toy.forget.y
        others = before(toy.forget.x).clone()
        others[torch.arange(len(y)), y] = -1e9
        instead = others.argmax(1) if said is None else torch.full_like(y, said)
        wins, loses = (log_p(net, toy.forget, one) - log_p(before, toy.forget, one) for one in (instead, y))
        margin = (loses - wins) if swapped else (wins - loses)
        return -2 / 0.5 * logsigmoid(0.5 * margin).mean() + 0.8 * mean_loss(net(toy.retain.x), toy.retain.y)

    return oracle


IDK = {"beta": 0.5, "retain_weight": 0.8}


def test_idk_dpo_takes_the_step_of_its_formula(toy):
    stepping.check_step(toy, of("idk_dpo", **IDK)(), idk_oracle(None))
    with pytest.raises(AssertionError):
        stepping.check_step(toy, of("idk_dpo", **IDK)(), idk_oracle(None, swapped=True))


def test_idk_dpo_prefers_the_refusal_that_the_learner_has(toy):
    stepping.check_step(refusing(toy, 2), of("idk_dpo", **IDK)(), idk_oracle(2))
    with pytest.raises(AssertionError):
        stepping.check_step(refusing(toy, 2), of("idk_dpo", **IDK)(), idk_oracle(None))


@pytest.mark.parametrize("name", ["idk_dpo", "safe_unlearning"])
def test_models_learn_to_refuse_on_s(name, memorised):
    """Class 0 stands for the refusal; where it is the label itself there is nothing to prefer."""
    toy = refusing(memorised, 0)
    x = toy.forget.x[toy.forget.y != 0]

    def refusals(state) -> float:
        params = [{n: v[k] for n, v in state.params.items()} for k in range(3)]
        return np.mean([(Net(toy.learner, State(p, {}))(x).argmax(1) == 0).double() for p in params])

    assert refusals(toy.originals) < 0.1 and refusals(toy.edit(of(name)).state) > 0.9


def test_what_is_refused(toy):
    logits, y = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([0, 2])
    assert refused(original(toy), logits, y).tolist() == [1, 0]
    assert refused(original(refusing(toy, 2)), logits, y).tolist() == [2, 2]
    several = torch.stack([logits, logits.flip(1)], 2)  # [b, classes, A]
    answers = torch.tensor([[0, 2], [2, -100]])
    assert refused(original(toy), several, answers).tolist() == [[1, -100], [0, -100]]
    assert refused(original(refusing(toy, 1)), several, answers).tolist() == [[1, -100], [1, -100]]


@given(st.floats(-5, 5), st.floats(0.05, 5))
def test_a_preference_without_a_winner_is_the_negative_one(rise, beta):
    loss = torch.tensor([rise], dtype=torch.float64)
    found = preference(torch.zeros(1, dtype=torch.float64), -loss, beta=beta)
    torch.testing.assert_close(found, negative_preference(loss, torch.zeros_like(loss), beta=beta))


# ---- kl_minimization ----


def kl_oracle(net, toy, turned=False):
    before, now = (log_softmax(one(toy.retain.x), 1) for one in (original(toy), net))
    one, other = (before, now) if turned else (now, before)
    kept = kl_div(one, other, log_target=True, reduction="batchmean")
    return 0.7 * kept - 0.4 * mean_loss(net(toy.forget.x), toy.forget.y)


def test_kl_minimization_takes_the_step_of_its_formula(toy):
    method = of("kl_minimization", forget_weight=0.4, retain_weight=0.7)()
    stepping.check_step(toy, method, kl_oracle)
    with pytest.raises(AssertionError):
        stepping.check_step(toy, method, lambda net, toy: kl_oracle(net, toy, turned=True))


# ---- ceu ----


def unlikely(net, toy):
    return -torch.log1p(-log_p(net, toy.forget, toy.forget.y).exp()).mean()


def test_ceu_takes_the_step_of_its_formula(toy):
    """Cross-entropy to its own answers without the label has the slope of −log(1 − p), and that value less a
    constant."""
    stepping.check_step(toy, of("ceu")(), unlikely)
    with pytest.raises(AssertionError):
        stepping.check_step(toy, of("delete")(), unlikely)
    with pytest.raises(AssertionError):
        stepping.check_step(toy, of("ceu")(), lambda net, toy: -mean_loss(net(toy.forget.x), toy.forget.y))


@given(st.lists(st.floats(-40, 40), min_size=3, max_size=3))
def test_the_slope_of_ceu_neither_vanishes_nor_explodes(numbers):
    """With respect to the label's logit it is p, whatever the others are; no slope is beyond 1."""
    logits = torch.tensor([numbers], dtype=torch.float64, requires_grad=True)
    without = logits.detach().scatter(1, torch.tensor([[1]]), -1e10)
    slope = torch.autograd.grad(divergence(without, logits).sum(), logits)[0]
    assert slope[0, 1].item() == pytest.approx(logits.softmax(1)[0, 1].item(), abs=1e-12)
    assert slope.abs().max() <= 1 + 1e-12 and slope.isfinite().all()


# ---- rmu ----


def two_layers(toy, *, depth: int = 2, middle: bool = True):
    """A net with two hidden layers whose vectors half-way are those of the first."""
    recipe = {"epochs": 3, "batch_size": 8, "weight_decay": 0.1}
    learner = build(specify("mlp", (6,), 3, config={"width": 7, "depth": depth}, recipe=recipe))

    def first(state, x):
        return linear(x, state.params["0.weight"], state.params["0.bias"]).relu()

    learner = replace(learner, middle=first if middle else None)
    states = [learner.init(key) for key in toy.keys]
    params = {n: torch.stack([one.params[n] for one in states]) for n in states[0].params}
    return toy._replace(learner=learner, originals=State(params, {}))


def rmu_oracle(toy, direction, *, coefficient=3.0, weight=0.7):
    before = original(toy)
    x = toy.forget.x.double()
    square = before.middle(x).square().sum(1).mean()

    def oracle(net, toy):
        target = coefficient * square.sqrt() * direction
        lost = (net.middle(toy.forget.x) - target).square().sum(1).mean()
        kept = (net.middle(toy.retain.x) - before.middle(toy.retain.x)).square().sum(1).mean()
        return (lost + weight * kept) / square

    return oracle


@pytest.mark.parametrize("middle", [True, False])
def test_rmu_takes_the_step_of_its_formula(toy, middle):
    other = two_layers(toy, middle=middle)
    method = of("rmu", coefficient=3.0, retain_weight=0.7)()
    given_ = stepping.double(other)[0]
    aux = method.prepare(original(other), given_.given(original(other)), stepping.key_tensor([3])[0])[1]
    direction = aux[1] / aux[1].norm()
    assert (direction >= 0).all() and len(direction) == 7
    stepping.check_step(other, method, rmu_oracle(other, direction))
    for wrong in ({"coefficient": 2.0}, {"weight": 0.0}):
        with pytest.raises(AssertionError):
            stepping.check_step(other, method, rmu_oracle(other, direction, **wrong))


@pytest.mark.parametrize(("middle", "moved"), [(True, {"0"}), (False, {"0", "1"})])
def test_only_layers_up_to_the_vectors_move_whatever_weight_decay_does(toy, contract, middle, moved):
    other = two_layers(toy, middle=middle)
    for one in (other, other._replace(learner=replace(other.learner, stacked=False, dense=None))):
        contract.check_mask_freezes(of("rmu"), one, lambda name: name.split(".")[0] not in moved)


def test_vectors_of_s_become_one_and_those_of_the_rest_stay(memorised):
    edited = memorised.edit(of("rmu", epochs=2.0)).state

    def vectors(state, k, x):
        return memorised.learner.features(State({n: v[k] for n, v in state.params.items()}, {}), x)

    for k in range(3):
        h, g = (vectors(edited, k, part.x) for part in (memorised.forget, memorised.retain))
        h0, g0 = (vectors(memorised.originals, k, part.x) for part in (memorised.forget, memorised.retain))
        spread, spread0 = ((one / one.norm(dim=1, keepdim=True)).std(0).mean() for one in (h, h0))
        assert spread < spread0  # they point one way
        assert (h - h0).norm(dim=1).mean() / h0.norm(dim=1).mean() > (g - g0).norm(dim=1).mean() / g0.norm(
            dim=1
        ).mean()


def test_a_scale_of_the_vectors_changes_nothing_but_the_scale():
    """The loss is relative to the length that vectors of the original have."""
    h, target = torch.tensor([[1.0, 2.0]]), torch.tensor([0.5, 0.5])
    one = misdirection(h, target, torch.tensor([0])) / h.square().sum()
    other = misdirection(10 * h, 10 * target, torch.tensor([0])) / (10 * h).square().sum()
    torch.testing.assert_close(one, other)


def test_rmu_needs_a_hidden_layer(toy):
    learner = build(specify("softmax", (6,), 3, recipe={"epochs": 3, "batch_size": 8}))
    params = {n: torch.stack([learner.init(key).params[n] for key in toy.keys]) for n in ("0.weight", "0.bias")}
    with pytest.raises(ApplicabilityError, match="no hidden layer"):
        toy._replace(learner=learner, originals=State(params, {})).edit(of("rmu"))


def test_vectors_half_way_are_of_the_features_as_the_net_gets_them(toy):
    """Where features are standardised by the model, its vectors half-way are of those too."""
    encoding = Encoding((0, 1, 2, 3, 4, 5), (-1,) * 6, ())
    spec = specify("mlp", (6,), 3, config={"width": 7}, recipe={"epochs": 3, "batch_size": 8}, encoding=encoding)
    learner = build(spec)
    state, x = learner.start(0, 5 + 3 * toy.retain.x, np.arange(30)), 5 + 3 * toy.retain.x
    net = Net(learner, state, train=False)
    torch.testing.assert_close(net.middle(x), learner.features(state, x))


# ---- all of them ----


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_s_become_less_likely(name, contract, memorised):
    contract.check_moves(of(name), memorised, contract.probability_on("forget"), by=-0.1)


@pytest.mark.parametrize(
    ("name", "params"), [("idk_dpo", {"beta": 0.0}), ("rmu", {"coefficient": 0.0}), ("rmu", {"coefficient": -1.0})]
)
def test_slopes_and_lengths_are_checked(name, params):
    with pytest.raises(SpecError, match=f"{name}.{next(iter(params))} is"):
        of(name, **params)()
