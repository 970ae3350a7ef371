"""Membership signals: by hand, higher for members, a row's own label, nothing of other rows, no rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from unweave import metrics
from unweave._errors import UserError
from unweave.attacks import (
    correctness_score,
    entropy_score,
    loss_score,
    modified_entropy_score,
    scaled_confidence_score,
)

LABELLED = [scaled_confidence_score, loss_score, modified_entropy_score, correctness_score]


def drawn(seed: int = 0, models: int = 2, n: int = 7, classes: int = 4):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (models, n, classes)), rng.integers(0, classes, n)


def test_by_hand_for_three_classes():
    """Each formula written out for p = (.7, .2, .1)."""
    p = np.array([0.7, 0.2, 0.1])
    logits = np.log(p)[None, None] + 5
    for y in range(3):
        label = np.array([y])
        others = [c for c in range(3) if c != y]
        expected = {
            scaled_confidence_score: math.log(p[y] / (1 - p[y])),
            loss_score: math.log(p[y]),
            modified_entropy_score: (1 - p[y]) * math.log(p[y]) + sum(p[c] * math.log(1 - p[c]) for c in others),
            correctness_score: float(y == 0),
        }
        for score, value in expected.items():
            assert score(logits, label)[0, 0] == pytest.approx(value, abs=1e-12)
    assert entropy_score(logits)[0, 0] == pytest.approx(sum(c * math.log(c) for c in p), abs=1e-12)


def check_rows(score) -> None:
    logits, labels = drawn()
    whole = score(logits, labels)
    assert whole.shape == logits.shape[:2], "not one number per example"
    order = np.array([3, 1, 6, 0, 2, 5, 4])
    np.testing.assert_allclose(score(logits[:, order], labels[order]), whole[:, order], err_msg="rows")
    for i in range(len(labels)):
        one = slice(i, i + 1)
        np.testing.assert_allclose(score(logits[:, one], labels[one]), whole[:, one], err_msg="rows")
    moved = score(logits, (labels + 1) % 4) != whole
    right = logits.argmax(-1) == labels
    assert moved[right].all() and moved.any(), "the label does not matter"


def of_all_labels(logits, labels):
    """`probs[:, labels]` as in three repositories: all rows, all labels."""
    p = softmax(logits, -1)
    changed, logs = p.copy(), np.log(p)
    changed[:, :, labels] = 1 - p[:, :, labels]
    return (changed * logs).sum(-1)


@pytest.mark.parametrize("score", LABELLED)
def test_a_row_has_its_own_label_and_knows_of_no_other_row(score):
    check_rows(score)


@pytest.mark.parametrize("wrong", [of_all_labels, lambda z, y: softmax(z, -1).max(-1)])
def test_labels_of_other_rows_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_rows(wrong)


def check_direction(score) -> None:
    """What is fitted scores higher than what is not, and what is denied lowest."""
    logits = np.array([[[6.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 6.0, 0.0]]])
    fitted, unsure, denied = score(logits, np.array([0, 0, 0]))[0]
    assert fitted >= unsure >= denied and fitted > denied


@pytest.mark.parametrize("score", LABELLED)
def test_higher_is_more_likely_a_member(score):
    check_direction(score)
    with pytest.raises(AssertionError):
        check_direction(lambda logits, labels: -score(logits, labels))


def test_entropy_is_higher_where_the_prediction_is_sure():
    sure, unsure = entropy_score(np.array([[[6.0, 0.0], [0.1, 0.0]]]))[0]
    assert sure > unsure == pytest.approx(-math.log(2), abs=2e-3)


def test_nothing_rounds_where_probabilities_do():
    """p = 1 in float64 for both, but the margins are 60 and 90."""
    logits = np.array([[[60.0, 0.0], [90.0, 0.0]]])
    labels = np.array([0, 0])
    assert (softmax(logits, -1)[..., 0] == 1).all()
    assert scaled_confidence_score(logits, labels).tolist() == [[60.0, 90.0]]
    for score in LABELLED:
        assert np.isfinite(score(logits.astype(np.float32), np.array([1, 0]))).all()
    assert np.isfinite(entropy_score(logits * 1e3)).all()


def test_the_signals_are_the_metrics_of_the_same_name():
    logits, labels = drawn()
    np.testing.assert_allclose(scaled_confidence_score(logits, labels), metrics.margins(logits, labels))
    np.testing.assert_allclose(modified_entropy_score(logits, labels), -metrics.modified_entropies(logits, labels))
    np.testing.assert_allclose(np.exp(loss_score(logits, labels)), metrics.confidences(logits, labels))


@pytest.mark.parametrize("score", LABELLED)
def test_what_does_not_fit_is_refused(score):
    for logits, labels in [
        (np.zeros((2, 3)), np.array([0, 1])),
        (np.zeros((1, 2, 3)), np.array([0])),
        (np.zeros((1, 2, 3)), np.array([0, 3])),
        (np.zeros((1, 2, 1)), np.array([0, 0])),
        (np.full((1, 2, 3), np.nan), np.array([0, 1])),
    ]:
        with pytest.raises(UserError, match="Expected"):
            score(logits, labels)


def test_what_has_no_classes_or_diverged_has_no_entropy():
    for logits in (np.zeros((2, 3)), np.zeros((1, 2, 1)), np.full((1, 2, 3), np.inf)):
        with pytest.raises(UserError, match="Expected"):
            entropy_score(logits)
