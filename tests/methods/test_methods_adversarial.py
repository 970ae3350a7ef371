"""Methods that play against an adversary: SG-Unlearn and SURE."""

from __future__ import annotations

import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Method, Net, adversarial
from unweave.methods.adversarial import advantage, domain_loss, logistic, new_classifier, scores
from unweave.methods.matched import alike

_spec = spec_from_file_location("stepping", Path(__file__).with_name("stepping.py"))
stepping = module_from_spec(_spec)
_spec.loader.exec_module(stepping)


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def drawn(seed: int, *shape: int):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def even(*sizes: int):
    return tuple(torch.full((n,), 1 / n, dtype=torch.float64) for n in sizes)


# ---- the attacker ----


def test_the_attacker_becomes_the_best_one():
    x = drawn(0, 60, 3)
    member = (x[:, 0] + 0.5 * drawn(1, 60) > 0).double()
    weight = drawn(2, 60).abs()
    weight = weight / weight.sum()
    found = logistic(x, member, weight, ridge=0.02, rounds=300)
    fit = LogisticRegression(C=1 / 0.02, tol=1e-10, max_iter=1000).fit(x.numpy(), member.numpy(), weight.numpy())
    np.testing.assert_allclose(found.numpy(), [*fit.coef_[0], fit.intercept_[0]], atol=1e-3)


def test_no_step_of_the_attacker_overshoots():
    """The likelihood rises in every step, also where the sets can be told apart perfectly."""
    x = drawn(3, 40, 5) + 8 * (torch.arange(40) % 2)[:, None]
    member, weight = (torch.arange(40) % 2).double(), torch.full((40,), 1 / 40, dtype=torch.float64)
    values = []
    for rounds in range(12):
        beta = logistic(x, member, weight, ridge=0.01, rounds=rounds)
        z = (2 * member - 1) * (x @ beta[:-1] + beta[-1])
        values.append(float((weight * torch.nn.functional.logsigmoid(z)).sum() - 0.005 * beta[:-1].square().sum()))
    assert all(b > a for a, b in zip(values, values[1:], strict=False))
    assert values[10] > 0.5 * values[0]


def test_sets_that_differ_are_told_apart_and_those_that_do_not_are_not():
    apart = advantage(drawn(0, 200, 3) + 5, drawn(1, 200, 3), even(200, 200), ridge=0.01)
    alike_ = advantage(drawn(0, 200, 3), drawn(1, 200, 3), even(200, 200), ridge=0.01)
    assert 0.4 < apart <= math.log(2) and abs(alike_) < 0.03


def test_single_examples_learned_by_heart_are_no_advantage():
    """30 examples in 12 dimensions: an attacker judged where it was trained would tell them apart."""
    seen, unseen = drawn(0, 15, 12), drawn(1, 15, 12)
    assert advantage(seen, unseen, even(15, 15), ridge=0.01) < 0.05
    twice = [one.repeat_interleave(2, 0) for one in (seen, unseen)]  # each half holds the same examples
    assert advantage(*twice, even(30, 30), ridge=0.01) > 0.2


def test_weights_count_and_missing_sets_do_not():
    seen, unseen = drawn(0, 40, 2), torch.cat([drawn(1, 40, 2), drawn(2, 40, 2) + 6])
    none, only = (
        torch.cat([torch.full((40,), a), torch.full((40,), b)]).double() / 40 for a, b in [(1, 0), (0, 1)]
    )
    weight = even(40)[0]
    assert advantage(seen, unseen, (weight, none), ridge=0.01) < 0.1
    assert advantage(seen, unseen, (weight, only), ridge=0.01) > 0.4
    point = drawn(3, 1, 2).requires_grad_()
    lonely = advantage(point, unseen, (torch.ones(1).double(), only), ridge=0.01)
    assert lonely == 0 and torch.autograd.grad(lonely, point)[0].abs().max() == 0


def check_differentiated_through() -> None:
    """Against finite differences, in double precision."""
    seen, unseen = drawn(0, 6, 3).requires_grad_(), (drawn(1, 8, 3) + 0.5).requires_grad_()
    weights = even(6, 8)
    assert torch.autograd.gradcheck(
        lambda a, b: advantage(a, b, weights, ridge=0.05), (seen, unseen), raise_exception=False
    )


def test_the_attacker_is_differentiated_through(monkeypatch):
    check_differentiated_through()
    fitted = logistic
    monkeypatch.setattr(adversarial, "logistic", lambda *a, **b: fitted(*a, **b).detach())
    with pytest.raises(AssertionError):
        check_differentiated_through()


