"""The contract of methods over everything that is registered."""

from __future__ import annotations

import pytest
import torch

from unweave.methods import METHODS, Examples
from unweave.study.methods import DEFAULT_METHODS

NAMES = METHODS.names()


@pytest.fixture(params=NAMES)
def strong(request, known):
    """A way to build each method at parameters at which it acts on the toy."""
    return lambda: METHODS.get(request.param).build(**known[request.param].strong)


def test_everything_is_known_of_every_method(known):
    assert sorted(known) == sorted(NAMES)


def test_a_comparison_runs_registered_methods_by_default():
    assert set(DEFAULT_METHODS) <= set(NAMES)
    assert len(set(DEFAULT_METHODS)) == len(DEFAULT_METHODS)


def test_a_model_does_not_depend_on_its_stack(setting, contract, toy):
    contract.check_stacking(setting, toy)


def test_same_key_same_result(setting, contract, toy):
    contract.check_reproducible(setting, toy)


@pytest.mark.parametrize("name", NAMES)
def test_other_key_other_result(name, known, contract, toy):
    contract.check_keys(lambda: METHODS.get(name).build(**known[name].strong), toy, matter=known[name].chance)


@pytest.mark.parametrize("name", ["gradient_ascent", "delete"])
def test_where_s_is_one_batch_the_key_matters_by_rounding_only(name, known, contract, toy):
    """The key orders the examples of S and nothing else, and the mean of a batch has no order."""
    small = toy._replace(forget=Examples(toy.forget.x[:8], toy.forget.y[:8]))
    first, other = (
        one.edit(lambda: METHODS.get(name).build(**known[name].strong)).state
        for one in (small, small._replace(keys=[8, 9, 10]))
    )
    assert contract.gap(first, other) <= 1e-6


def test_the_order_of_the_tensors_does_not_matter(strong, contract, toy):
    """Models come back from the store with their tensors in any order."""
    params = dict(reversed(toy.originals.params.items()))
    turned = toy._replace(originals=type(toy.originals)(params, {}))
    assert contract.same_bits(toy.edit(strong).state, turned.edit(strong).state)


def test_originals_and_data_are_untouched_and_all_is_finite(setting, contract, toy):
    contract.hold_finite(toy, contract.check_input_untouched(setting, toy))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noop"])
def test_a_method_that_acts_changes_every_model(name, known, contract, toy):
    contract.check_changed(lambda: METHODS.get(name).build(**known[name].strong), toy)


@pytest.mark.parametrize("name", [name for name in NAMES if "original" in METHODS.get(name).declared.needs])
def test_declared_identity_leaves_the_model_as_it_is(name, known, contract, toy):
    entry = METHODS.get(name)
    given = {**known[name].strong, **entry.declared.identity}
    contract.check_identity(lambda: entry.build(**given), toy)


def test_cost_is_what_was_differentiated(setting, contract, toy):
    contract.check_cost(setting, toy)


@pytest.mark.parametrize("name", NAMES)
def test_cost_counted_by_hand(name, known, toy):
    edited = toy.edit(METHODS.get(name).build)
    assert edited.steps == known[name].steps
    assert edited.gradient_ratio == pytest.approx(known[name].examples / 90)  # retraining: 3 epochs of 30


@pytest.mark.parametrize("name", NAMES)
def test_needs_are_what_is_read(name, known, contract, toy):
    declared = METHODS.get(name).declared
    contract.check_needs(lambda: METHODS.get(name).build(**known[name].strong), toy, declared.needs)


@pytest.mark.parametrize("name", NAMES)
def test_answers_of_several_tokens_are_known_as_declared_or_refused(name, known, contract, toy):
    several = METHODS.get(name).declared.several
    contract.check_several(lambda: METHODS.get(name).build(**known[name].strong), toy, several=several)


@pytest.mark.parametrize("name", NAMES)
def test_empty_sets_are_refused(name, contract, toy):
    contract.check_empty_sets_refused(METHODS.get(name).build, toy)


@pytest.mark.parametrize("name", NAMES)
def test_documented_and_cited(name, contract):
    contract.check_documented(METHODS.get(name))


def test_more_than_one_model_may_be_the_same(strong, toy):
    """Two equal originals with equal keys give equal results: nothing is drawn per place in the stack."""
    params = {n: v[[1, 1]] for n, v in toy.originals.params.items()}
    training = toy.training._replace(keys=[toy.training.keys[1]] * 2)
    twice = toy._replace(originals=type(toy.originals)(params, {}), keys=[5, 5], training=training)
    edited = twice.edit(strong)
    assert all(torch.equal(value[0], value[1]) for value in edited.state.params.values())


def test_what_a_method_keeps_it_keeps_under_weight_decay(strong, contract, toy):
    contract.check_decay(strong, toy)


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS.get(name).declared.authors_aim])
def test_no_method_teaches_s_again(name, known, contract, memorised):
    contract.check_forgets(lambda: METHODS.get(name).build(**known[name].strong), memorised)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_can_be_named_in_a_spec(name, contract):
    contract.check_parameters(METHODS.get(name))
