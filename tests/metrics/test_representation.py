"""Likeness of features, and what a linear probe reads out of them."""

import numpy as np
import pytest

from unweave._errors import UserError
from unweave.metrics.representation import centred_gram, linear_cka, probe_confidence


def cka_by_the_formula(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def test_cka_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(2, 30, 5)), rng.normal(size=(3, 30, 7))
    found = linear_cka(np.stack([centred_gram(x) for x in xs]), np.stack([centred_gram(y) for y in ys]))
    expected = [[cka_by_the_formula(x, y) for y in ys] for x in xs]
    assert np.allclose(found, expected)


def test_cka_does_not_see_rotation_scale_or_shift():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    moved = 3 * x @ rotation + 7
    assert linear_cka(centred_gram(x)[None], centred_gram(moved)[None])[0, 0] == pytest.approx(1.0)


def test_constant_features_are_like_nothing():
    x = np.random.default_rng(2).normal(size=(10, 3))
    assert linear_cka(centred_gram(np.ones((10, 3)))[None], centred_gram(x)[None])[0, 0] == 0


def test_a_probe_reads_labels_that_features_know_by_heart():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 100)
    known = np.concatenate([np.eye(2)[y], rng.normal(size=(100, 3))], axis=1)
    asked = np.arange(20)
    assert probe_confidence(known, y, asked) > 0.9
    assert probe_confidence(rng.normal(size=(100, 5)), y, asked) < 0.5


def test_a_probe_of_wrong_labels_is_negative():
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 50)
    features = np.eye(2)[y] + 0.01 * rng.normal(size=(100, 2))
    wrong = y.copy()
    wrong[:5] = 1
    assert probe_confidence(features, wrong, np.arange(5)) < -0.5


def test_shapes_are_checked():
    with pytest.raises(UserError, match="same examples"):
        linear_cka(np.zeros((1, 3, 3)), np.zeros((1, 4, 4)))
    with pytest.raises(UserError, match="some to ask"):
        probe_confidence(np.zeros((3, 1)), np.zeros(3, np.int64), np.array([], np.int64))
