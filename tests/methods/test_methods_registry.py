"""The contract of methods over everything that is registered."""

from __future__ import annotations

import pytest
import torch

from unweave.methods import METHODS, Examples
from unweave.study.methods import DEFAULT_METHODS

NAMES = METHODS.names()
# Parameters at which a method acts on the toy, where its defaults do next to nothing on so small a set:
# F_S/F_D is at most |D|/|S| = 4 there, below the default α = 10 of ssd, and the max-pass of scrub has no
# gradient while student and teacher are one.
STRONG = {
    "gradient_ascent": {"lr": 0.05},
    "scrub": {"epochs": 1.0, "lr": 0.1, "alpha": 0.5},
    "ssd": {"alpha": 1.5},
    "neggrad_plus": {"alpha": 0.9},
}
# What nothing random enters: a closed form over whole sets, or no step at all.
WITHOUT_CHANCE = {"noop", "ssd"}
SETTINGS = [pytest.param(name, {}, id=name) for name in NAMES]
SETTINGS += [pytest.param(name, given, id=f"{name}-strong") for name, given in STRONG.items()]


def strong(name: str):
    return lambda: METHODS.get(name).build(**STRONG.get(name, {}))


def test_a_comparison_runs_every_registered_method_by_default():
    assert sorted(DEFAULT_METHODS) == sorted(NAMES)
    assert len(set(DEFAULT_METHODS)) == len(DEFAULT_METHODS)


@pytest.mark.parametrize(("name", "given"), SETTINGS)
def test_a_model_does_not_depend_on_its_stack(name, given, contract, toy):
    contract.check_stacking(lambda: METHODS.get(name).build(**given), toy)


@pytest.mark.parametrize(("name", "given"), SETTINGS)
def test_same_key_same_result(name, given, contract, toy):
    contract.check_reproducible(lambda: METHODS.get(name).build(**given), toy)


@pytest.mark.parametrize("name", NAMES)
def test_other_key_other_result(name, contract, toy):
    contract.check_keys(strong(name), toy, matter=name not in WITHOUT_CHANCE)


@pytest.mark.parametrize("name", ["gradient_ascent", "delete"])
def test_where_s_is_one_batch_the_key_matters_by_rounding_only(name, contract, toy):
    """The key orders the examples of S and nothing else, and the mean of a batch has no order."""
    small = toy._replace(forget=Examples(toy.forget.x[:8], toy.forget.y[:8]))
    first = small.edit(strong(name)).state
    other = small._replace(keys=[8, 9, 10]).edit(strong(name)).state
    assert contract.gap(first, other) <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_tensors_does_not_matter(name, contract, toy):
    """Models come back from the store with their tensors in any order."""
    params = dict(reversed(toy.originals.params.items()))
    turned = toy._replace(originals=type(toy.originals)(params, {}))
    assert contract.same_bits(toy.edit(strong(name)).state, turned.edit(strong(name)).state)


@pytest.mark.parametrize(("name", "given"), SETTINGS)
def test_originals_and_data_are_untouched(name, given, contract, toy):
    contract.check_input_untouched(lambda: METHODS.get(name).build(**given), toy)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noop"])
def test_a_method_that_acts_changes_every_model(name, contract, toy):
    contract.check_changed(strong(name), toy)


@pytest.mark.parametrize("name", NAMES)
def test_declared_identity_leaves_the_model_as_it_is(name, contract, toy):
    entry = METHODS.get(name)
    given = {**STRONG.get(name, {}), **entry.declared.identity}
    contract.check_identity(lambda: entry.build(**given), toy)


@pytest.mark.parametrize(("name", "given"), SETTINGS)
def test_finite_and_of_the_same_shapes(name, given, contract, toy):
    contract.check_finite(lambda: METHODS.get(name).build(**given), toy)


@pytest.mark.parametrize(("name", "given"), SETTINGS)
def test_cost_is_what_was_differentiated(name, given, contract, toy):
    contract.check_cost(lambda: METHODS.get(name).build(**given), toy)


# |S| = 10 (batches of 8 and 2), |D∖S| = 30 (8, 8, 8, 6); every default is 1 of 3 epochs; retraining = 90.
BY_HAND = {
    "noop": (0, 0),
    "finetune": (30, 4),
    "gradient_ascent": (10, 2),
    "neggrad_plus": (30 + 8 + 2 + 8 + 2, 4),
    "random_label": (10 + 30, 6),
    "scrub": (10 + 30, 6),
    "ssd": (10 + 30, 0),
    "delete": (10, 2),
    "l1_sparse": (30, 4),
    "salun": (10 + 10 + 30, 6),
    # 2 + ⌈.3·4⌉ steps, each with a batch of both sets.
    "bad_teacher": (30 + 8 + 2 + 8 + 2, 4),
    "cf_k": (30, 4),
    "eu_k": (30, 4),
    "npo": (30 + 8 + 2 + 8 + 2, 4),
    "max_entropy": (30 + 8 + 2 + 8 + 2, 4),
}


@pytest.mark.parametrize("name", NAMES)
def test_cost_counted_by_hand(name, toy):
    examples, steps = BY_HAND[name]
    edited = toy.edit(METHODS.get(name).build)
    assert edited.steps == steps
    assert edited.gradient_ratio == pytest.approx(examples / 90)


@pytest.mark.parametrize("name", NAMES)
def test_needs_are_what_is_read(name, contract, toy):
    contract.check_needs(strong(name), toy, METHODS.get(name).declared.needs)


@pytest.mark.parametrize("name", NAMES)
def test_empty_sets_are_refused(name, contract, toy):
    contract.check_empty_sets_refused(METHODS.get(name).build, toy)


@pytest.mark.parametrize("name", NAMES)
def test_documented_and_cited(name, contract):
    contract.check_documented(METHODS.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_more_than_one_model_may_be_the_same(name, toy):
    """Two equal originals with equal keys give equal results: nothing is drawn per place in the stack."""
    twice = toy._replace(
        originals=type(toy.originals)({n: v[[1, 1]] for n, v in toy.originals.params.items()}, {}), keys=[5, 5]
    )
    edited = twice.edit(strong(name)).state
    assert all(torch.equal(value[0], value[1]) for value in edited.params.values())
