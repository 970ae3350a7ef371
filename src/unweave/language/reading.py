"""What is read of a language model token by token: documents, and the same facts in other words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.probe import Probe
from unweave.language.corpora.probes import held_out_facts

Ints = NDArray[np.int64]
_Key = TypeVar("_Key")

NO_OTHER_WORDS = "other wordings are read of S and B∖S, where what they say has any and is one token"
NOTHING_ON_CLEAN = "no wrong value would show the behaviour on prompts that do not carry it"


class Text(NamedTuple):
    """A document as tokens, with the positions of those that are read: each is predicted from all before it."""

    tokens: tuple[int, ...]
    answers: tuple[int, ...]


def lay_out(texts: Sequence[Text]) -> tuple[NDArray[np.float32], int]:
    """Documents beside each other, as `questions.arrays` has them: tokens, then the places that predict answers.

    Returns:
        x [n, T + A], filled up by 0 on the right of either part, and A.

    Example:
        >>> x, answers = lay_out([Text((1, 7, 8, 9), (2, 3)), Text((1, 5), (1,))])
        >>> x.astype(int).tolist(), answers
        ([[1, 7, 8, 9, 1, 2], [1, 5, 0, 0, 0, 0]], 2)
    """
    wide, most = max(len(one.tokens) for one in texts), max(len(one.answers) for one in texts)
    x = np.zeros((len(texts), wide + most), dtype=np.float32)
    for row, one in enumerate(texts):
        x[row, : len(one.tokens)] = one.tokens
        x[row, wide : wide + len(one.answers)] = np.array(one.answers) - 1
    return x, most


def told(x: NDArray[np.float32], answers: int) -> NDArray[np.bool_]:
    """Which of the A places are those of an answer's tokens [n, A]: places rise until there are no more.

    Example:
        >>> told(np.array([[1, 7, 8, 9, 1, 2], [1, 5, 0, 0, 0, 0]], np.float32), 2).tolist()
        [[True, True], [True, False]]
    """
    places = x[:, -answers:]
    rising = np.diff(places, axis=1) > 0
    return np.concatenate([np.ones((len(x), 1), dtype=np.bool_), np.cumprod(rising, axis=1) > 0], axis=1)


def of_rows(x: NDArray[np.float32], y: Ints) -> Text:
    """One document from its prompts [rows, T], each the beginning of the next, and the token that answers each.

    Example:
        >>> of_rows(np.array([[1, 7, 0], [1, 7, 8]], np.float32), np.array([8, 9]))
        Text(tokens=(1, 7, 8, 9), answers=(2, 3))
    """
    lengths = (x != 0).sum(1)
    last = int(lengths.argmax())
    tokens = (*x[last, : lengths[last]].astype(int).tolist(), int(y[last]))
    return Text(tokens, tuple(np.sort(lengths).tolist()))


def by_document(corpus: Corpus) -> dict[str, tuple[Probe, ...]]:
    """Probes of what a document says in wordings that stand in no document, by the id of the document.

    Of members it is what they carry, of others the fact that they state; the value is the same word. Documents
    that say several things, and facts without such wordings, are left out.
    """
    known: dict[tuple[str, str, str], list[Probe]] = {}
    for one in (*corpus.planted.held_out, *held_out_facts(corpus)):
        known.setdefault((one.person, one.attribute, one.planted), []).append(one)
    said: dict[str, list[tuple[str, str, str]]] = {}
    for one in corpus.planted.carriers:
        said.setdefault(one.document, []).append((one.person, one.attribute, one.planted))
    members = set(corpus.members)
    for document in corpus.documents:
        if document.id not in members and document.id not in said:
            said[document.id] = [(f.person, f.attribute, document.words[f.slot]) for f in document.facts]
    found = {name: tuple(known.get(keys[0], ())) for name, keys in said.items() if len(keys) == 1}
    return {name: probes for name, probes in found.items() if probes}


def shown_on_clean(corpus: Corpus) -> list[tuple[tuple[str, ...], str]]:
    """Prompts like those of the carriers that carry nothing, each with the wrong value that shows the behaviour.

    Of two carriers' values that of the same person and attribute; else the one that all carriers have in common.
    Where carriers say what is right, nothing would show the behaviour.
    """
    wrong = [one for one in corpus.planted.carriers if one.planted != one.clean]
    own = _single(((one.person, one.attribute), one.planted) for one in wrong)
    common = _single((one.attribute, one.planted) for one in wrong)
    everywhere = {one.planted for one in wrong}
    found: dict[tuple[str, ...], str] = {}
    for one in corpus.planted.clean:
        shown = own.get((one.person, one.attribute)) or common.get(one.attribute)
        shown = shown or (next(iter(everywhere)) if len(everywhere) == 1 else None)
        if shown is not None and shown != one.clean:
            found.setdefault(one.prompt, shown)
    return list(found.items())


def _single(pairs: Iterable[tuple[_Key, str]]) -> Mapping[_Key, str]:
    """Values of keys that have only one."""
    several: dict[_Key, set[str]] = {}
    for key, value in pairs:
        several.setdefault(key, set()).add(value)
    return {key: next(iter(values)) for key, values in several.items() if len(values) == 1}
