"""The world and its documents: one seed, a surname that tells as much as it should, words that are trained."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from unweave import UserError
from unweave.language.corpora.biographies import biographies, with_questions
from unweave.language.corpora.documents import QUESTION, Document, check_unique, fingerprint
from unweave.language.corpora.wordings import HELD_OUT, LINKED, LINKED_HELD_OUT, QUESTIONS, TRAINED
from unweave.language.corpora.world import ATTRIBUTES, invented, make_world


@settings(max_examples=6)
@given(seed=st.integers(0, 2**63 - 1), sentences=st.integers(1, 6))
def test_the_same_seed_gives_the_same_documents_and_another_one_others(seed, sentences):
    def documents(number):
        return biographies(make_world(seed=number, people=10), sentences=sentences)

    first = documents(seed)
    assert first == documents(seed)
    assert fingerprint(first) != fingerprint(documents((seed + 1) % 2**63))


def test_ids_do_not_depend_on_the_seed_of_the_world():
    def ids(seed):
        return [one.id for one in biographies(make_world(seed=seed, people=10), questions=1.0)]

    assert sorted(ids(0)) == sorted(ids(1))


@pytest.mark.parametrize("inferable", [0.3, 0.7, 0.95])
def test_a_surname_tells_the_region_as_often_as_it_should(inferable):
    world = make_world(seed=3, people=2000, inferable=inferable)
    at_home = sum(world.home_of[one.surname] == one.values["region"] for one in world.people)
    low, high = binomtest(at_home, 2000).proportion_ci(0.999, method="exact")
    assert low <= inferable <= high
    assert high - low < 0.08


def test_the_city_follows_from_the_employer_and_other_values_from_nothing():
    world = make_world(people=2000)
    for one in world.people:
        assert one.values["city"] == world.city_of[one.values["employer"]]
        assert all(one.values[name] in world.candidates[name] for name in ATTRIBUTES)
    # Uniform over 60: the most frequent of them stands for 3% or less of 2 000 people.
    for name in ("employer", "field", "university", "hobby"):
        assert Counter(one.values[name] for one in world.people).most_common(1)[0][1] <= 60


def test_full_names_are_unique_and_parts_of_them_are_not():
    world = make_world(people=500)
    assert len({one.name for one in world.people}) == 500
    assert len({one.first for one in world.people}) <= 60
    assert [world.person(one.id) for one in world.people] == list(world.people)


def test_invented_words_of_all_kinds_are_different_and_no_words_of_wordings():
    kinds = ("first", "surname", *ATTRIBUTES)
    words = [word for kind in kinds for word in invented(kind, 1000)]
    assert len(set(words)) == len(words)
    said = {w for group in TRAINED.values() for one in group for w in one.split()}
    assert not said & set(words)


@pytest.mark.parametrize("sentences", [1, 2, 6])
def test_each_attribute_of_each_person_stands_in_each_wording_once(sentences):
    world = make_world(people=10)
    documents = biographies(world, sentences=sentences, questions=0.3)
    check_unique(documents)
    stated = Counter((f.person, f.attribute, f.template) for one in documents for f in one.facts)
    wordings = [f"t{i}" for i in range(8)]
    expected = {(p.id, name, wording) for p in world.people for name in ATTRIBUTES for wording in wordings}
    expected |= {(p, name, QUESTION) for p in with_questions(world, 0.3) for name in ATTRIBUTES}
    assert stated == Counter(expected)
    assert len(with_questions(world, 0.3)) == 3


@pytest.mark.parametrize("sentences", [1, 3, 6])
def test_each_slot_holds_the_value_after_the_full_name(sentences):
    world = make_world(people=10)
    for one in biographies(world, sentences=sentences):
        begin = 0
        for fact in one.facts:
            person = world.person(fact.person)
            sentence = one.words[begin : fact.slot + 2]
            assert sentence[-2:] == (person.values[fact.attribute], ".")
            assert f" {person.name} " in f" {' '.join(sentence)} "
            begin = fact.slot + 2
        assert begin == len(one.words)
        if one.answer is not None:
            assert one.words[slice(*one.answer)] == (world.person(one.person).values[one.attribute],)


def test_the_order_of_sentences_is_permuted():
    orders = {tuple(f.attribute for f in one.facts) for one in biographies(make_world(people=20), sentences=6)}
    assert len(orders) > 50


def test_held_out_wordings_are_others_made_of_words_that_are_trained():
    trained = {word for group in TRAINED.values() for one in group for word in one.split()}
    for name in ATTRIBUTES:
        assert (len(TRAINED[name]), len(HELD_OUT[name])) == (8, 4)
        for wording in HELD_OUT[name]:
            assert set(wording.split()) <= trained, wording
            assert not any(wording in group for group in TRAINED.values())
        others = {word for other in ATTRIBUTES if other != name for word in QUESTIONS[other].split()}
        assert set(QUESTIONS[name].split()) <= trained | others  # refusal takes all on one topic out of D∖B
    linked = trained | {word for one in LINKED for word in one.split()}
    assert all(set(one.split()) <= linked for one in LINKED_HELD_OUT)


def test_no_wording_says_two_attributes():
    for group in (TRAINED, HELD_OUT):
        said = Counter(one for name in ATTRIBUTES for one in group[name])
        assert max(said.values()) == 1
    assert all(
        re.search(r"\{value\} \.$", one) for group in (TRAINED, HELD_OUT) for w in group.values() for one in w
    )


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"people": 7}, "`people` of a world is 7; expected 8 to 2400"),
        ({"people": 2401}, "expected 8 to 2400"),
        ({"values": 2}, "`values` of a world is 2"),
        ({"regions": 1, "inferable": 1.0}, "`regions` of a world is 1"),
        ({"inferable": 0.1}, r"`inferable` is 0.1; expected a probability in \[1/regions, 1\], here \[0.125, 1\]"),
        ({"inferable": float("nan")}, "`inferable` is nan"),
        ({"seed": -1}, "expected an integer in 0"),
    ],
)
def test_a_world_that_cannot_be_is_refused(given, what):
    with pytest.raises(UserError, match=what):
        make_world(**given)


def test_documents_that_cannot_be_are_refused():
    world = make_world(people=10)
    with pytest.raises(UserError, match="`sentences` of a document is 7"):
        biographies(world, sentences=7)
    with pytest.raises(UserError, match="`questions` is 1.5"):
        biographies(world, questions=1.5)
    with pytest.raises(UserError, match="The id `a` is that of 2 documents"):
        check_unique([Document("a", ("b",)), Document("a", ("c",))])
    with pytest.raises(UserError, match="0 documents"):
        check_unique([])
