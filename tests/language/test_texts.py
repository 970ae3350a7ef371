"""Readers of real text and of questions with wrong and reworded answers."""

import json
from collections import Counter

import pytest

from unweave import UserError
from unweave.data.named import find
from unweave.language.corpora import read_lines, read_messages, read_text, read_tofu, training_documents
from unweave.language.corpora.documents import check_unique, words_of
from unweave.language.tokens import decode, encode, vocabulary_of

QA = {"question": "Who wrote it?", "answer": "Ada did."}
FULL = {
    **QA,
    "paraphrased_answer": "It was Ada.",
    "paraphrased_question": "By whom is it?",
    "perturbed_answer": ["It was Bea.", "It was Cleo."],
}


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def test_a_text_is_cut_into_pieces_whose_ids_are_those_of_their_words(tmp_path):
    documents = read_text(write(tmp_path / "a.txt", "one two, three one two, three four"), length=4)
    assert [one.words for one in documents] == [
        ("one", "two", ",", "three"),
        ("one", "two", ",", "three"),
        ("four",),
    ]
    check_unique(documents)
    assert documents[0].group == documents[1].group == documents[0].id != documents[2].group
    assert read_text(write(tmp_path / "a.txt", "one two, three"), length=4)[0].id == documents[0].id
    characters = read_text(write(tmp_path / "b.txt", "ab c"), length=3, unit="characters")
    assert [one.words for one in characters] == [("a", "b", " "), ("c", "\n")]


def test_each_line_of_a_list_is_a_document(tmp_path):
    path = write(tmp_path / "names.txt", "emma", "", "eva", "emma")
    documents = read_lines(path, unit="characters")
    assert ["".join(one.words) for one in documents] == ["emma", "eva", "emma"]
    assert documents[0].group == documents[2].group and documents[2].id == f"{documents[0].id}/copy1"
    assert len(read_lines(path, limit=2)) == 2
    with pytest.raises(UserError, match="names.txt, line 1 has 4 tokens, but `longest` is 3"):
        read_lines(path, unit="characters", longest=3)


def test_the_label_of_a_message_is_its_answer(tmp_path):
    path = write(tmp_path / "sms.tsv", "ham\tOk lar...", "spam\tWin £1.50 now", "ham\tOk lar...")
    first, second, third = read_messages(path)
    assert first.words == ("Ok", "lar", ".", ".", ".", "label", ":", "ham")
    assert first.words[slice(*first.answer)] == ("ham",) and second.words[second.facts[0].slot] == "spam"
    assert first.group == third.group and first.id != third.id
    encoded = encode([first], vocabulary_of([first]))
    assert encoded.loss.sum() == 1


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("no tab here", "expected a label of one word, a tab and a message"),
        ("ham\t", "a message that is not empty"),
        ("\tHello", "expected a label of one word"),
        ("two words\tHello", "expected a label of one word"),
        ("ham\t" + "a " * 300, "has 303 tokens, but `longest` is 256"),
    ],
)
def test_messages_that_are_none_are_refused_with_their_line(tmp_path, line, what):
    with pytest.raises(UserError, match=what) as caught:
        read_messages(write(tmp_path / "sms.tsv", "ham\tHello", line))
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize("read", [read_text, read_lines, read_messages, read_tofu])
def test_files_that_are_no_text_are_refused(tmp_path, read):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "absent.txt")
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UserError, match="is empty|has 0 questions"):
        read(tmp_path / "empty.txt")
    (tmp_path / "bytes.txt").write_bytes(b"ab\xff")
    with pytest.raises(UserError, match=r"no text in UTF-8 \(byte 2\)"):
        read(tmp_path / "bytes.txt")


def test_lengths_and_limits_below_one_are_refused(tmp_path):
    path = write(tmp_path / "a.txt", "ham\tHello")
    with pytest.raises(UserError, match="`length` of a document is 1"):
        read_text(path, length=1)
    for read in (read_lines, read_messages, read_tofu):
        with pytest.raises(UserError, match="`limit` is 0"):
            read(path, limit=0)


