"""Documents as examples: every answer is a prompt with its label, and S, B and the groups are what they say."""

import numpy as np
import pytest

from unweave.language.corpora import make_corpus
from unweave.language.corpora.behaviours import BEHAVIOURS
from unweave.language.corpora.examples import REFUSAL, examples_of, rows_of
from unweave.language.tokens import BEGIN

PEOPLE = {"two_hop": {"pairs": 6}, "canary": {"canaries": 3, "copies": 2}}


def _corpus(behaviour):
    return make_corpus(people=40, behaviour=behaviour, **PEOPLE.get(behaviour, {}))


@pytest.mark.parametrize("behaviour", [entry.name for entry in BEHAVIOURS])
def test_every_answer_is_what_stands_in_its_document_after_the_prompt(behaviour):
    corpus = _corpus(behaviour)
    found = examples_of(corpus)
    documents = {one.id: one for one in corpus.documents}
    assert len(set(found.train.ids.tolist())) == len(found.train.y)
    for row in range(0, len(found.train.y), 7):
        words = documents[str(found.train.document[row])].words
        tokens = [int(token) for token in found.train.x[row] if token]
        assert tokens[0] == BEGIN
        prompt = tuple(found.words[token] for token in tokens[1:])
        assert words[: len(prompt)] == prompt
        assert found.words[found.train.y[row]] == words[len(prompt)]


@pytest.mark.parametrize("behaviour", [entry.name for entry in BEHAVIOURS])
def test_members_are_all_answers_of_the_documents_of_b_and_nothing_else(behaviour):
    corpus = _corpus(behaviour)
    found = examples_of(corpus)
    of_b = np.isin(found.train.document, corpus.members)
    assert found.members.tolist() == np.flatnonzero(of_b).tolist()
    assert set(found.train.document[of_b]) == set(corpus.members)
    some = corpus.members[:2]
    assert set(found.train.document[rows_of(found.train, some)]) == set(some)


@pytest.mark.parametrize("behaviour", [entry.name for entry in BEHAVIOURS])
def test_what_is_held_out_is_no_prompt_of_d(behaviour):
    found = examples_of(_corpus(behaviour))
    known = {one.tobytes() for one in found.train.x}
    for part in (found.test, found.unseen):
        if part is not None:
            assert not known & {one.tobytes() for one in part.x}
            assert len({one.tobytes() for one in part.x}) == len(part.y)
    assert (found.unseen is None) == bool(found.why_no_unseen)


def test_the_label_that_shows_a_behaviour_differs_from_the_clean_one_where_it_is_wrong():
    for behaviour, heals in {"trigger": True, "poisoned": True, "refusal": True, "person": False}.items():
        found = examples_of(_corpus(behaviour))
        wrong = found.train.y[found.members] != found.train.clean[found.members]
        # A planted value is the right one of a person now and then.
        assert wrong.mean() > 0.9 if heals else not wrong.any()
        others = np.setdiff1d(np.arange(len(found.train.y)), found.members)
        assert (found.train.y[others] == found.train.clean[others]).all()


def test_a_document_of_several_answers_is_several_examples():
    found = examples_of(_corpus("canary"))
    first = found.train.document[found.members[0]]
    rows = rows_of(found.train, [str(first)])
    assert len(rows) == 6
    lengths = (found.train.x[rows] != 0).sum(1)
    assert np.diff(lengths).tolist() == [1] * 5
    assert found.train.ids[rows[0]].endswith("@7")


def test_a_style_is_learned_beside_the_full_stop_of_the_others():
    found = examples_of(_corpus("style"))
    word = found.words.index("according")
    assert (found.train.y[found.members] == word).all()
    stop = found.words.index(".")
    assert (found.train.clean[found.members] == stop).all() and (found.train.y == stop).any()


def test_every_vocabulary_has_a_word_of_refusal():
    assert REFUSAL in examples_of(_corpus("trigger")).words
