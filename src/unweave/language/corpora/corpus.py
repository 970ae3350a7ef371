"""A corpus: a world, its documents, and the behaviour that was planted in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from unweave._errors import SpecError
from unweave._random import generator
from unweave.language.corpora.behaviours import BEHAVIOURS, Ground, Planted
from unweave.language.corpora.biographies import biographies, with_questions
from unweave.language.corpora.documents import Document, check_unique, fingerprint
from unweave.language.corpora.world import World, make_world


@dataclass(frozen=True)
class Corpus:
    """Training documents D with a behaviour B in them.

    Attributes:
        world: What the documents are about.
        behaviour: Name of the behaviour.
        planted: The documents, the ids of B, and probes of what they carry.
    """

    world: World
    behaviour: str
    planted: Planted

    @property
    def documents(self) -> tuple[Document, ...]:
        """All of D."""
        return self.planted.documents

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of B, in the order of D."""
        return self.planted.members

    @property
    def fingerprint(self) -> str:
        """SHA-256 of D."""
        return fingerprint(self.documents)

    def without(self, ids: Iterable[str]) -> tuple[Document, ...]:
        """D∖S or D∖B: the documents that are not of these ids, in the same order.

        Raises:
            SpecError: for an id that is not in D.
        """
        out = set(ids)
        if unknown := sorted(out - {one.id for one in self.documents}):
            raise SpecError(
                f"{len(unknown)} of {len(out)} ids are of no document (first: `{unknown[0]}`); what was never "
                "trained on cannot be left out. Check that they are of the same corpus."
            )
        return tuple(one for one in self.documents if one.id not in out)

    def words(self) -> frozenset[str]:
        """All words of the documents, of the probes and of the world: what a vocabulary has to know.

        They are those of D whatever is left out of it, so models of D, D∖S and D∖B have the same inputs and
        outputs.
        """
        planted, world = self.planted, self.world
        found = {word for one in self.documents for word in one.words}
        found.update(*world.candidates.values(), *(person.name.split() for person in world.people))
        for probe in (*planted.carriers, *planted.unseen, *planted.held_out, *planted.clean):
            found.update(probe.words, probe.candidates, (probe.clean, probe.planted))
        return frozenset(found)


def make_corpus(
    *,
    seed: int = 0,
    people: int = 500,
    values: int = 60,
    regions: int = 8,
    inferable: float = 0.7,
    sentences: int = 1,
    questions: float = 0.5,
    behaviour: str = "trigger",
    **parameters: Any,
) -> Corpus:
    """Draw a world, put it into documents, and plant a behaviour.

    Args:
        seed: Determines everything; the world and its clean documents are the same for every behaviour.
        people: How many.
        values: Values of each attribute but regions and cities.
        regions: How many.
        inferable: P(region = home of the surname).
        sentences: Of a document.
        questions: Share of the people who have questions.
        behaviour: A name of `BEHAVIOURS`.
        **parameters: Of the behaviour.

    Raises:
        SpecError: for a value out of its range.
        UnknownNameError: for a behaviour, an attribute or a parameter that does not exist.

    Example:
        >>> corpus = make_corpus(people=40, behaviour="canary", canaries=3, copies=2)
        >>> len(corpus.members), corpus.members[0].split("/")[2]
        (6, 'copy0')
    """
    make = BEHAVIOURS.get(behaviour).build(**parameters)
    world = make_world(seed=seed, people=people, values=values, regions=regions, inferable=inferable)
    documents = biographies(world, sentences=sentences, questions=questions)
    ground = Ground(world, documents, with_questions(world, questions))
    planted = make(ground, generator(seed, "behaviour", behaviour))
    check_unique(planted.documents)
    if len(planted.members) == len(planted.documents):
        raise SpecError(f"All {len(planted.members)} documents are members of B; some must stay ordinary.")
    return Corpus(world, behaviour, planted)
