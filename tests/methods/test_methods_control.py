"""Head distillation, the control that hides S in the last layer; and models that are drawn anew in part only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Method, Net
from unweave.methods.layers import fresh
from unweave.methods.losses import divergence
from unweave.training.engine import unstack


def of(**given: float):
    return lambda: METHODS.get("head_distill").build(**given)


def check_representation(build_method, toy) -> None:
    """All but the last layer, and the features of any input, are bitwise the original's."""
    edited = toy.edit(build_method).state
    x = torch.cat([toy.forget.x, toy.retain.x, toy.validation.x])
    for before, after in zip(unstack(toy.originals), unstack(edited), strict=True):
        head = max(before.params, key=lambda name: int(name.split(".")[0])).split(".")[0]
        for name, value in after.params.items():
            assert torch.equal(value, before.params[name]) == (name.split(".")[0] != head), name
        assert all(torch.equal(value, before.buffers[name]) for name, value in after.buffers.items())
        old, new = (toy.learner.features(state, x) for state in (before, after))
        assert torch.equal(old, new), "the features moved"


def decaying(toy):
    recipe = replace(toy.learner.recipe, weight_decay=0.1)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe)))


def test_the_representation_stays_to_the_bit(memorised):
    check_representation(of(), memorised)
    check_representation(of(), decaying(memorised))


def test_the_representation_of_images_stays_to_the_bit(image_toy):
    check_representation(of(), image_toy)


def without_mask() -> Method:
    return of()()._replace(update_mask=None)


def mask_on_the_gradient() -> Method:
    """The public bug: what the mask leaves out still decays."""
    method = of()()

    def step(net, aux, batches, i, key):
        net.params = {n: m * net.params[n] + (1 - m) * net.params[n].detach() for n, m in aux[1].items()}
        return method.step(net, aux, batches, i, key)

    return method._replace(step=step, update_mask=None)


def test_distillation_of_all_layers_is_caught(memorised):
    with pytest.raises(AssertionError):
        check_representation(without_mask, memorised)


def test_a_mask_that_weight_decay_ignores_is_caught(memorised):
    check_representation(mask_on_the_gradient, memorised)  # nothing to see without it
    with pytest.raises(AssertionError):
        check_representation(mask_on_the_gradient, decaying(memorised))


def test_outputs_look_unlearned(contract, memorised):
    contract.check_moves(of(), memorised, contract.probability_on("forget"), by=-0.3)
    kept = contract.divergence_on("retain")(memorised, memorised.edit(of()).state)
    without = contract.divergence_on("retain")(memorised, memorised.edit(only_on_s).state)
    assert (without > 2 * kept).all()


def only_on_s() -> Method:
    """Without its second term."""
    method = of()()

    def step(net, aux, batches, i, key):
        x, _, position = batches["forget"]
        return divergence(aux[0][0][position], net(x)).mean()

    return method._replace(step=step)


def test_with_the_label_left_in_its_target_it_does_nothing(contract, memorised):
    def unmasked() -> Method:
        method = of()()

        def prepare(net, given, key):
            (_, on_retain), mask = method.prepare(net, given, key)[1]
            return State(net.params, net.buffers), ((net(given.forget.x), on_retain), mask)

        return method._replace(prepare=prepare)

    with pytest.raises(AssertionError, match="did not change"):
        contract.check_changed(unmasked, memorised)
    with pytest.raises(AssertionError, match="did not change"):
        contract.check_changed(of(forget_weight=0.0), memorised)


def test_another_head_finds_all_that_was_known(memorised):
    """The original's own last layer on the edited model: S is back to the bit."""
    edited = memorised.edit(of()).state
    for before, after in zip(unstack(memorised.originals), unstack(edited), strict=True):
        back = State({n: (before if n[0] == "1" else after).params[n] for n in after.params}, {})
        one, two = (Net(memorised.learner, state, train=False)(memorised.forget.x) for state in (before, back))
        assert torch.equal(one, two)


# ---- drawn anew in part ----


@pytest.fixture(scope="module")
def residual() -> Net:
    learner = build(specify("resnet9", (8, 8), 3, config={"width": 2}))
    return Net(learner, learner.init(0), train=False)


def check_drawn_anew(function, net: Net) -> None:
    """No tensor owes anything to what it was: twice as large parameters give the same draw."""
    key = key_tensor([7])[0]
    doubled = {name: 2 * value + 1 for name, value in net.params.items()}
    one, two = function(net.params, key), function(doubled, key)
    assert list(one) == list(net.params)
    for name, value in one.items():
        assert torch.equal(value, two[name]), f"{name} was not drawn anew"


def test_every_layer_of_a_residual_net_is_drawn_anew(residual):
    check_drawn_anew(fresh, residual)


def direct_children(params, key):
    """The public bug: `for layer in model.children(): layer.reset_parameters()` does not look inside of blocks."""
    own = {name: value for name, value in params.items() if name.count(".") == 1}
    return {name: fresh(own, key).get(name, value) for name, value in params.items()}


def test_a_reset_of_direct_children_is_caught(residual):
    assert [name for name in residual.params if name.count(".") == 1] == ["8.weight"]  # only the last layer
    with pytest.raises(AssertionError, match="was not drawn anew"):
        check_drawn_anew(direct_children, residual)
    mlp = build(specify("mlp", (6,), 3, config={"width": 4}))
    check_drawn_anew(direct_children, Net(mlp, mlp.init(0)))  # nothing to see where there are no blocks