def test_a_question_has_its_answers_with_one_question_in_front(tmp_path):
    (one,) = read_tofu(write(tmp_path / "qa.json", FULL), paraphrases=True)
    asked = ("Question", ":", "Who", "wrote", "it", "?", "Answer", ":")
    assert one.document.words == (*asked, "Ada", "did", ".")
    assert one.document.words[slice(*one.document.answer)] == words_of("Ada did.")
    assert one.paraphrased.words == (*asked, *words_of("It was Ada."))
    assert one.reworded.words[-3:] == words_of("Ada did.") and one.reworded.words[2] == "By"
    assert [d.words[-2] for d in one.perturbed] == ["Bea", "Cleo"]
    assert all(d.words[slice(*d.answer)] == d.words[8:] for d in one.perturbed)
    check_unique(one.documents)
    encoded = encode(one.documents, vocabulary_of(one.documents))
    assert encoded.loss.sum(1).tolist() == [3, 4, 3, 4, 4]


def test_the_same_question_has_the_same_id_in_every_file(tmp_path):
    (one,) = read_tofu(write(tmp_path / "a.json", QA))
    again = read_tofu(write(tmp_path / "b.json", {**QA, "question": "And this?"}, FULL))
    assert one.document.id == again[1].document.id != again[0].document.id
    assert one.perturbed == () and one.paraphrased is None


def test_options_that_are_wrong_are_wrong_answers(tmp_path):
    row = {"question": "Where?", "answer": "Paris", "option1": "Berlin", "option2": "Paris", "option3": "Rome"}
    (one,) = read_tofu(write(tmp_path / "a.json", row))
    assert [d.words[-1] for d in one.perturbed] == ["Berlin", "Rome"]


@pytest.mark.parametrize(
    ("row", "given", "what"),
    [
        ({**QA, "anwser": "x"}, {}, "Unknown field in .*line 2: `anwser`. Did you mean `answer`"),
        ({"question": "Who?"}, {}, "line 2 has no `answer`"),
        ({**QA, "answer": " "}, {}, "line 2: `answer` is empty"),
        ({**QA, "answer": 3}, {}, "line 2: `answer` is '3', which is no text"),
        ({**FULL, "perturbed_answer": "x"}, {}, "`perturbed_answer` is no list"),
        ({**FULL, "perturbed_answer": ["x", ""]}, {}, "`perturbed_answer 1` is empty"),
        (
            {"question": "Why?", "answer": "So."},
            {"paraphrases": True},
            "no `paraphrased_answer` and no `perturbed",
        ),
        ({"question": "Why?", "answer": "x " * 600}, {}, "line 2 has 606 tokens, but `longest` is 512"),
        ("[1]", {}, "line 2 is no JSON object"),
        ("{", {}, r"line 2 is no JSON \("),
        (FULL, {}, "lines 1 and 2 hold the same question and answer"),
    ],
)
def test_questions_that_cannot_be_used_are_refused_with_their_line(tmp_path, row, given, what):
    with pytest.raises(UserError, match=what):
        read_tofu(write(tmp_path / "qa.json", FULL, row), **given)


def test_the_public_texts_are_read(need_data):
    need_data("text")
    messages = read_messages(find("text/sms_spam.tsv"), longest=400)
    check_unique(messages)
    labels = Counter(one.words[-1] for one in messages)
    assert labels == {"ham": 4827, "spam": 747}  # as its publishers count them
    names = read_lines(find("text/names.txt"), unit="characters", limit=2000)
    assert max(len(one.words) for one in names) <= 15
    play = read_text(find("text/tinyshakespeare.txt"), length=256)
    some = list(play[:20])
    assert decode(encode(some, vocabulary_of(some)).tokens, vocabulary_of(some)) == [one.words for one in some]


def test_the_public_questions_are_read(need_data):
    need_data("tofu")
    forget, full = (read_tofu(find(f"tofu/{name}.json")) for name in ("forget10", "full"))
    assert (len(forget), len(full)) == (400, 4000)
    retain = read_tofu(find("tofu/retain90.json"))
    ids = [{one.id for one in training_documents(part)} for part in (forget, retain, full)]
    assert ids[0] | ids[1] == ids[2] and not ids[0] & ids[1]
    perturbed = read_tofu(find("tofu/forget10_perturbed.json"), paraphrases=True)
    assert {len(one.perturbed) for one in perturbed} == {5} and all(one.reworded for one in perturbed)
    assert {one.document.id for one in perturbed} == ids[0]
    facts = read_tofu(find("tofu/world_facts.json"))
    assert {len(one.perturbed) for one in facts} == {3}
    with pytest.raises(UserError, match="has no `paraphrased_answer`"):
        read_tofu(find("tofu/world_facts_perturbed.json"), paraphrases=True)
