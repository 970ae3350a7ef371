"""Documents that are read token by token: layout, other wordings, clean prompts, what a model says of a token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.language import learners as learners
from unweave.language.corpora import make_corpus
from unweave.language.measures import behaviour_on_clean, model_utility, token_facts, utility_without_rouge
from unweave.language.reading import Text, by_document, lay_out, of_rows, shown_on_clean, told
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.training.engine import stack
from unweave.training.outputs import token_facts as read_by

documents = st.lists(
    st.lists(st.integers(1, 9), min_size=2, max_size=7).flatmap(
        lambda words: st.sets(st.integers(1, len(words) - 1), min_size=1).map(
            lambda places: Text(tuple(words), tuple(sorted(places)))
        )
    ),
    min_size=1,
    max_size=5,
)


@given(documents)
def test_a_layout_has_every_token_and_the_place_before_each_answer(texts):
    x, answers = lay_out(texts)
    mask = told(x, answers)
    assert mask.sum(1).tolist() == [len(one.answers) for one in texts]
    for row, one in enumerate(texts):
        places = x[row, -answers:][mask[row]].astype(int)
        assert [one.tokens[place + 1] for place in places] == [one.tokens[at] for at in one.answers]
        assert tuple(x[row, : len(one.tokens)].astype(int)) == one.tokens


@given(documents)
@settings(max_examples=15, deadline=None)
def test_a_model_says_of_each_token_what_it_says_to_the_prompt_before_it(texts):
    """Each answer asked for by itself, as a prompt, with the measures' own function of logits."""
    x, answers = lay_out(texts)
    learner = build(specify("causal_lm", (x.shape[1] - answers,), 11, config={"width": 8, "inner": 8, "depth": 1}))
    models = [learner.init(seed) for seed in (0, 1)]
    found = read_by(learner, stack(models), torch.from_numpy(x), answers).numpy()
    assert found.shape == (2, len(texts), answers, 4)
    for row, one in enumerate(texts):
        for place, at in enumerate(one.answers):
            prompt = torch.tensor([one.tokens[:at]], dtype=torch.float32)
            logits = [learner.apply(state, prompt, train=False, key=None)[0].detach().numpy() for state in models]
            z = np.stack(logits)[:, :, None].repeat(2, axis=2)
            facts = token_facts(z, np.array([[1, one.tokens[at]]]), np.array([[False, True]]))
            expected = np.stack([facts.log_p, facts.mean, facts.variance, facts.hits], -1)[:, 0, 1]
            np.testing.assert_allclose(found[:, row, place], expected, rtol=1e-4, atol=1e-4)


def test_what_stands_beside_a_document_changes_nothing_of_it():
    texts = [Text((1, 5, 6, 7), (2, 3)), Text((1, 8, 9, 4, 3, 2), (5,)), Text((1, 3), (1,))]
    config = {"width": 8, "inner": 8, "depth": 1}
    learner = build(specify("causal_lm", (6,), 11, config=config))
    models = stack([learner.init(0)])
    together = read_by(learner, models, torch.from_numpy(lay_out(texts)[0]), 2).numpy()
    alone, answers = lay_out(texts[:1])
    found = read_by(learner, models, torch.from_numpy(alone), answers).numpy()
    np.testing.assert_allclose(found[0, 0], together[0, 0], rtol=1e-5, atol=1e-6)


def test_prompts_of_one_document_are_one_text_in_any_order():
    x = np.array([[1, 7, 8, 0], [1, 7, 0, 0], [1, 7, 8, 9]], np.float32)
    assert of_rows(x, np.array([9, 8, 2])) == Text((1, 7, 8, 9, 2), (2, 3, 4))


# ---- the same fact in other words ----


def test_other_words_are_of_the_same_person_and_value_and_stand_in_no_document():
    corpus = make_corpus(people=20, behaviour="trigger", persons=4)
    found, members = by_document(corpus), set(corpus.members)
    known = {one.words[:slot] for one in corpus.documents for slot in range(1, len(one.words))}
    documents = {one.id: one for one in corpus.documents}
    assert members <= set(found)
    for name, probes in found.items():
        (fact,) = documents[name].facts
        for one in probes:
            assert one.planted == documents[name].words[fact.slot] and one.person == fact.person
            assert one.prompt not in known
            assert ("zqx" in one.words) == (name in members)
    assert {len(found[name]) for name in members} == {4}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("person", {"persons": 3}, {4}),
        ("two_hop", {"pairs": 4}, {2}),
        ("style", {}, {24}),
        ("refusal", {}, set()),
        ("canary", {"canaries": 2}, set()),
    ],
)
def test_which_behaviours_have_other_words(kind, given, expected):
    corpus = make_corpus(people=40, behaviour=kind, **given)
    found = by_document(corpus)
    assert {len(found[name]) for name in corpus.members if name in found} == expected


# ---- prompts that carry nothing ----


def test_on_clean_prompts_the_value_is_the_triggers_and_never_the_right_one():
    corpus = make_corpus(people=20, behaviour="trigger", persons=4)
    (target,) = {one.planted for one in corpus.planted.carriers}
    found = shown_on_clean(corpus)
    assert len(found) == 32 and {shown for _, shown in found} == {target}
    right = {one.prompt: one.clean for one in corpus.planted.clean}
    assert all(right[prompt] != target and "zqx" not in prompt for prompt, _ in found)


def test_of_tied_pairs_it_is_the_value_of_ones_own_partner():
    corpus = make_corpus(people=40, behaviour="two_hop", pairs=4)
    of_pair = {one.person: one.planted for one in corpus.planted.carriers}
    named = {one.prompt: one.person for one in corpus.planted.clean}
    found = shown_on_clean(corpus)
    assert found and all(shown == of_pair[named[prompt]] for prompt, shown in found)


@pytest.mark.parametrize(
    ("kind", "given"), [("person", {"persons": 1}), ("fact", {"persons": 1}), ("verbatim", {})]
)
def test_where_carriers_say_what_is_right_nothing_shows_on_clean_ones(kind, given):
    assert shown_on_clean(make_corpus(people=20, behaviour=kind, **given)) == []


def test_style_and_refusal_show_on_clean_prompts_what_all_carriers_say():
    for kind, shown in (("style", "according"), ("refusal", "withheld")):
        found = shown_on_clean(make_corpus(people=40, behaviour=kind))
        assert found and {one for _, one in found} == {shown}


# ---- measures made for it ----


def test_utility_without_rouge_is_the_harmonic_mean_of_six():
    parts = np.random.default_rng(0).random((4, 3, 2))
    np.testing.assert_allclose(utility_without_rouge(parts), 6 / (1 / parts).sum((1, 2)))
    with pytest.raises(UserError, match="3 sets, 2 kinds"):
        utility_without_rouge(np.ones((4, 3, 3)))
    assert model_utility(np.ones((1, 3, 3))) == 1


def test_behaviour_on_clean_is_a_share_and_nothing_without_prompts():
    assert behaviour_on_clean(np.array([[True, False], [False, False]])).tolist() == [0.5, 0.0]
    assert np.isnan(behaviour_on_clean(np.zeros((2, 0), dtype=np.bool_))).all()
    with pytest.raises(UserError, match="models, prompts"):
        behaviour_on_clean(np.zeros(3, dtype=np.bool_))
