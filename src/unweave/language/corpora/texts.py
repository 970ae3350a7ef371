"""Readers of real text: files cut into pieces, lists of lines, and messages with a label."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from unweave._errors import UserError
from unweave.language.corpora.documents import Document, Fact, content_id, words_of

Unit = Literal["words", "characters"]


def read_text(path: str | Path, *, length: int = 64, unit: Unit = "words") -> tuple[Document, ...]:
    """A text file, cut into documents of `length` words or characters; the last may be shorter.

    An id is made from the text of the piece, so it does not change with what stands before it in the list;
    pieces of the same text are one copy group.

    Args:
        path: A file in UTF-8.
        length: Of a document, 2 or more, in units.
        unit: What a token is: a word or mark of punctuation, or a character.

    Raises:
        UserError: for a file that is not there, is no text or is empty, or a length below 2.
    """
    if length < 2:
        raise UserError(
            f"`length` of a document is {length}; expected 2 or more: the first token is predicted by none."
        )
    text = text_of_file(path)
    parts = _split(text, unit)
    pieces = [parts[begin : begin + length] for begin in range(0, len(parts), length)]
    return _documents(Path(path).stem, [(piece, (), None) for piece in pieces])


def read_lines(
    path: str | Path, *, unit: Unit = "words", longest: int = 128, limit: int | None = None
) -> tuple[Document, ...]:
    """A list with one document on each line, such as names; empty lines are left out.

    Args:
        path: A file in UTF-8.
        unit: What a token is.
        longest: Most tokens of a line.
        limit: The first so many lines alone.

    Raises:
        UserError: for a file that cannot be read or is empty, a limit below 1, or a line that is too long.
    """
    _check_limit(limit)
    rows: list[tuple[tuple[str, ...], tuple[Fact, ...], tuple[int, int] | None]] = []
    for number, line in enumerate(lines_of_file(path), 1):
        if line.strip() and (limit is None or len(rows) < limit):
            parts = _split(line.strip(), unit)
            check_length(parts, longest, where=f"{path}, line {number}")
            rows.append((parts, (), None))
    return _documents(Path(path).stem, rows)


def read_messages(path: str | Path, *, longest: int = 256, limit: int | None = None) -> tuple[Document, ...]:
    """Messages with a label: `label⇥message` on each line, as the SMS Spam Collection has them.

    A document is the message, the words `label :` and the label, which alone is learned: its fact has the
    attribute `label`. Equal messages of one label are one copy group.

    Args:
        path: A file in UTF-8.
        longest: Most words of a document.
        limit: The first so many messages alone.

    Raises:
        UserError: for a file that cannot be read or is empty, a limit below 1, a line without label or
            message, or a message that is too long.
    """
    _check_limit(limit)
    rows: list[tuple[tuple[str, ...], tuple[Fact, ...], tuple[int, int] | None]] = []
    for number, line in enumerate(text_of_file(path).split("\n"), 1):
        if not line.strip() or (limit is not None and len(rows) >= limit):
            continue
        where = f"{path}, line {number}"
        label, tab, message = line.partition("\t")
        if not tab or len(label.split()) != 1 or not words_of(message):
            raise UserError(
                f"{where} is {line[:40]!r}; expected a label of one word, a tab and a message that is not empty."
            )
        words = (*words_of(message), "label", ":", label.strip())
        check_length(words, longest, where=where)
        slot = len(words) - 1
        rows.append((words, (Fact("", "label", "message", slot),), (slot, slot + 1)))
    return _documents(Path(path).stem, rows)


def check_length(words: Sequence[str], longest: int, *, where: str) -> None:
    """A document that is not too long.

    Raises:
        UserError: with its place and length.
    """
    if len(words) > longest:
        raise UserError(
            f"{where} has {len(words)} tokens, but `longest` is {longest}; a model would not see the rest. Raise "
            "`longest`, and the context of the model with it, or shorten the document."
        )


def _documents(
    name: str, rows: Sequence[tuple[tuple[str, ...], tuple[Fact, ...], tuple[int, int] | None]]
) -> tuple[Document, ...]:
    seen: Counter[str] = Counter()
    documents: list[Document] = []
    for words, facts, answer in rows:
        group = content_id(name, *words)
        seen[group] += 1
        one = group if seen[group] == 1 else f"{group}/copy{seen[group] - 1}"
        documents.append(Document(one, words, facts, group=group, answer=answer))
    return tuple(documents)


def _split(text: str, unit: Unit) -> tuple[str, ...]:
    return words_of(text) if unit == "words" else tuple(text)


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise UserError(f"`limit` is {limit}; expected 1 document or more.")


def lines_of_file(path: str | Path) -> list[str]:
    """All lines of a file in UTF-8 with their ends, counted as editors do: a form feed, for one, ends none.

    Raises:
        UserError: for a file that is not there, is no text or is empty.
    """
    return list(io.StringIO(text_of_file(path)))


def text_of_file(path: str | Path) -> str:
    """All of a file in UTF-8.

    Raises:
        UserError: for a file that is not there, is no text or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The text {path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}); convert it first.") from error
    if not text.strip():
        raise UserError(f"{path} is empty; expected a text.")
    return text
