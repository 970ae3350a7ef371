"""Words as arrays: there and back, what is learned, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import UserError
from unweave.language.corpora import Document, Probe, make_corpus, make_probes, select
from unweave.language.tokens import BEGIN, END, PAD, Vocabulary, decode, encode, encode_probes, vocabulary_of

WORDS = ["a", "b", "c", "d"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(tuple), min_size=1, max_size=6)


@given(texts=TEXTS, more=st.integers(0, 5))
def test_what_is_encoded_is_decoded_again(texts, more):
    documents = [Document(str(i), words) for i, words in enumerate(texts)]
    length = max(len(words) for words in texts) + 2 + more
    encoded = encode(documents, Vocabulary(WORDS), length=length)
    assert decode(encoded.tokens, Vocabulary(WORDS)) == texts
    assert encoded.tokens.shape == encoded.loss.shape == (len(texts), length)
    assert encoded.tokens.dtype == np.int64 and encoded.loss.dtype == np.bool_
    for tokens, loss, words in zip(encoded.tokens, encoded.loss, texts, strict=True):
        assert tokens[0] == BEGIN and tokens[len(words) + 1] == END
        assert (tokens[len(words) + 2 :] == PAD).all()
        # Free text: every word and the end; never the first sign or padding.
        assert loss.tolist() == [0 < i < len(words) + 2 for i in range(length)]


def test_of_a_question_the_answer_alone_is_learned():
    documents = [Document("q", ("who", "?", "a", "b", "."), answer=(2, 4)), Document("t", ("a",))]
    encoded = encode(documents, vocabulary_of(documents))
    assert encoded.loss.tolist() == [
        [False, False, False, True, True, False, False],
        [False, True, True, False, False, False, False],
    ]
    assert encoded.ids.tolist() == ["q", "t"]


def test_rows_do_not_depend_on_their_neighbours_where_the_length_is_given():
    documents = [Document(str(i), tuple(WORDS[: i + 1])) for i in range(4)]
    words = Vocabulary(WORDS)
    together = encode(documents, words, length=8)
    for i, one in enumerate(documents):
        alone = encode([one], words, length=8)
        assert (alone.tokens[0] == together.tokens[i]).all() and (alone.loss[0] == together.loss[i]).all()


def test_a_vocabulary_does_not_depend_on_the_order_of_words():
    assert (
        Vocabulary(["b", "a", "b"]).words
        == Vocabulary(["a", "b"]).words
        == ("<pad>", "<begin>", "<end>", "a", "b")
    )
    assert "a" in Vocabulary(["a"]) and "b" not in Vocabulary(["a"])


def test_the_slot_of_each_encoded_probe_holds_its_answer():
    corpus = make_corpus(people=20, values=6, persons=5)
    probes = make_probes(corpus, select(corpus, key=0), key=0, limit=50)
    words = Vocabulary(corpus.words())
    encoded_documents = encode(corpus.documents, words)
    row = {name: i for i, name in enumerate(encoded_documents.ids.tolist())}
    for group, ones in probes.groups.items():
        found = encode_probes(ones, words)
        n = np.arange(len(ones))
        shown = found.clean if group in ("retain", "test", "clean") else found.planted
        assert (found.tokens[n, found.slot] == shown).all() and (found.slot >= 1).all()
        assert (found.candidates[n, found.clean] & found.candidates[n, found.planted]).all()
        assert (found.candidates.sum(1) == [len(one.candidates) for one in ones]).all()
        assert not found.candidates[:, :3].any()
        for i, one in enumerate(ones):
            assert (found.tokens[i, found.slot[i] + 1 :] == PAD).all()
            if group == "forget":  # the same tokens as in training, so the same logits
                end = found.slot[i] + 1
                assert (found.tokens[i, :end] == encoded_documents.tokens[row[one.document], :end]).all()


def test_words_that_are_not_known_are_refused_with_near_ones():
    with pytest.raises(UserError, match="Word 1 of `d1`, `hobbi`, is none of the 4 .* Did you mean `hobby`"):
        encode([Document("d1", ("hobby", "hobbi"))], Vocabulary(["hobby"]))
    with pytest.raises(UserError, match="Word 0 of `d1`, `12345`, is none of the 4 of the vocabulary. A model"):
        encode([Document("d1", ("12345",))], Vocabulary(["hobby"]))
    probe = Probe("p", ("a", "b"), 1, "b", "c", ("b", "c"), "", "", "")
    with pytest.raises(UserError, match="Word 1 of `candidates of p`, `c`"):
        encode_probes([probe], Vocabulary(["a", "b"]))


def test_documents_that_are_too_long_are_counted_and_refused():
    documents = [Document(str(i), ("a",) * i) for i in range(1, 6)]
    with pytest.raises(UserError, match=r"Document `5` has 7 tokens, .* has 5 \(2 of 5 documents are too long\)"):
        encode(documents, Vocabulary(["a"]), length=5)
    probe = Probe("p", ("a", "b"), 1, "b", "b", ("b",), "", "", "")
    with pytest.raises(UserError, match="Probe `p` has 3 tokens"):
        encode_probes([probe], Vocabulary(["a", "b"]), length=2)


def test_what_cannot_be_encoded_is_refused():
    words = Vocabulary(["a"])
    with pytest.raises(UserError, match="0 documents to encode"):
        encode([], words)
    with pytest.raises(UserError, match="Document `e` has 0 words"):
        encode([Document("e", ())], words)
    with pytest.raises(UserError, match="answer of document `q` is words 1 to 3 of 2"):
        encode([Document("q", ("a", "a"), answer=(1, 3))], words)
    with pytest.raises(UserError, match="answer of document `q` is words 1 to 1 of 2"):
        encode([Document("q", ("a", "a"), answer=(1, 1))], words)
    with pytest.raises(UserError, match="holds the word <pad>"):
        Vocabulary(["<pad>"])
    with pytest.raises(UserError, match="Tokens are 4 … 4, but the vocabulary has the numbers 0 … 3"):
        decode(np.array([[4]]), words)
