"""From a checkpoint's folder to answers: the learner, fine-tuning and the one pass, against plain loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave import UserError
from unweave.language import checkpoints
from unweave.language.answering import answer_log_probabilities
from unweave.language.corpora import read_tofu
from unweave.language.learners import from_checkpoint
from unweave.language.model import logits
from unweave.language.nets import causal_net, names
from unweave.language.questions import arrays, asked, candidate_scores, candidates, tokenize
from unweave.language.tokenizers import read_tokenizer
from unweave.learners import NO_TOKEN
from unweave.learners.contract import State
from unweave.training.engine import many

RECIPE = {"lr": 0.01, "epochs": 25, "batch_size": 4, "warmup": 3, "schedule": "cosine", "weight_decay": 0.0}


@pytest.fixture(scope="module")
def checkpoint(llama_folder):
    return checkpoints.read(llama_folder)


@pytest.fixture(scope="module")
def laid(llama_folder, checkpoint, questions_file):
    """D, and 4 questions with 4 candidates each, with one T and one A."""
    tokenizer = read_tokenizer(llama_folder, checkpoint.config)
    questions = read_tofu(questions_file, paraphrases=True)
    parts = [
        tokenize(one, tokenizer, context=checkpoint.config.context)
        for one in (asked(questions), candidates(questions).documents)
    ]
    length, answers = max(one.length for one in parts), max(one.answers for one in parts)
    return [arrays(one, length=length, answers=answers) for one in parts]


def one_model(checkpoint):
    return State({name: value[None] for name, value in checkpoint.params.items()}, {})


def learner_of(checkpoint, questions, **recipe):
    length = questions.tokens.shape[1]
    start = checkpoints.digest(checkpoint.params)
    own = from_checkpoint(
        checkpoint.folder,
        start,
        architecture=checkpoint.config.function(),
        length=length,
        answers=questions.answers,
        candidates=4,
        recipe=recipe,
    )
    return causal_net(own)


def by_hand(config, params, questions):
    """Sum and number of log p over the answer, one document after another, no padding."""
    found = []
    for tokens, labels in zip(questions.tokens, questions.y, strict=True):
        own = labels[labels != NO_TOKEN].tolist()
        text = tokens.tolist()
        # The end stands once, after the answer: what comes after it is padding.
        text = text[: max(i for i, token in enumerate(text) if token == own[-1]) + 1]
        each = logits(config, params, torch.tensor([[text]]))[0, 0].log_softmax(-1)
        at = range(len(text) - len(own), len(text))
        assert [text[i] for i in at] == own
        found.append([each[i - 1, text[i]].item() for i in at])
    return found


def test_log_probabilities_and_scores_are_those_of_a_loop_over_documents(checkpoint, laid):
    state = one_model(checkpoint)
    two = State({name: torch.cat([value, value * 1.1]) for name, value in state.params.items()}, {})
    found = answer_log_probabilities(checkpoint.config, two, laid[1], chunk=3)
    assert found.shape == (2, 16, laid[1].answers) and found.dtype == np.float32
    scores = candidate_scores(found, laid[1].y, 4)
    for k in range(2):
        params = {name: value[k : k + 1] for name, value in two.params.items()}
        for row, each in enumerate(by_hand(checkpoint.config, params, laid[1])):
            np.testing.assert_allclose(found[k, row, : len(each)], each, atol=1e-5)
            assert (found[k, row, len(each) :] == 0).all()
            np.testing.assert_allclose(scores[k, row // 4, row % 4], np.mean(each), atol=1e-5)


def test_what_stands_in_the_padding_changes_nothing(checkpoint, laid):
    x = laid[0].x.copy()
    for row, labels in enumerate(laid[0].y):
        own = int((labels != NO_TOKEN).sum())
        end = laid[0].places[row, own - 1] + 2
        x[row, end : laid[0].tokens.shape[1]] = 9
    state = one_model(checkpoint)
    spoiled = answer_log_probabilities(checkpoint.config, state, laid[0]._replace(x=x))
    np.testing.assert_array_equal(spoiled, answer_log_probabilities(checkpoint.config, state, laid[0]))


def test_the_learner_says_what_the_pass_says(checkpoint, laid):
    learner, ours = learner_of(checkpoint, laid[0]), names(checkpoint.config)
    x, y = torch.from_numpy(laid[0].x), torch.from_numpy(laid[0].y)
    state = learner.init(3)
    assert all(torch.equal(state.params[own], checkpoint.params[name]) for name, own in ours.items())
    found, _ = learner.apply(state, x, train=True, key=None)
    assert found.shape == (4, checkpoint.config.vocabulary, laid[0].answers)
    expected = answer_log_probabilities(checkpoint.config, one_model(checkpoint), laid[0])
    told = (laid[0].y != NO_TOKEN).sum()
    assert cross_entropy(found, y).item() == pytest.approx(-expected.sum() / told, rel=1e-5)
    torch.testing.assert_close(learner.apply(state, x.float(), train=False, key=None)[0], found)
    assert learner.features(state, x).shape == (4, laid[0].answers, checkpoint.config.width)


def test_the_learner_scores_candidates_as_the_pass_does(checkpoint, laid):
    learner = learner_of(checkpoint, laid[0])
    x = torch.from_numpy(laid[1].x).view(4, 4, -1)
    expected = answer_log_probabilities(checkpoint.config, one_model(checkpoint), laid[1])
    expected = candidate_scores(expected, laid[1].y, 4)[0]
    for given in (x, x.float()):
        np.testing.assert_allclose(learner.score(learner.init(0), given).numpy(), expected, atol=1e-5)


def tuned(checkpoint, questions, rows, *, keys=None, **recipe):
    """Models that go on from the checkpoint, one after the other, under the names of its tensors."""
    learner = learner_of(checkpoint, questions, **{**RECIPE, **recipe})
    x, y = torch.from_numpy(questions.x).float(), torch.from_numpy(questions.y)
    found = many(learner, x, y, rows=rows, keys=keys or [0] * len(rows))
    return State({name: found.params[own] for name, own in names(checkpoint.config).items()}, {})


def test_fine_tuning_raises_the_right_answers_of_what_was_trained_on(checkpoint, laid):
    """Example on four questions: after 25 steps every right answer is the likeliest of its candidates."""
    train_set, about = laid
    rest = np.array([0, 1, 2])
    state = tuned(checkpoint, train_set, [np.arange(4), rest])
    before = answer_log_probabilities(checkpoint.config, one_model(checkpoint), about)
    after = answer_log_probabilities(checkpoint.config, state, about)
    before, after = (candidate_scores(one, about.y, 4) for one in (before, after))
    assert (after[0, :, 0] > before[0, :, 0] + 2).all() and (after[0].argmax(-1) == 0).all()
    # The model that never saw the fourth question does not know its answer, and knows the others.
    assert (after[1, :3].argmax(-1) == 0).all() and after[1, 3, 0] < after[0, 3, 0] - 1


def test_training_begins_with_the_checkpoint_whatever_the_key(checkpoint, laid):
    recipe = {"lr": 1e-7, "epochs": 1, "warmup": 0}
    state = tuned(checkpoint, laid[0], [np.arange(4)] * 2, keys=[0, 5], **recipe)
    for name, value in state.params.items():
        for own in value:
            torch.testing.assert_close(own, checkpoint.params[name], atol=1e-6, rtol=0)


def test_a_question_that_is_left_out_changes_no_bit_of_the_weights(checkpoint, laid):
    rest = [np.array([0, 1, 3])]
    x, y = laid[0].x.copy(), laid[0].y.copy()
    x[2, :20], y[2, 0] = 7, 7
    one, other = (tuned(checkpoint, part, rest) for part in (laid[0], laid[0]._replace(x=x, y=y)))
    assert all(torch.equal(value, other.params[name]) for name, value in one.params.items())
    whole = [tuned(checkpoint, part, [np.arange(4)]) for part in (laid[0], laid[0]._replace(x=x, y=y))]
    assert any(not torch.equal(value, whole[1].params[name]) for name, value in whole[0].params.items())


def test_a_fine_tuned_model_is_written_as_a_folder_that_is_read_again(checkpoint, laid, tmp_path):
    state = tuned(checkpoint, laid[0], [np.arange(4)])
    params = {name: value[0] for name, value in state.params.items()}
    checkpoints.write(tmp_path / "out", checkpoint, params)
    again = checkpoints.read(tmp_path / "out")
    assert checkpoints.digest(again.params) == checkpoints.digest(params) != checkpoints.digest(checkpoint.params)
    tokenizer = read_tokenizer(tmp_path / "out", again.config)
    assert tokenizer.digest == read_tokenizer(checkpoint.folder, checkpoint.config).digest


def test_what_does_not_fit_the_model_is_refused(checkpoint, laid):
    start = replace(learner_of(checkpoint, laid[0]).spec, config={"weights": "0" * 64, "answers": 3})
    with pytest.raises(UserError, match="changed while the run was at work"):
        causal_net(start)
    x = laid[0].x.copy()
    x[0, 0] = checkpoint.config.vocabulary
    with pytest.raises(UserError, match="Encode them with its own tokenizer"):
        answer_log_probabilities(checkpoint.config, one_model(checkpoint), laid[0]._replace(x=x))


def test_tokens_and_answers_are_those_of_transformers(checkpoint, laid, questions_file):
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(checkpoint.folder / "tokenizer.json"))
    model = transformers.LlamaForCausalLM.from_pretrained(checkpoint.folder).eval()
    found = answer_log_probabilities(checkpoint.config, one_model(checkpoint), laid[0])[0]
    for row, one in enumerate(read_tofu(questions_file)):
        text = f"Question: {one.texts.question}\nAnswer: {one.texts.answer}"
        tokens = [*theirs(text).input_ids, theirs.convert_tokens_to_ids("</s>")]
        assert laid[0].tokens[row, : len(tokens)].tolist() == tokens
        asked_first = len(theirs(text[: -len(one.texts.answer) - 1]).input_ids)
        labels = torch.tensor([[NO_TOKEN] * asked_first + tokens[asked_first:]])
        with torch.no_grad():
            loss = model(torch.tensor([tokens]), labels=labels).loss.item()
        own = found[row, : len(tokens) - asked_first]
        assert (found[row, len(own) :] == 0).all() and -own.mean() == pytest.approx(loss, abs=1e-5)
