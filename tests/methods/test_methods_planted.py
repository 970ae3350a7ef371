"""Wrong methods as they are found in public code, and the check that catches each of them."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._errors import DivergedError
from unweave.learners import Recipe
from unweave.learners.contract import State
from unweave.methods import METHODS, Method
from unweave.methods.contract import Plan, forget_pass, retain_pass

_spec = spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
wrong = module_from_spec(_spec)
_spec.loader.exec_module(wrong)


@pytest.fixture(scope="module")
def decaying(toy):
    """The toy with weight decay."""
    recipe = replace(toy.learner.recipe, weight_decay=0.1)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe)))


def test_the_right_toy_passes_what_the_wrong_ones_fail(contract, toy):
    contract.check_stacking(wrong.finetune, toy)
    contract.check_reproducible(wrong.finetune, toy)
    contract.check_keys(wrong.finetune, toy, matter=True)
    contract.check_input_untouched(wrong.finetune, toy)
    contract.check_changed(wrong.finetune, toy)
    contract.check_finite(wrong.finetune, toy)
    contract.check_cost(wrong.finetune, toy)
    contract.check_needs(wrong.finetune, toy, frozenset({"original", "retain"}))


# ---- teachers ----


def test_a_teacher_that_is_the_student_is_caught(contract, memorised):
    contract.check_moves(
        lambda: METHODS.get("scrub").build(epochs=1 / 6, lr=0.1),
        memorised,
        contract.divergence_on("forget"),
        by=0.5,
    )
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(wrong.scrub_taught_by_itself, memorised, contract.divergence_on("forget"), by=0.5)


def test_a_teacher_optimised_in_place_of_the_student_is_caught(contract, memorised):
    with pytest.raises(AssertionError, match="did not change"):
        contract.check_changed(wrong.scrub_that_optimises_its_teacher, memorised)


# ---- methods that do nothing, the opposite, or too much ----


def test_a_method_that_changes_nothing_is_caught(contract, toy):
    def idle() -> Method:
        return wrong.finetune(lambda net, aux, batches, i, key: 0 * wrong.on_retain(net, aux, batches, i, key))

    with pytest.raises(AssertionError, match="model 0 did not change"):
        contract.check_changed(idle, toy)


def test_an_approximate_method_that_descends_on_s_is_caught(contract, memorised):
    def descends() -> Method:
        def step(net, aux, batches, i, key):
            return cross_entropy(net(batches["forget"].x), batches["forget"].y)

        return Method(step, 1 / 3, 0.05, passes=forget_pass)

    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(descends, memorised, contract.loss_on("forget"), by=0.02)


def test_a_method_that_reads_more_than_it_declares_is_caught(contract, toy):
    with pytest.raises(AssertionError, match="retain: not as declared"):
        contract.check_needs(wrong.finetune, toy, frozenset({"original"}))
    with pytest.raises(AssertionError, match="forget: not as declared"):
        contract.check_needs(wrong.finetune, toy, frozenset({"original", "forget", "retain"}))


def test_a_method_that_hides_its_cost_is_caught(contract, toy):
    def hides() -> Method:
        method = METHODS.get("ssd").build()
        asked: list[int] = []

        def cost(n_forget, n_retain):
            asked.append(n_forget)
            return 0 if len(asked) == 1 else n_forget + n_retain

        return method._replace(prepare_cost=cost)

    once = hides()
    with pytest.raises(AssertionError):
        contract.check_cost(lambda: once, toy)


# ---- what must stay as it is ----


def test_a_method_that_edits_its_input_is_caught(contract, toy):
    victim = toy._replace(originals=contract.copied(toy.originals))
    with pytest.raises(AssertionError, match="originals were changed in place"):
        contract.check_input_untouched(wrong.edits_in_place, victim)


def test_a_method_that_edits_the_data_is_caught(contract, toy):
    def prepare(net, given, key):
        given.forget.y.zero_()
        return State(net.params, net.buffers), ()

    forget = type(toy.forget)(toy.forget.x.clone(), toy.forget.y.clone())
    with pytest.raises(AssertionError, match="data were changed in place"):
        contract.check_input_untouched(lambda: wrong.finetune(prepare=prepare), toy._replace(forget=forget))


def test_a_mask_freezes_whatever_weight_decay_does(contract, toy, decaying):
    contract.check_mask_freezes(wrong.masked_update, toy, wrong.frozen)
    contract.check_mask_freezes(wrong.masked_update, decaying, wrong.frozen)


def test_a_mask_on_the_gradient_is_caught_once_there_is_weight_decay(contract, toy, decaying):
    contract.check_mask_freezes(wrong.masked_gradient, toy, wrong.frozen)  # nothing to see without it
    with pytest.raises(AssertionError, match="moved"):
        contract.check_mask_freezes(wrong.masked_gradient, decaying, wrong.frozen)


def test_a_mask_of_ones_is_no_mask(contract, decaying):
    ones = wrong.masked_update()._replace(
        update_mask=lambda aux: {name: torch.ones_like(value) for name, value in aux.items()}
    )
    assert contract.same_bits(decaying.edit(lambda: ones).state, decaying.edit(wrong.finetune).state)


# ---- randomness ----


def test_noise_of_a_global_generator_drawn_in_the_factory_is_caught(contract, toy):
    def build() -> Method:
        weight = torch.rand(6)  # with each build another

        def step(net, aux, batches, i, key):
            return cross_entropy(net(batches["retain"].x * weight), batches["retain"].y)

        return wrong.finetune(step)

    with pytest.raises(AssertionError, match="same key gives another result"):
        contract.check_reproducible(build, toy)


def test_noise_of_a_global_generator_drawn_in_a_step_is_caught(contract, toy):
    def step(net, aux, batches, i, key):
        noise = float(np.random.rand())
        return noise * wrong.on_retain(net, aux, batches, i, key)

    with pytest.raises(AssertionError, match="same key gives another result"):
        contract.check_reproducible(lambda: wrong.finetune(step), toy)
    with pytest.raises(AssertionError, match="depends on the stack"):
        contract.check_stacking(lambda: wrong.finetune(step), toy)


def test_noise_of_torch_drawn_in_a_step_is_refused(toy):
    def step(net, aux, batches, i, key):
        x = batches["retain"].x
        return cross_entropy(net(x + torch.randn_like(x)), batches["retain"].y)

    with pytest.raises(RuntimeError, match="random"):
        toy.edit(lambda: wrong.finetune(step))


def test_a_method_that_ignores_its_key_is_caught(contract, toy):
    whole = Plan(1, 1, 1)

    def step(net, aux, batches, i, key):
        return cross_entropy(net(aux[0]), aux[1])

    def build() -> Method:
        return Method(
            step,
            1 / 3,
            0.1,
            prepare=lambda net, given, key: (
                State(net.params, net.buffers),
                (given.retain.x + 0, given.retain.y + 0),
            ),
            passes=lambda plan: retain_pass(whole),
        )

    with pytest.raises(AssertionError, match="keys do not matter"):
        contract.check_keys(build, toy, matter=True)


# ---- models that are no longer models ----


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_model_that_is_not_finite_is_an_error_with_a_remedy(value, toy):
    def step(net, aux, batches, i, key):
        return value * wrong.on_retain(net, aux, batches, i, key)

    with pytest.raises(DivergedError, match="3 of 3 models is not finite.*smaller `lr`"):
        toy.edit(lambda: wrong.finetune(step))


def test_one_diverged_model_of_three_is_enough(toy):
    originals = State({name: value.clone() for name, value in toy.originals.params.items()}, {})
    originals.params["1.bias"][1] = torch.nan
    with pytest.raises(DivergedError, match="1 of 3"):
        toy._replace(originals=originals).edit(METHODS.get("noop").build)


def test_ascent_at_a_large_rate_diverges_with_an_error(toy):
    recipe = Recipe(lr=1e30, epochs=30, batch_size=8)
    learner = replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe))
    with pytest.raises(DivergedError):
        toy._replace(learner=learner).edit(lambda: METHODS.get("gradient_ascent").build(epochs=1.0, lr=1.0))
