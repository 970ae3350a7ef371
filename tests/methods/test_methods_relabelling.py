"""Noise for the labels of S, nearest wrong classes and a shadow class: known answers, and bugs that are caught."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, linear, relu

from unweave._errors import ApplicabilityError, SpecError
from unweave._random import derive
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import fold_in, key_tensor
from unweave.methods import METHODS, Batch, Examples, Given, Method, Net
from unweave.methods.relabelling import error_maximising_noise, nearest_wrong_class
from unweave.training.engine import unstack


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**{key: float(value) for key, value in given.items()})


def recipe(toy, **changes):
    changed = replace(toy.learner.recipe, **changes)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=changed)))


def net_of(toy, k: int = 0) -> Net:
    return Net(toy.learner, unstack(toy.originals)[k], train=False)


def logits_of(params, x):
    hidden = relu(linear(x, params["0.weight"], params["0.bias"]))
    return linear(hidden, params["1.weight"], params["1.bias"])


def prepared(method: Method, toy, k: int = 0):
    net = net_of(toy, k)
    return method.prepare(net, toy.given(net), key_tensor([9])[0])[1]


# ---- UNSIR: the noise ----


def check_noise(function, toy) -> None:
    """What Adam of torch makes of the same start, on −CE + w·‖N‖² of each input."""
    net, y = net_of(toy), toy.forget.y
    centre, unit = torch.linspace(-1, 1, 6), torch.linspace(0.5, 2, 6)
    start = torch.randn(10, 6, generator=torch.Generator().manual_seed(3))
    noise = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([noise], lr=0.1)
    for _ in range(40):
        optimiser.zero_grad()
        loss = cross_entropy(logits_of(net.params, centre + unit * noise), y, reduction="sum")
        (0.1 * noise.square().sum() - loss).backward()
        optimiser.step()
    found = function(net, start, y, centre=centre, unit=unit, steps=40, lr=0.1, penalty=0.1)
    torch.testing.assert_close(found, centre + unit * noise.detach(), atol=1e-3, rtol=1e-3)


def test_noise_maximises_the_error_as_adam_of_torch_would(toy):
    check_noise(error_maximising_noise, toy)


def test_noise_that_is_left_or_free_or_minimises_is_caught(toy):
    def left(*given, steps, **rest):
        return error_maximising_noise(*given, steps=0, **rest)

    def free(*given, penalty, **rest):
        return error_maximising_noise(*given, penalty=0.0, **rest)

    def of_other_labels(net, noise, y, **rest):
        return error_maximising_noise(net, noise, torch.zeros_like(y), **rest)

    for wrong in (left, free, of_other_labels):
        with pytest.raises(AssertionError):
            check_noise(wrong, toy)


def test_noise_on_a_linear_model_ends_where_the_gradient_of_the_error_is_that_of_its_length():
    """∂CE/∂N = Wᵀ(p − e_y) = 2·w·N at the end: the error pulls outwards as hard as the penalty pulls back."""
    learner = build(specify("softmax", (4,), 3))
    state = learner.init(5)
    y, start = torch.tensor([0, 1, 2]), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    units = {"centre": torch.zeros(4), "unit": torch.ones(4)}
    net = Net(learner, state, train=False)
    end = error_maximising_noise(net, start, y, **units, steps=600, lr=0.02, penalty=0.1)
    p = net(end).softmax(-1) - torch.eye(3)[y]
    torch.testing.assert_close(p @ state.params["0.weight"], 0.2 * end, atol=2e-3, rtol=0)
    assert not torch.allclose(end, start, atol=0.1)


def test_noise_errs_more_than_where_it_started(toy):
    """Each gains in CE − w·‖N‖², some at the cost of a smaller error."""
    centre, unit = toy.retain.x.mean(0), toy.retain.x.std(0, correction=0)
    for k in range(3):
        errors, gains = [], []
        for steps in (0, 40):
            noise = prepared(of("unsir", noise_steps=steps)(), toy, k)
            errors.append(cross_entropy(net_of(toy, k)(noise), toy.forget.y, reduction="none"))
            gains.append(errors[-1] - 0.1 * ((noise - centre) / unit).square().sum(1))
        assert (gains[1] > gains[0]).all() and errors[1].mean() > errors[0].mean() + 0.5


def test_noise_counts_in_the_units_of_what_is_retained(toy, image_toy):
    wide = Examples(toy.retain.x * torch.tensor([1.0, 5, 1, 1, 1, 0]) + 3, toy.retain.y)
    noise = prepared(of("unsir", noise_steps=0)(), toy._replace(retain=wide))
    assert noise[:, 1].std() > 2.5 * noise[:, 0].std() and (noise[:, 5] == 3).all()
    # Two examples differ: each has noise of its own.
    assert len({tuple(row.tolist()) for row in noise}) == 10
    pixels = prepared(of("unsir", noise_steps=0)(), image_toy)
    assert pixels.shape == image_toy.forget.x.shape
    assert pixels.mean().item() == pytest.approx(image_toy.retain.x.mean().item(), abs=0.1)
    assert pixels.std().item() == pytest.approx(image_toy.retain.x.std().item(), rel=0.15)


# ---- UNSIR: impair and repair ----


def check_impaired(method: Method, toy) -> None:
    """CE over the union of noise, labelled as S is, and of D∖S: each of b + b′ examples counts the same."""
    noise, net = prepared(method, toy), net_of(toy)
    order = torch.tensor([7, 2, 9])
    forget, retain = (Batch(part.x[order], part.y[order], order) for part in (toy.forget, toy.retain))
    retain = Batch(toy.retain.x[:5], toy.retain.y[:5], torch.arange(5))
    found = method.step(net, noise, {"forget": forget, "retain": retain}, 0, key_tensor([3])[0])
    sums = [
        cross_entropy(logits_of(net.params, x), y, reduction="sum")
        for x, y in ((noise[order], forget.y), retain[:2])
    ]
    assert found.item() == pytest.approx((sum(sums) / 8).item(), rel=1e-5)


def test_noise_is_taught_the_labels_of_s_beside_the_retained(toy):
    check_impaired(of("unsir")(), toy)


def test_noise_with_one_label_or_without_the_retained_or_s_itself_is_caught(toy):
    """The first is the bug of the official notebook, where the noise of every class is labelled 0."""
    method = of("unsir")()

    def labelled_0(net, aux, batches, i, key):
        x, y, position = batches["forget"]
        return method.step(net, aux, {**batches, "forget": Batch(x, torch.zeros_like(y), position)}, i, key)

    def alone(net, aux, batches, i, key):
        x, y, position = batches["forget"]
        return cross_entropy(net(aux[position]), y)

    def s_itself(net, aux, batches, i, key):
        return method.step(
            net,
            torch.zeros_like(aux).index_copy(0, batches["forget"].position, batches["forget"].x),
            batches,
            i,
            key,
        )

    assert (toy.forget.y[[7, 2, 9]] != 0).any()
    for wrong in (labelled_0, alone, s_itself):
        with pytest.raises(AssertionError):
            check_impaired(method._replace(step=wrong), toy)


def test_features_of_s_are_never_read_and_its_labels_are(contract, toy):
    first = toy.edit(of("unsir")).state
    blank = toy._replace(forget=Examples(torch.zeros_like(toy.forget.x), toy.forget.y))
    assert contract.same_bits(first, blank.edit(of("unsir")).state)
    other = toy._replace(forget=Examples(toy.forget.x, (toy.forget.y + 1) % 3))
    assert contract.gap(first, other.edit(of("unsir")).state) > 1e-3


def test_repair_is_a_stage_on_the_retained(contract, memorised):
    gentle = {"lr": 0.3, "repair_lr": 0.1}
    loss = contract.loss_on("retain")
    impaired = memorised.edit(lambda: of("unsir", **gentle)()._replace(then=None))
    whole = memorised.edit(of("unsir", **gentle))
    assert whole.steps == 2 * impaired.steps == 16  # an epoch of 60 is 2 of them, and has 4 batches
    assert (loss(memorised, whole.state) < loss(memorised, impaired.state)).all()


def test_noise_unteaches_what_was_learned_by_heart(contract, memorised):
    known = contract.probability_on("forget")
    contract.check_moves(of("unsir"), memorised, known, by=-0.3)


@pytest.mark.parametrize("steps", [-1.0, 2.5])
def test_steps_are_whole(steps):
    with pytest.raises(SpecError, match="noise_steps"):
        of("unsir", noise_steps=steps)()


# ---- boundary shrink ----


def check_pushed(function) -> None:
    """Logits 2, 1 + x₁ and ½ + 4·x₂ of classes 0, 1, 2, at x = 0 with label 0.

    ∂CE/∂x = p₁·(1, 0) + p₂·(0, 4) is positive in both features: the push is upwards by ε times the range 2.
    Unpushed class 1 is next; from ε = 1/12 on class 2 is, as ½ + 8ε > 1 + 2ε. An example at x₂ = 1, of label 2,
    is its own class for a small ε, and then class 0 is next; at ε = 0 too.
    """
    learner = build(specify("softmax", (2,), 3))
    weight, bias = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]]), torch.tensor([2.0, 1.0, 0.5])
    net = Net(learner, State({"0.weight": weight, "0.bias": bias}, {}), train=False)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    y = torch.tensor([0, 2, 0, 0])
    found = {bound: function(net, Examples(x, y), bound=bound).tolist() for bound in (0.0, 0.05, 0.1)}
    assert found[0.0][:2] == [1, 0] and found[0.05][:2] == [1, 0] and found[0.1][:2] == [2, 0]
    assert all(label != wrong for row in found.values() for label, wrong in zip(y.tolist(), row, strict=True))


def test_the_nearest_wrong_class_is_beyond_the_boundary_that_the_push_comes_to():
    check_pushed(nearest_wrong_class)


def signs(net, examples):
    x = examples.x.clone().requires_grad_()
    cross_entropy(net(x), examples.y).backward()
    return x.grad.sign()


def keeping_the_label(net, examples, *, bound):
    """As in the official code: the class of the pushed input, be it the label itself."""
    return net(examples.x + 2 * bound * signs(net, examples)).argmax(1)


def without_a_push(net, examples, *, bound):
    return net(examples.x).scatter(1, examples.y[:, None], float("-inf")).argmax(1)


def pushed_towards(net, examples, *, bound):
    pushed = net(examples.x - 2 * bound * signs(net, examples))
    return pushed.scatter(1, examples.y[:, None], float("-inf")).argmax(1)


@pytest.mark.parametrize("wrong", [keeping_the_label, without_a_push, pushed_towards], ids=lambda f: f.__name__)
def test_wrong_nearest_classes_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_pushed(wrong)


def test_the_push_ends_at_the_range_of_the_features(toy):
    """As far as it may go every feature stands at one end of its range."""
    net, (x, y) = net_of(toy), toy.forget
    sign = signs(net, toy.forget)
    ends = torch.where(sign > 0, x.amax(0), torch.where(sign < 0, x.amin(0), x))
    expected = net(ends).scatter(1, y[:, None], float("-inf")).argmax(1)
    assert torch.equal(nearest_wrong_class(net, toy.forget, bound=5.0), expected)


def on_s(toy, params, labels, *, steps, rate, momentum, decay=0.0, logits=logits_of):
    """SGD of torch on all of S at once."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    optimiser = torch.optim.SGD(leaves.values(), lr=rate, momentum=momentum, weight_decay=decay)
    for _ in range(steps):
        optimiser.zero_grad()
        cross_entropy(logits(leaves, toy.forget.x), labels).backward()
        optimiser.step()
    return {name: value.detach() for name, value in leaves.items()}


