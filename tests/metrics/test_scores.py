"""Scores of single examples: known values, independence of rows, and the wrong versions of public code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, softmax

from unweave._errors import UserError
from unweave.metrics import confidences, jensen_shannon, modified_entropies, zrf


def drawn(seed: int, models: int = 2, n: int = 7, classes: int = 4):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (models, n, classes)), rng.integers(0, classes, n)


# ---- one label a row ----


def check_rows(score) -> None:
    """A row's value hangs on no other row, on its own label, and goes with it when rows are permuted."""
    logits, labels = drawn(0)
    whole = score(logits, labels)
    assert whole.shape == logits.shape[:2], "not one number per example"
    order = np.array([3, 1, 6, 0, 2, 5, 4])
    np.testing.assert_allclose(score(logits[:, order], labels[order]), whole[:, order], err_msg="rows")
    np.testing.assert_allclose(score(logits[:, :1], labels[:1]), whole[:, :1], err_msg="rows")
    other = (labels + 1) % 4
    assert (np.abs(score(logits, other) - whole) > 1e-6).all(), "the label does not matter"


def by_all_labels(logits, labels):
    """`probs[:, labels]`: a matrix of every row's probability of every label, of which a mean is taken."""
    return softmax(logits, -1)[:, :, labels].mean(-1)


def by_no_label(logits, labels):
    return softmax(logits, -1).max(-1)


@pytest.mark.parametrize("score", [confidences, modified_entropies])
def test_every_row_is_asked_for_its_own_label(score):
    check_rows(score)


@pytest.mark.parametrize("wrong", [by_all_labels, by_no_label])
def test_scores_of_other_rows_labels_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_rows(wrong)


# ---- modified entropy ----


def check_modified_entropy(score) -> None:
    """Song and Mittal (2021), written out for three classes."""
    p = np.array([0.7, 0.2, 0.1])
    for y in range(3):
        others = [c for c in range(3) if c != y]
        expected = -(1 - p[y]) * math.log(p[y]) - sum(p[c] * math.log(1 - p[c]) for c in others)
        assert score(np.log(p)[None, None], np.array([y]))[0, 0] == pytest.approx(expected, rel=1e-9)


def log_p_where_log_one_minus_p_belongs(logits, labels):
    """As three repositories have it: −(1 − p_y)·log p_y − Σ p_c·log p_c."""
    p, rows = softmax(logits, -1), np.arange(len(labels))
    terms = p * np.log(p)
    own = p[:, rows, labels]
    return -(1 - own) * np.log(own) - (terms.sum(-1) - terms[:, rows, labels])


def test_modified_entropy_by_hand():
    check_modified_entropy(modified_entropies)


def test_the_logarithm_of_the_wrong_probability_is_caught():
    with pytest.raises(AssertionError):
        check_modified_entropy(log_p_where_log_one_minus_p_belongs)


def test_sure_and_right_is_0_and_sure_and_wrong_is_large():
    z = np.array([[[40.0, 0.0, 0.0], [40.0, 0.0, 0.0]]])
    right, wrong = modified_entropies(z, np.array([0, 1]))[0]
    assert 0 <= right < 1e-15
    assert wrong == pytest.approx(40 + 40, rel=0.05)  # −log p_y, and −log(1 − p) of the wrong class


def test_saturated_logits_stay_finite():
    for logit in (1e3, 1e6):
        z = np.array([[[logit, 0.0], [0.0, logit]]])
        assert np.isfinite(modified_entropies(z, np.array([0, 0]))).all()
        assert confidences(z, np.array([0, 0])).tolist() == [[1.0, 0.0]]


# ---- Jensen–Shannon and ZRF ----


def check_jensen_shannon(score) -> None:
    logits, _ = drawn(1, models=2, n=5)
    expected = jensenshannon(softmax(logits[0], -1), softmax(logits[1], -1), axis=-1) ** 2
    np.testing.assert_allclose(score(logits[0], logits[1]), expected, rtol=1e-9, atol=1e-12)


