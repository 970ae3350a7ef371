"""Passages: what a file holds, and pieces that together are the whole text."""

import dataclasses
import json

import numpy as np
import pytest

from unweave import UserError
from unweave.language import checkpoints
from unweave.language.answering import answer_log_probabilities
from unweave.language.passages import read_passages, tokenize_passages
from unweave.language.questions import arrays
from unweave.language.tokenizers import read_tokenizer
from unweave.learners import NO_TOKEN
from unweave.learners.contract import State

TEXTS = ["Mira Oduya was born in Kisumu! " * 9, "Short.", "Short."]


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "forget.json"
    path.write_text(json.dumps(TEXTS))
    return path


def test_a_passage_has_one_id_in_every_file_and_copies_are_told_apart(written, tmp_path):
    read = read_passages(written)
    assert [one.text for one in read] == TEXTS
    assert read[2].id == f"{read[1].id}/copy1" and read[0].id != read[1].id
    objects = tmp_path / "retain.json"
    objects.write_text(json.dumps([{"text": TEXTS[1], "name": "x"}]))
    (again,) = read_passages(objects)
    assert again == read[1]
    plain = tmp_path / "forget.txt"
    plain.write_text(TEXTS[0])
    assert read_passages(plain) == read[:1]


def test_pieces_are_the_whole_text_and_all_but_the_sign_is_learned(written, llama_folder):
    checkpoint = checkpoints.read(llama_folder)
    tokenizer = read_tokenizer(llama_folder, checkpoint.config)
    read = read_passages(written)
    found = tokenize_passages(read, tokenizer, length=40)
    pieces = [tokens for name, tokens in zip(found.ids, found.tokens, strict=True) if name.startswith(read[0].id)]
    assert len(pieces) > 2 and all(len(one) == 40 and one[0] == tokenizer.begin[0] for one in pieces[:-1])
    assert tokenizer.decode([token for one in pieces for token in one[1:]]) == TEXTS[0]
    assert list(found.ids) == [f"{read[0].id}/{i}" for i in range(len(pieces))] + [read[1].id, read[2].id]
    laid = arrays(found)
    assert ((laid.y != NO_TOKEN).sum(1) == [len(one) - 1 for one in found.tokens]).all()
    assert (laid.places[0] == np.arange(39)).all()
    bare = tokenize_passages(read, dataclasses.replace(tokenizer, begin=()), length=40)
    assert bare.begins[0] == 1 and len(bare.tokens[0]) == 40
    model = State({name: value[None] for name, value in checkpoint.params.items()}, {})
    said = answer_log_probabilities(checkpoint.config, model, laid)[0]
    assert said.shape == laid.y.shape and (said[laid.y != NO_TOKEN] < 0).all()
    for passages, length in ((read, 2), (read[:0], 40)):
        with pytest.raises(UserError, match="Expected passages, and a length"):
            tokenize_passages(passages, tokenizer, length=length)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("{}", "holds no list of passages"),
        ("[]", "holds no list of passages"),
        ('["a", 3]', "Passage 1 of .* is '3'; expected a text"),
        ('[{"txt": "a"}]', "Passage 0 of .*expected a text, or `text`"),
        ('["a", " "]', "Passage 1 of .* is empty"),
    ],
)
def test_what_is_no_list_of_passages_is_told(written, content, said):
    written.write_text(content)
    with pytest.raises(UserError, match=said):
        read_passages(written)


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_passages(tmp_path / "none.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match="no text in UTF-8"):
        read_passages(tmp_path / "a.txt")
