"""Methods with a target on S: bad teacher, maximum entropy, negative preference optimisation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Batch, Examples, Method, Net
from unweave.methods.contract import Plan
from unweave.methods.losses import cross_entropy
from unweave.methods.preference import negative_preference
from unweave.training.outputs import logits


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def from_uniform(toy, state: State) -> Tensor:
    """Mean KL(prediction‖uniform) on S of each model: log C less the entropy."""
    p = softmax(logits(toy.learner, state, toy.forget.x).double(), -1)
    return (math.log(p.shape[-1]) + torch.special.xlogy(p, p).sum(-1)).mean(1)


def loss_of(toy, method: Method, k: int = 0) -> tuple[float, Net, object]:
    """The loss of the first step on all of S and D∖S, of original k."""
    state = State({n: v[k] for n, v in toy.originals.params.items()}, {})
    net = Net(toy.learner, state, train=False)
    key, aux = key_tensor([3])[0], ()
    if method.prepare is not None:
        aux = method.prepare(net, toy.given(net), key)[1]
    parts = {"forget": toy.forget, "retain": toy.retain}
    batches = {name: Batch(*part, torch.arange(len(part.y))) for name, part in parts.items()}
    return float(method.step(net, aux, batches, 0, key)), net, aux


# ---- bad teacher ----


def test_bad_teacher_makes_s_ignorant_and_keeps_the_rest(contract, memorised):
    contract.check_moves(of("bad_teacher"), memorised, contract.probability_on("forget"), by=-0.3)
    contract.check_moves(of("bad_teacher"), memorised, from_uniform, by=-0.5)
    assert (contract.loss_on("retain")(memorised, memorised.edit(of("bad_teacher")).state) < 0.2).all()


def taught(weight: float) -> Method:
    """Bad teacher with another weight of S: 0 leaves the good teacher alone, 1 the bad one."""
    method = of("bad_teacher")()

    def step(net, aux, batches, i, key):
        return method.step(net, (aux[0], aux[1], torch.tensor(weight)), batches, i, key)

    return method._replace(step=step)


def test_bad_teacher_needs_both_of_its_teachers(contract, memorised):
    # At the start the student is the good teacher, which alone teaches nothing.
    with pytest.raises(AssertionError, match="did not change"):
        contract.check_changed(lambda: taught(0.0), memorised)
    away = contract.divergence_on("retain")
    both, without = (
        away(memorised, memorised.edit(build).state) for build in (of("bad_teacher"), lambda: taught(1.0))
    )
    assert (without > 1.5 * both).all()


def test_the_loss_of_bad_teacher_is_the_mean_over_s_and_its_share_of_the_rest(memorised):
    """(|S|·KL(bad‖θ) + .3·|D∖S|·0) / (|S| + .3·|D∖S|) at the original: 10 and 9 examples."""
    found, net, (bad, _, _) = loss_of(memorised, of("bad_teacher")())
    log_p, log_q = log_softmax(bad, -1), log_softmax(net(memorised.forget.x), -1)
    expected = (log_p.exp() * (log_p - log_q)).sum(-1).mean() * 10 / 19
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_the_ignorant_teacher_is_another_net_for_every_key(memorised):
    state = State({n: v[0] for n, v in memorised.originals.params.items()}, {})
    net = Net(memorised.learner, state, train=False)
    prepare = of("bad_teacher")().prepare
    one, two = (prepare(net, memorised.given(net), key)[1][0] for key in key_tensor([1, 2]))
    assert (one - two).abs().max() > 0.01
    assert one.abs().max() < 0.3 * net(memorised.forget.x).abs().max()  # a net at its start is not sure


def test_an_epoch_of_bad_teacher_is_s_and_a_share_of_the_rest():
    assert list(of("bad_teacher")().passes(Plan(2, 3, 20))) == ["both"] * (2 * (3 + 6))
    assert list(of("bad_teacher", retain_share=1.0)().passes(Plan(1, 1, 5))) == ["both"] * 6


# ---- maximum entropy ----


def test_max_entropy_guesses_on_s_by_its_first_term(contract, memorised):
    params = {"forget_weight": 1.0}
    contract.check_moves(of("max_entropy", **params), memorised, from_uniform, by=-0.3)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of("max_entropy", forget_weight=0.0), memorised, from_uniform, by=-0.3)
    contract.check_moves(of("max_entropy"), memorised, contract.loss_on("retain"), by=-1e-3)
    alone = of("max_entropy", **params, retain_weight=0.0, epochs=1.0)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(alone, memorised, contract.loss_on("retain"), by=-1e-3)


def test_max_entropy_without_its_first_term_is_finetuning(contract, memorised):
    without = memorised.edit(of("max_entropy", forget_weight=0.0, epochs=1 / 6)).state
    assert contract.gap(without, memorised.edit(of("finetune", epochs=1 / 6)).state) <= 1e-6


def check_max_entropy(build, toy) -> None:
    """The loss on S is log C − H(prediction)."""
    state = State({n: v[:1] for n, v in toy.originals.params.items()}, {})
    assert loss_of(toy, build())[0] == pytest.approx(float(from_uniform(toy, state)[0]), rel=1e-5)


def test_max_entropy_is_log_c_less_the_entropy(memorised):
    params = {"forget_weight": 1.0, "retain_weight": 0.0}
    check_max_entropy(of("max_entropy", **params), memorised)

    def swapped() -> Method:
        def step(net, aux, batches, i, key):
            return -(math.log(3) + log_softmax(net(batches["forget"].x), -1).mean(-1)).mean()

        return of("max_entropy", **params)()._replace(step=step)

    with pytest.raises(AssertionError):
        check_max_entropy(swapped, memorised)


def test_max_entropy_does_not_read_the_labels_of_s(contract, toy):
    other = toy._replace(forget=Examples(toy.forget.x, (toy.forget.y + 1) % 3))
    assert contract.same_bits(toy.edit(of("max_entropy")).state, other.edit(of("max_entropy")).state)


# ---- negative preference ----


def preference(logits: Tensor, reference: Tensor, y: Tensor) -> Tensor:
    return negative_preference(cross_entropy(logits, y), cross_entropy(reference, y), beta=0.5)


def check_preference(function) -> None:
    """(2/β)·log(1 + (p/p_o)^β) per example, of probabilities of the label."""
    p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.5, 0.25]])
    q = torch.tensor([[0.2, 0.4, 0.4], [0.4, 0.2, 0.4], [0.25, 0.5, 0.25]])
    y = torch.tensor([0, 0, 1])
    ratio = torch.tensor([2.5, 0.25, 1.0])
    expected = 4 * torch.log1p(ratio.sqrt())
    torch.testing.assert_close(function(p.log(), q.log(), y), expected, atol=1e-5, rtol=1e-5)
    shift = torch.tensor([[3.0], [-2.0], [7.0]])
    torch.testing.assert_close(function(p.log() + shift, q.log() - shift, y), expected, atol=1e-4, rtol=1e-4)


def of_raw_logits(logits: Tensor, reference: Tensor, y: Tensor) -> Tensor:
    return negative_preference(-logits.mean(-1), -reference.mean(-1), beta=0.5)


def of_the_label_s_logit(logits: Tensor, reference: Tensor, y: Tensor) -> Tensor:
    rows = torch.arange(len(y))
    return negative_preference(-logits[rows, y], -reference[rows, y], beta=0.5)


def of_a_ratio_of_losses(logits: Tensor, reference: Tensor, y: Tensor) -> Tensor:
    ratio = cross_entropy(logits, y) / cross_entropy(reference, y)
    return negative_preference(ratio.log(), torch.zeros(len(y)), beta=0.5)


def turned(logits: Tensor, reference: Tensor, y: Tensor) -> Tensor:
    return preference(reference, logits, y)


def of_the_batch(logits: Tensor, reference: Tensor, y: Tensor) -> Tensor:
    loss, before = cross_entropy(logits, y).mean(), cross_entropy(reference, y).mean()
    return negative_preference(loss, before, beta=0.5).expand(len(y))


def test_preference_is_of_log_probabilities():
    check_preference(preference)


@pytest.mark.parametrize(
    "wrong",
    [of_raw_logits, of_the_label_s_logit, of_a_ratio_of_losses, turned, of_the_batch],
    ids=lambda function: function.__name__,
)
def test_wrong_preferences_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_preference(wrong)


@given(st.floats(0, 20), st.floats(0, 20), st.floats(1e-6, 1e-4))
def test_without_beta_preference_is_ascent(loss, reference, beta):
    """∂/∂CE = −2·σ(−β·r) → −1: that of −CE."""
    at = torch.tensor(loss, dtype=torch.float64, requires_grad=True)
    negative_preference(at, torch.tensor(reference, dtype=torch.float64), beta=beta).backward()
    assert at.grad.item() == pytest.approx(-1, abs=20 * beta)


@given(st.floats(0, 8), st.floats(0, 8), st.floats(0.05, 5))
def test_preference_ebbs_as_the_label_becomes_less_likely(loss, reference, beta):
    at = torch.tensor(loss, dtype=torch.float64, requires_grad=True)
    value = negative_preference(at, torch.tensor(reference, dtype=torch.float64), beta=beta)
    value.backward()
    ratio = math.exp(reference - loss)  # p/p_o
    assert value.item() == pytest.approx(2 / beta * math.log1p(ratio**beta), rel=1e-9, abs=1e-12)
    assert at.grad.item() == pytest.approx(-2 * ratio**beta / (1 + ratio**beta), rel=1e-9)


def test_npo_without_beta_is_ascent_beside_the_retained(contract, memorised):
    """One step from the original, where r = 0, is the same for every β; many are only for β → 0."""

    def ascent() -> Method:
        def step(net, aux, batches, i, key):
            forget, retain = batches["forget"], batches["retain"]
            return cross_entropy(net(retain.x), retain.y).mean() - cross_entropy(net(forget.x), forget.y).mean()

        return of("npo")()._replace(step=step)

    moved = memorised.edit(ascent).state
    assert contract.gap(memorised.edit(of("npo", beta=1e-4)).state, moved) < 0.05 * contract.gap(
        memorised.originals, moved
    )
    assert contract.gap(memorised.edit(of("npo", beta=1.0)).state, moved) > 0.2 * contract.gap(
        memorised.originals, moved
    )


def test_npo_needs_a_beta():
    with pytest.raises(SpecError, match="beta is 0.0"):
        of("npo", beta=0.0)()


def test_npo_climbs_on_s_and_keeps_the_rest(contract, memorised):
    contract.check_moves(of("npo"), memorised, contract.probability_on("forget"), by=-0.3)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of("finetune"), memorised, contract.probability_on("forget"), by=-0.3)
    kept, left = (
        contract.loss_on("retain")(memorised, memorised.edit(of("npo", retain_weight=w)).state) for w in (1.0, 0.0)
    )
    assert (left > 3 * kept).all()


def test_npo_compares_each_example_with_itself(memorised):
    """At the original every r is 0, so the loss on S is (2/β)·log 2 whatever the order of S."""
    assert loss_of(memorised, of("npo", beta=2.0, retain_weight=0.0)())[0] == pytest.approx(math.log(2), rel=1e-5)
    method = of("npo", beta=2.0, retain_weight=0.0)()
    _, net, aux = loss_of(memorised, method)
    order = torch.tensor([7, 2, 9])
    batch = Batch(memorised.forget.x[order], memorised.forget.y[order], order)
    whole = Batch(*memorised.retain, torch.arange(30))
    found = method.step(net, aux, {"forget": batch, "retain": whole}, 0, key_tensor([3])[0])
    assert found.item() == pytest.approx(math.log(2), rel=1e-5)
