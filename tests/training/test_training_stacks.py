"""A replica depends on its key and its rows alone: not on the stack, the order of rows, or a global state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from unweave._random import derive
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.training import lift
from unweave.training.batches import epoch_orders
from unweave.training.engine import inputs_first, many, stack, take, unstack
from unweave.training.lift import gradient
from unweave.training.loop import fit
from unweave.training.outputs import logits, one_thread

KEYS = [derive(0, "replica", k) for k in range(8)]


def rows_of(n: int, size: int) -> list[np.ndarray]:
    return [np.random.default_rng(k).choice(n, size, replace=False) for k in range(8)]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_result_is_the_same_to_the_bit_in_chunks_of_any_size(by_hand, depth, toy_data, toy_learner):
    learner, (x, y), rows = toy_learner(depth, weight_decay=1e-3), toy_data(30), rows_of(30, 21)
    if not by_hand:
        learner = replace(learner, dense=None)
    whole = many(learner, x, y, rows=rows, keys=KEYS)
    for size in (1, 2, 3):
        chunks = [slice(begin, begin + size) for begin in range(0, 8, size)]
        parts = [one for c in chunks for one in unstack(many(learner, x, y, rows=rows[c], keys=KEYS[c]))]
        together = stack(parts)
        for name, value in whole.params.items():
            assert torch.equal(together.params[name], value), f"{name} differs in chunks of {size}"


@pytest.mark.parametrize("last", [0, 1])
def test_one_model_alone_is_the_same_to_the_bit_as_in_a_stack(last):
    """Sums over a batch, and a last batch of one example, are products with a vector."""
    recipe = {"lr": 0.1, "epochs": 2, "batch_size": 64}
    learner = build(specify("mlp", (64,), 10, config={"width": 64}, recipe=recipe))
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.random((128 + last, 64), dtype=np.float32))
    y = torch.from_numpy(rng.integers(10, size=128 + last))
    rows = [np.arange(128 + last)] * 3
    whole = many(learner, x, y, rows=rows, keys=KEYS[:3], chunk=3)
    alone = many(learner, x, y, rows=rows, keys=KEYS[:3], chunk=1)
    for name, value in whole.params.items():
        assert torch.equal(alone.params[name], value), name


def test_dropout_is_the_same_to_the_bit_in_chunks_of_any_size(noisy_learner, toy_data):
    (x, y), rows = toy_data(30), rows_of(30, 21)
    whole = unstack(many(noisy_learner, x, y, rows=rows, keys=KEYS))
    for k in (0, 5):
        alone = unstack(many(noisy_learner, x, y, rows=rows[k : k + 1], keys=KEYS[k : k + 1]))[0]
        assert all(torch.equal(whole[k].params[name], alone.params[name]) for name in alone.params)
        assert torch.equal(whole[k].buffers["mean"], alone.buffers["mean"])


def test_same_key_same_result_other_key_another(toy_data, toy_learner, noisy_learner):
    (x, y), rows = toy_data(30), np.arange(21)
    for learner in (toy_learner(1), noisy_learner):
        first = many(learner, x, y, rows=[rows] * 3, keys=[1, 1, 2])
        torch.manual_seed(123)
        np.random.default_rng(0).random()
        again = many(learner, x, y, rows=[rows] * 3, keys=[1, 1, 2])
        for name, value in first.params.items():
            assert torch.equal(value, again.params[name])
            assert torch.equal(value[0], value[1])
            assert not torch.equal(value[0], value[2])
        one, other = fit(learner, x, y, rows=rows, key=1), fit(learner, x, y, rows=rows, key=2)
        assert all(torch.equal(one.params[n], fit(learner, x, y, rows=rows, key=1).params[n]) for n in one.params)
        assert not any(torch.equal(one.params[n], other.params[n]) for n in one.params)


def test_the_order_in_which_rows_are_listed_does_not_matter(toy_data, toy_learner):
    (x, y), rows = toy_data(30), rows_of(30, 21)[0]
    one, two = (many(toy_learner(1), x, y, rows=[r], keys=[3]) for r in (rows, np.sort(rows)))
    assert all(torch.equal(one.params[name], two.params[name]) for name in one.params)


def test_training_leaves_the_data_as_it_was(toy_data, toy_learner):
    (x, y), (x0, y0) = toy_data(30), toy_data(30)
    many(toy_learner(1), x, y, rows=[np.arange(20)], keys=[1])
    fit(toy_learner(1), x, y, rows=np.arange(20), key=1)
    assert torch.equal(x, x0) and torch.equal(y, y0)


def test_training_sets_of_different_sizes_are_refused(toy_data, toy_learner):
    x, y = toy_data(30)
    with pytest.raises(ValueError, match=r"one size, got \[10, 11\]"):
        many(toy_learner(1), x, y, rows=[np.arange(10), np.arange(11)], keys=[1, 2])


def test_as_many_keys_as_training_sets(toy_data, toy_learner):
    x, y = toy_data(30)
    with pytest.raises(ValueError):
        many(toy_learner(1), x, y, rows=[np.arange(10)] * 2, keys=[1, 2, 3])


def test_every_epoch_is_announced(toy_data, toy_learner):
    x, y = toy_data(30)
    heard: list[int] = []
    told = many(toy_learner(1, epochs=4), x, y, rows=[np.arange(20)], keys=[1], on_epoch=heard.append)
    assert heard == [0, 1, 2, 3]
    quiet = many(toy_learner(1, epochs=4), x, y, rows=[np.arange(20)], keys=[1])
    assert all(torch.equal(told.params[name], quiet.params[name]) for name in quiet.params)


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**63 - 1), st.data())
def test_orders_are_permutations_and_paired_keys_share_them(n, epochs, key, data):
    small = data.draw(st.sets(st.integers(0, n - 1)))
    large = small | data.draw(st.sets(st.integers(0, n - 1)))
    one, two = (epoch_orders(n, np.array(sorted(rows), dtype=np.int64), epochs, key) for rows in (small, large))
    assert one.shape == (epochs, len(small)) and two.shape == (epochs, len(large))
    for short, long in zip(one, two, strict=True):
        assert sorted(long.tolist()) == sorted(large)
        assert [row for row in long.tolist() if row in small] == short.tolist()


def test_orders_change_with_the_epoch_and_the_key():
    rows = np.arange(50)
    table = np.concatenate([epoch_orders(50, rows, 3, key) for key in (0, 1)])
    assert len({tuple(order) for order in table.tolist()}) == 6


def test_every_place_in_an_epoch_is_equally_likely():
    rows = np.array([0, 3, 7, 9])
    first = epoch_orders(12, rows, 4000, 5)[:, 0]
    counts = np.array([(first == row).sum() for row in rows])
    assert counts.sum() == 4000
    assert ((counts - 1000) ** 2 / 1000).sum() < 16.3  # chi-square with 3 degrees of freedom, p = .001


def test_stack_and_unstack_are_inverse(toy_learner):
    states = [toy_learner(2).init(k) for k in range(3)]
    for state, back in zip(states, unstack(stack(states)), strict=True):
        assert all(torch.equal(state.params[name], back.params[name]) for name in state.params)


def test_take_is_indexing():
    source = torch.arange(24).reshape(6, 2, 2)
    index = torch.tensor([[0, 5, 5], [1, 2, 0]])
    assert torch.equal(take(source, index), source[index])


def test_logits_are_those_of_each_model_whatever_the_chunk(toy_data, toy_learner):
    learner, (x, _) = toy_learner(1), toy_data(20)
    states = [learner.init(k) for k in range(3)]
    found = logits(learner, stack(states), x, chunk=7)
    assert found.shape == (3, 20, 3) and not found.requires_grad
    for k, state in enumerate(states):
        torch.testing.assert_close(found[k], learner.apply(state, x, train=False, key=None)[0])
    torch.testing.assert_close(found, logits(learner, stack(states), x))


def test_one_thread_gives_the_threads_back():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="inside"), one_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError("inside")
    assert torch.get_num_threads() == before


def test_tiny_numbers_are_0_inside_and_only_there():
    def tiny() -> torch.Tensor:
        return torch.full((40,), 1e-30) * 1e-9

    assert (tiny() > 0).all()
    with one_thread():
        assert (tiny() == 0).all()
    assert (tiny() > 0).all()


def test_weights_lie_inputs_first_and_are_the_same_weights():
    given = {"0.weight": torch.randn(2, 3, 4), "0.bias": torch.randn(2, 3), "conv": torch.randn(2, 3, 4, 5, 5)}
    found = inputs_first(given)
    for name, value in found.items():
        assert torch.equal(value, given[name]) and value.data_ptr() != given[name].data_ptr()
    assert found["0.weight"].mT.is_contiguous()
    assert found["0.bias"].is_contiguous() and found["conv"].is_contiguous()


def test_trained_weights_lie_as_they_are_stored(toy_data, toy_learner):
    x, y = toy_data(20)
    trained = many(toy_learner(1), x, y, rows=rows_of(20, 10)[:2], keys=KEYS[:2])
    assert all(value.is_contiguous() for value in trained.params.values())


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_model_that_diverged_moves_no_other(broken, toy_data, toy_learner):
    """The losses of a stack are summed before they are differentiated."""
    learner, (x, y) = toy_learner(1), toy_data(16)

    def loss(params, buffers, xb, yb):
        return cross_entropy(learner.apply(State(params, buffers), xb, train=True, key=None)[0], yb), buffers

    differentiate = gradient(loss, stacked=True)
    params = stack([learner.init(k) for k in range(3)]).params
    xs, ys = x.expand(3, *x.shape), y.expand(3, *y.shape)
    whole, _ = differentiate(params, {}, xs, ys)
    params["0.weight"][1] = broken
    spoilt, _ = differentiate(params, {}, xs, ys)
    for name, value in whole.items():
        assert torch.equal(spoilt[name][[0, 2]], value[[0, 2]])
        assert value.isfinite().all() and value.abs().max() > 0
    assert not spoilt["1.weight"][1].isfinite().all()


def test_the_short_way_through_vmap_is_vmap(monkeypatch):
    """Also where torch has no such way, and after a function that fails inside."""
    x, y = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.arange(3)

    def function(one: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        return (one.softmax(0) * number).cumsum(0)

    expected = torch.func.vmap(function)(x, y)
    for _ in range(2):
        assert torch.equal(lift.over_models(function, x, y), expected)

    def broken(one: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lift.over_models(broken, x)
    assert torch.equal(lift.over_models(function, x, y), expected)
    leaf = x.clone().requires_grad_()
    lift.over_models(lambda one: one.square().sum(), leaf).sum().backward()
    assert torch.equal(leaf.grad, 2 * x)
    monkeypatch.setattr(lift, "_USED", ("not there",))
    assert torch.equal(lift.over_models(function, x, y), expected)
