"""Methods that weigh the examples of S: FaLW."""

from __future__ import annotations

import math

import pytest
import torch

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Batch, Examples, Method, Net
from unweave.methods.forgetting_weights import Unseen, balance, confidence, forgetting_weight, unseen_by_class
from unweave.methods.gradient import draw_wrong_labels
from unweave.training.outputs import logits


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def check_weight(function) -> None:
    """1 + tanh(1)^½ at a sd above μ in a rare class (B = 2), 1 − tanh(2)² two below in a common one (B = ½)."""
    unseen = Unseen(torch.tensor([0.3, 0.8]), torch.tensor([0.2, 0.1]))
    p, y, b = torch.tensor([0.5, 0.6, 0.8]), torch.tensor([0, 1, 1]), torch.tensor([2.0, 0.5, 0.5])
    expected = torch.tensor([1 + math.tanh(1) ** 0.5, 1 - math.tanh(2) ** 2, 1.0])
    torch.testing.assert_close(function(p, y, unseen, b), expected, atol=1e-5, rtol=1e-5)


def without_sign(p, y, unseen, b):
    return 1 + ((p - unseen.mean[y]) / unseen.sd[y]).abs().tanh() ** (1 / b)


def turned(p, y, unseen, b):
    return 2 - forgetting_weight(p, y, unseen, b)


def without_balance(p, y, unseen, b):
    return forgetting_weight(p, y, unseen, torch.ones_like(b))


def by_its_power(p, y, unseen, b):
    return forgetting_weight(p, y, unseen, 1 / b)


def without_spread(p, y, unseen, b):
    return forgetting_weight(p, y, unseen._replace(sd=torch.ones(2)), b)


def test_the_weight_of_an_example():
    check_weight(forgetting_weight)


@pytest.mark.parametrize(
    "wrong",
    [without_sign, turned, without_balance, by_its_power, without_spread],
    ids=lambda function: function.__name__,
)
def test_wrong_weights_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_weight(wrong)


def test_unseen_confidence_is_of_each_class_by_itself():
    p = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.7, 0.1, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    found = unseen_by_class(p.log() + 3, torch.tensor([1, 1, 0, 1, 0]))
    ones, twos = torch.tensor([0.5, 0.6, 0.8]), torch.tensor([0.7, 0.3])
    every = torch.cat([ones, twos])
    torch.testing.assert_close(found.mean, torch.stack([twos.mean(), ones.mean(), every.mean()]))
    spread = torch.stack([one.std(correction=0) for one in (twos, ones, every)])
    torch.testing.assert_close(found.sd, spread)
    torch.testing.assert_close(confidence(p.log(), torch.tensor([1, 1, 0, 1, 0])), p[range(5), [1, 1, 0, 1, 0]])


def test_rare_classes_of_s_weigh_more_and_a_balanced_s_does_not_care():
    y = torch.tensor([0] * 6 + [1] * 2 + [3])
    assert balance(y, 5, tau=1.0).tolist() == pytest.approx([0.5] * 6 + [1.5] * 2 + [3.0])
    assert balance(y, 5, tau=2.0).tolist() == pytest.approx([0.25] * 6 + [2.25] * 2 + [9.0])
    assert balance(y, 5, tau=0.0).tolist() == [1.0] * 9
    assert balance(torch.tensor([2] * 7), 10, tau=1.0).tolist() == [1.0] * 7


def first_loss(toy, method: Method, k: int = 0):
    """The loss of a first step on all of S, of original k, with what made it."""
    state = State({n: v[k] for n, v in toy.originals.params.items()}, {})
    net, key = Net(toy.learner, state, train=False), key_tensor([3])[0]
    assert method.prepare is not None and method.step is not None
    _, aux = method.prepare(net, toy.given(net), key)
    batch = Batch(*toy.forget, torch.arange(len(toy.forget.y)))
    return float(method.step(net, aux, {"forget": batch}, 0, key)), net, key


