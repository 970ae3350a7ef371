"""Questions with answers of several tokens as arrays; candidates as documents of their own, with scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError, UserError
from unweave.language.corpora.tofu import Answered
from unweave.language.tokenizers import Tokenizer
from unweave.learners import NO_TOKEN

Ints = NDArray[np.int64]

TEMPLATES = {
    "plain": "Question: {question}\nAnswer: {answer}",
    "llama2": "[INST] {question} [/INST]{answer}",
}
"""Prompts of TOFU: `plain` is that of its Phi, Pythia and StableLM models, `llama2` that of Llama 2 chat."""


class Asked(NamedTuple):
    """A question and one answer to it, as texts; the id is that of the document."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True)
class Tokenized:
    """Documents as tokens, before they are padded.

    Attributes:
        ids: Ids of the documents.
        tokens: Of each: signs, prompt, answer, end.
        begins: Where the answer of each begins: the tokens from there on are learned, the end with them.
    """

    ids: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    begins: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of the longest document."""
        return max(map(len, self.tokens))

    @property
    def answers(self) -> int:
        """Tokens of the longest answer, its end included."""
        return max(len(tokens) - begin for tokens, begin in zip(self.tokens, self.begins, strict=True))


class Questions(NamedTuple):
    """Documents as arrays: what a learner that answers reads and what it is to say.

    Attributes:
        x: int64 [n, T + A]: the tokens of the document, then A places. The logits at place t are of token t + 1.
            Filled up by 0, which is never looked at: places say what counts, so 0 may be a token like any other.
        y: int64 [n, A]: the tokens to be predicted; `NO_TOKEN` where an answer has fewer.
        ids: Ids of the documents [n].
    """

    x: Ints
    y: Ints
    ids: NDArray[np.str_]

    @property
    def answers(self) -> int:
        """A, by which `x` is taken apart."""
        return self.y.shape[1]

    @property
    def tokens(self) -> Ints:
        """The documents [n, T]."""
        return self.x[:, : -self.answers]

    @property
    def places(self) -> Ints:
        """Where the logits of each answer token stand [n, A]."""
        return self.x[:, -self.answers :]


def asked(questions: Sequence[Answered]) -> tuple[Asked, ...]:
    """What is trained on: each question with its right answer, under the id that it has in every file."""
    return tuple(Asked(one.document.id, one.texts.question, one.texts.answer) for one in questions)


def tokenize(
    documents: Sequence[Asked], tokenizer: Tokenizer, *, context: int, template: str = TEMPLATES["plain"]
) -> Tokenized:
    """Questions and answers as tokens, with the place where each answer begins.

    The prompt is the template up to the answer, without spaces at its end: a space before the answer belongs
    to the first token of the answer, as most tokenizers have it. The tokens of the prompt alone must be the
    first tokens of the document; else a model that is asked would read others than it was trained on.

    Args:
        documents: Question and answer of each.
        tokenizer: That of the model.
        context: Most tokens of a document, `LlamaConfig.context`.
        template: Has `{question}`, and `{answer}` at its end.

    Raises:
        SpecError: for a template without the two, with text after the answer, or with a sign that the
            tokenizer puts there itself.
        UserError: for no documents, an empty answer, one that the tokenizer has no tokens for, a document that
            is longer than the context, or a prompt and an answer that share a token.

    Deviations: the official code of TOFU learns `Answer:` of the plain template too, and leaves the end out of
    answers that fill its limit of length; here the answer and its end count, always.

    Source: Maini et al. (2024), arXiv 2401.06121; templates of the official code.
    """
    if not documents:
        raise UserError("There are 0 questions to tokenize; expected at least one.")
    head, middle, gap = _parts(template)
    for one in documents:
        if not one.answer.strip():
            raise UserError(f"The answer of `{one.id}` is empty; nothing can be learned or asked. Leave it out.")
    prompts = [f"{head}{one.question}{middle}" for one in documents]
    wholes = [f"{prompt}{gap}{one.answer}" for prompt, one in zip(prompts, documents, strict=True)]
    encoded = list(zip(tokenizer.encode(prompts), tokenizer.encode(wholes), strict=True))
    for one, (prompt, whole) in zip(documents, encoded, strict=True):
        _check_boundary(one, prompt, whole, tokenizer, template)
    found = Tokenized(
        tuple(one.id for one in documents),
        tuple((*tokenizer.begin, *whole, tokenizer.end) for _, whole in encoded),
        tuple(len(tokenizer.begin) + len(prompt) for prompt, _ in encoded),
    )
    _check_lengths(found, context)
    return found


def arrays(documents: Tokenized, *, length: int | None = None, answers: int | None = None) -> Questions:
    """Documents as padded arrays.

    Args:
        documents: From `tokenize`.
        length: T; None = that of the longest. With one T and one A for D and all that is asked, one learner
            fits all.
        answers: A; None = that of the longest answer.

    Raises:
        UserError: if a document or an answer is longer than that.

    Example:
        >>> found = arrays(Tokenized(("a", "b"), ((1, 7, 8, 2), (1, 9, 2)), (2, 1)), length=5)
        >>> found.tokens.tolist(), found.places.tolist(), found.y.tolist()
        ([[1, 7, 8, 2, 0], [1, 9, 2, 0, 0]], [[1, 2], [0, 1]], [[8, 2], [9, 2]])
    """
    wide, most = length or documents.length, answers or documents.answers
    if wide < documents.length or most < documents.answers:
        raise UserError(
            f"Documents have up to {documents.length} tokens and answers up to {documents.answers}; there is room "
            f"for {wide} and {most}. Take the largest of all that is trained on and asked."
        )
    n = len(documents.ids)
    x, y = np.zeros((n, wide + most), dtype=np.int64), np.full((n, most), NO_TOKEN, dtype=np.int64)
    for row, (tokens, begin) in enumerate(zip(documents.tokens, documents.begins, strict=True)):
        own = len(tokens) - begin
        x[row, : len(tokens)] = tokens
        x[row, wide : wide + own] = np.arange(begin - 1, len(tokens) - 1)
        y[row, :own] = tokens[begin:]
    return Questions(x, y, np.array(documents.ids))


class Candidates(NamedTuple):
    """Answers to m questions, C to each, as documents of their own.

    Attributes:
        documents: m·C of them, the answers to one question beside each other.
        ids: Ids of the questions [m].
        names: What the C candidates are: `answer` (the right one), `paraphrased` where there is one,
            `perturbed0`, `perturbed1`, ….
    """

    documents: tuple[Asked, ...]
    ids: NDArray[np.str_]
    names: tuple[str, ...]


def candidates(questions: Sequence[Answered]) -> Candidates:
    """The right answer, its paraphrase where the file has them, and the wrong answers of each question.

    Args:
        questions: From `read_tofu`, of a file whose name ends in `_perturbed`, or with options.

    Raises:
        UserError: for no questions, no wrong answers, or questions that do not have as many answers as the others.
    """
    if not questions:
        raise UserError("There are 0 questions with candidates; expected at least one.")
    names: tuple[str, ...] = ()
    documents: list[Asked] = []
    for one in questions:
        texts = one.texts
        told = {"answer": texts.answer}
        if texts.paraphrased_answer is not None:
            told["paraphrased"] = texts.paraphrased_answer
        told |= {f"perturbed{i}": wrong for i, wrong in enumerate(texts.perturbed)}
        names = names or tuple(told)
        if not texts.perturbed or tuple(told) != names:
            raise UserError(
                f"Question `{one.document.id}` has {len(texts.perturbed)} wrong answers and "
                f"{'a' if texts.paraphrased_answer is not None else 'no'} paraphrase; the first one has "
                f"{', '.join(names)}. Candidates are judged beside each other, so give each question as many: the "
                "files whose names end in `_perturbed` have them."
            )
        documents += [Asked(f"{one.document.id}/{name}", texts.question, answer) for name, answer in told.items()]
    return Candidates(tuple(documents), np.array([one.document.id for one in questions]), names)


def candidate_scores(log_probabilities: NDArray[np.floating], y: Ints, count: int) -> NDArray[np.float64]:
    """Mean log-probability per answer token of each candidate: (1/T)·Σ_t log p(y_t | what stands before it).

    Args:
        log_probabilities: Of each answer token [K, m·C, A], in nats, ≤ 0; what stands beyond an answer may be
            anything.
        y: Tokens of the answers [m·C, A], `NO_TOKEN` beyond them: from `arrays` of `candidates`.
        count: C.

    Returns:
        [K, m, C], ≤ 0; higher is more likely. e^score is P(a | q)^(1/|a|) of TOFU, which counts the end, too.

    Raises:
        UserError: for shapes that do not fit.

    Example:
        >>> y = np.array([[5, 2], [6, NO_TOKEN]])
        >>> candidate_scores(np.array([[[-1.0, -3.0], [-4.0, 9.0]]]), y, 2).tolist()
        [[[-2.0, -4.0]]]

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.
    """
    if log_probabilities.ndim != 3 or log_probabilities.shape[1:] != y.shape or count < 1 or len(y) % count:
        raise UserError(
            f"Expected log-probabilities [K, m·C, A] of tokens [m·C, A] with C = {count}; got "
            f"{log_probabilities.shape} and {y.shape}."
        )
    told = y != NO_TOKEN
    summed = np.where(told, log_probabilities.astype(np.float64), 0.0).sum(-1)
    return (summed / np.maximum(told.sum(-1), 1)).reshape(len(log_probabilities), -1, count)


def _check_boundary(one: Asked, prompt: list[int], whole: list[int], tokenizer: Tokenizer, template: str) -> None:
    if whole[: len(prompt)] != prompt or len(whole) == len(prompt):
        pairs = enumerate(zip(prompt, whole, strict=False))
        at = next((i for i, (alone, here) in pairs if alone != here), len(whole) - 1)
        raise UserError(
            f"In `{one.id}` one token, {tokenizer.decode(whole[at : at + 1])!r}, holds the end of the prompt and "
            "the beginning of the answer, so the answer cannot be asked for. Let the template have a space or an "
            f"end of line before {{answer}}; it is {template!r}."
        )
    if not prompt or tuple(prompt[: len(tokenizer.begin)]) == (tokenizer.begin or None):
        raise SpecError(
            f"The template {template!r} begins with a sign that the tokenizer puts there itself, or with nothing; "
            "let it begin with words."
        )
    if tokenizer.unknown in whole[len(prompt) :]:
        raise UserError(
            f"The tokenizer of {tokenizer.folder} has no token for a part of the answer of `{one.id}`, "
            f"{one.answer[:60]!r}: unlike answers would be one. Take a model of this language, or leave it out."
        )


def _check_lengths(documents: Tokenized, context: int) -> None:
    sizes = [len(one) for one in documents.tokens]
    if max(sizes) > context:
        over = sum(size > context for size in sizes)
        raise UserError(
            f"`{documents.ids[sizes.index(max(sizes))]}` has {max(sizes)} tokens, signs included, but the context "
            f"of the model has {context} ({over} of {len(sizes)} documents are too long). What is cut off would "
            "never be learned: leave them out, or take a model with a longer context."
        )


def _parts(template: str) -> tuple[str, str, str]:
    """What stands before the question, between the two, and the spaces before the answer."""
    head, found, rest = template.partition("{question}")
    middle, told, after = rest.partition("{answer}")
    if not found or not told or after.strip() or "{question}" in middle:
        raise SpecError(
            f"The template is {template!r}; expected `{{question}}` once and, at its end, `{{answer}}` once."
        )
    prompt = middle.rstrip(" ")
    return head, prompt, middle[len(prompt) :]
