"""Methods in a row: each begins with what the one before left, and with nothing else of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave._errors import SpecError
from unweave._random import derive
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, History, Method, chain, loop, run_assigned
from unweave.methods.contract import Rewind
from unweave.methods.meta import staged


@pytest.fixture(scope="session")
def tied(contract):
    """The small nets with example-tied dropout."""
    spec = contract.small_toy().learner.spec
    learner = build(replace(spec, config={**spec.config, "etd": 0.4, "p_gen": 0.4}))
    x, y = contract.small_toy().training[:2]
    return contract.trained_toy(learner, x, y, forget=10, keys=[11, 12], validation=Examples(x[:4], y[:4]))


def apart(one: State, other: State) -> float:
    return max((one.params[name] - value).abs().max().item() for name, value in other.params.items())


# ---- the original is what was left ----


def shift(by: float) -> Method:
    """θ ← θ + by, in one shot."""

    def prepare(net, given, key):
        return State({name: value + by for name, value in net.params.items()}, net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare)


def doubled() -> Method:
    """θ ← 2·θ_o, θ_o being the original: in two stages, the first of which goes far away."""

    def prepare(net, given, key):
        return State({name: 2 * value for name, value in given.original.params.items()}, net.buffers), ()

    return staged(shift(100.0), Method(None, 0.0, 0.0, prepare=prepare))


def test_the_original_of_a_method_is_what_the_one_before_left(toy):
    """2·(2·(w + 1) + 3): of the deployed model alone it were 2·w."""
    row = chain(shift(1.0), doubled(), shift(3.0), doubled())
    edited = toy.edit(lambda: row).state
    for name, value in toy.originals.params.items():
        torch.testing.assert_close(edited.params[name], 2 * (2 * (value + 1) + 3), rtol=1e-5, atol=1e-5)
    chained = chain(shift(1.0), chain(doubled(), shift(3.0)), doubled())
    assert apart(toy.edit(lambda: chained).state, edited) == 0


@pytest.mark.parametrize("given", [{"scale": 0.0}, {"epochs": 0.0}, {"epochs": 0.0, "scale": 0.0}])
def test_a_task_vector_of_nothing_leaves_what_was_left_before_it(toy, contract, given):
    tuned = toy.edit(METHODS.get("finetune").build).state
    row = METHODS.get("finetune then task_vector")
    edited = toy.edit(lambda: row.build(**{f"task_vector.{name}": value for name, value in given.items()})).state
    assert apart(edited, tuned) <= 1e-6 < 1e-3 < apart(tuned, toy.originals)


@pytest.mark.parametrize(
    ("before", "name"),
    [("finetune", "task_vector"), ("finetune", "baeraser"), ("finetune", "rem"), ("rem", "rem")],
)
def test_a_method_in_a_row_is_that_method_on_the_model_that_was_left(before, name, toy, contract, monkeypatch):
    """Stage k of a row has the key `stage k`; with one key for all stages all else is equal to the bit."""
    monkeypatch.setattr(loop, "derive", lambda key, *path: key if path[0] == "stage" else derive(key, *path))
    left = toy._replace(originals=toy.edit(METHODS.get(before).build).state)
    row = toy.edit(METHODS.get(f"{before} then {name}").build).state
    assert contract.same_bits(row, left.edit(METHODS.get(name).build).state)


# ---- units and momentum of the one before are gone ----


@pytest.mark.parametrize("name", ["noop", "ssd", "finetune", "rem"])
def test_rem_runs_after_any_method(name, toy):
    edited = toy.edit(METHODS.get(f"{name} then rem").build).state
    assert {n: v.shape for n, v in edited.params.items()} == {n: v.shape for n, v in toy.originals.params.items()}


def descent(epochs: float, *, carries: bool = False) -> Method:
    built = METHODS.get("finetune").build(epochs=epochs, lr=1.0)
    return built._replace(carries=carries)


def test_momentum_goes_from_stage_to_stage_and_not_from_method_to_method(toy, contract):
    one, two = descent(1.0), descent(1.0, carries=True)
    plain = toy.edit(lambda: chain(one, descent(1.0))).state
    assert contract.same_bits(toy.edit(lambda: chain(one, two)).state, plain)
    assert apart(toy.edit(lambda: staged(one, two)).state, plain) > 1e-3


def test_rem_on_tied_dropout_begins_at_rest(tied):
    """The first flush alone: with the speed of fine-tuning it would go on along that."""
    flush = METHODS.get("rem_etd").build()._replace(then=None, scaffold=False)
    tuned = METHODS.get("finetune").build(lr=1.0)
    resting = tied.edit(lambda: chain(tuned, flush._replace(carries=False))).state
    assert apart(tied.edit(lambda: chain(tuned, flush)).state, resting) == 0


def test_one_method_that_stands_twice_chooses_its_epoch_twice(toy):
    """Each goes back to its first epoch: with one choice for both the second would be undone."""
    choice = Rewind(lambda net, aux, given: net.params["1.bias"].sum() * 0, lambda then, last: then)
    tuned = METHODS.get("finetune").build(epochs=1.0)._replace(rewind=choice)
    both, one = toy.edit(lambda: chain(tuned, tuned)).state, toy.edit(lambda: tuned).state
    assert apart(both, one) > 1e-4


# ---- steps of training are taken back once ----


@pytest.mark.parametrize(
    "name",
    ["amnesiac then amnesiac", "unrolling_sgd then amnesiac", "rewind then amnesiac", "retrain then unrolling_sgd",
     "amnesiac / amnesiac by confidence", "amnesiac / noop / unrolling_sgd by shuffled"],
)  # fmt: skip
def test_what_was_taken_back_is_not_taken_back_again(name):
    with pytest.raises(SpecError, match="takes back what the history of training tells"):
        METHODS.get(name).build()


@pytest.mark.parametrize(
    "name", ["noop then amnesiac", "amnesiac then rewind", "amnesiac then finetune", "noop / amnesiac by shuffled"]
)
def test_other_rows_with_such_a_method_stay(name):
    assert METHODS.get(name).build()


def test_parts_of_s_take_no_step_back_twice(toy):
    amnesiac = METHODS.get("amnesiac").build()
    given = {"forget": toy.forget, "retain": toy.retain, "keys": toy.keys, "training": toy.training}
    scores = list(range(len(toy.forget.y)))
    with pytest.raises(SpecError, match="takes back"):
        run_assigned([amnesiac, amnesiac], toy.learner, toy.originals, scores=scores, **given)
    reads = Method(None, 0.0, 0.0, history=History(lambda params: params))
    with pytest.raises(SpecError, match="takes back"):
        run_assigned([reads, amnesiac], toy.learner, toy.originals, scores=scores, **given)
    run_assigned([amnesiac, reads], toy.learner, toy.originals, scores=scores, **given)