def naive_loss(toy, net: Net, key, tau: float) -> float:
    """The formula, example by example, in plain Python."""
    labels = draw_wrong_labels(net, toy.given(net), key)[1]
    p_unseen = torch.softmax(net(toy.validation.x).double(), -1)
    total = 0.0
    for x, y, wrong in zip(*toy.forget, labels, strict=True):
        same = [float(p[y]) for p, label in zip(p_unseen, toy.validation.y, strict=True) if label == y]
        mu = sum(same) / len(same)
        s = (sum((p - mu) ** 2 for p in same) / len(same)) ** 0.5
        log_p = torch.log_softmax(net(x[None]).double(), -1)[0]
        z = (float(log_p[y].exp()) - mu) / s
        b = (len(toy.forget.y) / (len(set(toy.forget.y.tolist())) * int((toy.forget.y == y).sum()))) ** tau
        total += (1 + math.copysign(math.tanh(abs(z)) ** (1 / b), z)) * -float(log_p[wrong])
    return total / len(toy.forget.y)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_the_loss_of_falw_is_that_of_random_labels_weighed(tau, memorised):
    found, net, key = first_loss(memorised, of("falw", tau=tau)())
    assert found == pytest.approx(naive_loss(memorised, net, key, tau), rel=1e-4)
    plain, _, _ = first_loss(memorised, of("random_label")())
    assert abs(found - plain) > 0.1 * plain


def check_leaves_the_forgotten_alone(contract, build, toy) -> None:
    """S far less likely than any unseen example has weight 0: only the steps on D∖S change the model."""

    def without_s() -> Method:
        method = of("falw", lr=0.05)()

        def step(net, aux, batches, i, key):
            if "retain" in batches:
                return method.step(net, aux, batches, i, key)
            return 0 * net(batches["forget"].x).sum()

        return method._replace(step=step)

    assert contract.gap(toy.edit(build).state, toy.edit(without_s).state) <= 1e-6


def test_falw_leaves_alone_what_is_forgotten_already(contract, memorised):
    unlike = Examples(memorised.forget.x, (memorised.forget.y + 1) % 3)
    # One example of each class that is known well, twice: there is no spread, and all of S is far below.
    rows = torch.tensor([int((memorised.retain.y == c).nonzero()[0]) for c in (0, 1, 2)]).repeat(2)
    alike = Examples(memorised.retain.x[rows], memorised.retain.y[rows])
    forgotten = memorised._replace(forget=unlike, validation=alike)
    p = logits(forgotten.learner, forgotten.originals, unlike.x).softmax(-1)
    unseen = logits(forgotten.learner, forgotten.originals, alike.x).softmax(-1)
    assert p[:, range(10), unlike.y].max() < 0.6 < 0.8 < unseen[:, range(6), alike.y].min()
    check_leaves_the_forgotten_alone(contract, of("falw", lr=0.05), forgotten)
    with pytest.raises(AssertionError):
        check_leaves_the_forgotten_alone(contract, of("random_label", lr=0.05), forgotten)


def test_no_gradient_goes_through_the_weight(memorised):
    """The gradient with respect to the logits is w·(p − e_{y′})/n."""
    method = of("falw")()
    _, net, key = first_loss(memorised, method)
    _, aux = method.prepare(net, memorised.given(net), key)
    x, y = memorised.forget
    leaf = net(x).detach().requires_grad_()
    known = Net(memorised.learner, State(net.params, {}), train=False, known=[(x, leaf)])
    method.step(known, aux, {"forget": Batch(x, y, torch.arange(10))}, 0, key).backward()
    labels, unseen, b = aux
    p = leaf.detach().softmax(-1)
    weight = forgetting_weight(p[range(10), y], y, unseen, b)
    expected = weight[:, None] * (p - torch.nn.functional.one_hot(labels, 3)) / 10
    torch.testing.assert_close(leaf.grad, expected, atol=1e-6, rtol=1e-4)


def test_a_negative_tau_is_refused():
    with pytest.raises(SpecError, match="tau is -1"):
        of("falw", tau=-1.0)()