def test_scores_are_of_the_row_and_its_label():
    z, y = drawn(0, 4, 3), torch.tensor([0, 2, 1, 1])
    found = scores(z, y)
    torch.testing.assert_close(found[:, :3], z)
    torch.testing.assert_close(found[:, 3], cross_entropy(z, y, reduction="none"))
    torch.testing.assert_close(scores(z[:1], y[:1]), found[:1])


# ---- SG-Unlearn ----


def sg_oracle(net, toy, weight=0.8):
    kept = cross_entropy(net(toy.retain.x), toy.retain.y)
    found = [
        torch.cat([net(part.x), cross_entropy(net(part.x), part.y, reduction="none")[:, None]], 1)
        for part in (toy.forget, toy.validation)
    ]
    return kept + weight * advantage(*found, alike(toy.forget.y, toy.validation.y), ridge=0.01)


def in_order(method: Method) -> Method:
    """The attacker halves its sets by their order, which the oracle does not shuffle."""

    def step(net, aux, batches, i, key):
        order = batches["forget"].position.argsort()
        forget = type(batches["forget"])(*(part[order] for part in batches["forget"]))
        return method.step(net, aux, {**batches, "forget": forget}, i, key)

    return method._replace(step=step)


def test_sg_unlearn_takes_the_step_of_its_formula(toy):
    stepping.check_step(toy, in_order(of("sg_unlearn", attack_weight=0.8)()), sg_oracle)
    for weight in (0.0, -0.8):
        with pytest.raises(AssertionError):
            stepping.check_step(
                toy,
                in_order(of("sg_unlearn", attack_weight=0.8)()),
                lambda net, toy, weight=weight: sg_oracle(net, toy, weight),
            )


def test_without_its_attacker_it_is_finetuning(contract, memorised):
    method = of("sg_unlearn", attack_weight=0.0)()

    def step(net, aux, batches, i, key):
        return cross_entropy(net(batches["retain"].x), batches["retain"].y)

    plain = Method(step, method.epochs, method.lr, passes=method.passes)
    tuned = memorised.edit(lambda: plain).state
    assert contract.gap(memorised.edit(lambda: method).state, tuned) <= 1e-6
    assert contract.gap(memorised.edit(of("sg_unlearn")).state, tuned) > 1e-3


def auc(toy, state: State, k: int) -> float:
    """How well the loss tells S from the validation set: 1/2 at chance."""
    params = {name: value[k] for name, value in state.params.items()}
    net = Net(toy.learner, State(params, {}), train=False)
    seen, unseen = (cross_entropy(net(p.x), p.y, reduction="none") for p in (toy.forget, toy.validation))
    return float((seen[:, None] < unseen).double().mean())


@pytest.fixture(scope="module")
def overfitted(contract, memorised):
    """Nets that know S by heart, and a validation set with labels as arbitrary as those of S: all unseen."""
    x, y = memorised.validation
    return memorised._replace(validation=type(memorised.validation)(x, (y + 1) % 3))


def check_hides(build, toy) -> None:
    """The attack comes closer to chance, on average over the nets."""
    states = toy.originals, toy.edit(build).state
    before, after = (sum(abs(auc(toy, state, k) - 0.5) for k in range(3)) / 3 for state in states)
    assert before > 0.3 and after < 0.6 * before, (before, after)


def test_the_attack_on_the_loss_fails_after_sg_unlearn_by_its_attacker(overfitted):
    check_hides(of("sg_unlearn", attack_weight=3.0), overfitted)
    with pytest.raises(AssertionError):
        check_hides(of("sg_unlearn", attack_weight=0.0), overfitted)


def test_an_attacker_needs_a_ridge():
    with pytest.raises(SpecError, match="ridge is 0"):
        of("sg_unlearn", ridge=0.0)()


# ---- SURE ----


def test_the_loss_of_the_classifier_is_a_balanced_cross_entropy():
    classifier = new_classifier(4, key_tensor([3])[0])
    classifier = {name: value.double() + 0.1 for name, value in classifier.items()}
    seen, unseen = drawn(0, 5, 4), drawn(1, 7, 4)
    found = domain_loss(classifier, seen, unseen, even(5, 7))

    def said(x):
        hidden = torch.relu(x @ classifier["hidden"].T + classifier["bias"])
        return hidden @ classifier["out"] + classifier["last"]

    parts = [
        binary_cross_entropy_with_logits(said(x), torch.full((len(x),), label).double())
        for x, label in ((seen, 1.0), (unseen, 0.0))
    ]
    torch.testing.assert_close(found, sum(parts) / 2)
    torch.testing.assert_close(
        domain_loss({name: 0 * value for name, value in classifier.items()}, seen, unseen, even(5, 7)),
        torch.tensor(math.log(2)).double(),
    )


