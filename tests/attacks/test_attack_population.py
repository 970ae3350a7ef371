"""The population attack: its cut, and what becomes of it when it is chosen on what is scored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import ApplicabilityError, UserError
from unweave.attacks import Cut, balanced_accuracy, fit_cut, population_attack


@given(st.integers(0, 10_000))
def test_the_cut_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (2, 9)).astype(float)
    member = rng.permutation(np.arange(9) < rng.integers(1, 9))
    cut = fit_cut(scores, member, ids=np.arange(9))
    for row, value in zip(scores, cut.value, strict=True):
        tried = [balanced_accuracy((row > at)[None], member)[0] for at in np.arange(-1, 7, 0.25)]
        assert balanced_accuracy((row > value)[None], member)[0] == pytest.approx(max(tried))


def test_scores_are_called_members_above_their_models_cut():
    cut = Cut(np.array([0.0, 2.0]), np.array([1, 2]))
    found = population_attack(np.array([[1.0, -1.0], [1.0, 3.0]]), cut, ids=np.array([7, 8]))
    assert found.tolist() == [[1.0, -1.0], [-1.0, 1.0]]
    one = Cut(np.array([1.0]), np.array([1, 2]))
    assert population_attack(np.zeros((3, 2)), one, ids=np.array([7, 8])).tolist() == [[-1.0, -1.0]] * 3


def check_null(attack) -> None:
    """Members and others of one law, 12 of either: the mean balanced accuracy of 400 models is .5."""
    rng = np.random.default_rng(4)
    scores = rng.normal(0, 1, (400, 48))
    member, ids = np.arange(48) % 2 == 0, np.arange(48)
    found = attack(scores, member, ids)
    assert abs(found.mean() - 0.5) < 4 * found.std(ddof=1) / 20, found.mean()


def held_out(scores, member, ids):
    half = len(ids) // 2
    cut = fit_cut(scores[:, :half], member[:half], ids=ids[:half])
    return balanced_accuracy(population_attack(scores[:, half:], cut, ids=ids[half:]) > 0, member[half:])


def on_what_is_scored(scores, member, ids):
    half = len(ids) // 2
    cut = fit_cut(scores[:, half:], member[half:], ids=ids[:half])  # the ids lie
    return balanced_accuracy(population_attack(scores[:, half:], cut, ids=ids[half:]) > 0, member[half:])


def test_nothing_to_find_is_one_half():
    check_null(held_out)


def test_a_cut_fitted_on_what_is_scored_is_caught():
    with pytest.raises(AssertionError, match=r"0\.6"):
        check_null(on_what_is_scored)


def test_a_cut_fitted_on_what_is_scored_is_refused():
    cut = fit_cut(np.arange(4.0)[None], np.array([True, False, True, False]), ids=np.array([3, 4, 5, 6]))
    with pytest.raises(ApplicabilityError, match=r"1 of the examples .*first is 6"):
        population_attack(np.zeros((1, 2)), cut, ids=np.array([6, 7]))


def test_without_members_or_others_there_is_no_cut():
    for member in (np.ones(3, dtype=bool), np.zeros(3, dtype=bool)):
        assert np.isnan(fit_cut(np.zeros((2, 3)), member, ids=np.arange(3)).value).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="Expected"):
        fit_cut(np.zeros((1, 3)), np.zeros(2, dtype=bool), ids=np.arange(2))
    with pytest.raises(UserError, match="Expected"):
        population_attack(np.zeros((3, 2)), Cut(np.zeros(2), np.arange(2)), ids=np.array([7, 8]))
