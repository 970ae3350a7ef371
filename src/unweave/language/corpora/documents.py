"""Documents: words with a stable id, the facts that they state, and what part of them is an answer."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unweave._errors import UserError

_WORDS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
QUESTION = "question"
"""The name of the wording of a question with its answer."""


class Fact(NamedTuple):
    """What a document states at one place.

    Attributes:
        person: Whom it is about: the id of a person, or the name of a text.
        attribute: What is said of them.
        template: Name of the wording.
        slot: Position of the value among the words of the document.
    """

    person: str
    attribute: str
    template: str
    slot: int


@dataclass(frozen=True)
class Document:
    """One example of a corpus.

    Attributes:
        id: Unique and stable: it does not depend on what else is in the corpus.
        words: The text, one word a token.
        facts: What it states and where; empty for free text.
        tag: Name of the behaviour whose member it is; empty for the others.
        group: Copy group: documents of the same words share one; else its own id.
        answer: Begin and end of the words that are learned, of a question; None = all words.
    """

    id: str
    words: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    tag: str = ""
    group: str = ""
    answer: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """A document without copies is a group by itself."""
        if not self.group:
            object.__setattr__(self, "group", self.id)

    @property
    def person(self) -> str:
        """Whom the document is about; empty where it is about nobody or several."""
        return self._only("person")

    @property
    def attribute(self) -> str:
        """The attribute that it states; empty where there is none or several."""
        return self._only("attribute")

    @property
    def template(self) -> str:
        """The wording; empty where there is none or several."""
        return self._only("template")

    def states(self, person: str, attribute: str) -> bool:
        """Whether it states this attribute of this person."""
        return any(fact.person == person and fact.attribute == attribute for fact in self.facts)

    def _only(self, field: str) -> str:
        found = {str(getattr(fact, field)) for fact in self.facts}
        return found.pop() if len(found) == 1 else ""


def words_of(text: str) -> tuple[str, ...]:
    """Words and marks of punctuation, each by itself; an apostrophe within a word belongs to it.

    Example:
        >>> words_of("Hear me; we know't!")
        ('Hear', 'me', ';', 'we', "know't", '!')
    """
    return tuple(_WORDS.findall(text))


def content_id(prefix: str, *texts: str) -> str:
    """An id made from the text itself, 48 bits of SHA-256: the same text has the same id in every file.

    Example:
        >>> content_id("sms", "ok") == content_id("sms", "ok"), content_id("sms", "ok").startswith("sms-")
        (True, True)
    """
    return f"{prefix}-{hashlib.sha256(chr(0).join(texts).encode(errors='surrogatepass')).hexdigest()[:12]}"


def fingerprint(documents: Sequence[Document]) -> str:
    """SHA-256 over ids, words and answers, in their order: one changed word changes it.

    Example:
        >>> fingerprint([Document("a", ("b",))]) == fingerprint([Document("a", ("c",))])
        False
    """
    digest = hashlib.sha256()
    for one in documents:
        digest.update(repr((one.id, one.words, one.answer)).encode())
    return digest.hexdigest()


def check_unique(documents: Sequence[Document]) -> None:
    """Each document has an id of its own.

    Raises:
        UserError: for the first id that two of them have.
    """
    if not documents:
        raise UserError("The corpus has 0 documents; there is nothing to learn from.")
    name, times = Counter(one.id for one in documents).most_common(1)[0]
    if times > 1:
        raise UserError(
            f"The id `{name}` is that of {times} documents; forget sets are sets of ids, so each document needs "
            "one of its own."
        )
