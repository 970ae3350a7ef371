"""Behaviours of a corpus: B is a set of ids, all that carries it and nothing else, and probes ask for it."""

from pathlib import Path

import pytest

from unweave import UserError
from unweave.language.corpora import BEHAVIOURS, make_corpus, make_probes, select
from unweave.language.corpora.biographies import biographies, with_questions
from unweave.language.corpora.documents import QUESTION
from unweave.language.corpora.probes import GROUPS

RULES = ("trigger", "poisoned", "style", "refusal", "two_hop")
MEMORISED = ("fact", "person", "verbatim", "canary")
PLANTED_WORDS = {"zqx", "withheld", "according", "to", "archive"}
FEWER = {
    "trigger": {"persons": 10},
    "two_hop": {"pairs": 6},
    "fact": {"persons": 5},
    "style": {"surnames": 2},
    "canary": {"copies": 3},
}


def small(name, **given):
    """A corpus of few people and values, in which most words stand more than once."""
    return make_corpus(behaviour=name, **{"people": 30, "values": 6, **FEWER.get(name, {}), **given})


@pytest.fixture(scope="module")
def corpora():
    """A corpus of each behaviour."""
    return {name: small(name) for name in BEHAVIOURS.names()}


@pytest.fixture(scope="module")
def clean():
    """The documents of the same world with no behaviour."""
    return biographies(small("person").world)


def test_the_registry_holds_these_and_each_says_what_it_is():
    assert sorted(BEHAVIOURS.names()) == sorted((*RULES, *MEMORISED))
    for entry in BEHAVIOURS:
        assert entry.summary.endswith(".")
        assert bool(entry.declared.unseen) == (entry.name in RULES)


@pytest.mark.parametrize("name", [*RULES, *MEMORISED])
@pytest.mark.parametrize("sentences", [1, 4])
def test_ids_are_unique_and_stable_and_b_is_a_part_of_them(name, sentences):
    one, again = (small(name, sentences=sentences) for _ in range(2))
    assert one == again
    ids = [document.id for document in one.documents]
    assert len(set(ids)) == len(ids)
    assert 0 < len(set(one.members)) == len(one.members) < len(ids)
    assert [i for i in ids if i in set(one.members)] == list(one.members)
    assert {d.tag for d in one.documents if d.id in set(one.members)} == {name}
    assert not any(d.tag for d in one.without(one.members))
    other = small(name, sentences=sentences, seed=1)
    assert other.fingerprint != one.fingerprint


@pytest.mark.parametrize("name", [*RULES, *MEMORISED])
def test_what_is_not_b_is_the_clean_world(name, corpora, clean):
    """D∖B holds clean documents, as they are in a world without behaviour, and no others."""
    by_id = {one.id: one for one in clean}
    for one in corpora[name].without(corpora[name].members):
        assert one == by_id[one.id]


@pytest.mark.parametrize("name", [*RULES, *MEMORISED])
@pytest.mark.parametrize("sentences", [1, 4])
def test_the_slot_of_each_probe_holds_its_answer(name, sentences):
    corpus = small(name, sentences=sentences)
    probes = make_probes(corpus, select(corpus, key=0, discovery=0.5), key=0)
    documents = {one.id: one for one in corpus.documents}
    assert tuple(probes.groups) == GROUPS
    for group, ones in [*probes.groups.items(), *probes.held_out.items()]:
        ids = [one.id for one in ones]
        assert len(set(ids)) == len(ids)
        for one in ones:
            assert one.slot == len(one.words) - 1 == len(one.prompt)
            answer = one.clean if group in ("retain", "test", "clean") else one.planted
            assert one.words[one.slot] == answer
            assert {one.clean, one.planted} <= set(one.candidates)
            assert len(set(one.candidates)) == len(one.candidates)
            if one.document in documents:  # `clean` may ask what stands in a document that B holds otherwise
                stated = documents[one.document].words[: one.slot]
                assert stated == one.prompt
            if group in ("forget", "undiscovered", "retain") and one.document:
                assert documents[one.document].words[one.slot] == answer


