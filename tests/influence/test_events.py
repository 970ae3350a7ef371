"""Learning events: known values, and records that equal what the models themselves say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from unweave._errors import UserError
from unweave.influence.events import (
    Recorded,
    after_epochs,
    el2n,
    forgetting_events,
    forgetting_score,
    learning_events,
    recorded,
)
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.training.engine import many
from unweave.training.outputs import logits


def drawn(seed: int = 0, shape=(3, 2, 5)):
    rng = np.random.default_rng(seed)
    p = rng.random((*shape, 3)).astype(np.float32)
    p /= p.sum(-1, keepdims=True)
    y = rng.integers(0, 3, shape[-1])
    own = p[..., np.arange(len(y)), y]
    error = np.linalg.norm(p - np.eye(3, dtype=np.float32)[y], axis=-1)
    return Recorded(own, p.argmax(-1) == y, p.max(-1), -(p * np.log(p)).sum(-1), error)


# ---- forgetting ----


def naive_forgetting(correct):
    """Toneva et al., example by example and epoch by epoch."""
    epochs, models, n = correct.shape
    events = np.zeros((models, n), int)
    for k in range(models):
        for i in range(n):
            for e in range(epochs - 1):
                events[k, i] += correct[e, k, i] == 1 and correct[e + 1, k, i] == 0
    return events


def check_forgetting(count) -> None:
    correct = np.random.default_rng(0).random((9, 2, 30)) < 0.6
    correct[0] = True  # so that events and their opposite differ in number
    correct[-1] = False
    np.testing.assert_array_equal(count(correct), naive_forgetting(correct))


def learning_counted(correct):
    return (~correct[:-1] & correct[1:]).sum(0)


def wrong_epochs_counted(correct):
    return (~correct).sum(0)


@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))))
def test_forgetting_is_counted_as_by_hand(correct):
    found = forgetting_events(correct)
    np.testing.assert_array_equal(found.events, naive_forgetting(correct))
    np.testing.assert_array_equal(found.never, correct.sum(0) == 0)
    assert not (found.events[found.never]).any()


@pytest.mark.parametrize("wrong", [learning_counted, wrong_epochs_counted])
def test_other_transitions_are_caught(wrong):
    check_forgetting(lambda correct: forgetting_events(correct).events)
    with pytest.raises(AssertionError):
        check_forgetting(wrong)


def test_what_was_never_learned_ranks_after_all_that_was():
    always, never = np.ones(8, bool), np.zeros(8, bool)
    often = np.arange(8) % 2 == 0  # as often as can be
    correct = np.stack([always, often, never], 1)[:, None]
    assert forgetting_score(correct).tolist() == [0.0, 4.0, 8.0]
    assert forgetting_events(correct).events.tolist() == [[0, 4, 0]]  # by its events it would be the easiest
    both = np.concatenate([correct, np.ones_like(correct)], 1)
    assert forgetting_score(both).tolist() == [0.0, 2.0, 4.0]  # a mean of infinities would tell no two apart


# ---- means ----


def test_events_are_means_over_epochs_and_models():
    of = drawn()
    found = learning_events(of)
    parts = (of.probability, of.correct, of.maximum, of.entropy)
    for value, part in zip(found, parts, strict=True):
        expected = [sum(float(part[e, k, i]) for e in range(3) for k in range(2)) / 6 for i in range(5)]
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_el2n_is_of_one_epoch():
    of = drawn()
    np.testing.assert_allclose(el2n(of.distance, 2), of.distance[1].mean(0), rtol=1e-6)
    assert not np.allclose(el2n(of.distance, 1), el2n(of.distance, 2))
    for epoch in (0, 4):
        with pytest.raises(UserError, match=r"expected one of the recorded epochs, 1…3"):
            el2n(of.distance, epoch)


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(UserError, match="epochs, models, examples"):
        forgetting_score(np.zeros((3, 4), bool))
    with pytest.raises(UserError, match="at least one epoch"):
        forgetting_events(np.zeros((0, 1, 4), bool))


# ---- recording ----


def toy(stacked: bool, dense: bool = True):
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(30) % 3
    recipe = {"epochs": 4, "batch_size": 8, "schedule": "constant"}
    learner = build(specify("mlp", (5,), 3, config={"width": 6}, recipe=recipe))
    return replace(learner, stacked=stacked, dense=learner.dense if dense else None), x, y


def with_epochs(learner, epochs):
    spec = learner.spec
    return replace(learner, spec=replace(spec, recipe=replace(spec.recipe, epochs=epochs)))


@pytest.mark.parametrize(("stacked", "dense"), [(True, True), (True, False), (False, True)])
def test_records_are_what_the_models_say_after_each_epoch(stacked, dense, monkeypatch):
    learner, x, y = toy(stacked, dense)
    monkeypatch.setattr("unweave.influence.events._AT_ONCE", 50)  # so that D is looked at in parts
    rows, keys = [np.arange(2, 30), np.arange(28), np.arange(1, 29)], [5, 6, 7]
    found = recorded(learner, x, y, rows=rows, keys=keys, chunk=2)  # stacks of 2 and of 1
    assert found.probability.shape == (4, 3, 30)
    for epoch in range(4):
        models = many(with_epochs(learner, epoch + 1), x, y, rows=rows, keys=keys, chunk=2)
        p = softmax(logits(learner, models, x).double().numpy(), -1)
        own = p[:, np.arange(30), y.numpy()]
        np.testing.assert_allclose(found.probability[epoch], own, atol=1e-6)
        np.testing.assert_array_equal(found.correct[epoch], p.argmax(-1) == y.numpy())
        np.testing.assert_allclose(found.maximum[epoch], p.max(-1), atol=1e-6)
        np.testing.assert_allclose(found.entropy[epoch], -(p * np.log(p)).sum(-1), atol=1e-6)
        error = np.linalg.norm(p - np.eye(3)[y.numpy()], axis=-1)
        np.testing.assert_allclose(found.distance[epoch], error, atol=1e-6)
    assert np.abs(found.probability[0] - found.probability[3]).max() > 0.01


def test_sets_of_several_sizes_end_their_epochs_where_they_end():
    learner, x, y = toy(stacked=False)
    rows = [np.arange(8), np.arange(30)]  # 1 and 4 steps per epoch
    found = recorded(learner, x, y, rows=rows, keys=[5, 6])
    for k in range(2):
        alone = recorded(learner, x, y, rows=rows[k : k + 1], keys=[5 + k])
        np.testing.assert_array_equal(found.probability[:, k], alone.probability[:, 0])


@pytest.mark.parametrize("stacked", [True, False])
def test_looking_on_changes_no_bit_of_the_models(stacked):
    learner, x, y = toy(stacked)
    given = {"rows": [np.arange(30)] * 3, "keys": [5, 6, 7], "chunk": 2}
    seen = []
    found = after_epochs(learner, x, y, **given, look=lambda epoch, begin, state: seen.append((epoch, begin)))
    torch.testing.assert_close(found.params, many(learner, x, y, **given).params, rtol=0, atol=0)
    begins = [0, 2] if stacked else [0, 1, 2]
    assert seen == [(epoch, begin) for begin in begins for epoch in range(4)]


def test_entropy_of_a_sure_prediction_is_0_and_no_nan():
    from unweave.influence.events import _values

    z = torch.tensor([[[1e6, 0.0, 0.0], [-torch.inf, 0.0, 0.0]]])
    own, correct, maximum, entropy, distance = _values(z, torch.tensor([0, 1]))
    np.testing.assert_allclose(entropy.numpy(), [[0, np.log(2)]])
    np.testing.assert_allclose(distance.numpy(), [[0, np.sqrt(0.5)]])
    assert own.tolist() == [[1.0, 0.5]]
    assert correct.tolist() == [[True, True]]
    assert maximum.tolist() == [[1.0, 0.5]]
