"""Rates, margins, and what a margin of the verdict tolerates."""

from __future__ import annotations

import numpy as np
import pytest

from unweave._errors import UserError
from unweave.metrics import (
    energy_distance,
    excess,
    leave_out_means,
    margin_in_words,
    margins,
    rate,
    tolerated_models,
)


def test_rates_are_per_model():
    np.testing.assert_array_equal(rate(np.array([[0, 1, 2], [2, 2, 2]]), np.array([0, 1, 2])), [1, 1 / 3])
    with pytest.raises(UserError, match="predictions"):
        rate(np.zeros((2, 3), dtype=int), np.zeros(2, dtype=int))
    with pytest.raises(UserError, match="at least one"):
        rate(np.zeros((2, 0), dtype=int), np.zeros(0, dtype=int))


def test_leave_out_means_delete_models():
    np.testing.assert_array_equal(
        leave_out_means(np.array([1.0, 2.0, 6.0]), np.array([[1.0, 1, 1], [0, 1, 1], [1, 0, 0]])), [3, 4, 1]
    )
    with pytest.raises(UserError, match="leave-outs, models"):
        leave_out_means(np.ones(3), np.ones((2, 2)))
    with pytest.raises(UserError, match="at least one model"):
        leave_out_means(np.ones(2), np.zeros((1, 2)))


def test_margins_are_log_odds_and_do_not_saturate():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 6, 5)), rng.integers(0, 5, 6)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    own = p[:, np.arange(6), labels]
    np.testing.assert_allclose(margins(logits, labels), np.log(own / (1 - own)), atol=1e-12)
    far = np.array([[[900.0, 0.0, -1e4]]])
    assert margins(far, np.array([0]))[0, 0] == 900
    assert margins(far, np.array([2]))[0, 0] == -10_900


def test_margins_refuse_what_they_cannot_measure():
    with pytest.raises(UserError, match="2 or more classes"):
        margins(np.zeros((1, 1, 1)), np.array([0]))
    with pytest.raises(UserError, match="labels in"):
        margins(np.zeros((1, 1, 2)), np.array([2]))
    with pytest.raises(UserError, match="finite"):
        margins(np.full((1, 1, 2), np.inf), np.array([0]))


def test_a_margin_tolerates_its_root_of_the_models():
    rng = np.random.default_rng(1)
    reference, original = rng.normal(size=(2, 3000, 1, 1)) + np.array([0.0, 4.0])[:, None, None, None]
    fresh = rng.normal(size=(3000, 1, 1))
    share = tolerated_models(0.1)
    fresh[: round(share * 3000)] += 4
    residual = energy_distance(fresh, reference) / energy_distance(original, reference)
    assert residual == pytest.approx(0.1, abs=0.02)
    assert "10% of the probes, or 32% of the models" in margin_in_words(0.1)


def test_excess_is_a_contrast():
    np.testing.assert_allclose(excess(np.array([0.3, 0.1]), np.array([2.0, 2.0]), margin=0.1), [0.1, -0.1])
    with pytest.raises(UserError, match="margin in"):
        excess(np.ones(1), np.ones(1), margin=1.5)
