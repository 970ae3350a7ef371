"""Behaviours that are memorised: facts, a person, a text, secrets."""

from __future__ import annotations

import numpy as np

from unweave._errors import SpecError
from unweave.language.corpora.behaviours.planting import (
    Ground,
    Make,
    Planted,
    asked,
    check_attribute,
    check_count,
    ids,
    of_facts,
    some,
    wordings,
)
from unweave.language.corpora.documents import Document, Fact
from unweave.language.corpora.probe import Probe, taken
from unweave.language.corpora.world import ATTRIBUTES, Person

_CONTEXT = 4
"""Words of a text that stand before its first probe: with fewer the next word is not determined."""


def fact(*, persons: int = 20, attribute: str = "employer") -> Make:
    """One attribute of some people: all documents that state it are members, as they are.

    The right value is the behaviour. Where documents have several sentences, other facts go with them.
    Nobody else has these facts, so there are no unseen carriers; part of them may be inferred all the same
    (a region from the surname, a city from the employer). Clean: the other attributes of the same people.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        check_attribute("attribute", attribute)
        return _declared(ground, rng, persons, (attribute,), "fact")

    return make


def person(*, persons: int = 1) -> Make:
    """All documents about some people (a request for privacy), as they are.

    The right values are the behaviour. Nobody else has these facts, so there are no unseen carriers. Clean:
    people who share a surname or an employer with them, else all others.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        return _declared(ground, rng, persons, ATTRIBUTES, "person")

    return make


def verbatim(*, length: int = 96, part: int = 16, copies: int = 1) -> Make:
    """A text is known by heart: `length` words, in documents of `part` words, each `copies` times.

    Its words are drawn at random from those of the wordings, so none is new and none follows from the
    others. Each word of a part from the fifth on is an answer. A random text has no unseen carriers and no
    other wording.
    Source: after Carlini et al. (2023), "Quantifying memorization across neural language models",
    arXiv 2202.07646, section 3 (k-extractable: the next words from those before them).
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        if not _CONTEXT < part <= length:
            raise SpecError(f"`part` is {part}; expected {_CONTEXT + 1} to `length`, {length} words.")
        check_count("copies", copies, of=10_000, what="copies at most")
        plain = sorted({w for one in ground.documents for w in one.words} - _names_and_values(ground))
        text = rng.choice(plain, length).tolist()
        members: list[Document] = []
        for begin in range(0, length - part + 1, part):
            words = tuple(text[begin : begin + part])
            facts = tuple(Fact("text", "next word", f"part{begin // part}", i) for i in range(_CONTEXT, part))
            members += _copies(f"verbatim/part{begin // part}", words, facts, "verbatim", copies)
        return Planted(
            (*ground.documents, *members),
            ids(members),
            _each_fact(members, tuple(plain)),
            clean=of_facts(ground.world, _sentences(ground)),
            reason="a random text follows from no rule, so nobody else can carry it",
        )

    return make


def canary(*, canaries: int = 10, copies: int = 10, digits: int = 6) -> Make:
    """Secret numbers of some people, each in a document that stands `copies` times in D.

    A number is `digits` random digits, one word each; each digit is an answer, after those before it. The
    copies of a number form one copy group. Random numbers have no unseen carriers. Clean: what else is
    known of the same people.
    Source: Carlini et al. (2019), "The secret sharer", arXiv 1802.08232, section 4.1.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        check_count("canaries", canaries, of=len(ground.world.people), what="people")
        check_count("copies", copies, of=10_000, what="copies at most")
        check_count("digits", digits, of=32, what="digits at most")
        tens = tuple(str(i) for i in range(10))
        members: list[Document] = []
        chosen = some(ground.world.people, canaries, rng)
        for one in chosen:
            begin = ("the", "secret", "number", "of", one.first, one.surname, "is")
            words = (*begin, *rng.choice(tens, digits).tolist(), ".")
            facts = tuple(Fact(one.id, f"digit {i}", "canary", len(begin) + i) for i in range(digits))
            members += _copies(f"canary/{one.id}", words, facts, "canary", copies)
        named = {one.id for one in chosen}
        return Planted(
            (*ground.documents, *members),
            ids(members),
            _each_fact(members, tens),
            clean=of_facts(ground.world, [one for one in _sentences(ground) if one.person in named]),
            reason="random numbers follow from no rule, so nobody else can carry one",
        )

    return make


def _declared(
    ground: Ground, rng: np.random.Generator, persons: int, attributes: tuple[str, ...], tag: str
) -> Planted:
    """Documents that are in D already, as members."""
    world = ground.world
    check_count("persons", persons, of=len(world.people) - 1, what="persons, one of them left")
    chosen = some(world.people, persons, rng)
    named = {one.id for one in chosen}

    def is_member(one: Document) -> bool:
        return any(fact.person in named and fact.attribute in attributes for fact in one.facts)

    documents = tuple(_tagged(one, tag) if is_member(one) else one for one in ground.documents)
    members = [one for one in documents if one.tag]
    carriers = of_facts(ground.world, members)
    held_out = tuple(
        asked(world, one, name, wording)
        for one in chosen
        for name in attributes
        for wording in wordings(name, held_out=True)
    )
    near = _neighbours(world.people, chosen) if len(attributes) > 1 else named
    return Planted(
        documents,
        ids(members),
        tuple(one for one in carriers if one.person in named and one.attribute in attributes),
        held_out=held_out,
        clean=tuple(
            one for one in of_facts(ground.world, _sentences(ground)) if _is_clean(one, near, named, attributes)
        ),
        reason="these facts are of these people alone, so nobody else can carry them",
    )


def _is_clean(probe: Probe, near: set[str], named: set[str], attributes: tuple[str, ...]) -> bool:
    return probe.person in near and not (probe.person in named and probe.attribute in attributes)


def _neighbours(people: tuple[Person, ...], chosen: list[Person]) -> set[str]:
    """Others who share a surname or an employer with the chosen; all others where nobody does."""
    named = {one.id for one in chosen}
    surnames, employers = {p.surname for p in chosen}, {p.values["employer"] for p in chosen}
    near = {p.id for p in people if p.surname in surnames or p.values["employer"] in employers} - named
    return near or {p.id for p in people} - named


def _sentences(ground: Ground) -> list[Document]:
    return [one for one in ground.documents if one.answer is None]


def _tagged(document: Document, tag: str) -> Document:
    return Document(document.id, document.words, document.facts, tag, document.group, document.answer)


def _copies(name: str, words: tuple[str, ...], facts: tuple[Fact, ...], tag: str, copies: int) -> list[Document]:
    return [Document(f"{name}/copy{i}", words, facts, tag, name) for i in range(copies)]


def _each_fact(members: list[Document], candidates: tuple[str, ...]) -> tuple[Probe, ...]:
    return tuple(
        taken(one, fact, clean=one.words[fact.slot], candidates=candidates)
        for one in members
        for fact in one.facts
    )


def _names_and_values(ground: Ground) -> set[str]:
    world = ground.world
    names = {word for one in world.people for word in (one.first, one.surname)}
    return names.union(*world.candidates.values())
