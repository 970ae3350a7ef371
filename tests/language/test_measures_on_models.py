"""The measures on models that were trained: what they are fed by, and that they point the way they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.attacks import auc
from unweave.language import (
    learners,  # noqa: F401 - registers `causal_lm`
    measures,
)
from unweave.language.model import logits
from unweave.language.nets import config_of, names
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.training.engine import many

DOCUMENTS, MEMBERS = 24, 12


@pytest.fixture(scope="module")
def facts():
    """Two models of the first half of random documents, two of the other half; documents of all lengths.

    A document is as many prompts as it has tokens to be predicted, each with the token that comes next.
    """
    rng = np.random.default_rng(0)
    tokens, mask = np.zeros((DOCUMENTS, 10), np.int64), np.zeros((DOCUMENTS, 10), bool)
    for row, length in enumerate(rng.integers(5, 11, DOCUMENTS)):
        tokens[row, :length] = rng.integers(1, 23, length)
        mask[row, 1:length] = True
    document, place = mask.nonzero()
    x = torch.from_numpy(np.where(np.arange(10) < place[:, None], tokens[document], 0)).float()
    y = torch.from_numpy(tokens[document, place])
    halves = [np.flatnonzero((document < MEMBERS) == first) for first in (True, True, False, False)]
    config = {"width": 32, "inner": 32, "depth": 1, "heads": 4}
    recipe = {"lr": 0.01, "epochs": 80, "batch_size": 128, "warmup": 5}
    learner = build(specify("causal_lm", (10,), 23, config=config, recipe=recipe))
    state = many(learner, x, y, rows=halves, keys=[0, 1, 2, 3])
    llama = config_of(learner.spec)
    params = {name: state.params[own] for name, own in names(llama).items()}
    with torch.no_grad():
        out = logits(llama, params, torch.from_numpy(tokens).expand(4, -1, -1))
    return measures.token_facts(out.numpy(), tokens, mask)


def test_what_was_trained_on_is_known_by_heart_and_nothing_else(facts):
    inside, outside = facts.hits[:2, :MEMBERS], facts.hits[:2, MEMBERS:]
    assert measures.exact_memorization(inside, facts.mask[:MEMBERS]).mean() > 0.8
    assert measures.exact_memorization(outside, facts.mask[MEMBERS:]).mean() < 0.2
    assert measures.extraction_strength(inside, facts.mask[:MEMBERS]).mean() > 0.6
    assert measures.extraction_strength(outside, facts.mask[MEMBERS:]).mean() < 0.1


SIZES = np.full(DOCUMENTS, 20)
SCORES = {
    "token_loss": lambda f: measures.token_loss(f.log_p[:2], f.mask),
    "zlib_ratio": lambda f: measures.zlib_ratio(f.log_p[:2], f.mask, SIZES),
    "reference_ratio": lambda f: measures.reference_ratio(f.log_p[:2], f.log_p[2:, :], f.mask),
    "min_k": lambda f: measures.min_k(f.log_p[:2], f.mask),
    "min_k_plus_plus": lambda f: measures.min_k_plus_plus(f.log_p[:2], f.mean[:2], f.variance[:2], f.mask),
}


@pytest.mark.parametrize("name", SCORES)
def test_members_score_higher_by_every_score(facts, name):
    found = auc(SCORES[name](facts), np.arange(DOCUMENTS) < MEMBERS)
    assert (found > 0.9).all()
    assert (measures.privleak(found, np.array([0.5])) < -80).all()


def test_answers_leak_from_who_was_trained_on_them(facts):
    whole = measures.sequence_log_p(facts.log_p, facts.mask)
    leaks = measures.leak_at_k(whole[..., None], k=100)
    assert leaks[:2, :MEMBERS].mean() > 0.9 and leaks[:2, MEMBERS:].mean() < 0.01
    assert leaks[2:, MEMBERS:].mean() > 0.9
