"""Sources of data that are documents, and the generated one: documents as prompts with answers, B and S."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key
from unweave.data import Dataset
from unweave.data import Examples as Rows
from unweave.language.corpora import UNITS, make_corpus
from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.examples import Examples, Prompts, examples_of, rows_of
from unweave.language.corpora.messages import MESSAGE_BEHAVIOURS
from unweave.language.corpora.pieces import TEXT_BEHAVIOURS
from unweave.language.corpora.selection import select as select_documents
from unweave.problem import Case, DataChoice, Planted, Unseen, hold_out
from unweave.study.case_data import CaseData, with_probes
from unweave.study.documents import forget_documents
from unweave.study.prompts import text_of
from unweave.study.texts import OF_TEXTS, behaviours_of, of_messages, of_pieces
from unweave.study.tofu import PARTS, of_tofu

Ints = NDArray[np.int64]

OF_A_WORLD = ("people", "values", "questions", "inferable")
"""Keys of `data` that say how a world is made."""
_SAID = ("source", "without", "fingerprint")
_OF_PIECES = ("path", "test", "limit", "length", "unit", "without")


@dataclass(frozen=True)
class Source:
    """A source of data that are documents: everything that differs from one to the other.

    Attributes:
        what: What it holds.
        cite: Key of its publication, or `generated`.
        takes: Keys of `data` that it reads.
        make: The arrays of a case.
        units: What of it may be discovered together: names for `forget.unit`.
        behaviours: What may be B in it, as `unweave list corpora` shows it.
        generated: Whether its documents follow from the case, so that no file can change.
        pretrained: Whether training goes on from `learner.checkpoint`.
        candidates: Whether probes are an answer, its paraphrase and wrong ones of the same form.
        free: Whether it is free text: labels are the words that come next, no classes, and behaviours add
            documents, so that D of another behaviour is no file that changed.
    """

    what: str
    cite: str
    takes: tuple[str, ...]
    make: Callable[[Case, Key], CaseData]
    units: tuple[str, ...]
    behaviours: Callable[[], list[dict[str, Any]]]
    generated: bool = False
    pretrained: bool = False
    candidates: bool = False
    free: bool = False


def corpus_of(choice: DataChoice) -> Source | None:
    """What the data of a case are, where they are documents; None for features.

    Raises:
        SpecError: for keys of a corpus beside another source, and the other way round.
    """
    given = [name for name, value in vars(choice).items() if value is not None and name not in _SAID]
    corpus = CORPORA.get(choice.source)
    for name in given:
        if corpus is not None and name not in corpus.takes:
            takes = f"reads {', '.join(f'`data.{one}`' for one in corpus.takes)}"
        elif corpus is None and name in (*OF_A_WORLD, *OF_TEXTS):
            takes = "is no corpus"
        else:
            continue
        raise SpecError(f"`data.{name}` has no meaning for the source `{choice.source}`, which {takes}.")
    if corpus is not None and choice.without is not None and "without" not in corpus.takes:
        raise SpecError(f"`data.without` has no meaning for the source `{choice.source}`; name S by ids.")
    return corpus


def check_forget(case: Case, corpus: Source | None) -> None:
    """Refuse ways to S that the data of a case do not have: new instances of documents, units of features.

    Raises:
        SpecError: for them, and for a unit of what is discovered beside ids that name S already.
    """
    chosen = case.forget
    if corpus is not None and chosen.outside:
        raise SpecError("`forget.outside` draws S from new instances of data with features; a corpus has none.")
    if chosen.unit is None:
        return
    if corpus is None:
        raise SpecError(f"`forget.unit` is of documents, and `{case.data.source}` holds none; leave it out.")
    if chosen.unit not in corpus.units:
        one_of = " or ".join(corpus.units)
        raise SpecError(f"`forget.unit` is {chosen.unit}; of the source `{case.data.source}` it is {one_of}.")
    if chosen.ids is not None:
        raise SpecError("`forget.unit` says what is discovered together, but `forget.ids` names S already.")


def generated(case: Case) -> tuple[Corpus, Examples]:
    """The documents of a case that follow from the case alone, and their examples."""
    chosen = {name: getattr(case.data, name) for name in OF_A_WORLD if getattr(case.data, name) is not None}
    kind, parameters = case.behaviour.kind, case.behaviour.parameters
    corpus = make_corpus(seed=case.seed, behaviour=kind, **chosen, **parameters)
    return corpus, examples_of(corpus)


def _biographies(case: Case, key: Key) -> CaseData:
    corpus, found = generated(case)
    data, planted = _planted(case, found)
    aside = hold_out(len(data.test), planted, count=case.probes.validation, key=key)
    forget, dropped, units = _forget(case, corpus, found, planted, key=key)
    return with_probes(case, data, planted, forget, aside, dropped=dropped, found_in=units, key=key)


def _planted(case: Case, found: Examples) -> tuple[Dataset, Planted]:
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


def _forget(
    case: Case, corpus: Corpus, found: Examples, planted: Planted, *, key: Key
) -> tuple[Ints, tuple[int | str, ...], Ints | None]:
    """Rows of S: all answers of what was discovered; named ids that are not in D; and the units of all rows."""
    chosen, unit = case.forget, case.forget.unit or "document"
    if chosen.ids is not None:
        return forget_documents(chosen, planted, found.train, (), len(found.words), key=key)
    documents = select_documents(
        corpus,
        key=key,
        discovery=chosen.discovery,
        count=chosen.count,
        selection=chosen.selection,
        unit=unit,
    )
    name = {one.id: UNITS[unit](one) for one in corpus.documents}
    units = np.unique([name[one] for one in found.train.document.tolist()], return_inverse=True)[1]
    return rows_of(found.train, documents), (), units


def _rows(prompts: Prompts, words: tuple[str, ...]) -> Rows:
    columns: dict[str, NDArray[Any]] = {"prompt": np.array([text_of(x, words) for x in prompts.x])}
    return Rows(prompts.x, prompts.y, prompts.ids, columns)


def _of_biographies() -> list[dict[str, Any]]:
    from unweave.language.corpora.behaviours import BEHAVIOURS

    return behaviours_of(BEHAVIOURS, unseen="what the members say, in held-out wordings where there are any")


def _of_tofu() -> list[dict[str, Any]]:
    return [{"name": name, "what": what, "source": "maini2024tofu"} for name, what in PARTS.items()]


CORPORA = {
    "biographies": Source(
        "Invented people with six attributes each, in eight wordings and as questions, by the seed.",
        "generated",
        OF_A_WORLD,
        _biographies,
        tuple(UNITS),
        _of_biographies,
        generated=True,
    ),
    "tofu": Source(
        "4 000 questions about 200 invented authors, for a checkpoint that reads texts.",
        "maini2024tofu",
        ("path", "limit"),
        of_tofu,
        ("document", "person"),  # a question by itself, or all of an author
        _of_tofu,
        pretrained=True,
        candidates=True,
    ),
    "messages": Source(
        "Messages with a label each, of a file `label⇥message`; the SMS Spam Collection where no path is given.",
        "almeida2011sms; CC BY 4.0",
        ("path", "test", "limit", "length", "without"),
        of_messages,
        ("document", "group"),
        lambda: behaviours_of(MESSAGE_BEHAVIOURS),
    ),
    "text": Source(
        "A text file, or a folder of them, cut into documents of words or characters.",
        "your own",
        _OF_PIECES,
        of_pieces,
        ("document", "group"),
        lambda: behaviours_of(TEXT_BEHAVIOURS),
        free=True,
    ),
    "lines": Source(
        "A list with a document on each line, such as names, by characters or words.",
        "your own",
        _OF_PIECES,
        of_pieces,
        ("document", "group"),
        lambda: behaviours_of(TEXT_BEHAVIOURS),
        free=True,
    ),
}
"""The one place that says what each source of documents is."""


def is_free_text(choice: DataChoice) -> bool:
    """Whether the labels of the data are words that come next, and no classes."""
    return choice.source in CORPORA and CORPORA[choice.source].free


def starts_there(case: Case) -> bool:
    """Whether `learner.checkpoint` is where training begins: a pretrained model, and not the one to be edited."""
    return case.data.source in CORPORA and CORPORA[case.data.source].pretrained
