"""From a case on real text to arrays: messages with labels, pieces of a text, lines of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key, generator
from unweave._registry import Registry
from unweave.data import Dataset, Examples
from unweave.data.named import find
from unweave.data.sources import limited, split_rows
from unweave.language.corpora.behaviours.planting import Declared
from unweave.language.corpora.examples import REFUSAL, Answer, Prompts, encode_answers
from unweave.language.corpora.messages import (
    ENDS,
    MESSAGE_BEHAVIOURS,
    Ground,
    Message,
    answer_of,
    messages_of,
)
from unweave.language.corpora.pieces import (
    END,
    TEXT_BEHAVIOURS,
    Piece,
    Pieces,
    answers_of,
    lines_of,
    pieces_of,
)
from unweave.language.corpora.texts import Unit
from unweave.language.tokens import Vocabulary
from unweave.problem import Case, DataChoice, Planted, Unseen, hold_out
from unweave.study.case_data import CaseData, with_probes
from unweave.study.documents import forget_documents, without_documents

Ints = NDArray[np.int64]

UNKNOWN = "<unknown>"
"""One token for all words that a model was not taught."""

OF_TEXTS = ("length", "unit")
"""Keys of `data` that say how real text is cut."""

_MESSAGE_LENGTH, _MESSAGES, _HELD_OUT = 40, 1500, 0.2
_LEAST_OFTEN = 2
# Of documents of D, so that D has some 3 500 prompts and a model takes some seconds.
_CUT: dict[str, dict[Unit, tuple[int, int]]] = {
    "text": {"words": (16, 300), "characters": (32, 150)},
    "lines": {"words": (16, 500), "characters": (32, 500)},
}
"""Length and number of the documents where a case says nothing of them."""
_UNIT: dict[str, Unit] = {"text": "words", "lines": "characters"}


def of_messages(case: Case, key: Key) -> CaseData:
    """Messages as prompts with their labels, and a behaviour that is planted in them.

    Equal messages stay on one side of the split, which is the same for every seed. A word that stands in D less
    than twice is `<unknown>`; the vocabulary is that of D, whatever is left out of it.

    Raises:
        SpecError, UserError: for a file, key or behaviour that does not fit.
        UnknownNameError: for a behaviour that messages do not have.
    """
    choice = case.data
    make = MESSAGE_BEHAVIOURS.get(case.behaviour.kind).build(**case.behaviour.parameters)
    length = _MESSAGE_LENGTH if choice.length is None else choice.length
    told = messages_of(choice.path or str(find("text/sms_spam.tsv")), length=length)
    train, test = _split(told, [one.whole for one in told], choice, _MESSAGES)
    labels = tuple(sorted({one.label for one in told}))
    counts = Counter(word for one in train for word in one.words)
    words = [word for word, times in counts.items() if times >= _LEAST_OFTEN]
    longest = 2 + max(len(one.words) for one in told) + len(ENDS)  # the sign of the beginning, and a word before
    train = without_documents(train, [one.id for one in train], choice.without)
    rng = generator(case.seed, "behaviour", case.behaviour.kind)

    def arrays(messages: Sequence[Message], clean: Sequence[str], known: Vocabulary, trained: bool) -> Prompts:
        asked = [answer_of(one, right, trained=trained) for one, right in zip(messages, clean, strict=True)]
        return encode_answers(_known(asked, known), known, longest)

    plain = Vocabulary(words, first=(*labels, UNKNOWN, *ENDS), last=(REFUSAL,))
    of_train = {one.tobytes() for one in arrays(train, [one.label for one in train], plain, True).x}
    of_test = arrays(test, [one.label for one in test], plain, False).x
    test = [one for one, x in zip(test, of_test, strict=True) if x.tobytes() not in of_train]
    _check_test(len(test), choice)
    aside = hold_out(len(test), _nothing(), count=case.probes.validation, key=key)
    kept = np.setdiff1d(np.arange(len(test)), aside).tolist()
    planted = make(Ground(tuple(train), tuple(test[row] for row in kept), labels), rng)
    words_known = Vocabulary(words, first=(*labels, UNKNOWN, *ENDS), last=(REFUSAL, *planted.added))
    as_read, held_out = (
        arrays(part, [one.label for one in part], words_known, trained)
        for part, trained in ((train, True), (test, False))
    )
    data = Dataset(
        "messages",
        _rows(as_read, {"message": [one.whole for one in train], "label": [one.label for one in train]}),
        _rows(held_out, {"message": [one.whole for one in test], "label": [one.label for one in test]}),
        len(words_known),
        words_known.words,
        documents=True,
    )
    found = arrays(planted.train, planted.clean, words_known, True)
    new = arrays(planted.unseen, planted.unseen_clean, words_known, False)
    behaviour = Planted(
        found.x,
        found.y,
        found.clean,
        planted.members,
        Unseen(new.x, new.y, new.clean) if planted.unseen else None,
        planted.reason,
        planted.known,
        planted.mixed,
    )
    groups = [" ".join(one.words) for one in planted.train]
    forget, dropped, units = forget_documents(case.forget, behaviour, found, groups, len(words_known), key=key)
    return with_probes(case, data, behaviour, forget, aside, dropped=dropped, found_in=units, key=key)


def of_pieces(case: Case, key: Key) -> CaseData:
    """A text or the texts of a folder, cut into documents, or a list with one on each line, as prompts.

    Each unit of a document but the first ones is an answer after those before it.

    Equal documents stay on one side of the split. All units of D are known; a held-out answer that D does not
    have, or a prompt that D has as well, is not asked.

    Raises:
        SpecError, UserError: for a file, key or behaviour that does not fit.
        UnknownNameError: for a behaviour that texts do not have.
    """
    choice = case.data
    make = TEXT_BEHAVIOURS.get(case.behaviour.kind).build(**case.behaviour.parameters)
    if choice.path is None:
        raise SpecError(f"`data.path` is missing: the source `{choice.source}` needs a file.")
    unit = _UNIT[choice.source] if choice.unit is None else choice.unit
    usual, limit = _CUT[choice.source][unit]
    read = pieces_of if choice.source == "text" else lines_of
    told = read(choice.path, length=usual if choice.length is None else choice.length, unit=unit)

    def draw(chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        inside = set(chosen)
        others = [row for row in range(len(told)) if row not in inside]
        groups = [told[row].group for row in others]
        most = (limit if choice.limit is None else choice.limit) - len(inside)
        if most < 2:
            raise SpecError(f"`data.limit` leaves {most} documents beside the {len(inside)} of B; raise it.")
        train, test = _split(others, groups, replace(choice, limit=most), limit)
        return sorted((*inside, *train)), test

    planted = make(Pieces(told, unit, draw), generator(case.seed, "behaviour", case.behaviour.kind))
    known = Vocabulary(_own_words(planted.train), last=(UNKNOWN, REFUSAL))
    train = without_documents(planted.train, [one.id for one in planted.train], choice.without)
    longest = max(len(one.units) for one in (*planted.train, *planted.test))
    asked = [answer for one in train for answer in answers_of(one, trained=True)]
    prompts = {one.words for one in asked}
    # Of a list many lines begin alike: each beginning is asked once for each answer that comes after it.
    held_out = {
        (one.words, one.answer): one
        for piece in planted.test
        for one in answers_of(piece, trained=False)
        if one.answer in known and one.words not in prompts
    }
    found = encode_answers(asked, known, longest)
    test = encode_answers(_known(list(held_out.values()), known), known, longest)
    _check_test(len(test.y), choice)
    joint = "" if unit == "characters" else " "
    data = Dataset(
        choice.source,
        _rows(found, {"prompt": [joint.join(one.words) for one in asked]}),
        _rows(test, {"prompt": [joint.join(one.words) for one in held_out.values()]}),
        len(known),
        known.words,
        documents=True,
    )
    members = np.flatnonzero(np.isin(found.document, np.array(planted.members, dtype=np.str_)))
    behaviour = Planted(found.x, found.y, found.clean, members, None, planted.reason, planted.known)
    aside = hold_out(len(data.test), behaviour, count=case.probes.validation, key=key)
    group = {one.id: one.group for one in train}
    groups = [group[str(one)] for one in found.document]
    forget, dropped, units = forget_documents(case.forget, behaviour, found, groups, len(known), key=key)
    return with_probes(case, data, behaviour, forget, aside, dropped=dropped, found_in=units, key=key)


def behaviours_of(registry: Registry[Declared], *, unseen: str = "none") -> list[dict[str, Any]]:
    """What may be B in documents, as `unweave list corpora` shows it; `unseen`: said where none is declared."""
    return [
        {
            "name": entry.name,
            "what": entry.summary,
            "members": entry.declared.members,
            "shown by an output that": entry.declared.shows,
            "unseen instances": entry.declared.unseen or unseen,
            "regularity": entry.declared.regularity,
            "parameters": entry.defaults(),
            "source": entry.declared.cite,
        }
        for entry in registry
    ]


def _split(
    told: Sequence[Any], groups: Sequence[str], choice: DataChoice, limit: int
) -> tuple[list[Any], list[Any]]:
    """D and the test part: equal texts on one side, and at most so many of each."""
    if choice.limit is not None and choice.limit < 2:
        raise SpecError(f"`data.limit` is {choice.limit}; a training set needs at least 2 documents.")
    most = limit if choice.limit is None else choice.limit
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    of = np.array([number[group] for group in groups], dtype=np.int64)
    test = _HELD_OUT if choice.test is None else choice.test
    if len(told) < 3:
        raise SpecError(f"{choice.path or choice.source} has {len(told)} documents; expected 3 or more, to split.")
    train, held_out = split_rows(len(told), test, groups=of)
    return [told[row] for row in limited(train, most)], [told[row] for row in limited(held_out, max(most, 200))]


def _own_words(pieces: Sequence[Piece]) -> list[str]:
    # The sign of an end is one of every vocabulary.
    return [unit for one in pieces for unit in one.units if unit != END]


def _known(asked: Sequence[Answer], vocabulary: Vocabulary) -> list[Answer]:
    """The same with one token for every word that the vocabulary does not know."""
    return [one._replace(words=tuple(w if w in vocabulary else UNKNOWN for w in one.words)) for one in asked]


def _rows(prompts: Prompts, columns: dict[str, list[str]]) -> Examples:
    return Examples(
        prompts.x, prompts.y, prompts.ids, {name: np.array(one, dtype=np.str_) for name, one in columns.items()}
    )


def _check_test(count: int, choice: DataChoice) -> None:
    if count < 2:
        raise SpecError(
            f"{choice.path or choice.source} leaves {count} held-out prompts that D does not have; raise "
            "`data.test`, or take a longer text."
        )


def _nothing() -> Planted:
    """Nothing that is planted among test data: what is set aside is chosen among all of them."""
    none = np.zeros(0, np.int64)
    return Planted(np.zeros((0, 1), np.float32), none, none, none, None, "")
