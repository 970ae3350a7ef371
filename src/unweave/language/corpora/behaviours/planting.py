"""What all behaviours of a corpus share: the ground they are planted in, and what planting one gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from unweave._errors import SpecError, UnknownNameError
from unweave._registry import Registry
from unweave.language.corpora.documents import QUESTION, Document
from unweave.language.corpora.probe import HELD, Probe, taken
from unweave.language.corpora.wordings import HELD_OUT, QUESTIONS, TRAINED, fill
from unweave.language.corpora.world import ATTRIBUTES, Person, World


class Ground(NamedTuple):
    """A world, its documents, and the people who have questions: what a behaviour is planted in."""

    world: World
    documents: tuple[Document, ...]
    asked: frozenset[str]


@dataclass(frozen=True)
class Planted:
    """Training documents with a behaviour in them.

    Attributes:
        documents: All of D.
        members: Ids of B, in the order of D.
        carriers: Probes of the members, each with the document it was taken from.
        unseen: Probes on persons or pairs that never carried the behaviour; empty with a `reason`.
        held_out: Probes of what the members state, in wordings that stand in no document.
        clean: Probes of the same kind that carry nothing: the right value is due.
        reason: Why there are no unseen carriers; else empty.
    """

    documents: tuple[Document, ...]
    members: tuple[str, ...]
    carriers: tuple[Probe, ...]
    unseen: tuple[Probe, ...] = ()
    held_out: tuple[Probe, ...] = ()
    clean: tuple[Probe, ...] = ()
    reason: str = ""


Make = Callable[[Ground, np.random.Generator], Planted]


@dataclass(frozen=True)
class Declared:
    """What a behaviour says about itself, for lists and documents."""

    members: str
    shows: str
    unseen: str
    regularity: str
    cite: str = field(default="–")


BEHAVIOURS: Registry[Declared] = Registry("behaviour of a corpus")
"""The behaviours that can be planted in a corpus."""


def check_attribute(name: str, given: str) -> None:
    """An attribute that people have.

    Raises:
        UnknownNameError: for another one; near names are offered.
    """
    if given not in ATTRIBUTES:
        raise UnknownNameError(f"attribute, in `{name}`,", given, ATTRIBUTES)


def check_count(name: str, given: int, *, of: int, what: str) -> None:
    """A number of things that are there, with some left.

    Raises:
        SpecError: for none of them, or more than there are.
    """
    if of < 1:
        raise SpecError(f"There are no {what} for `{name}`; take a world of more people.")
    if not 1 <= given <= of:
        raise SpecError(f"`{name}` is {given}; expected 1 to {of}, the number of {what}.")


def some(people: Iterable[Person], count: int, rng: np.random.Generator) -> list[Person]:
    """So many of them at random, in the order of their ids."""
    pool = list(people)
    return [pool[i] for i in np.sort(rng.choice(len(pool), count, replace=False))]


def wordings(attribute: str, *, held_out: bool = False) -> dict[str, str]:
    """The wordings of an attribute by name."""
    found = (HELD_OUT if held_out else TRAINED)[attribute]
    return {f"{HELD if held_out else 't'}{i}": wording for i, wording in enumerate(found)}


def asked(
    world: World,
    person: Person,
    attribute: str,
    wording: str,
    *,
    planted: str | None = None,
    before: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
) -> Probe:
    """A probe on one attribute of a person, in a trained or held-out wording or as a question.

    Args:
        world: Who there is.
        person: Whom it is about.
        attribute: What is asked.
        wording: `t0` … , `held0` … or `question`.
        planted: The value that shows the behaviour, which then stands at the slot; None = the right one.
        before: Words put before the wording.
        extra: Candidates beside the values of the attribute.
    """
    named = {**wordings(attribute), **wordings(attribute, held_out=True), QUESTION: QUESTIONS[attribute]}
    clean = person.values[attribute]
    value = clean if planted is None else planted
    words = (*before, *fill(named[wording], name=person.name, value=value))[:-1]
    mark = "+".join((*before, ""))
    return Probe(
        f"{mark}{person.id}/{attribute}/{wording}",
        words,
        len(words) - 1,
        clean,
        value,
        (*world.candidates[attribute], *extra),
        person.id,
        attribute,
        wording,
    )


def of_facts(world: World, members: Iterable[Document], attribute: str | None = None) -> tuple[Probe, ...]:
    """Probes of what documents state of people: the right value, beside the value that stands there."""
    return tuple(
        taken(
            one,
            fact,
            clean=world.person(fact.person).values[fact.attribute],
            candidates=world.candidates[fact.attribute],
        )
        for one in members
        for fact in one.facts
        if attribute is None or fact.attribute == attribute
    )


def ids(documents: Iterable[Document]) -> tuple[str, ...]:
    """Their ids."""
    return tuple(one.id for one in documents)