@pytest.fixture
def one_batch(toy):
    """S in one batch, whose order does not matter; weight decay and momentum."""
    small = toy._replace(forget=Examples(toy.forget.x[:8], toy.forget.y[:8]))
    return recipe(small, weight_decay=0.05, momentum=0.8)


def check_shrunk(method: Method, toy) -> None:
    """SGD of torch on S with the nearest wrong classes."""
    edited = toy.edit(lambda: method).state
    for k in range(3):
        net = net_of(toy, k)
        labels = nearest_wrong_class(net, toy.forget, bound=0.1)
        assert (labels != toy.forget.y).all()
        expected = on_s(toy, net.params, labels, steps=6, rate=0.15, momentum=0.8, decay=0.05)
        for name, value in expected.items():
            torch.testing.assert_close(edited.params[name][k], value, atol=1e-5, rtol=1e-4)


def test_s_is_taught_its_nearest_wrong_classes(one_batch):
    check_shrunk(of("boundary_shrink", epochs=2, lr=0.5)(), one_batch)


def test_shrinking_with_true_labels_is_caught(contract, memorised, one_batch):
    def true(net, given, key):
        return State(net.params, net.buffers), given.forget.y + 0

    with pytest.raises(AssertionError):
        check_shrunk(of("boundary_shrink", epochs=2, lr=0.5)()._replace(prepare=true), one_batch)
    known = contract.probability_on("forget")
    contract.check_moves(of("boundary_shrink"), memorised, known, by=-0.3)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(lambda: of("boundary_shrink")()._replace(prepare=true), memorised, known, by=-0.3)


