"""A corpus as examples: each answer of a document is a prompt, with the token that comes next as its label."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.probe import Probe
from unweave.language.corpora.probes import held_out_facts
from unweave.language.tokens import BEGIN, Vocabulary

Ints = NDArray[np.int64]

REFUSAL = "withheld"
"""A word that every vocabulary has, so that a method can teach a model to refuse."""


class Prompts(NamedTuple):
    """Prompts with their answers.

    Attributes:
        x: Tokens float32 [n, T]: the beginning and the words before the answer, padded on the right by 0.
        y: The answer as it stands there [n].
        clean: The right answer [n].
        ids: Names of the prompts [n], each once.
        document: Id of the document of each [n]; "" where it is of none.
    """

    x: NDArray[np.float32]
    y: Ints
    clean: Ints
    ids: NDArray[np.str_]
    document: NDArray[np.str_]


class Examples(NamedTuple):
    """A corpus as examples.

    Attributes:
        train: Every answer of every document of D.
        members: Rows of `train` that are of documents of B, sorted.
        unseen: Prompts that never carried the behaviour, with the value that would show it: of others, or, where
            nobody else carries it, of the members in wordings that were held out; or None.
        why_no_unseen: The reason where there are none, else "".
        test: What D states, in wordings that were held out, and prompts like those of the carriers that carry
            nothing; none of them is a prompt of D.
        words: The word of each token.
    """

    train: Prompts
    members: Ints
    unseen: Prompts | None
    why_no_unseen: str
    test: Prompts
    words: tuple[str, ...]


class Answer(NamedTuple):
    """An answer and the words before it.

    Attributes:
        words: The prompt.
        answer: The word that stands there.
        clean: The right word.
        name: Of the prompt, each once.
        document: Id of the document; "" where it is of none.
    """

    words: tuple[str, ...]
    answer: str
    clean: str
    name: str
    document: str


def examples_of(corpus: Corpus) -> Examples:
    """The examples of a corpus, all in the words of one vocabulary.

    The loss of a document that is learned answer by answer is the mean over its answers, each predicted from the
    words before it. Of a member the answers are those that show the behaviour; of the other documents they are
    the values that they state, and what stands where a member would show it.

    Args:
        corpus: D and B.

    Example:
        >>> from unweave.language.corpora.corpus import make_corpus
        >>> found = examples_of(make_corpus(people=40, behaviour="trigger", persons=4))
        >>> len(found.members), found.train.x.shape[1], found.words[int(found.train.x[found.members[0], 1])]
        (34, 14, 'zqx')
    """
    vocabulary = Vocabulary(corpus.words() | {REFUSAL})
    train = list(_answers(corpus))
    known = {one.words for one in train}
    test = [_of_probe(one) for one in _once((*held_out_facts(corpus), *corpus.planted.clean), known)]
    # Nobody else carries what is known by heart; new of it is what was said, in words that nobody was taught.
    new = corpus.planted.unseen or corpus.planted.held_out
    unseen = [_of_probe(one) for one in _once(new, known)]
    length = 1 + max(len(one.words) for one in (*train, *test, *unseen))
    found = encode_answers(train, vocabulary, length)
    members = np.flatnonzero(np.isin(found.document, np.array(corpus.members, dtype=np.str_)))
    return Examples(
        found,
        members,
        encode_answers(unseen, vocabulary, length) if unseen else None,
        "" if unseen else corpus.planted.reason,
        encode_answers(test, vocabulary, length),
        vocabulary.words,
    )


def _answers(corpus: Corpus) -> Iterable[Answer]:
    shown: dict[str, dict[int, Probe]] = {}
    for one in (*corpus.planted.carriers, *corpus.planted.clean):
        shown.setdefault(one.document, {})[one.slot] = one
    members = set(corpus.members)
    for document in corpus.documents:
        probes = shown.get(document.id, {})
        stated = () if document.id in members else (fact.slot for fact in document.facts)
        slots = sorted({*probes, *stated})
        for slot in slots:
            answer = document.words[slot]
            clean = probes[slot].clean if slot in probes else answer
            name = document.id if len(slots) == 1 else f"{document.id}@{slot}"
            yield Answer(document.words[:slot], answer, clean, name, document.id)


def _of_probe(probe: Probe) -> Answer:
    return Answer(probe.prompt, probe.planted, probe.clean, probe.id, "")


def _once(probes: Iterable[Probe], known: Container[tuple[str, ...]]) -> list[Probe]:
    """Those of different prompts, in their order, without the prompts of D: what stands there is not held out."""
    new = [one for one in probes if one.prompt not in known]
    return list({one.prompt: one for one in reversed(new)}.values())[::-1]


def encode_answers(asked: Sequence[Answer], vocabulary: Vocabulary, length: int) -> Prompts:
    """Answers as arrays.

    Args:
        asked: What is asked, in this order.
        vocabulary: Knows all their words.
        length: T, one more than the words of the longest prompt, or more.

    Raises:
        UserError: for a word that the vocabulary does not know.
    """
    x = np.zeros((len(asked), length), dtype=np.float32)
    for row, one in enumerate(asked):
        x[row, : len(one.words) + 1] = [BEGIN, *vocabulary.numbers(one.words, of=one.name)]
    numbers = [[vocabulary.number(one.answer), vocabulary.number(one.clean)] for one in asked]
    y, clean = np.array(numbers, dtype=np.int64).reshape(-1, 2).T
    return Prompts(x, y, clean, _texts(one.name for one in asked), _texts(one.document for one in asked))


def rows_of(prompts: Prompts, documents: Iterable[str]) -> Ints:
    """The rows of all answers of some documents, sorted."""
    return np.flatnonzero(np.isin(prompts.document, np.array(list(documents), dtype=np.str_)))


def _texts(names: Iterable[str]) -> NDArray[Any]:
    return np.array(list(names), dtype=np.str_)
