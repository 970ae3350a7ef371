"""Estimates from random subsets, against all subsets, and what is known of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.influence import cross_influence, self_influence
from unweave.references.subsampled import subsets

X = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 0.15, 5.0])
Y = np.array([0, 0, 0, 1, 1, 1, 1, 0])  # the seventh is mislabelled, the eighth alone
PROBES, LABELS = np.array([0.14, 1.05, 4.0]), np.array([1, 1, 0])


def nearest(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Labels by the nearest neighbour: a learner without chance, known by heart whatever it is trained on."""
    return Y[rows][np.abs(x[:, None] - X[rows][None]).argmin(1)]


def answers(inside: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([nearest(np.flatnonzero(one), x) == y for one in inside]).astype(np.float64)


def every_subset(size: int) -> np.ndarray:
    found = np.zeros((0, len(X)), dtype=bool)
    for rows in combinations(range(len(X)), size):
        found = np.vstack([found, np.isin(np.arange(len(X)), rows)])
    return found


@pytest.mark.parametrize("size", [4, 6])
def test_estimates_are_those_of_all_subsets_within_their_errors(size):
    """The estimand is exact here: the mean over all sets of that size with i, less that over those without."""
    every = every_subset(size)
    hits, total, far = 0, 0, 0
    for seed in range(40):
        inside = subsets(len(X), range(300), share=size / len(X), key=seed)
        for function, x, y in ((self_influence, X, Y), (cross_influence, PROBES, LABELS)):
            exact = function(every, answers(every, x, y)).value
            found = function(inside, answers(inside, x, y))
            off = np.abs(found.value - exact) / found.standard_error
            hits, total, far = hits + (off <= 3).sum(), total + off.size, far + (off > 1).sum()
    assert hits / total >= 0.99
    assert far / total > 0.05  # errors that were far too wide would hold anything


def test_what_is_known_by_heart_alone_is_memorised():
    every = every_subset(6)
    found = self_influence(every, answers(every, X, Y)).value
    assert found[7] == found[6] == 1.0  # far from all others; among those of another label
    assert abs(found[0]) < 0.3
    helped = cross_influence(every, answers(every, PROBES, LABELS)).value
    assert helped[6, 0] > 0.5 and helped[7, 2] == 1.0  # a mislabelled one teaches its neighbour; one alone its own
    assert helped[2, 0] < 0  # the rightly labelled one beside it is in the way


def test_exchanged_sides_are_noticed():
    """The planted bug: models without i taken for those with it."""
    every = every_subset(6)
    assert self_influence(~every, answers(every, X, Y)).value[7] == -1.0


def test_soft_values_have_smaller_errors_where_the_truth_is_soft():
    rng = np.random.default_rng(0)
    inside = subsets(20, range(400), share=0.7, key=1)
    p = np.clip(0.5 + 0.2 * inside + rng.normal(0, 0.05, inside.shape), 0, 1)
    hard = self_influence(inside, (rng.random(p.shape) < p).astype(np.float64))
    soft = self_influence(inside, p)
    assert soft.value == pytest.approx(np.full(20, 0.2), abs=0.03)
    assert (soft.standard_error < hard.standard_error).all()


def test_worst_standard_errors_are_those_of_the_table():
    """sqrt(.25/(.7t) + .25/(.3t)): .069, .049, .035, .024, .017 for t = 250, 500, 1000, 2000, 4000."""
    for t, expected in ((250, 0.069), (500, 0.049), (1000, 0.035), (2000, 0.024), (4000, 0.017)):
        inside = (np.arange(t) % 10 < 7)[:, None]
        value = (np.arange(t) // 10 % 2).astype(np.float64)[:, None]
        assert self_influence(inside, value).standard_error[0] == pytest.approx(expected, abs=6e-4)


def test_never_wrong_is_not_sure():
    inside = (np.arange(40) < 20)[:, None]
    found = self_influence(inside, np.ones((40, 1)))
    assert found.value[0] == 0 and 0.02 < found.standard_error[0] < 0.1


def test_what_no_model_was_trained_without_is_not_known():
    inside = np.array([[True, True], [True, False]])
    found = self_influence(inside, np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert np.isnan(found.value[0]) and np.isnan(found.standard_error[0]) and found.value[1] == 1.0


@given(st.integers(2, 60), st.integers(1, 5), st.floats(0.05, 0.95), st.integers(0, 99))
def test_subsets_have_their_size_and_depend_on_their_number_alone(n, models, share, key):
    if not 0 < round(share * n) < n:
        with pytest.raises(UserError, match="expected some of them, and not all"):
            subsets(n, range(models), share=share, key=key)
        return
    found = subsets(n, range(models), share=share, key=key)
    assert (found.sum(1) == round(share * n)).all()
    assert np.array_equal(subsets(n, range(1, models), share=share, key=key), found[1:])


@given(st.lists(st.integers(0, 8), min_size=8, max_size=40), st.integers(0, 9))
def test_copies_are_in_or_out_together(numbers, key):
    clusters = np.array(numbers)
    found = subsets(len(clusters), range(4), share=0.6, key=key, clusters=clusters)
    for one in np.unique(clusters):
        together = found[:, clusters == one]
        assert (together.all(1) | ~together.any(1)).all()
    assert (found.sum(1) <= round(0.6 * len(clusters))).all()


def test_every_example_is_as_often_in():
    found = subsets(50, range(2000), share=0.7, key=3)
    assert np.abs(found.mean(0) - 0.7).max() < 0.045  # four standard errors
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1] + 1 / 49) < 0.08


def test_in_log_odds_a_label_that_is_never_predicted_is_still_told_from_a_clean_one():
    """Half fitted labels: φ rises by 4 nats for having been seen, from −8 to −4, and is wrong in both."""
    rng = np.random.default_rng(0)
    inside = subsets(40, range(200), share=0.7, key=2)
    flipped = np.arange(40) < 10
    phi = np.where(flipped, -8.0 + 4.0 * inside, 6.0 + 0.2 * inside) + rng.normal(0, 0.5, inside.shape)
    hard = self_influence(inside, (phi > 0).astype(np.float64))
    odds = self_influence(inside, phi, bounded=False)
    assert np.abs(hard.value).max() == 0
    assert odds.value[flipped] == pytest.approx(np.full(10, 4.0), abs=0.4) and odds.value[~flipped].max() < 0.6
    expected = 0.5 * np.sqrt(1 / inside.sum(0) + 1 / (~inside).sum(0))
    assert odds.standard_error == pytest.approx(expected, rel=0.3)
    across = cross_influence(inside, phi, bounded=False)
    assert np.diag(across.value) == pytest.approx(odds.value)
    assert np.diag(across.standard_error) == pytest.approx(odds.standard_error)


def test_of_sequences_the_value_is_the_mean_accuracy_of_their_tokens():
    """Counterfactual memorization: half of the tokens of a sequence are known to everyone, half by heart."""
    rng = np.random.default_rng(0)
    inside = subsets(30, range(300), share=0.7, key=4)
    tokens = np.broadcast_to(np.arange(8) < 4, (300, 30, 8)).copy()
    tokens |= inside[:, :, None] & (np.arange(30) < 10)[:, None]
    tokens ^= rng.random(tokens.shape) < 0.02
    accuracy = tokens.mean(2)
    found = self_influence(inside, accuracy)
    assert found.value[:10] == pytest.approx(np.full(10, 0.48), abs=0.03)
    assert np.abs(found.value[10:]).max() < 0.03
    exact = [accuracy[one, i].mean() - accuracy[~one, i].mean() for i, one in enumerate(inside.T)]
    assert found.value == pytest.approx(exact)
    assert np.diag(cross_influence(inside, accuracy).value) == pytest.approx(exact)
    assert (found.standard_error < 0.03).all()
