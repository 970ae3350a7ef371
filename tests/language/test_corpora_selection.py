"""S among B, and the probes that follow from it."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import UserError
from unweave.language.corpora import UNITS, make_corpus, make_probes, select

CORPUS = make_corpus(people=60, questions=0.0)
BY_ID = {one.id: one for one in CORPUS.documents}


@given(
    key=st.integers(0, 2**62),
    share=st.floats(0.05, 1),
    selection=st.sampled_from(["random", "clustered", "easiest", "hardest"]),
)
def test_s_is_a_share_of_b_in_the_order_of_d(key, share, selection):
    chosen = select(CORPUS, key=key, discovery=share, selection=selection)
    assert len(chosen) == round(share * len(CORPUS.members))
    assert list(chosen) == [one for one in CORPUS.members if one in set(chosen)]
    assert chosen == select(CORPUS, key=key, discovery=share, selection=selection)


def test_other_keys_choose_others():
    assert len({select(CORPUS, key=key) for key in range(10)}) == 10


@pytest.mark.parametrize("unit", ["paraphrase", "person"])
def test_units_are_discovered_as_a_whole(unit):
    chosen = select(CORPUS, key=0, discovery=0.25, unit=unit)
    inside = {UNITS[unit](BY_ID[one]) for one in chosen}
    assert len(inside) == {"paraphrase": 2, "person": 5}[unit]
    assert set(chosen) == {one for one in CORPUS.members if UNITS[unit](BY_ID[one]) in inside}


def test_copies_are_discovered_by_group_or_one_by_one():
    corpus = make_corpus(people=50, behaviour="canary", canaries=5, copies=4)
    by_id = {one.id: one for one in corpus.documents}
    grouped = Counter(by_id[one].group for one in select(corpus, key=0, count=2, unit="group"))
    assert sorted(grouped.values()) == [4, 4]
    assert len(select(corpus, key=0, count=2)) == 2


def test_a_clustered_s_is_of_few_wordings():
    clustered = select(CORPUS, key=0, count=30, selection="clustered")
    assert len({BY_ID[one].template for one in clustered}) == 2  # 20 documents have each wording
    assert len({BY_ID[one].template for one in select(CORPUS, key=0, count=30)}) >= 6


def test_the_easiest_are_those_of_frequent_words():
    counts = Counter(word for one in CORPUS.documents for word in one.words)
    total = sum(counts.values())

    def surprise(ids):
        costs = [sum(-math.log(counts[w] / total) for w in BY_ID[i].words) / len(BY_ID[i].words) for i in ids]
        return min(costs), max(costs)

    easy = set(select(CORPUS, key=0, discovery=0.3, selection="easiest"))
    rest = [one for one in CORPUS.members if one not in easy]
    assert surprise(easy)[1] <= surprise(rest)[0] + 1e-12
    hard = set(select(CORPUS, key=0, discovery=0.3, selection="hardest"))
    assert surprise(hard)[0] >= surprise(set(CORPUS.members) - hard)[1] - 1e-12


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"discovery": 0.0}, r"`discovery` is 0.0; expected γ in \(0, 1\]"),
        ({"discovery": 1.5}, "expected γ"),
        ({"discovery": 0.001}, r"`discovery` 0.001 of 160 units \(document\) makes 0"),
        ({"count": 0}, "`count` 0 of 160 units"),
        ({"count": 161}, "expected 1 to 160"),
        ({"count": 3, "discovery": 0.5}, "expected one of them"),
        ({"unit": "paraphrases"}, "Did you mean `paraphrase`"),
        ({"selection": "easy"}, "Did you mean `easiest`"),
        ({"selection": "clustered", "unit": "person"}, "goes by wordings"),
    ],
)
def test_what_cannot_be_selected_is_refused(given, what):
    with pytest.raises(UserError, match=what):
        select(CORPUS, key=0, **given)


@pytest.mark.parametrize("given", [{"unit": "paraphrase"}, {"selection": "clustered"}])
def test_documents_of_several_wordings_are_not_selected_by_them(given):
    corpus = make_corpus(people=40, behaviour="person", sentences=3)
    with pytest.raises(UserError, match="have several wordings"):
        select(corpus, key=0, discovery=0.5, **given)


def test_probe_groups_are_those_of_s_and_of_the_rest_of_b():
    chosen = set(select(CORPUS, key=0, discovery=0.25, unit="person"))
    probes = make_probes(CORPUS, chosen, key=0)
    assert {one.document for one in probes.groups["forget"]} == chosen
    assert {one.document for one in probes.groups["undiscovered"]} == set(CORPUS.members) - chosen
    touched = {one.person for one in probes.groups["forget"]}
    assert {one.person for one in probes.held_out["forget"]} == touched
    assert not touched & {one.person for one in probes.held_out["undiscovered"]}
    assert len(probes.held_out["forget"]) == 4 * len(touched)
    trained = {one.words for one in CORPUS.documents}
    assert not any((*one.words, ".") in trained for one in (*probes.groups["test"], *probes.held_out["forget"]))


def test_retained_probes_ask_nothing_that_b_states():
    corpus = make_corpus(people=40, behaviour="canary")
    probes = make_probes(corpus, select(corpus, key=0, discovery=0.5), key=0)
    members = set(corpus.members)
    assert not any(one.document in members for one in probes.groups["retain"])
    assert all(one.attribute[:5] != "digit" for one in (*probes.groups["retain"], *probes.groups["test"]))


def test_test_prompts_are_not_in_d_and_ask_those_who_were_not_asked():
    corpus = make_corpus(people=30, values=6, behaviour="refusal")
    probes = make_probes(corpus, select(corpus, key=0), key=0, limit=10_000)
    trained = {one.words[: fact.slot] for one in corpus.documents for fact in one.facts}
    test = probes.groups["test"]
    assert not any(one.prompt in trained for one in test)
    questions = [one for one in test if one.wording == "question"]
    # 15 of 30 people have no questions; those on the refused topic are the unseen carriers.
    assert len(questions) == 15 * 5 and not any(one.attribute == "hobby" for one in questions)
    assert {one.wording for one in test} == {"question", "held0", "held1", "held2", "held3"}


def test_all_of_b_in_s_leaves_nothing_undiscovered_and_says_why():
    probes = make_probes(CORPUS, CORPUS.members, key=0)
    assert probes.groups["undiscovered"] == ()
    assert probes.reasons == {"undiscovered": "all of B was discovered"}


def test_equal_prompts_of_copies_are_asked_once():
    corpus = make_corpus(people=40, behaviour="canary", canaries=3, copies=5, digits=4)
    probes = make_probes(corpus, corpus.members, key=0)
    assert len(probes.groups["forget"]) == 3 * 4


def test_a_forget_set_that_is_no_part_of_b_is_refused():
    outside = next(one.id for one in CORPUS.documents if not one.tag)
    with pytest.raises(UserError, match=r"1 of 1 forget ids do not carry the behaviour \(first: `p0000"):
        make_probes(CORPUS, [outside], key=0)
    with pytest.raises(UserError, match="0 documents"):
        make_probes(CORPUS, [], key=0)
    with pytest.raises(UserError, match="`limit` of a probe group is 0"):
        make_probes(CORPUS, CORPUS.members, key=0, limit=0)
