"""Classifiers of scikit-learn as functions of rows and a key: log-probabilities and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from unweave._errors import ApplicabilityError, SpecError, UserError
from unweave.data import Encoding
from unweave.learners import specify
from unweave.learners.opaque import FLOOR, fit_logits

NAMES = ["forest", "boosting", "logistic"]
CONFIG = {"forest": {"trees": 8}, "boosting": {"trees": 5}, "logistic": {}}
N, ROWS = 60, np.arange(40)


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 2, 3)).astype(np.float32)
    return (
        x,
        np.argmax(x[:, 0] + 0.3 * rng.normal(size=(N, 3)), axis=1),
        rng.normal(size=(9, 2, 3)).astype(np.float32),
    )


def fitted(name: str, *, rows=ROWS, key: int = 1, change=None, encoding=None) -> np.ndarray:
    x, y, probes = data()
    if encoding is not None:
        x, probes = x.reshape(N, 6), probes.reshape(9, 6)
    x, y = (x, y) if change is None else change(x, y)
    spec = specify(name, x.shape[1:], 3, config=CONFIG[name], encoding=encoding)
    return fit_logits(spec, x, y, rows=rows, key=key, probes=probes)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_logarithms_of_probabilities(name):
    found = fitted(name)
    assert found.shape == (9, 3) and found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)


def test_a_forest_is_that_of_scikit_learn():
    from sklearn.ensemble import RandomForestClassifier

    from unweave._random import derive

    x, y, probes = data()
    oracle = RandomForestClassifier(8, random_state=derive(1, "fit") % 2**32)
    oracle.fit(x[ROWS].reshape(40, -1), y[ROWS])
    expected = oracle.predict_proba(probes.reshape(9, -1))
    np.testing.assert_allclose(np.exp(fitted("forest")), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_key_decides_and_a_global_seed_does_not(name):
    first = fitted(name)
    np.random.seed(3)
    np.testing.assert_array_equal(first, fitted(name))
    # Nothing in logistic regression is random.
    assert np.array_equal(first, fitted(name, key=2)) == (name == "logistic")


@pytest.mark.parametrize("name", NAMES)
def test_excluded_examples_change_no_bit(name):
    def change(x, y):
        x, y = x.copy(), y.copy()
        x[40:], y[40:] = 1e6, (y[40:] + 1) % 3
        return x, y

    assert np.array_equal(fitted(name), fitted(name, change=change))
    assert not np.array_equal(fitted(name), fitted(name, rows=np.arange(41)))


@pytest.mark.parametrize("name", NAMES)
def test_a_class_absent_from_the_world_is_impossible_and_finite(name):
    found = fitted(name, change=lambda x, y: (x, np.where(y == 1, 2, y)))
    np.testing.assert_allclose(found[:, 1], np.log(FLOOR), rtol=1e-6)
    assert np.isfinite(found).all() and (found[:, [0, 2]] > np.log(FLOOR)).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_world_of_one_class_predicts_it(name):
    found = fitted(name, change=lambda x, y: (x, np.full_like(y, 2)))
    np.testing.assert_allclose(np.exp(found), np.tile([FLOOR, FLOOR, 1], (9, 1)), rtol=1e-5)


def test_tables_are_standardised_on_the_world():
    encoding = Encoding(tuple(range(6)), (-1,) * 6, ())
    units = fitted("logistic", encoding=encoding, change=lambda x, y: (x * 1, y))
    x, y, probes = data()
    spec = specify("logistic", (6,), 3, encoding=encoding)
    stretched = [one.reshape(len(one), 6) * np.float32(8) + 3 for one in (x, probes)]
    other = fit_logits(spec, stretched[0], y, rows=ROWS, key=1, probes=stretched[1])
    np.testing.assert_allclose(units, other, atol=1e-3)
    assert np.abs(units - fitted("logistic")).max() > 0.01  # the penalty does know the units


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_recipe(name):
    assert specify(name, (4,), 2).opaque and specify(name, (4,), 2).recipe is None
    with pytest.raises(
        ApplicabilityError, match=r"`learner\.lr` is a part of a recipe, and `\w+` follows no gradient"
    ):
        specify(name, (4,), 2, recipe={"lr": 0.1})


def test_parameters_are_checked():
    with pytest.raises(SpecError, match=r"`learner\.trees` is 0; expected at least 1"):
        specify("forest", (4,), 2, config={"trees": 0})
    with pytest.raises(UserError, match="`logistic` takes no parameters; got `trees`"):
        specify("logistic", (4,), 2, config={"trees": 3})