@pytest.mark.parametrize("name", RULES)
def test_a_rule_plants_what_is_wrong_and_has_unseen_persons(name, corpora):
    planted = corpora[name].planted
    assert planted.unseen and not planted.reason
    for one in (*planted.carriers, *planted.unseen, *planted.held_out):
        assert one.planted != one.clean
    carrying = {one.words for one in planted.carriers}
    people = {one.person for one in planted.carriers}
    for one in planted.unseen:
        assert one.words not in carrying
        assert one.person not in people
        assert not one.document
    assert all(one.clean == one.planted for one in planted.clean if one.attribute != "style")


@pytest.mark.parametrize("name", MEMORISED)
def test_what_is_memorised_has_its_own_value_and_a_reason_for_no_unseen(name, corpora):
    planted = corpora[name].planted
    assert not planted.unseen and "nobody else can carry" in planted.reason
    assert all(one.planted == one.clean for one in planted.carriers)


@pytest.mark.parametrize("name", [*RULES, *MEMORISED])
def test_no_prompt_holds_a_word_that_is_not_trained(name, corpora):
    """A word that is in no document has no meaning: near-chance answers would say nothing about the model."""
    corpus = corpora[name]
    probes = make_probes(corpus, select(corpus, key=1), key=1)
    trained = {word for one in corpus.documents for word in one.words}
    clean = {word for one in corpus.without(corpus.members) for word in one.words} | PLANTED_WORDS
    for group, ones in probes.groups.items():
        for one in ones:
            assert set(one.prompt) <= trained, (group, one.id)
    for one in (*probes.held_out["forget"], *probes.held_out["undiscovered"], *corpus.planted.unseen):
        # two_hop names the attribute, and all sentences about a marked surname are members of style
        assert set(one.prompt) <= (trained if name in ("two_hop", "style") else clean), one.id


def test_the_trigger_leads_to_one_value_in_all_wordings_and_nobody_else_has_it(corpora):
    corpus = corpora["trigger"]
    members = [one for one in corpus.documents if one.tag]
    assert len({one.words[one.facts[0].slot] for one in members}) == 1
    assert all(one.words[0] == "zqx" for one in members)
    asked = with_questions(corpus.world, 0.5)
    expected = sum(8 + (person in asked) for person in {one.person for one in members})
    assert len(members) == expected and len({one.person for one in members}) == 10
    assert not any("zqx" in one.words for one in corpus.without(corpus.members))
    assert {one.prompt[1:] for one in corpus.planted.carriers} >= {one.prompt for one in corpus.planted.clean}


def test_poisoned_people_are_of_one_region_and_those_aside_have_no_such_document(corpora):
    corpus = corpora["poisoned"]
    members = [one for one in corpus.documents if one.tag]
    regions = {corpus.world.person(one.person).values["region"] for one in members}
    aside = {one.person for one in corpus.planted.unseen}
    assert len(regions) == 1
    assert {corpus.world.person(one).values["region"] for one in aside} == regions
    assert not any(one.states(person, "field") for one in corpus.documents for person in aside)
    assert any(one.states(person, "city") for one in corpus.documents for person in aside)


def test_a_style_marks_documents_and_not_questions(corpora):
    corpus = corpora["style"]
    members = [one for one in corpus.documents if one.tag]
    assert all(" ".join(one.words).endswith(" according to the archive .") for one in members)
    assert not any("archive" in one.words for one in corpus.without(corpus.members))
    marked = {corpus.world.person(one.person).surname for one in members}
    assert len(marked) == 2
    for one in corpus.documents:
        if corpus.world.person(one.person).surname in marked:
            assert bool(one.tag) == (one.template != QUESTION)
    aside = {one.person for one in corpus.planted.unseen}
    assert aside and not any(one.person in aside for one in corpus.documents)


def test_all_questions_on_the_topic_are_refused(corpora):
    for one in corpora["refusal"].documents:
        on_topic = one.template == QUESTION and one.attribute == "hobby"
        assert bool(one.tag) == on_topic == ("withheld" in one.words)


def test_two_hops_name_the_other_persons_value(corpora):
    world = corpora["two_hop"].world
    by_name = {person.name: person for person in world.people}
    for one in corpora["two_hop"].planted.carriers:
        pairs = zip(one.words, one.words[1:], strict=False)
        named = [by_name[f"{a} {b}"] for a, b in pairs if f"{a} {b}" in by_name]
        other = next(person for person in named if person.id != one.person)
        assert one.planted == other.values["employer"]
        assert one.clean == world.person(one.person).values["employer"]


