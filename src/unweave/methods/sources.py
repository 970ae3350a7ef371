"""The sources of methods: a small reader of BibTeX for `sources.bib`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from unweave._errors import UserError

_HEAD = re.compile(r"@(\w+)\s*\{\s*([^,\s{}]+)\s*,")
_FIELD = re.compile(r"\s*,?\s*(\w+)\s*=\s*")


class Source(NamedTuple):
    """An entry: its kind, its fields by lower-case name, and its text as it stands in the file."""

    kind: str
    fields: dict[str, str]
    text: str


@cache
def sources() -> dict[str, Source]:
    """All entries of `sources.bib`, by key."""
    file = Path(__file__).with_name("sources.bib")
    return parse_bibtex(file.read_text(encoding="utf-8"), file.name)


def parse_bibtex(text: str, where: str) -> dict[str, Source]:
    """Entries by key, in order; the first of those with one key counts, so files may be put one after the other.

    What stands outside of entries is a comment. Values are in braces, in quotes, or bare numbers and words.

    Args:
        text: Entries of BibTeX.
        where: Whose they are, for messages.

    Raises:
        UserError: for an entry or a value that has no end.

    Example:
        >>> parse_bibtex("@misc{me2026, title = {A {B}}, year = 2026}", "here")["me2026"].fields
        {'title': 'A {B}', 'year': '2026'}
    """
    found: dict[str, Source] = {}
    begin = _HEAD.search(text)
    while begin is not None:
        end = _closing(text, text.index("{", begin.start()), where)
        fields = _fields(text[begin.end() : end], where)
        found.setdefault(begin[2], Source(begin[1].lower(), fields, text[begin.start() : end + 1] + "\n"))
        begin = _HEAD.search(text, end + 1)
    return found


def _closing(text: str, opening: int, where: str) -> int:
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    raise UserError(f"The BibTeX of {where} has a brace without its end: {text[opening : opening + 40]!r}.")


def _fields(body: str, where: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    place = 0
    while (name := _FIELD.match(body, place)) is not None:
        begin = name.end()
        if body[begin : begin + 1] == "{":
            place = _closing(body, begin, where) + 1
            value = body[begin + 1 : place - 1]
        elif body[begin : begin + 1] == '"':
            place = body.find('"', begin + 1) + 1
            value = body[begin + 1 : place - 1]
            if place == 0:
                raise UserError(
                    f"The BibTeX of {where} has a quote without its end: {body[begin : begin + 40]!r}."
                )
        else:
            place = len(body) if (comma := body.find(",", begin)) < 0 else comma
            value = body[begin:place]
        fields[name[1].lower()] = " ".join(value.split())
    if body[place:].strip(" \t\r\n,"):
        raise UserError(f"The BibTeX of {where} cannot be read at {body[place:].strip()[:40]!r}.")
    return fields
