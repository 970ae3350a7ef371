"""The starting kit's attack: against scikit-learn's splits, at the null, by label, row by row, both ways."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from unweave._errors import UserError
from unweave.attacks import logistic_attack, loss_score


def signals(seed: int, shift: float, *, models: int = 3, s: int = 40, t: int = 60):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (models, s)), rng.normal(0, 1, (models, t))


def test_it_is_the_cross_validation_of_the_starting_kit():
    target, test = signals(0, 1.0, models=1, s=300, t=300)
    splits = StratifiedShuffleSplit(n_splits=40, random_state=0)
    x, member = np.concatenate([target[0], test[0]])[:, None], np.repeat([1, 0], 300)
    expected = cross_val_score(LogisticRegression(), x, member, cv=splits, scoring="accuracy").mean()
    found = logistic_attack(target, test, key=0, splits=40)
    np.testing.assert_allclose(found.accuracy, expected, atol=0.02)
    np.testing.assert_allclose(found.gap, np.abs(found.accuracy - 0.5))


def check_null(accuracy) -> None:
    """Nothing to tell apart, and three times as much test data: .5 on average."""
    target, test = signals(1, 0.0, models=60, s=20, t=60)
    found = accuracy(target, test)
    assert abs(found.mean() - 0.5) < 4 * found.std(ddof=1) / np.sqrt(60), found.mean()


def in_sample(target, test):
    """Told right among the examples that it was fitted on."""
    found = []
    for inside, outside in zip(target, test, strict=True):
        x, y = np.concatenate([inside, outside[:20]])[:, None], np.repeat([1, 0], 20)
        found.append((LogisticRegression().fit(x, y).predict(x) == y).mean())
    return np.array(found)


def unbalanced(target, test):
    """All of the test data: the larger class wins."""
    found = []
    for inside, outside in zip(target, test, strict=True):
        x, y = np.concatenate([inside, outside])[:, None], np.repeat([1, 0], [20, 60])
        found.append(cross_val_score(LogisticRegression(), x, y, cv=4).mean())
    return np.array(found)


def test_chance_is_a_half():
    check_null(lambda target, test: logistic_attack(target, test, key=0).accuracy)
    for wrong in (in_sample, unbalanced):
        with pytest.raises(AssertionError):
            check_null(wrong)


def test_either_direction_is_a_gap():
    """S that is forgotten beyond what test data look like is told apart as well as S that is remembered."""
    for shift in (3.0, -3.0):
        target, test = signals(2, shift)
        assert (logistic_attack(target, test, key=0).gap > 0.3).all()


def test_scores_are_higher_where_the_signal_is_more_like_the_groups():
    target, test = signals(3, 2.0, models=1, s=60)
    scores = logistic_attack(target, test, key=0, splits=30).scores[0]
    seen = np.isfinite(scores)
    assert seen.mean() > 0.9 and np.corrcoef(scores[seen], target[0, seen])[0, 1] > 0.9
    assert (scores[seen] > 0).mean() > 0.6


def test_a_row_that_is_held_out_knows_of_no_other():
    """With one split, each held-out row is scored by a fit that has seen none of those held out."""
    target, test = signals(4, 1.0, models=2)
    whole = logistic_attack(target, test, key=0, splits=1).scores
    out = np.flatnonzero(np.isfinite(whole[0]))
    assert len(out) == 4  # a tenth
    changed = target.copy()
    changed[:, out[0]] += 5
    again = logistic_attack(changed, test, key=0, splits=1).scores
    np.testing.assert_array_equal(again[:, out[1:]], whole[:, out[1:]])
    assert (again[:, out[0]] > whole[:, out[0]]).all()


def test_models_know_of_no_other():
    target, test = signals(5, 1.0, models=4)
    whole = logistic_attack(target, test, key=0)
    alone = logistic_attack(target[2:3], test[2:3], key=0)
    np.testing.assert_array_equal(whole.scores[2:3], alone.scores)
    assert whole.gap[2] == alone.gap[0]


def test_it_reads_the_label_of_each_row():
    """Labels shifted by one row: what is remembered is the row's own label, and is no longer seen."""
    rng = np.random.default_rng(6)
    logits, labels = rng.normal(0, 1, (3, 100, 4)), rng.integers(0, 4, 100)
    logits[:, np.arange(50), labels[:50]] += 4
    own = loss_score(logits, labels)
    shifted = loss_score(logits, np.roll(labels, 1))
    apart, not_apart = (logistic_attack(one[:, :50], one[:, 50:], key=0).gap for one in (own, shifted))
    assert (apart > 0.3).all() and (not_apart < apart - 0.1).all()


def test_the_key_chooses_the_splits():
    target, test = signals(7, 0.5)
    one, same, other = (logistic_attack(target, test, key=key).accuracy for key in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


def test_what_cannot_be_measured_is_nan():
    for s, t in ((3, 60), (60, 3), (0, 60)):
        found = logistic_attack(*signals(8, 1.0, s=s, t=t), key=0)
        assert np.isnan(found.gap).all() and found.scores.shape == (3, s)


def test_what_does_not_fit_is_refused():
    target, test = signals(9, 1.0)
    for given, more in (
        ((target, test[:2]), {}),
        ((np.full_like(target, np.nan), test), {}),
        ((target, test), {"splits": 0}),
        ((target, test), {"held_out": 1.0}),
    ):
        with pytest.raises(UserError, match="Expected"):
            logistic_attack(*given, key=0, **more)
