"""Candidates as answers: probabilities, masses and margins, from logits."""

import numpy as np
import pytest

from unweave import UserError
from unweave.language.answers import answers


def test_probabilities_masses_and_margins_are_those_of_their_formulas():
    z = np.random.default_rng(0).normal(size=(2, 3, 7)) * 4
    candidates, labels = np.array([[1, 2, 5], [0, 6, 3], [4, 2, 1]]), np.array([0, 2, 1])
    found = answers(z, candidates, candidates[np.arange(3), labels])
    assert found.labels is not None and (found.labels == labels).all()
    assert found.probabilities.shape == (2, 3, 3) and found.probabilities.dtype == np.float64
    assert found.margins is not None
    for k in range(2):
        for i in range(3):
            whole = np.exp(z[k, i]) / np.exp(z[k, i]).sum()
            own = whole[candidates[i]]
            assert np.allclose(found.mass[k, i], own.sum())
            assert np.allclose(found.probabilities[k, i], own / own.sum())
            p = found.probabilities[k, i, labels[i]]
            assert np.allclose(found.margins[k, i], np.log(p / (1 - p)))
    shared = answers(z, np.arange(7))
    assert shared.margins is None and np.allclose(shared.mass, 1)


def test_margins_stay_finite_where_float32_probabilities_are_1():
    z = np.array([[[200.0, 0.0, -50.0]]], dtype=np.float32)
    found = answers(z, np.arange(3), np.array([0]))
    assert found.margins is not None and np.isclose(found.margins[0, 0], 200)


def test_a_label_s_margin_is_its_own_and_not_that_of_another_row():
    z = np.random.default_rng(1).normal(size=(2, 4, 5))
    labels = np.array([0, 1, 2, 3])
    whole = answers(z, np.arange(5), labels).margins
    assert whole is not None
    for row in range(4):
        alone = answers(z[:, [row]], np.arange(5), labels[[row]]).margins
        moved = answers(z, np.arange(5), np.where(np.arange(4) == row, 4, labels)).margins
        assert alone is not None and moved is not None and np.allclose(alone[:, 0], whole[:, row])
        assert ((moved != whole).all(0) == (np.arange(4) == row)).all()


@pytest.mark.parametrize(
    ("candidates", "labels", "said"),
    [
        (np.array([1, 1]), None, "twice"),
        (np.array([1, 9]), None, "knows 0…6"),
        (np.array([1]), None, "two or more"),
        (np.array([[1, 2]]), None, "for each of 3"),
        (np.array([1, 2]), np.array([1, 2, 3]), "probe 2, token 3, is none"),
        (np.array([1, 2]), np.array([0, 1]), "one label"),
    ],
)
def test_candidates_and_labels_that_do_not_fit_are_refused(candidates, labels, said):
    with pytest.raises(UserError, match=said):
        answers(np.zeros((2, 3, 7)), candidates, labels)
