"""Reader of questions and answers in the format of TOFU: JSON lines, with wrong and reworded answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from unweave._errors import UnknownNameError, UserError
from unweave.language.corpora.documents import QUESTION, Document, Fact, content_id, words_of
from unweave.language.corpora.texts import check_length

_OPTIONS = ("option1", "option2", "option3", "option4")
_FIELDS = ("question", "answer", "paraphrased_question", "paraphrased_answer", "perturbed_answer", *_OPTIONS)


class Texts(NamedTuple):
    """A question and its answers letter for letter; None and () for what the file does not have."""

    question: str
    answer: str
    paraphrased_question: str | None = None
    paraphrased_answer: str | None = None
    perturbed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """A question with its answers, each as a document that learns the answer alone.

    Attributes:
        document: The question and its right answer: what is trained on.
        texts: The same and all below as they stand in the file.
        paraphrased: The same question and the right answer in other words; None where the file has none.
        reworded: The question in other words and the right answer; None where the file has none.
        perturbed: The question and wrong answers of the same form; the options that are wrong where the
            file has options.
    """

    document: Document
    texts: Texts
    paraphrased: Document | None = None
    reworded: Document | None = None
    perturbed: tuple[Document, ...] = ()

    @property
    def documents(self) -> tuple[Document, ...]:
        """All of them, whose words a vocabulary has to know."""
        return tuple(one for one in (self.document, self.paraphrased, self.reworded, *self.perturbed) if one)


def read_tofu(
    path: str | Path, *, paraphrases: bool = False, longest: int = 512, limit: int | None = None
) -> tuple[Answered, ...]:
    """Questions and answers, one JSON object a line.

    Fields: `question` and `answer`; `paraphrased_question`, `paraphrased_answer`, `perturbed_answer` (a
        list), and
    `option1` to `option4` where the file has them. An id is made from question and answer, so a question of
    `forget10.json` has the id that it has in `full.json`.

    Args:
        path: A file in UTF-8.
        paraphrases: Whether reworded and wrong answers are needed, as by the truth ratio.
        longest: Most words of a question with an answer.
        limit: The first so many questions alone.

    Raises:
        UserError: for a file that cannot be read or is empty, a line that is no object, a field that is no
            text, an empty answer, a document that is too long, missing paraphrases or a question given
            twice.
        UnknownNameError: for a field that the format does not have; near names are offered.

    Source: Maini et al. (2024), "TOFU: a task of fictitious unlearning", arXiv 2401.06121, section 2.2.
    """
    if limit is not None and limit < 1:
        raise UserError(f"`limit` is {limit}; expected 1 question or more.")
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"The questions {path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}); convert it first.") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()][:limit]
    if not numbered:
        raise UserError(f"{path} has 0 questions; expected one JSON object a line.")
    read = tuple(
        _answered(line, f"{path}, line {number}", paraphrases=paraphrases, longest=longest)
        for number, line in numbered
    )
    name, times = Counter(one.document.id for one in read).most_common(1)[0]
    if times > 1:
        places = [number for (number, _), one in zip(numbered, read, strict=True) if one.document.id == name]
        raise UserError(
            f"{path}: lines {places[0]} and {places[1]} hold the same question and answer; forget sets are sets "
            "of ids, so list each once."
        )
    return read


def training_documents(questions: Iterable[Answered]) -> tuple[Document, ...]:
    """What is trained on: each question with its right answer."""
    return tuple(one.document for one in questions)


def _answered(line: str, where: str, *, paraphrases: bool, longest: int) -> Answered:
    row = _row(line, where)
    question, answer = _filled(row, "question", where), _filled(row, "answer", where)
    name = content_id("qa", question, answer)

    def document(kind: str, asked: str, told: str) -> Document:
        begin = ("Question", ":", *words_of(asked), "Answer", ":")
        words = (*begin, *words_of(told))
        check_length(words, longest, where=where)
        fact = Fact("", "answer", kind, len(begin))
        return Document(
            f"{name}{'' if kind == QUESTION else '/' + kind}", words, (fact,), answer=(len(begin), len(words))
        )

    told = _filled(row, "paraphrased_answer", where) if "paraphrased_answer" in row else None
    asked = _filled(row, "paraphrased_question", where) if "paraphrased_question" in row else None
    wrong = _wrong(row, answer, where)
    if paraphrases:
        missing = [
            name for name, there in (("paraphrased_answer", told), ("perturbed_answer", wrong)) if not there
        ]
        if missing:
            raise UserError(
                f"{where} has no `{'` and no `'.join(missing)}`, without which there is no truth ratio. Take the "
                "file whose name ends in `_perturbed`, or read it without paraphrases."
            )
    return Answered(
        document(QUESTION, question, answer),
        Texts(question, answer, asked, told, wrong),
        None if told is None else document("paraphrased", question, told),
        None if asked is None else document("reworded", asked, answer),
        tuple(document(f"perturbed{i}", question, one) for i, one in enumerate(wrong)),
    )


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is no JSON ({error.msg}, column {error.colno}); expected one object.") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object; expected one with `question` and `answer`.")
    for name in cast(dict[str, Any], row):
        if name not in _FIELDS:
            raise UnknownNameError(f"field in {where}:", name, _FIELDS)
    return cast(dict[str, Any], row)


def _wrong(row: dict[str, Any], answer: str, where: str) -> tuple[str, ...]:
    if "perturbed_answer" not in row:
        return tuple(one for name in _OPTIONS if name in row and (one := _filled(row, name, where)) != answer)
    given = row["perturbed_answer"]
    if not isinstance(given, list):
        raise UserError(f"{where}: `perturbed_answer` is no list; expected a list of wrong answers.")
    texts = cast(Sequence[Any], given)
    return tuple(_told(one, f"perturbed_answer {i}", where) for i, one in enumerate(texts))


def _filled(row: dict[str, Any], name: str, where: str) -> str:
    if name not in row:
        raise UserError(f"{where} has no `{name}`; expected `question` and `answer` on each line.")
    return _told(row[name], name, where)


def _told(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where}: `{name}` is {str(value)[:40]!r}, which is no text.")
    if not words_of(value):
        raise UserError(
            f"{where}: `{name}` is empty; there is nothing to learn or to ask. Fill it or take out the line."
        )
    return value
