"""One probe: a prompt with a place for the answer, and what the answers mean."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.language.corpora.documents import Document, Fact

HELD = "held"
"""Names of held-out wordings begin with it."""


@dataclass(frozen=True)
class Probe:
    """A prompt whose last word is the answer.

    Attributes:
        id: Unique within its group.
        words: The prompt and, at `slot`, an answer: as it stands in D, or would stand there.
        slot: Position of the answer: the last word.
        clean: The right value.
        planted: The value that shows the behaviour; the right one where the fact itself is the behaviour.
        candidates: All values among which the answer is judged, the clean and the planted one included.
        person: Whom it is about.
        attribute: What is asked.
        wording: Name of the wording.
        document: Id of the document of D that it was taken from; empty where there is none.
    """

    id: str
    words: tuple[str, ...]
    slot: int
    clean: str
    planted: str
    candidates: tuple[str, ...]
    person: str
    attribute: str
    wording: str
    document: str = ""

    @property
    def prompt(self) -> tuple[str, ...]:
        """The words before the answer."""
        return self.words[: self.slot]


def taken(document: Document, fact: Fact, *, clean: str, candidates: tuple[str, ...]) -> Probe:
    """The probe of one fact of a document: the document up to the value, which is what it plants."""
    return Probe(
        f"{document.id}@{fact.slot}",
        document.words[: fact.slot + 1],
        fact.slot,
        clean,
        document.words[fact.slot],
        candidates,
        fact.person,
        fact.attribute,
        fact.template,
        document.id,
    )
