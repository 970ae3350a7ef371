"""From a case on a generated corpus to arrays: documents as prompts with answers, B, S and what is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key
from unweave.data import Dataset
from unweave.data import Examples as Rows
from unweave.language.corpora import make_corpus
from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.examples import Examples, Prompts, examples_of, rows_of
from unweave.language.corpora.selection import select as select_documents
from unweave.problem import Case, DataChoice, Planted, Unseen, select

Ints = NDArray[np.int64]

CORPORA = {
    "biographies": {
        "what": "Invented people with six attributes each, in eight wordings and as questions, by the seed.",
        "source": "generated",
    },
    "tofu": {
        "what": "4 000 questions about 200 invented authors, for a checkpoint that reads texts.",
        "source": "maini2024tofu",
    },
}
"""Sources of data that are documents, and what they hold."""

GENERATED = ("biographies",)
"""Corpora that are made and not read."""

OF_A_WORLD = ("people", "values", "questions", "inferable")
"""Keys of `data` that say how a world is made."""
_TAKES = {"biographies": OF_A_WORLD, "tofu": ("path", "limit")}
_SAID = ("source", "without", "fingerprint")


def is_corpus(choice: DataChoice) -> bool:
    """Whether the data of a case are documents.

    Raises:
        SpecError: for keys of a corpus beside another source, and the other way round.
    """
    given = [name for name, value in vars(choice).items() if value is not None and name not in _SAID]
    corpus = choice.source in CORPORA
    for name in given:
        if corpus and name not in _TAKES[choice.source]:
            takes = f"reads {', '.join(f'`data.{one}`' for one in _TAKES[choice.source])}"
        elif not corpus and name in OF_A_WORLD:
            takes = "is no corpus"
        else:
            continue
        raise SpecError(f"`data.{name}` has no meaning for the source `{choice.source}`, which {takes}.")
    if corpus and choice.without is not None:
        raise SpecError(f"`data.without` has no meaning for the source `{choice.source}`; name S by ids.")
    return corpus


def corpus_of(case: Case) -> tuple[Corpus, Examples]:
    """The corpus of a case, and its examples."""
    chosen = {name: getattr(case.data, name) for name in OF_A_WORLD if getattr(case.data, name) is not None}
    kind, parameters = case.behaviour.kind, case.behaviour.parameters
    corpus = make_corpus(seed=case.seed, behaviour=kind, **chosen, **parameters)
    return corpus, examples_of(corpus)


def planted_of(case: Case, found: Examples) -> tuple[Dataset, Planted]:
    """A corpus as data and a behaviour that is in them already."""
    train, test, unseen = found.train, found.test, found.unseen
    data = Dataset(
        case.data.source,
        _rows(train, found.words),
        _rows(test, found.words),
        len(found.words),
        found.words,
        documents=True,
    )
    new = None if unseen is None else Unseen(unseen.x, unseen.y, unseen.clean)
    return data, Planted(train.x, train.y, train.clean, found.members, new, found.why_no_unseen)


def forget_of(case: Case, corpus: Corpus, found: Examples, planted: Planted, *, key: Key) -> Ints:
    """Rows of S: all answers of the documents that were discovered."""
    chosen = case.forget
    if chosen.outside:
        raise SpecError("`forget.outside` draws S from new instances of data with features; a corpus has none.")
    if chosen.ids is not None:
        if chosen.unit is not None:
            raise SpecError("`forget.unit` says what is discovered together, but `forget.ids` names S already.")
        return select(planted, found.train.ids, key=key, forget_ids=chosen.ids, selection=chosen.selection)
    documents = select_documents(
        corpus,
        key=key,
        discovery=chosen.discovery,
        count=chosen.count,
        selection=chosen.selection,
        unit=chosen.unit or "document",
    )
    return rows_of(found.train, documents)


def _rows(prompts: Prompts, words: tuple[str, ...]) -> Rows:
    columns: dict[str, NDArray[Any]] = {"prompt": np.array([text_of(x, words) for x in prompts.x])}
    return Rows(prompts.x, prompts.y, prompts.ids, columns)


def counts_of(x: NDArray[np.float32], tokens: int) -> NDArray[np.float32]:
    """How often each token stands in each prompt [n, tokens]: features that are near where prompts are alike.

    Example:
        >>> counts_of(np.array([[1.0, 3.0, 3.0, 0.0]], np.float32), 4).tolist()
        [[0.0, 1.0, 0.0, 2.0]]
    """
    found = np.zeros((len(x), tokens), dtype=np.float32)
    rows, places = x.nonzero()
    np.add.at(found, (rows, x[rows, places].astype(np.int64)), 1)
    return found


def text_of(x: NDArray[np.float32], words: tuple[str, ...]) -> str:
    """A prompt in words, without the sign of its beginning.

    Example:
        >>> text_of(np.array([1.0, 3.0, 4.0, 0.0], np.float32), ("<pad>", "<begin>", "<end>", "who", "is"))
        'who is'
    """
    return " ".join(words[int(token)] for token in x[1:] if token)
