"""What a forward pass says of tokens, and what greedy decoding gives back, against loops and words by hand."""

from __future__ import annotations

import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.language.measures import exact_memorization, extraction_floor, extraction_strength, token_facts

_spec = spec_from_file_location("token_losses", Path(__file__).parents[1] / "methods" / "token_losses.py")
losses = module_from_spec(_spec)
_spec.loader.exec_module(losses)


def world(seed, models=2, documents=4, length=7, vocabulary=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (models, documents, length, vocabulary))
    mask = rng.random((documents, length)) < 0.6
    mask[:, 0] = False
    mask[-1] = False  # a document without tokens that count
    return logits, rng.integers(0, vocabulary, (documents, length)), mask


def naive(logits, tokens, mask, k, i, t):
    """log p, mean, variance and hit of one token, in words of the definition."""
    z = [float(one) for one in logits[k, i, t - 1]]
    top = max(z)
    logs = [one - top - math.log(sum(math.exp(other - top) for other in z)) for one in z]
    mean = sum(math.exp(one) * one for one in logs)
    spread = sum(math.exp(one) * (one - mean) ** 2 for one in logs)
    return logs[tokens[i, t]], mean, spread, z.index(top) == tokens[i, t]


@given(st.integers(0, 1000))
def test_every_token_has_what_the_definition_gives(seed):
    logits, tokens, mask = world(seed)
    facts = token_facts(logits, tokens, mask)
    for k, i, t in np.ndindex(facts.log_p.shape):
        found = [one[k, i, t] for one in facts[:4]]
        if mask[i, t]:
            assert found == pytest.approx(naive(logits, tokens, mask, k, i, t), abs=1e-9)
        else:
            assert np.isnan(found[:3]).all() and not found[3]


def test_the_logits_before_a_token_speak_of_it():
    """A model that knows the next token: shifted by none or two, it would know nothing."""
    tokens = np.array([[3, 1, 4, 1, 5]])
    logits = np.full((1, 1, 5, 6), -20.0)
    logits[0, 0, np.arange(4), tokens[0, 1:]] = 20.0
    mask = np.array([[False, True, True, True, True]])
    facts = token_facts(logits, tokens, mask)
    assert facts.log_p[mask[None]] == pytest.approx(0, abs=1e-12) and facts.hits[mask[None]].all()
    late = token_facts(np.roll(logits, 1, axis=2), tokens, mask)
    assert late.log_p[mask[None]].mean() < -20 and not late.hits.any()


def test_losses_and_measures_stand_at_the_same_tokens():
    logits, tokens, mask = world(0, models=1)
    by_losses = losses.aligned(*(torch.from_numpy(one) for one in (logits[0], tokens, mask)))
    facts = token_facts(logits, tokens, mask)
    expected = losses.answer_nll(*by_losses).numpy()
    assert -np.where(mask, facts.log_p[0], 0).sum(-1) == pytest.approx(expected)
    strength = losses.extraction_strength(*by_losses).numpy()
    assert extraction_strength(facts.hits, mask)[0, :-1] == pytest.approx(strength[:-1])


@given(st.integers(0, 1000))
def test_padding_batches_and_other_documents_change_no_bit(seed):
    logits, tokens, mask = world(seed)
    whole = token_facts(logits, tokens, mask)
    padded = token_facts(
        np.pad(logits, ((0, 0), (0, 0), (0, 3), (0, 0)), constant_values=np.nan),
        np.pad(tokens, ((0, 0), (0, 3)), constant_values=99),
        np.pad(mask, ((0, 0), (0, 3))),
    )
    order = np.random.default_rng(seed).permutation(len(tokens))
    moved = token_facts(logits[:, order], tokens[order], mask[order])
    alone = token_facts(logits[1:, 2:3], tokens[2:3], mask[2:3])
    for name in ("log_p", "mean", "variance", "hits"):
        values = getattr(whole, name)
        np.testing.assert_array_equal(getattr(padded, name)[..., : tokens.shape[1]], values)
        np.testing.assert_array_equal(getattr(moved, name), values[:, order])
        np.testing.assert_array_equal(getattr(alone, name), values[1:, 2:3])


def test_extreme_logits_give_no_false_numbers():
    logits = np.zeros((1, 1, 2, 3))
    logits[0, 0, 0] = [1e4, 0.0, 0.0]
    facts = token_facts(logits, np.array([[0, 1]]), np.array([[False, True]]))
    assert facts.log_p[0, 0, 1] == -1e4 and facts.variance[0, 0, 1] == 0 and facts.mean[0, 0, 1] == 0


def _shape(logits, tokens, mask):
    return logits, tokens[:, :-1], mask


def _first(logits, tokens, mask):
    return logits, tokens, mask | (np.arange(mask.shape[1]) == 0)


def _outside(logits, tokens, mask):
    return logits, np.where(mask, 7, tokens), mask


def _not_finite(logits, tokens, mask):
    return np.full_like(logits, np.inf), tokens, mask


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_shape, "Expected logits"),
        (_first, "counts its first token"),
        (_outside, "Expected tokens in 0…4"),
        (_not_finite, "are not finite"),
    ],
)
def test_what_cannot_be_read_is_refused(spoil, said):
    with pytest.raises(UserError, match=said):
        token_facts(*spoil(*world(1)))


# ---- word for word ----


def naive_strength(hits, counted):
    """Try every number of given tokens, the fewest first."""
    hits = [hit for hit, counts in zip(hits, counted, strict=True) if counts]
    for given_ in range(len(hits) + 1):
        if all(hits[given_:]):
            return 1 - given_ / len(hits)
    raise AssertionError("an empty rest is always found")


@given(st.integers(0, 1000))
def test_extraction_strength_is_that_of_the_loop(seed):
    rng = np.random.default_rng(seed)
    hits, mask = rng.random((3, 5, 6)) < 0.7, rng.random((5, 6)) < 0.7
    mask[:, 3] = True
    found = extraction_strength(hits, mask)
    share = exact_memorization(hits, mask)
    for k, i in np.ndindex(found.shape):
        assert found[k, i] == pytest.approx(naive_strength(hits[k, i], mask[i]))
        assert share[k, i] == pytest.approx(hits[k, i][mask[i]].mean())
    assert (found <= share + 1e-12).all()


def test_nothing_found_is_0_and_in_public_code_the_floor():
    hits = np.array([[[False] * 4, [False, False, False, True], [True] * 3 + [False]]])
    mask = np.ones((3, 4), bool)
    assert extraction_strength(hits, mask).tolist() == [[0.0, 0.25, 0.0]]
    assert extraction_strength(hits, mask, floor=True).tolist() == [[0.25, 0.25, 0.25]]
    assert extraction_floor(mask).tolist() == [0.25] * 3
    one = np.ones((1, 1), bool)
    assert extraction_strength(~one[None], one, floor=True) == extraction_floor(one) == 1


def test_a_document_without_tokens_is_not_measured():
    mask = np.zeros((1, 3), bool)
    hits = np.ones((1, 1, 3), bool)
    assert np.isnan(extraction_strength(hits, mask)) and np.isnan(exact_memorization(hits, mask))
    assert np.isnan(extraction_strength(hits, mask, floor=True)) and np.isnan(extraction_floor(mask))
