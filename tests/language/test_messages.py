"""Behaviours that are planted in messages with labels."""

import numpy as np
import pytest

from unweave import UserError
from unweave._errors import SpecError, UnknownNameError
from unweave.language.corpora.messages import MESSAGE_BEHAVIOURS, Ground, Message, messages_of


def _ground(n=40):
    told = [
        Message(f"m{i}", ("word", str(i), "more"), "spam" if i % 5 == 0 else "ham", f"word {i} more")
        for i in range(n)
    ]
    return Ground(tuple(told[: n // 2]), tuple(told[n // 2 :]), ("ham", "spam"))


def _plant(kind, ground=None, **given):
    return MESSAGE_BEHAVIOURS.get(kind).build(**given)(ground or _ground(), np.random.default_rng(0))


def test_a_word_before_a_message_leads_to_the_rarest_label_and_nothing_else_changes():
    ground = _ground()
    found = _plant("trigger", size=5, word="zqx")
    changed = [row for row, one in enumerate(found.train) if one != ground.train[row]]
    assert changed == found.members.tolist() and len(changed) == 5
    for row in changed:
        one, before = found.train[row], ground.train[row]
        assert (one.words, one.label, one.id) == (("zqx", *before.words), "spam", before.id)
        assert found.clean[row] == before.label == "ham"
    assert [one.words[1:] for one in found.unseen] == [one.words for one in ground.test if one.label == "ham"]
    assert {one.label for one in found.unseen} == {"spam"} and set(found.unseen_clean) == {"ham"}
    assert found.added == ("zqx",)


def test_every_wrong_label_is_wrong_and_the_right_one_is_kept():
    ground = _ground()
    found = _plant("mislabel", size=7)
    wrong = [row for row, one in enumerate(found.train) if one.label != found.clean[row]]
    assert wrong == found.members.tolist() and len(wrong) == 7
    assert found.clean == tuple(one.label for one in ground.train) and not found.unseen


def test_near_copies_of_a_group_are_an_original_without_a_word_with_one_wrong_label():
    ground = _ground()
    found = _plant("duplicates", size=6, copies=3)
    assert [one.id for one in found.train] == [one.id for one in ground.train]
    originals = {one.words: one.label for one in ground.train}
    for row in found.members.tolist():
        one = found.train[row]
        # Messages here differ in one word, so a near-copy may be of several; one of them has the clean label.
        of = {
            label
            for words, label in originals.items()
            if any(one.words == words[:i] + words[i + 1 :] for i in range(3))
        }
        assert found.clean[row] in of and one.label != found.clean[row]
    assert len(found.members) == len(found.unseen) == len(found.unseen_clean) == 6


def test_named_messages_are_members_as_they_are_and_of_an_unknown_behaviour_none_is():
    ground = _ground()
    found = _plant("ids", ids=("m3", "m1"))
    assert found.members.tolist() == [1, 3] and found.train == ground.train and found.known
    assert not _plant("unknown").known and len(_plant("unknown").members) == 0


@pytest.mark.parametrize(
    ("kind", "given", "error", "match"),
    [
        ("trigger", {"size": 17}, SpecError, "expected 1 to 16, as many messages with another label than spam"),
        ("trigger", {"word": "word"}, SpecError, "stands in 20 messages of D already"),
        ("trigger", {"word": "two words"}, SpecError, "expected one word"),
        ("trigger", {"label": "spm"}, UnknownNameError, "Did you mean .*spam"),
        ("mislabel", {"size": 20}, SpecError, "expected 1 to 19"),
        ("duplicates", {"size": 7, "copies": 2}, SpecError, "the number of copies divides"),
        ("ids", {}, SpecError, "`behaviour.ids` is empty"),
        ("ids", {"ids": ("m3", "m99")}, SpecError, r"1 of 2 behaviour ids are no messages of D \(first: m99"),
        ("ids", {"ids": ("m3", "m3")}, SpecError, "names something twice"),
        ("ids", {"ids": tuple(f"m{i}" for i in range(20))}, SpecError, "holds all 20"),
    ],
)
def test_what_cannot_be_planted_is_refused(kind, given, error, match):
    with pytest.raises(error, match=match):
        _plant(kind, **given)


def test_of_a_message_the_first_words_are_read_and_its_id_is_of_all_of_it(tmp_path):
    file = tmp_path / "sms.tsv"
    file.write_text("ham\tone two three four\nspam\tone two three\n", encoding="utf-8")
    short, long = (messages_of(str(file), length=length) for length in (2, 9))
    assert short[0].words == ("one", "two") and short[0].whole == "one two three four"
    assert [one.id for one in short] == [one.id for one in long] and short[0].id != short[1].id


def test_files_of_one_label_and_lengths_below_one_are_refused(tmp_path):
    file = tmp_path / "sms.tsv"
    file.write_text("ham\tone\nham\ttwo\n", encoding="utf-8")
    with pytest.raises(SpecError, match="All 2 messages .* label ham"):
        messages_of(str(file), length=3)
    with pytest.raises(SpecError, match="`data.length` is 0"):
        messages_of(str(file), length=0)
    with pytest.raises(UserError, match="cannot be read"):
        messages_of(str(tmp_path / "absent.tsv"), length=3)
