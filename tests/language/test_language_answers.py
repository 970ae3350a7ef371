"""Answers at the end of prompts, from one forward pass."""

import numpy as np
import pytest
import torch

from unweave import UserError
from unweave.language.answers import answers, slot_logits
from unweave.language.model import initial, logits
from unweave.learners.contract import State


@pytest.fixture(scope="module")
def models(tiny):
    own = [initial(tiny, key) for key in range(3)]
    return State({name: torch.stack([one[name] for one in own]) * 5 for name in own[0]}, {})


PROMPTS = np.array([[3, 4, 5, 6, 7], [9, 8, 0, 0, 0], [2, 0, 0, 0, 0], [11, 12, 13, 14, 0]])


def test_the_slot_of_a_prompt_is_after_its_last_token_however_it_is_padded_and_passed(tiny, models):
    found = slot_logits(tiny, models, PROMPTS)
    assert found.shape == (3, 4, tiny.vocabulary)
    for row, length in enumerate((5, 2, 1, 4)):
        alone = torch.from_numpy(PROMPTS[row, :length]).expand(3, 1, -1).contiguous()
        expected = logits(tiny, models.params, alone)[:, 0, -1]
        assert np.abs(found[:, row] - expected.numpy()).max() < 1e-5
    rest = np.array([[3, 4, 5, 6, 7, 1], [9, 8, 2, 2, 0, 0], [2, 4, 0, 0, 0, 0], [11, 12, 13, 14, 1, 1]])
    within = slot_logits(tiny, models, rest, np.array([5, 2, 1, 4]))
    assert np.abs(within - found).max() < 1e-5
    for slots in (np.array([0, 2, 1, 4]), np.array([5, 2, 3, 4]), np.array([5])):
        with pytest.raises(UserError, match="one slot per prompt"):
            slot_logits(tiny, models, rest, slots)
    assert np.abs(slot_logits(tiny, models, np.pad(PROMPTS, ((0, 0), (0, 4))), chunk=3) - found).max() < 1e-5


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
    ("prompts", "said"),
    [
        (np.array([[0, 0]]), "empty"),
        (np.array([[1, 0, 2]]), "right only"),
        (np.array([[1, 40]]), "knows 0…22"),
        (np.ones((1, 13), np.int64), "context"),
        (np.empty((0, 3), np.int64), "Expected prompts"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(tiny, models, prompts, said):
    with pytest.raises(UserError, match=said):
        slot_logits(tiny, models, prompts)


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
