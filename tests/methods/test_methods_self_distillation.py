"""Methods taught by a changed copy of the model: UNDIAL and UNDO."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, softmax

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Net
from unweave.methods.self_distillation import lowered, noised
from unweave.training.outputs import logits

_spec = spec_from_file_location("stepping", Path(__file__).with_name("stepping.py"))
stepping = module_from_spec(_spec)
_spec.loader.exec_module(stepping)


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(-1).mean()


# ---- UNDIAL ----


def test_a_lowered_label_has_smaller_odds():
    z, y = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 2, 2, 1])
    p, q = softmax(z, -1), softmax(lowered(z, y, beta=2.0), -1)
    rows = torch.arange(5)
    odds = [one[rows, y] / (1 - one[rows, y]) for one in (p, q)]
    torch.testing.assert_close(odds[1], odds[0] * torch.tensor(-2.0).exp(), atol=1e-6, rtol=1e-5)
    others = ~one_hot(y, 4).bool()
    torch.testing.assert_close(
        (q / q.sum(1, keepdim=True))[others] / (1 - q[rows, y]).repeat_interleave(3),
        p[others] / (1 - p[rows, y]).repeat_interleave(3),
    )
    assert torch.equal(lowered(z, y, beta=0.0), z)


def undial_oracle(net, toy, beta=3.0, swapped=False, target_only=False):
    _, params = stepping.double(toy)
    before = Net(toy.learner, State(params, {}), train=False)(toy.forget.x)
    target = softmax(before - beta * one_hot(toy.forget.y, 3), -1)
    f = softmax(net(toy.forget.x), -1)
    lost = kl(f, target) if swapped else kl(target, f)
    if target_only:  # cross-entropy instead: another value, the same slope
        lost = -(target * f.log()).sum(-1).mean()
    return lost + 0.5 * cross_entropy(net(toy.retain.x), toy.retain.y)


def test_undial_takes_the_step_of_its_formula(toy):
    method = of("undial", beta=3.0, retain_weight=0.5)()
    stepping.check_step(toy, method, undial_oracle)
    for wrong in ({"swapped": True}, {"beta": 0.0}, {"beta": -3.0}, {"target_only": True}):
        with pytest.raises(AssertionError):
            stepping.check_step(toy, method, lambda net, toy, wrong=wrong: undial_oracle(net, toy, **wrong))


def test_the_cross_entropy_of_the_authors_has_the_same_slope(toy):
    toy_, params = stepping.double(toy)
    slopes = []
    for target_only in (False, True):
        leaves = {name: one.requires_grad_() for name, one in stepping.moved(params, 0.3).items()}
        loss = undial_oracle(Net(toy.learner, State(leaves, {}), train=False), toy_, target_only=target_only)
        slopes.append(torch.autograd.grad(loss, list(leaves.values())))
    torch.testing.assert_close(*slopes)


def test_undial_unteaches_s_by_its_beta(contract, memorised):
    right = contract.probability_on("forget")
    contract.check_moves(of("undial"), memorised, right, by=-0.5)
    assert (contract.loss_on("retain")(memorised, memorised.edit(of("undial")).state) < 0.2).all()
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of("undial", beta=0.0), memorised, right, by=-0.5)


def test_undial_learns_its_lesson(contract, memorised):
    """A net that is taught S alone for long ends at softmax(z_o − β·onehot(y))."""
    target = lowered(
        logits(memorised.learner, memorised.originals, memorised.forget.x)[0], memorised.forget.y, beta=4.0
    )
    edited = memorised.edit(of("undial", beta=4.0, retain_weight=0.0, epochs=1.5, lr=1.0)).state
    found = softmax(logits(memorised.learner, edited, memorised.forget.x)[0], -1)
    torch.testing.assert_close(found, softmax(target, -1), atol=0.05, rtol=0)


def test_a_label_is_not_raised():
    with pytest.raises(SpecError, match="beta is -1"):
        of("undial", beta=-1.0)()


# ---- UNDO ----


@pytest.fixture(scope="module")
def params():
    return build(specify("mlp", (400,), 100, config={"width": 300})).init(1).params


def test_noise_has_the_law_and_the_share_it_says(params):
    key = key_tensor([5])[0]
    found, bare = noised(params, key, share=0.3, scale=0.5), noised(params, key, share=1.0, scale=1.0)
    for name, value in params.items():
        torch.testing.assert_close(found[name], 0.7 * value + 0.3 * 0.5 * bare[name])
        if name.endswith("bias"):
            assert not bare[name].any()
            continue
        bound = (6 / sum(value.shape)) ** 0.5
        quartiles = torch.quantile(bare[name].flatten()[:100_000], torch.tensor([0.25, 0.5, 0.75])) / bound
        torch.testing.assert_close(quartiles, torch.tensor([-0.5, 0.0, 0.5]), atol=0.02, rtol=0)
        assert 0.95 * bound < bare[name].abs().max() <= bound
    assert all(
        torch.equal(value, params[name]) for name, value in noised(params, key, share=0.0, scale=1.0).items()
    )
    again = noised(dict(reversed(params.items())), key, share=0.3, scale=0.5)
    assert all(torch.equal(again[name], value) for name, value in found.items())
    other = noised(params, key_tensor([6])[0], share=1.0, scale=1.0)
    assert not torch.equal(other["0.weight"], bare["0.weight"])


def test_kernels_are_drawn_by_their_whole_fans():
    bare = noised({"a": torch.zeros(40, 30, 3, 3)}, key_tensor([5])[0], share=1.0, scale=1.0)["a"]
    assert bare.abs().max() == pytest.approx((6 / (9 * 70)) ** 0.5, rel=0.01)


def student(method):
    """The second stage of `undo`."""
    assert method.then is not None and method.then.then is None
    return method.then


def undo_oracle(net, toy, swapped=False, labels=False):
    _, params = stepping.double(toy)
    teacher = Net(toy.learner, State(params, {}), train=False)
    total = 0.0
    for part in (toy.forget, toy.retain):
        p, q = softmax(teacher(part.x), -1), softmax(net(part.x), -1)
        total = total + (cross_entropy(net(part.x), part.y) if labels else kl(q, p) if swapped else kl(p, q)) / 2
    return total


def test_the_student_takes_the_step_of_its_formula(toy):
    method = student(of("undo")())
    stepping.check_step(toy, method, undo_oracle)
    for wrong in ({"swapped": True}, {"labels": True}):
        with pytest.raises(AssertionError):
            stepping.check_step(toy, method, lambda net, toy, wrong=wrong: undo_oracle(net, toy, **wrong))


def test_without_noise_the_student_is_its_teacher(contract, memorised):
    teacher = memorised.edit(of("max_entropy")).state
    assert contract.gap(memorised.edit(of("undo", alpha=0.0)).state, teacher) <= 1e-4
    assert contract.gap(memorised.edit(of("undo")).state, teacher) > 0.1


def test_with_noise_alone_nothing_of_the_parameters_is_passed_on(memorised):
    starts = []
    for k in (0, 1):
        net = Net(
            memorised.learner, State({n: v[k] for n, v in memorised.originals.params.items()}, {}), train=False
        )
        prepared = [
            student(of("undo", alpha=a)()).prepare(net, memorised.given(net), key_tensor([7])[0])
            for a in (1.0, 0.5)
        ]
        starts.append([state.params["0.weight"] for state, _ in prepared])
    assert torch.equal(starts[0][0], starts[1][0]) and not torch.equal(starts[0][1], starts[1][1])


def test_the_student_is_taught_what_the_teacher_says_and_not_what_the_labels_say(contract, memorised):
    """S is guessed at by the teacher; its student, from half its weights, guesses as well and knows the rest."""
    given = {"forget_weight": 1.0, "unlearn_epochs": 0.25, "epochs": 0.25}
    right, loss = contract.probability_on("forget"), contract.loss_on("retain")
    contract.check_moves(of("undo", **given), memorised, right, by=-0.3)
    teacher = memorised.edit(of("max_entropy", forget_weight=1.0, epochs=0.25)).state
    edited = memorised.edit(of("undo", **given)).state
    untaught = memorised.edit(of("undo", **{**given, "epochs": 0.0})).state
    assert ((right(memorised, edited) - right(memorised, teacher)).abs() < 0.15).all()
    assert (loss(memorised, edited) < 0.5 * loss(memorised, untaught)).all()

    def of_labels():
        method = of("undo", **given)()

        def step(net, aux, batches, i, key):
            return sum(cross_entropy(net(one.x), one.y) for one in batches.values()) / 2

        return method._replace(then=method.then._replace(step=step))

    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of_labels, memorised, right, by=-0.3)


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_a_share_of_noise_is_a_share(alpha):
    with pytest.raises(SpecError, match="alpha is"):
        of("undo", alpha=alpha)()