def test_a_new_classifier_is_another_one_for_every_key():
    one, two = (new_classifier(16, key) for key in key_tensor([1, 2]))
    assert one["hidden"].abs().max() <= 0.25 and not torch.equal(one["hidden"], two["hidden"])
    assert one["out"].abs().max() <= 0.1 and one["bias"].abs().max() == 0


def prepared(toy, method: Method):
    toy, params = stepping.double(toy)
    net = Net(toy.learner, State(params, {}), train=False)
    classifier, scale = method.prepare(net, toy.given(net), key_tensor([3])[0])[1]
    return toy, net, ({name: value.double() for name, value in classifier.items()}, scale)


def features(net, toy, scale):
    return [net.features(part.x) / scale for part in (toy.forget, toy.validation)]


def test_the_classifier_descends_before_each_step(toy):
    method = of("sure", adversary_lr=0.7)()
    toy, net, aux = prepared(toy, method)
    assert aux[1] == pytest.approx(float(net.features(toy.validation.x).square().mean().sqrt()))
    leaves = {name: value.clone().requires_grad_() for name, value in aux[0].items()}
    loss = domain_loss(leaves, *features(net, toy, aux[1]), alike(toy.forget.y, toy.validation.y))
    slopes = torch.autograd.grad(loss, list(leaves.values()))
    after, scale = method.respond(net, aux, stepping.batches(toy), 0, key_tensor([3])[0])
    assert scale is aux[1]
    for (name, before), slope in zip(aux[0].items(), slopes, strict=True):
        torch.testing.assert_close(after[name], before - 0.7 * toy.learner.recipe.lr * slope)


def check_reversed(method: Method, toy) -> None:
    """The step descends on CE(D∖S) and climbs the loss of the classifier, which it leaves as it is."""
    toy, _, aux = prepared(toy, of("sure")())

    def oracle(net, toy):
        x = features(net, toy, aux[1])
        fooled = domain_loss(aux[0], *x, alike(toy.forget.y, toy.validation.y))
        return cross_entropy(net(toy.retain.x), toy.retain.y) - 0.6 * fooled

    fixed = method._replace(prepare=lambda net, given, key: (State(net.params, {}), aux))
    stepping.check_step(toy, fixed, oracle)


def test_the_gradient_of_the_classifier_is_reversed(toy):
    check_reversed(of("sure", reversal=0.6)(), toy)
    for wrong in (-0.6, 0.0):
        with pytest.raises(AssertionError):
            check_reversed(of("sure", reversal=wrong)(), toy)


def test_without_reversal_it_is_finetuning(contract, memorised):
    tuned = memorised.edit(of("finetune", epochs=1 / 6, lr=0.1)).state
    assert contract.gap(memorised.edit(of("sure", reversal=0.0)).state, tuned) <= 1e-6
    assert contract.gap(memorised.edit(of("sure")).state, tuned) > 1e-3


def separability(toy, state: State, k: int) -> float:
    """How well a fresh logistic probe tells the features of S from those of the validation set."""
    net = Net(toy.learner, State({name: value[k] for name, value in state.params.items()}, {}), train=False)
    x = torch.cat([net.features(part.x) for part in (toy.forget, toy.validation)])
    x = ((x - x.mean(0)) / (x.std(0) + 1e-3)).double()
    one, two = alike(toy.forget.y, toy.validation.y)
    member = torch.cat([torch.ones_like(one), torch.zeros_like(two)]).double()
    weight = torch.cat([one, two]).double() / 2
    beta = logistic(x, member, weight, ridge=0.1, rounds=200)
    z = (2 * member - 1) * (x @ beta[:-1] + beta[-1])
    return float(math.log(2) + (weight * torch.nn.functional.logsigmoid(z)).sum())


def test_features_of_s_become_those_of_unseen_examples_by_reversal(memorised):
    """On average over the nets; a sign turned round makes them easier to tell."""
    given = {"epochs": 0.5, "lr": 0.3}
    with_, without, turned = (
        sum(separability(memorised, state, k) for k in range(3))
        for state in (memorised.edit(of("sure", **given, reversal=value)).state for value in (1.0, 0.0, -1.0))
    )
    assert with_ < 0.9 * without < 0.9 * turned


def test_a_classifier_does_not_climb():
    with pytest.raises(SpecError, match="adversary_lr is -1"):
        of("sure", adversary_lr=-1.0)()