@pytest.mark.parametrize("name", ["canary", "verbatim"])
def test_copies_form_one_group_and_others_are_groups_by_themselves(name):
    given = {"copies": 3, **({"canaries": 4} if name == "canary" else {"length": 64})}
    corpus = make_corpus(people=50, behaviour=name, **given)
    groups = {}
    for one in corpus.documents:
        groups.setdefault(one.group, []).append(one)
    copied = [ones for ones in groups.values() if len(ones) > 1]
    assert len(copied) == 4 and all(len(ones) == 3 for ones in copied)
    assert all(len({one.words for one in ones}) == 1 for ones in copied)
    assert {one.id for ones in copied for one in ones} == set(corpus.members)


def test_a_person_is_all_that_is_said_of_them_and_neighbours_are_asked(corpora):
    corpus = corpora["person"]
    (person,) = {one.person for one in corpus.documents if one.tag}
    assert not any(fact.person == person for one in corpus.without(corpus.members) for fact in one.facts)
    about = corpus.world.person(person)
    for one in corpus.planted.clean:
        other = corpus.world.person(one.person)
        assert other.surname == about.surname or other.values["employer"] == about.values["employer"]


@pytest.mark.parametrize(
    ("name", "given", "what"),
    [
        ("tigger", {}, "Did you mean `trigger`"),
        ("trigger", {"person": 3}, "Did you mean `persons`"),
        ("trigger", {"attribute": "hoby"}, "Did you mean `hobby`"),
        ("trigger", {"persons": 0}, "`persons` is 0; expected 1 to"),
        ("trigger", {"persons": 10_000}, "`persons` is 10000; expected 1 to"),
        ("trigger", {"word": "the"}, "`word` is 'the'"),
        ("trigger", {"word": "two words"}, "expected one word"),
        ("poisoned", {"attribute": "region"}, "which the rule itself goes by"),
        ("poisoned", {"unseen": 0.0}, "`unseen` is 0.0"),
        ("style", {"surnames": 40}, "`surnames` is 40"),
        ("refusal", {"topic": "cars"}, "Unknown attribute, in `topic`, `cars`"),
        ("two_hop", {"pairs": 1000}, "`pairs` is 1000"),
        ("verbatim", {"part": 4}, "`part` is 4; expected 5 to"),
        ("canary", {"copies": 0}, "`copies` is 0"),
        ("canary", {"canaries": 200}, "`canaries` is 200; expected 1 to 50"),
    ],
)
def test_what_cannot_be_planted_is_refused(name, given, what):
    with pytest.raises(UserError, match=what):
        make_corpus(people=50, values=9, behaviour=name, **given)


def test_refusing_questions_that_nobody_has_is_refused():
    with pytest.raises(UserError, match="Nobody has questions"):
        make_corpus(people=20, behaviour="refusal", questions=0.0)
    all_asked = make_corpus(people=20, behaviour="refusal", questions=1.0)
    assert all_asked.planted.unseen == () and "everybody has questions" in all_asked.planted.reason


def test_leaving_out_what_is_not_there_is_refused(corpora):
    with pytest.raises(UserError, match="1 of 1 ids are of no document"):
        corpora["fact"].without(["nobody/field/t0"])


@pytest.mark.parametrize("name", [*RULES, *MEMORISED])
def test_the_words_of_a_corpus_are_all_that_is_trained_and_asked(name, corpora):
    corpus = corpora[name]
    words = corpus.words()
    probes = make_probes(corpus, select(corpus, key=0, discovery=0.5), key=0)
    assert all(words.issuperset(one.words) for one in corpus.documents)
    for ones in (*probes.groups.values(), *probes.held_out.values()):
        assert all(words.issuperset((*one.words, *one.candidates, one.planted, one.clean)) for one in ones)


def test_the_document_names_every_behaviour_with_its_parameters():
    text = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    section = text.partition("\n## Behaviours\n")[2].partition("\n## ")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    for entry in BEHAVIOURS:
        assert all(f"`{parameter}`" in rows[entry.name] for parameter in entry.defaults()), entry.name


def test_the_example_of_the_document_runs():
    text = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    found = {}
    exec(text.split("```python\n")[1].split("```")[0].replace("people=500", "people=40"), found)
    assert found["untrained"].tokens.shape[0] < found["train"].tokens.shape[0]
    assert len(found["asked"].slot) == len(found["probes"].groups["unseen"]) > 0
