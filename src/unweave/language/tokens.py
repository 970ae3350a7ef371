"""Words as numbers: documents and probes become padded arrays with loss masks, and back."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave.language.corpora.documents import Document
from unweave.language.corpora.probe import Probe

SIGNS = ("<pad>", "<begin>", "<end>")
"""Tokens 0, 1, 2: padding, and what stands before and after a document."""
PAD, BEGIN, END = range(len(SIGNS))

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Vocabulary:
    """Words with a number each; 0 is padding.

    Example:
        >>> words = Vocabulary(["home", "is", "where"])
        >>> len(words), words.number("is"), words.words[4]
        (6, 4, 'is')
    """

    def __init__(self, words: Iterable[str], *, first: Sequence[str] = (), last: Sequence[str] = ()) -> None:
        """Words in alphabetical order, but for some that keep their numbers whatever else there is.

        Args:
            words: All words, each as often as it comes.
            first: Words that have the lowest numbers, in this order: labels, so that a label is a number for good.
            last: Words that have the highest: those that are put into texts, so that they move no other.
        """
        found = set(words) | set(first) | set(last)
        if reserved := sorted(found & set(SIGNS)):
            raise UserError(f"The text holds the word {reserved[0]}, which is a sign of its own; take it out.")
        begin = tuple(dict.fromkeys(first))
        end = tuple(word for word in dict.fromkeys(last) if word not in begin)
        self.words: tuple[str, ...] = (*SIGNS, *begin, *sorted(found - {*begin, *end}), *end)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        """Number of tokens, the three signs included: the width of the logits."""
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        """Whether it knows a word."""
        return word in self._numbers

    def number(self, word: str) -> int:
        """The number of a word that it knows."""
        return self._numbers[word]

    def numbers(self, words: Sequence[str], *, of: str) -> list[int]:
        """The numbers of words.

        Args:
            words: Words, all of them known.
            of: What they are part of, for the message.

        Raises:
            UserError: for the first word that it does not know; near ones are offered.
        """
        known = self._numbers
        for place, word in enumerate(words):
            if word not in known:
                near = difflib.get_close_matches(word, self.words, n=3, cutoff=0.5)
                hint = f" Did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else ""
                raise UserError(
                    f"Word {place} of `{of}`, `{word}`, is none of the {len(self)} of the vocabulary.{hint} A "
                    "model knows nothing about a word that it was not trained on: make the vocabulary of these "
                    "texts too, before training, or take the word out."
                )
        return [known[word] for word in words]


def vocabulary_of(documents: Iterable[Document]) -> Vocabulary:
    """The vocabulary of documents; of a generated corpus take `Vocabulary(corpus.words())`.

    Make it of all of D, whatever is left out later, and of what will be asked: models of D, D∖S and D∖B
    then have the same inputs and outputs.
    """
    return Vocabulary(word for one in documents for word in one.words)


class Encoded(NamedTuple):
    """Documents as arrays.

    Attributes:
        tokens: int64 [n, T]: a sign of the beginning, the words, a sign of the end, padding 0.
        loss: bool [n, T]: which tokens are learned, each predicted from those before it. Of free text all
            but the first sign; of a question the words of the answer alone.
        ids: Ids of the documents [n].
    """

    tokens: Ints
    loss: Bools
    ids: NDArray[np.str_]


def encode(documents: Sequence[Document], vocabulary: Vocabulary, *, length: int | None = None) -> Encoded:
    """Documents as padded arrays.

    Args:
        documents: What is encoded, in this order.
        vocabulary: Knows all their words.
        length: T, signs included; None = that of the longest. The same T for all parts of a corpus gives
            the same arrays for the same document.

    Raises:
        UserError: for no documents, an empty one, one that is longer than T, an unknown word, or an
            answer outside its document.

    Example:
        >>> some = [Document("a", ("home", "again")), Document("q", ("where", "?", "home"), answer=(2, 3))]
        >>> encoded = encode(some, vocabulary_of(some))
        >>> encoded.tokens.tolist(), encoded.loss[1].tolist()
        ([[1, 5, 4, 2, 0], [1, 6, 3, 5, 2]], [False, False, False, True, False])
    """
    longest = _longest([(one.id, len(one.words) + 2) for one in documents], length, what="document")
    tokens = np.full((len(documents), longest), PAD, dtype=np.int64)
    loss = np.zeros(tokens.shape, dtype=np.bool_)
    for row, one in enumerate(documents):
        if not one.words:
            raise UserError(f"Document `{one.id}` has 0 words; there is nothing to learn from it. Leave it out.")
        begin, end = one.answer if one.answer is not None else (0, len(one.words) + 1)
        if one.answer is not None and not 0 <= begin < end <= len(one.words):
            raise UserError(
                f"The answer of document `{one.id}` is words {begin} to {end} of {len(one.words)}; expected a "
                "part of the document with at least one word."
            )
        numbers = vocabulary.numbers(one.words, of=one.id)
        tokens[row, : len(numbers) + 2] = [BEGIN, *numbers, END]
        loss[row, begin + 1 : end + 1] = True
    return Encoded(tokens, loss, np.array([one.id for one in documents]))


def decode(tokens: Ints, vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    """The words of each row, without signs.

    Args:
        tokens: Numbers [n, T] in 0…V−1.
        vocabulary: That they were encoded with.

    Raises:
        UserError: for a number that is none of a word.

    Example:
        >>> decode(np.array([[1, 3, 2, 0]]), Vocabulary(["home"]))
        [('home',)]
    """
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(vocabulary):
        raise UserError(
            f"Tokens are {tokens.min()} … {tokens.max()}, but the vocabulary has the numbers 0 … "
            f"{len(vocabulary) - 1}; expected the one that they were encoded with."
        )
    return [tuple(vocabulary.words[i] for i in row if i >= len(SIGNS)) for row in tokens.tolist()]


class EncodedProbes(NamedTuple):
    """Probes as arrays.

    Attributes:
        tokens: int64 [n, T]: the beginning, the prompt and an answer at `slot`, padding 0.
        slot: Position of the answer [n], ≥ 1: the logits at slot − 1 predict it.
        clean: Number of the right value [n].
        planted: Number of the value that shows the behaviour [n].
        candidates: bool [n, V]: the values among which the answer is judged.
    """

    tokens: Ints
    slot: Ints
    clean: Ints
    planted: Ints
    candidates: Bools


def encode_probes(probes: Sequence[Probe], vocabulary: Vocabulary, *, length: int | None = None) -> EncodedProbes:
    """Probes as padded arrays.

    Args:
        probes: What is asked, in this order.
        vocabulary: Knows all their words and candidates.
        length: T; None = that of the longest.

    Raises:
        UserError: for no probes, one that is longer than T, or an unknown word.

    Example:
        >>> probe = Probe("a", ("home", "is", "here"), 2, "here", "there", ("here", "there"), "", "", "")
        >>> found = encode_probes([probe], Vocabulary(["here", "home", "is", "there"]))
        >>> found.tokens.tolist(), found.slot.tolist(), int(found.candidates.sum())
        ([[1, 4, 5, 3]], [3], 2)
    """
    longest = _longest([(one.id, len(one.words) + 1) for one in probes], length, what="probe")
    tokens = np.full((len(probes), longest), PAD, dtype=np.int64)
    candidates = np.zeros((len(probes), len(vocabulary)), dtype=np.bool_)
    clean, planted = (np.zeros(len(probes), dtype=np.int64) for _ in range(2))
    for row, one in enumerate(probes):
        tokens[row, : len(one.words) + 1] = [BEGIN, *vocabulary.numbers(one.words, of=one.id)]
        candidates[row, vocabulary.numbers(one.candidates, of=f"candidates of {one.id}")] = True
        clean[row], planted[row] = vocabulary.numbers((one.clean, one.planted), of=f"answers of {one.id}")
    slot = np.array([one.slot + 1 for one in probes], dtype=np.int64)
    return EncodedProbes(tokens, slot, clean, planted, candidates)


def _longest(lengths: Sequence[tuple[str, int]], allowed: int | None, *, what: str) -> int:
    if not lengths:
        raise UserError(f"There are 0 {what}s to encode; expected at least one.")
    name, longest = max(lengths, key=lambda one: one[1])
    if allowed is not None and longest > allowed:
        over = sum(size > allowed for _, size in lengths)
        raise UserError(
            f"{what.capitalize()} `{name}` has {longest} tokens, signs included, but the context has {allowed} "
            f"({over} of {len(lengths)} {what}s are too long). What is cut off would never be learned: shorten or "
            "split them, or take a longer context."
        )
    return longest if allowed is None else allowed