def test_a_bound_is_no_negative_number():
    with pytest.raises(SpecError, match="bound"):
        of("boundary_shrink", bound=-0.1)()


# ---- boundary expand ----


def widened(params, x):
    hidden = relu(linear(x, params["0.weight"], params["0.bias"]))
    weight, bias = (torch.cat([params[f"1.{part}"], params[part]]) for part in ("weight", "bias"))
    return linear(hidden, weight, bias)


def check_expanded(method: Method, toy) -> None:
    """SGD of torch on a net with four outputs for three classes, all of S in the fourth; then its first three."""
    edited, shadow = toy.edit(lambda: method).state, torch.full((8,), 3)
    for k, key in enumerate(toy.keys):
        net = net_of(toy, k)
        noise = fold_in(key_tensor([derive(key, "method noise")]), -1)[0]
        row = METHODS.get("boundary_expand").build().prepare(net, toy.given(net), noise)[1][1]
        assert row["weight"].shape == (1, 8) and row["weight"].abs().max() <= 8**-0.5
        start = net.params | row
        expected = on_s(toy, start, shadow, steps=6, rate=0.3, momentum=0.8, decay=0.05, logits=widened)
        assert (expected["weight"] - row["weight"]).abs().max() > 0.01
        for name in net.params:
            torch.testing.assert_close(edited.params[name][k], expected[name], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("way", ["by hand", "stacked", "one by one"])
def test_s_moves_into_a_class_of_its_own(way, one_batch):
    if way != "by hand":
        one_batch = one_batch._replace(learner=replace(one_batch.learner, dense=None, stacked=way == "stacked"))
    check_expanded(of("boundary_expand", epochs=2, lr=1)(), one_batch)


def test_a_shadow_that_stands_still_or_is_ahead_or_alone_is_caught(one_batch):
    method = of("boundary_expand", epochs=2, lr=1)()

    def ahead(net, aux, batches, i, key):
        return method.step(net, (aux[1], aux[1], aux[2]), batches, i, key)

    def alone(net, aux, batches, i, key):
        net.params = {name: value.detach() for name, value in net.params.items()}
        return method.step(net, aux, batches, i, key)

    def among_the_true(net, aux, batches, i, key):
        return cross_entropy(net(batches["forget"].x), batches["forget"].y)

    for wrong in (
        method._replace(respond=None),
        method._replace(step=ahead),
        method._replace(step=alone),
        method._replace(step=among_the_true),
    ):
        with pytest.raises(AssertionError):
            check_expanded(wrong, one_batch)


def test_expanding_unteaches_s_and_reads_no_label(contract, memorised, toy):
    contract.check_moves(of("boundary_expand"), memorised, contract.probability_on("forget"), by=-0.1)
    other = toy._replace(forget=Examples(toy.forget.x, (toy.forget.y + 1) % 3))
    first, second = (one.edit(of("boundary_expand")).state for one in (toy, other))
    assert contract.same_bits(first, second)


def test_a_last_layer_of_another_kind_is_refused(toy):
    net, entry = net_of(toy), METHODS.get("boundary_expand")
    key = key_tensor([1])[0]
    more = Net(replace(toy.learner, spec=replace(toy.learner.spec, classes=5)), State(net.params, {}), train=False)
    named = {**net.params, "1.scale": torch.ones(3)}
    other = Net(toy.learner, State(named, {}), train=False)
    for wrong in (more, other):
        with pytest.raises(ApplicabilityError, match="last layer"):
            entry.build().prepare(wrong, Given(toy.forget, toy.retain, State(net.params, {})), key)