def official(p_logits, q_logits):
    """KL(m‖p) + KL(m‖q) with the mean over all numbers, as `F.kl_div(log p, m)` gives by default."""
    p, q = softmax(p_logits, -1), softmax(q_logits, -1)
    m = (p + q) / 2
    return np.full(len(p), 0.5 * ((m * np.log(m / p)).mean() + (m * np.log(m / q)).mean()))


def turned(p_logits, q_logits):
    """The same, summed over classes row by row: the arguments alone are the other way round."""
    p, q = softmax(p_logits, -1), softmax(q_logits, -1)
    m = (p + q) / 2
    return 0.5 * ((m * np.log(m / p)).sum(-1) + (m * np.log(m / q)).sum(-1))


def of_raw_logits(p_logits, q_logits):
    return jensen_shannon(np.log(np.abs(p_logits)), np.log(np.abs(q_logits)))


def test_jensen_shannon_is_that_of_scipy():
    check_jensen_shannon(jensen_shannon)


@pytest.mark.parametrize("wrong", [official, turned, of_raw_logits])
def test_wrong_jensen_shannon_is_caught(wrong):
    with pytest.raises(AssertionError):
        check_jensen_shannon(wrong)


@given(st.integers(0, 10_000))
def test_jensen_shannon_is_symmetric_bounded_and_0_for_equals(seed):
    logits, _ = drawn(seed)
    a, b = logits * 5
    found = jensen_shannon(a, b)
    np.testing.assert_allclose(found, jensen_shannon(b + 3, a - 2), atol=1e-12)
    assert ((found >= 0) & (found <= math.log(2) + 1e-12)).all()
    np.testing.assert_allclose(jensen_shannon(a, a + 1), 0, atol=1e-12)


def check_zrf(function) -> None:
    """Two examples, one like the ignorant net and one with no class in common: 1 − ½·log 2."""
    ignorant = np.array([[0.0, -1e9], [0.0, -1e9]])
    models = np.stack([ignorant, np.array([[0.0, -1e9], [-1e9, 0.0]])])
    np.testing.assert_allclose(function(models, ignorant), [1.0, 1 - math.log(2) / 2], atol=1e-9)


def not_zrf(logits, ignorant):
    """What some call ZRF: the share of predictions on which model and ignorant net agree."""
    return (logits.argmax(-1) == ignorant.argmax(-1)).mean(-1)


def zrf_of_labels(logits, ignorant):
    """Divergence from the mean prediction of the model itself: the ignorant net never enters."""
    own = log_softmax(logits, -1).mean(1, keepdims=True)
    return 1 - jensen_shannon(logits, np.broadcast_to(own, logits.shape)).mean(1)


def test_zrf_by_hand():
    check_zrf(zrf)


@pytest.mark.parametrize("wrong", [not_zrf, zrf_of_labels])
def test_what_is_not_zrf_is_caught(wrong):
    with pytest.raises(AssertionError):
        check_zrf(wrong)


# ---- bad input ----


@pytest.mark.parametrize(
    "call",
    [
        lambda: confidences(np.zeros((2, 3)), np.array([0, 1])),
        lambda: confidences(np.zeros((1, 2, 3)), np.array([0, 1, 2])),
        lambda: modified_entropies(np.zeros((1, 2, 3)), np.array([0, 3])),
        lambda: confidences(np.zeros((1, 2, 3)), np.array([-1, 0])),
        lambda: jensen_shannon(np.zeros((2, 3)), np.zeros((3, 2))),
        lambda: zrf(np.zeros((1, 0, 3)), np.zeros((0, 3))),
        lambda: zrf(np.zeros((2, 4, 3)), np.zeros((3, 3))),
    ],
)
def test_shapes_and_labels_that_do_not_fit_are_refused(call):
    with pytest.raises(UserError, match="Expected"):
        call()
