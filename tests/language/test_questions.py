"""Questions as arrays: where answers begin, what is refused, and scores of candidates against a plain loop."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import UserError
from unweave.data.named import find
from unweave.language import checkpoints
from unweave.language.corpora import read_tofu
from unweave.language.questions import (
    TEMPLATES,
    Asked,
    arrays,
    asked,
    candidate_scores,
    candidates,
    tokenize,
)
from unweave.language.tokenizers import read_tokenizer
from unweave.learners import NO_TOKEN


@pytest.fixture(scope="module")
def tokenizer(llama_folder):
    return read_tokenizer(llama_folder, checkpoints.read(llama_folder).config)


@pytest.fixture(scope="module")
def questions(questions_file):
    return read_tofu(questions_file, paraphrases=True)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_answer_and_its_end_are_learned_and_nothing_else(questions, tokenizer, template):
    found = tokenize(asked(questions), tokenizer, context=96, template=template)
    gap = template.partition("{answer}")[0].endswith(" ") * " "
    for one, tokens, begin in zip(questions, found.tokens, found.begins, strict=True):
        assert tokens[: len(tokenizer.begin)] == tokenizer.begin and tokens[-1] == tokenizer.end
        # The space before an answer belongs to it: what is asked ends where the template's words end.
        assert tokenizer.decode(tokens[begin:]) == gap + one.texts.answer
        prompt = template.format(question=one.texts.question, answer="").rstrip(" ")
        assert [*tokenizer.begin, *tokenizer.encode([prompt])[0]] == list(tokens[:begin])
    assert found.ids == tuple(one.document.id for one in questions)


def test_places_predict_the_answer_and_a_real_token_may_have_number_0(questions, tokenizer):
    found = tokenize(asked(questions), tokenizer, context=96)
    laid = arrays(found, length=90, answers=40)
    assert laid.x.shape == (4, 130) and laid.y.shape == (4, 40) and laid.x.dtype == laid.y.dtype == np.int64
    for row, (tokens, begin) in enumerate(zip(found.tokens, found.begins, strict=True)):
        own = len(tokens) - begin
        assert laid.tokens[row, : len(tokens)].tolist() == list(tokens)
        assert laid.y[row, :own].tolist() == laid.tokens[row][laid.places[row, :own] + 1].tolist()
        assert laid.y[row, :own].tolist() == list(tokens[begin:]) and (laid.y[row, own:] == NO_TOKEN).all()
    assert laid.y[0, : len(found.tokens[0]) - found.begins[0]].tolist()[-2:] == [0, tokenizer.end]
    assert arrays(found).x.shape[1] == found.length + found.answers
    with pytest.raises(UserError, match=r"there is room for \d+ and 2"):
        arrays(found, answers=2)


def test_braces_in_a_question_are_letters(tokenizer):
    (tokens,) = tokenize([Asked("a", "What is {answer} in {question}?", "{}.")], tokenizer, context=96).tokens
    assert tokenizer.decode(tokens) == "Question: What is {answer} in {question}?\nAnswer: {}."


def test_a_document_is_the_same_whatever_stands_beside_it(questions, tokenizer):
    documents = asked(questions)
    together = tokenize(documents, tokenizer, context=96)
    for row, one in enumerate(documents):
        alone = tokenize([one], tokenizer, context=96)
        assert (alone.tokens[0], alone.begins[0]) == (together.tokens[row], together.begins[row])


@pytest.mark.parametrize(
    ("document", "options", "said"),
    [
        (Asked("q", "Who?", " "), {}, "The answer of `q` is empty"),
        (Asked("q", "Who", "ote it!"), {"template": "{question} wr{answer}"}, "In `q` one token, .*holds the end"),
        (
            Asked("q", "Who?", "x" * 200),
            {},
            r"`q` has \d+ tokens, signs included, but the context .* has 96 \(1 of 1",
        ),
        (Asked("q", "Who?", "x"), {"template": "{answer} {question}"}, "expected `{question}` once"),
        (Asked("q", "Who?", "x"), {"template": "{question} {answer} and {answer}"}, "expected `{question}` once"),
        (Asked("q", "Who?", "x"), {"template": "{question}{question} {answer}"}, "expected `{question}` once"),
        (Asked("q", "Who?", "x"), {"template": "<s>{question} {answer}"}, "begins with a sign that the tokenizer"),
    ],
)
def test_what_cannot_be_asked_is_refused(tokenizer, document, options, said):
    with pytest.raises(UserError, match=said):
        tokenize([document], tokenizer, context=96, **options)


def test_answers_that_the_tokenizer_cannot_tell_apart_are_refused(tokenizer):
    library = pytest.importorskip("tokenizers")
    words = library.Tokenizer(library.models.WordLevel({"<?>": 0, "Who": 1, "Ada": 2, ":": 3}, unk_token="<?>"))
    words.pre_tokenizer = library.pre_tokenizers.Whitespace()
    known = dataclasses.replace(tokenizer, library=words, unknown=0, begin=())
    assert tokenize([Asked("q", "Who Bea", "Ada")], known, context=9, template="{question}: {answer}").begins == (
        3,
    )
    with pytest.raises(UserError, match="no token for a part of the answer of `q`, 'Ada Bea'"):
        tokenize([Asked("q", "Who", "Ada Bea")], known, context=9, template="{question}: {answer}")
    words = library.Tokenizer(library.models.WordLevel({"Who": 1}, unk_token="<?>"))
    with pytest.raises(UserError, match="cannot encode these texts"):
        tokenize([Asked("q", "Why", "x")], dataclasses.replace(known, library=words), context=9)
    with pytest.raises(UserError, match="There are 0 questions"):
        tokenize([], known, context=9)


def test_candidates_stand_beside_each_other_with_names(questions):
    found = candidates(questions)
    assert found.names == ("answer", "paraphrased", "perturbed0", "perturbed1")
    assert [one.answer for one in found.documents[4:8]] == [
        "She was born in Kisumu, Kenya.",
        "Kisumu in Kenya.",
        "She was born in Lima, Peru.",
        "She was born in Oslo, Norway.",
    ]
    assert {one.question for one in found.documents[4:8]} == {"Where was Mira Oduya born?"}
    assert found.ids.tolist() == [one.document.id for one in questions]
    assert found.documents[5].id == f"{found.ids[1]}/paraphrased"
    bare = dataclasses.replace(questions[1], texts=questions[1].texts._replace(paraphrased_answer=None))
    with pytest.raises(
        UserError, match="has 2 wrong answers and no paraphrase; the first one has answer, paraphr"
    ):
        candidates([questions[0], bare])
    none = dataclasses.replace(questions[0], texts=questions[0].texts._replace(perturbed=()))
    with pytest.raises(UserError, match="has 0 wrong answers"):
        candidates([none])
    with pytest.raises(UserError, match="0 questions with candidates"):
        candidates([])


@given(
    st.lists(st.lists(st.floats(-50, 0), min_size=1, max_size=5), min_size=6, max_size=6),
    st.sampled_from([1, 2, 3]),
    st.floats(allow_nan=True),
)
def test_a_score_is_the_mean_over_the_tokens_of_its_own_answer(told, count, beyond):
    y = np.full((6, 5), NO_TOKEN)
    log_p = np.full((1, 6, 5), beyond)
    for row, values in enumerate(told):
        y[row, : len(values)] = 7
        log_p[0, row, : len(values)] = values
    scores = candidate_scores(log_p, y, count)
    assert scores.shape == (1, 6 // count, count)
    for row, values in enumerate(told):
        assert math.isclose(
            scores[0, row // count, row % count], sum(values) / len(values), rel_tol=1e-12, abs_tol=1e-12
        )


def test_scores_of_shapes_that_do_not_fit_are_refused():
    y = np.zeros((6, 2), np.int64)
    for shape, count in (((1, 6, 3), 2), ((6, 2), 2), ((1, 6, 2), 4), ((1, 6, 2), 0)):
        with pytest.raises(UserError, match="Expected log-probabilities"):
            candidate_scores(np.zeros(shape), y, count)


def test_the_public_questions_are_tokenized(need_data, tokenizer):
    need_data("tofu")
    parts = {name: asked(read_tofu(find(f"tofu/{name}.json"))) for name in ("full", "forget10", "retain90")}
    assert {name: len(one) for name, one in parts.items()} == {"full": 4000, "forget10": 400, "retain90": 3600}
    # The same question has the same id and the same texts in every file, and D is S and D∖S.
    assert set(parts["full"]) == set(parts["forget10"]) | set(parts["retain90"])
    some = parts["forget10"][:100]
    found = tokenize(some, tokenizer, context=4096)
    for one, tokens, begin in zip(some, found.tokens, found.begins, strict=True):
        assert tokenizer.decode(tokens[begin:]) == " " + one.answer
    asked_about = candidates(read_tofu(find("tofu/forget10_perturbed.json"), paraphrases=True))
    assert asked_about.ids.tolist() == [one.id for one in parts["forget10"]]
    assert len(asked_about.documents) == 400 * 7 and len(asked_about.names) == 7
    assert arrays(tokenize(asked_about.documents[:70], tokenizer, context=4096)).y.shape[0] == 70
