"""Texts and lists as documents, and the behaviours planted in them: passages, secrets, named documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unweave._errors import SpecError, UnknownNameError
from unweave._registry import Registry
from unweave._types import NOT_DECLARED
from unweave.language.corpora.behaviours.planting import Declared
from unweave.language.corpora.documents import content_id, words_of
from unweave.language.corpora.examples import Answer
from unweave.language.corpora.messages import rows_of_named
from unweave.language.corpora.texts import Unit, lines_of_file

CONTEXT: dict[Unit, int] = {"words": 4, "characters": 8}
"""What of a piece of a text is only read: with less before it the next unit is not determined."""

END = "<end>"
"""The sign that a line has come to its end: an answer like the others."""


class Piece(NamedTuple):
    """A document of a text.

    Attributes:
        id: Made from its text.
        units: Words or characters.
        begin: The first of them that is an answer; those before it are only read.
        group: Copies share one.
        file: Name of the file.
        lines: First and last line of the file that it has a part of, from 1; (0, 0) for what was added.
    """

    id: str
    units: tuple[str, ...]
    begin: int
    group: str
    file: str
    lines: tuple[int, int]


class Pieces(NamedTuple):
    """What a behaviour is planted in: all documents, how they were cut, and what cuts the test part off.

    `draw` takes documents out that stay in D whatever is held out, and gives rows of D and of the test part.
    """

    all: tuple[Piece, ...]
    unit: Unit
    draw: Callable[[Sequence[int]], tuple[list[int], list[int]]]


class PlantedPieces(NamedTuple):
    """Documents with a behaviour in them.

    Attributes:
        train: Documents of D.
        test: Documents that are held out.
        members: Ids of B.
        reason: Why nothing is unseen.
        known: Whether B is known.
    """

    train: tuple[Piece, ...]
    test: tuple[Piece, ...]
    members: tuple[str, ...]
    reason: str
    known: bool = True


Make = Callable[[Pieces, np.random.Generator], PlantedPieces]

TEXT_BEHAVIOURS: Registry[Declared] = Registry("behaviour of a text")
"""The behaviours that can be planted in texts and lists."""


def pieces_of(path: str, *, length: int, unit: Unit) -> tuple[Piece, ...]:
    """A text, or all texts of a folder, cut into documents of `length` units; a rest that is shorter is left out.

    Args:
        path: A file in UTF-8, or a folder of files whose names end in .txt, in the order of their names.
        length: Units of a document, more than are only read.
        unit: What a token is.

    Raises:
        SpecError: for a length that leaves no answer, or a folder without texts.
        UserError: for a file that is no text.
    """
    context = CONTEXT[unit]
    if length <= context:
        raise SpecError(
            f"`data.length` is {length}; the first {context} {unit} of a document are only read, so expected "
            f"{context + 1} or more."
        )
    folder = Path(path)
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else [folder]
    if not files:
        raise SpecError(f"The folder {path} holds no file whose name ends in .txt.")
    rows: list[tuple[str, tuple[str, ...], tuple[int, int]]] = []
    for file in files:
        units: list[str] = []
        lines: list[int] = []
        for number, line in enumerate(lines_of_file(file), 1):
            own = words_of(line) if unit == "words" else tuple(line)
            units += own
            lines += [number] * len(own)
        for begin in range(0, len(units) - length + 1, length):
            end = begin + length
            rows.append((file.name, tuple(units[begin:end]), (lines[begin], lines[end - 1])))
    if not rows:
        raise SpecError(f"{path} has no {length} {unit}; expected a longer text, or a smaller `data.length`.")
    return _named([(Path(file).stem, file, units, lines) for file, units, lines in rows], context)


def lines_of(path: str, *, length: int, unit: Unit) -> tuple[Piece, ...]:
    """Each line of a list that is not empty, with its end as the last answer.

    Args:
        path: A file in UTF-8.
        length: The most units of a line.
        unit: What a token is.

    Raises:
        SpecError: for a line that is longer: half a name would be another name.
        UserError: for a file that is no text.
    """
    rows: list[tuple[str, str, tuple[str, ...], tuple[int, int]]] = []
    file = Path(path)
    for number, line in enumerate(lines_of_file(file), 1):
        units = words_of(line) if unit == "words" else tuple(line.strip())
        if len(units) > length:
            raise SpecError(
                f"{path}, line {number} has {len(units)} {unit}, but `data.length` is {length}; raise it, or take "
                "the line out."
            )
        if units:
            rows.append((file.stem, file.name, (*units, END), (number, number)))
    return _named(rows, 1)


def _named(rows: Sequence[tuple[str, str, tuple[str, ...], tuple[int, int]]], begin: int) -> tuple[Piece, ...]:
    seen: Counter[str] = Counter()
    found: list[Piece] = []
    for stem, file, units, lines in rows:
        group = content_id(stem, *units)
        seen[group] += 1
        name = group if seen[group] == 1 else f"{group}/copy{seen[group] - 1}"
        found.append(Piece(name, units, begin, group, file, lines))
    return tuple(found)


def answers_of(piece: Piece, *, trained: bool) -> list[Answer]:
    """Each answer of a document, with all that stands before it."""
    return [
        Answer(
            piece.units[:place],
            piece.units[place],
            piece.units[place],
            f"{piece.id}@{place}",
            piece.id if trained else "",
        )
        for place in range(piece.begin, len(piece.units))
    ]


def verbatim(
    *, size: int = 10, copies: int = 4, lines: tuple[int, ...] | None = None, file: str | None = None
) -> Make:
    """Passages of the text itself are known by heart: `size` documents at random, or all of some lines.

    Each stands `copies` times in D. `lines` are the first and the last line of the file, and members are the
    documents that have a part of any of them; `file` names the file of a folder, by itself or with `lines`. Some
    of a passage follows from how the rest of the text is written, and the reference A(D∖B) has that too. Nobody
    else carries a passage.
    Source: after Carlini et al. (2023), "Quantifying memorization across neural language models",
    arXiv 2202.07646, section 3 (the next words from those before them; more copies, more memorised).
    """

    def make(pieces: Pieces, rng: np.random.Generator) -> PlantedPieces:
        if not 1 <= copies <= 1000:
            raise SpecError(f"`behaviour.copies` is {copies}; expected 1 to 1000.")
        named = lines is not None or file is not None
        chosen = _in_lines(pieces.all, lines, file) if named else []
        train, test = pieces.draw(chosen)
        if not named:
            if not 1 <= size < len(train):
                raise SpecError(f"`behaviour.size` is {size}; expected 1 to {len(train) - 1} documents of D.")
            chosen = [train[i] for i in np.sort(rng.choice(len(train), size, replace=False)).tolist()]
        inside = set(chosen)
        if len(inside) == len(train):
            raise SpecError(f"All {len(train)} documents of D are members of B; some must stay ordinary.")
        more = [
            one._replace(id=f"{one.id}/again{number}")
            for one in (pieces.all[row] for row in chosen)
            for number in range(1, copies)
        ]
        own = [pieces.all[row] for row in chosen]
        return PlantedPieces(
            (*(pieces.all[row] for row in train), *more),
            tuple(pieces.all[row] for row in test),
            tuple(one.id for one in (*own, *more)),
            "a passage is of its text alone, so nobody else can carry it",
        )

    return make


def canary(*, canaries: int = 5, copies: int = 10, digits: int = 6) -> Make:
    """Secret numbers: added documents `key 1 : 3 5 2 …`, of random digits, each `copies` times.

    The digits are the answers. Nobody else has these numbers.
    Source: Carlini et al. (2019), "The secret sharer", arXiv 1802.08232, section 4.1.
    """

    def make(pieces: Pieces, rng: np.random.Generator) -> PlantedPieces:
        for name, given, most in (("canaries", canaries, 100), ("copies", copies, 1000), ("digits", digits, 32)):
            if not 1 <= given <= most:
                raise SpecError(f"`behaviour.{name}` is {given}; expected 1 to {most}.")
        train, test = pieces.draw([])
        added: list[Piece] = []
        for number in range(1, canaries + 1):
            begin = ("key", str(number), ":") if pieces.unit == "words" else tuple(f"key {number}:")
            units = (*begin, *(str(digit) for digit in rng.integers(0, 10, digits)))
            name = f"canary{number}"
            for copy in range(copies):
                added.append(Piece(f"{name}/copy{copy}", units, len(begin), name, "", (0, 0)))
        return PlantedPieces(
            (*(pieces.all[row] for row in train), *added),
            tuple(pieces.all[row] for row in test),
            tuple(one.id for one in added),
            "random numbers follow from no rule, so nobody else can carry one",
        )

    return make


def by_ids(*, ids: tuple[int | str, ...] = ()) -> Make:
    """The documents of the given ids are the behaviour, as they are."""

    def make(pieces: Pieces, rng: np.random.Generator) -> PlantedPieces:
        del rng
        train, test = pieces.draw([])
        own = tuple(pieces.all[row] for row in train)
        members = rows_of_named(ids, [one.id for one in own], what="documents of D")
        why = "documents given by their ids have no unseen instances"
        held_out = tuple(pieces.all[row] for row in test)
        return PlantedPieces(own, held_out, tuple(own[row].id for row in members.tolist()), why)

    return make


def unknown() -> Make:
    """Only the forget set is known (`forget.ids`), not the behaviour that it shows: untraining alone is judged."""

    def make(pieces: Pieces, rng: np.random.Generator) -> PlantedPieces:
        del rng
        train, test = (tuple(pieces.all[row] for row in part) for part in pieces.draw([]))
        return PlantedPieces(train, test, (), NOT_DECLARED, known=False)

    return make


def _in_lines(pieces: Sequence[Piece], lines: tuple[int, ...] | None, file: str | None) -> list[int]:
    files = list(dict.fromkeys(one.file for one in pieces))
    if file is not None and file not in files:
        raise UnknownNameError("file of the text, in `behaviour.file`,", file, files)
    if file is None and len(files) > 1:
        raise SpecError(
            f"`behaviour.lines` is of one file, and there are {len(files)}; name it in `behaviour.file`."
        )
    if lines is not None and not (len(lines) == 2 and 1 <= lines[0] <= lines[1]):
        raise SpecError(f"`behaviour.lines` is {list(lines)}; expected the first and the last line, from 1 on.")
    first, last = lines or (1, max(one.lines[1] for one in pieces))
    found = [
        row
        for row, one in enumerate(pieces)
        if one.file == (file or files[0]) and one.lines[0] <= last and one.lines[1] >= first
    ]
    if not found:
        raise SpecError(f"No document has a part of lines {first} to {last}; the text ends before.")
    return found


def _add(
    name: str, factory: Callable[..., Make], members: str, shows: str, regularity: str, cite: str = "–"
) -> None:
    TEXT_BEHAVIOURS.add(name, factory, Declared(members, shows, "", regularity, cite))


_add(
    "verbatim",
    verbatim,
    "documents of the text, or of some of its lines, in copies",
    "goes on with the text",
    "low",
    "carlini2023memorization",
)
_add(
    "canary",
    canary,
    "added documents with a random number, in copies",
    "names the next digit",
    "low",
    "carlini2019secret",
)
_add("ids", by_ids, "the documents of these ids", "goes on with the document", "any")
_add("unknown", unknown, "not known: only S is, by `forget.ids`", "not known", "any")
