"""Linear models at their optimum, against each solved by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from unweave.training.convex import ridge, softmax_regression

DOCS = Path(__file__).parents[2] / "docs" / "learners.md"


def solved_alone(x: np.ndarray, y: np.ndarray, rows: np.ndarray, penalty: float) -> np.ndarray:
    full = np.hstack([x[rows], np.ones((len(rows), 1))])
    free = np.diag([penalty] * x.shape[1] + [0.0])
    return np.linalg.solve(full.T @ full + free, full.T @ y[rows]).T


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(8, 40),
    d=st.integers(1, 6),
    outputs=st.integers(1, 3),
    penalty=st.sampled_from([1e-2, 1.0, 50.0]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_ridge_is_that_of_each_training_set(n, d, outputs, penalty, seed, data):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, outputs))
    # More left out than there are features, none at all, and sets of different sizes are all among these.
    sizes = data.draw(st.lists(st.integers(2, n), min_size=1, max_size=4))
    rows = [rng.choice(n, size, replace=False) for size in sizes]
    found = ridge(x, y, rows, penalty=penalty)
    for one, own in zip(found, rows, strict=True):
        np.testing.assert_allclose(one, solved_alone(x, y, own, penalty), atol=1e-7, rtol=1e-6)


def test_ridge_of_many_blocks_and_sizes():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 4)) + [0.0, 100.0, 0.0, -3.0], rng.normal(size=(60, 2))
    # Left out: 0 to 6 rows, for 4 features; more of them in all than there are rows, so that rows are shared.
    rows = [rng.permutation(60)[: 60 - k % 7] for k in range(200)]
    found = ridge(x, y, rows, penalty=0.5)
    for one, own in zip(found, rows, strict=True):
        np.testing.assert_allclose(one, solved_alone(x, y, own, 0.5), atol=1e-9, rtol=1e-9)
    assert ridge(x, y, [], penalty=0.5).shape == (0, 2, 5)


@pytest.mark.parametrize("penalty", [1e-14, 1e-6, 1e-2])
def test_ridge_where_only_what_is_left_out_says_what_a_weight_is(penalty):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 1))
    x[:, 1] = 0.0
    x[0, 1] = 1e3
    rows = [np.arange(1, 30), np.arange(29)]
    # 1 − leverage is about penalty/1e6, which rounds to nothing or to little.
    found = ridge(x, y, rows, penalty=penalty)
    assert found[0, 0, 1] == 0.0
    np.testing.assert_allclose(found[0, 0, [0, 2]], solved_alone(x[:, :1], y, rows[0], penalty)[0], rtol=1e-9)


@pytest.mark.parametrize("solve", ["ridge", "softmax"])
def test_what_is_no_training_set_is_refused(solve):
    x, y = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 3

    def fit(rows, penalty=1.0):
        if solve == "ridge":
            return ridge(x, np.eye(3)[y], [rows], penalty=penalty)
        return softmax_regression(x, y, [rows], classes=3, penalty=penalty)

    assert fit(np.arange(8)).shape == (1, 3, 3)
    with pytest.raises(ValueError, match=r"a penalty greater than 0, got 0\.0"):
        fit(np.arange(8), penalty=0.0)
    with pytest.raises(ValueError, match="at least one row"):
        fit(np.arange(0))
    with pytest.raises(ValueError, match="each row at most once"):
        fit(np.array([0, 1, 2, 2, 3]))
    if solve == "softmax":
        with pytest.raises(ValueError, match="every class in each training set"):
            fit(np.array([0, 1, 3, 4]))


def test_softmax_regression_of_more_sets_than_a_block():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(70, 2)), np.arange(70) % 2
    rows = [np.delete(np.arange(70), k) for k in range(70)]
    together = softmax_regression(x, y, rows, classes=2, penalty=0.1)
    for k in (0, 63, 64, 69):
        alone = softmax_regression(x, y, rows[k : k + 1], classes=2, penalty=0.1)[0]
        np.testing.assert_allclose(together[k], alone, atol=1e-7)


def loss(weights: np.ndarray, x: np.ndarray, y: np.ndarray, penalty: float) -> float:
    weights = weights.reshape(-1, x.shape[1] + 1)
    z = np.hstack([x, np.ones((len(x), 1))]) @ weights.T
    z = z - z.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return float(-log_p[np.arange(len(y)), y].mean() + penalty / 2 * (weights[:, :-1] ** 2).sum())


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
@pytest.mark.parametrize("classes", [2, 4])
def test_softmax_regression_is_at_the_optimum_of_each_training_set(classes, penalty):
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(120, 3)) * [1.0, 3.0, 0.2]
    y = (x @ rng.normal(size=(3, classes)) + rng.gumbel(size=(120, classes))).argmax(1)
    rows = [rng.choice(120, size, replace=False) for size in (84, 84, 100, 119)]
    found = softmax_regression(x, y, rows, classes=classes, penalty=penalty)
    for one, own in zip(found, rows, strict=True):
        arguments = (x[own], y[own], penalty)
        best = minimize(loss, np.zeros(classes * 4), args=arguments, options={"gtol": 1e-9}).x.reshape(classes, 4)
        assert loss(one, *arguments) <= loss(best, *arguments) + 1e-12
        np.testing.assert_allclose(one[:, :-1], best[:, :-1], atol=1e-4)
        np.testing.assert_allclose(one[:, -1] - one[:, -1].mean(), best[:, -1] - best[:, -1].mean(), atol=1e-4)


def test_what_is_left_out_changes_nothing_beyond_the_tolerance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 3)), np.arange(90) % 3
    rows, other = [np.arange(80)], x.copy()
    other[80:] += rng.normal(size=(10, 3))
    one, two = (softmax_regression(part, y, rows, classes=3, penalty=0.01)[0] for part in (x, other))
    np.testing.assert_allclose(one[:, :-1], two[:, :-1], atol=1e-6)
    with_all, without = (ridge(x, np.eye(3)[y], [own], penalty=1.0) for own in (np.arange(90), np.arange(80)))
    assert np.abs(with_all - without).max() > 1e-3


def test_what_does_not_converge_is_an_error():
    x = np.random.default_rng(0).normal(size=(40, 2))
    x[0, 0] = np.inf
    with np.errstate(all="ignore"), pytest.raises((ArithmeticError, np.linalg.LinAlgError)):
        softmax_regression(x, np.arange(40) % 2, [np.arange(30)], classes=2, penalty=0.1)


def test_the_example_of_the_docs_says_what_is_printed_below_it(capsys):
    section = DOCS.read_text().split("## Linear models at their optimum")[1]
    code, printed = (re.search(rf"```{kind}\n(.*?)```", section, re.S)[1] for kind in ("python", "text"))
    names: dict[str, Any] = {}
    exec(code, names)
    assert capsys.readouterr().out == printed
    # The largest joint influence, by another solver.
    x, y, probe_x, probe_y, joint = (names[name] for name in ("x", "y", "probe_x", "probe_y", "joint_near"))
    most = joint.argmax()
    own = np.delete(np.arange(len(x)), names["near"][most])
    exact = LogisticRegression(C=1 / (1e-3 * len(own)), solver="newton-cg", tol=1e-10, max_iter=1000)
    log_p = exact.fit(x[own], y[own]).predict_log_proba(probe_x[most : most + 1])[0, probe_y[most]]
    assert joint[most] == pytest.approx(-log_p - names["with_all"][most], abs=1e-5)
    assert joint[most] > 1
