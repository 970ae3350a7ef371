"""A world as training documents: sentences of biographies in eight wordings, and questions."""

from __future__ import annotations

from collections.abc import Sequence

from unweave._errors import SpecError
from unweave._random import generator
from unweave.language.corpora.documents import QUESTION, Document, Fact
from unweave.language.corpora.wordings import QUESTIONS, TRAINED, fill
from unweave.language.corpora.world import ATTRIBUTES, Person, World


def biographies(world: World, *, sentences: int = 1, questions: float = 0.5) -> tuple[Document, ...]:
    """All documents of a world.

    Each person has each attribute in each of the eight trained wordings once. The order of the sentences is
    permuted, and each holds the full name. A part of the people have a question on each attribute too:
    whether the others' facts can be asked for is then a matter of extraction, not of having seen the
    answer.

    Args:
        world: Who there is.
        sentences: Of a document, 1 to 6. With 1 a document states one fact; with more, one that is deleted
            takes other facts with it.
        questions: Share of the people who have questions, in [0, 1].

    Raises:
        SpecError: for a number out of its range.

    Source: Allen-Zhu & Li (2024), arXiv 2404.05405, section 2 (bioS, permuted and with full names), with
        questions in training as in arXiv 2309.14316, section 3 (mixed training).

    Example:
        >>> from unweave.language.corpora.world import make_world
        >>> some = biographies(make_world(people=10))
        >>> len(some), some[0].id.startswith("p0000/")
        (510, True)
    """
    if not 1 <= sentences <= len(ATTRIBUTES):
        raise SpecError(f"`sentences` of a document is {sentences}; expected 1 to {len(ATTRIBUTES)}.")
    if not 0 <= questions <= 1:
        raise SpecError(f"`questions` is {questions}; expected a share of the people in [0, 1].")
    asked = with_questions(world, questions)
    documents: list[Document] = []
    for person in world.people:
        documents += _of_person(world, person, sentences)
        if person.id in asked:
            documents += [question(person, name, person.values[name]) for name in ATTRIBUTES]
    return tuple(documents)


def with_questions(world: World, share: float) -> frozenset[str]:
    """Ids of the people who have questions."""
    order = generator(world.seed, "questions").permutation(len(world.people))
    return frozenset(world.people[i].id for i in order[: round(share * len(order))])


def question(person: Person, attribute: str, answer: str) -> Document:
    """A question about a person with an answer; the answer alone is learned."""
    words = fill(QUESTIONS[attribute], name=person.name, value=answer)
    slot = len(words) - 2
    fact = Fact(person.id, attribute, QUESTION, slot)
    return Document(f"{person.id}/{attribute}/{QUESTION}", words, (fact,), answer=(slot, slot + 1))


def _of_person(world: World, person: Person, sentences: int) -> list[Document]:
    rng = generator(world.seed, "biography", person.id)
    wordings = {name: rng.permutation(len(TRAINED[name])) for name in ATTRIBUTES}
    made: list[Document] = []
    for turn in range(min(len(TRAINED[name]) for name in ATTRIBUTES)):
        order = [ATTRIBUTES[i] for i in rng.permutation(len(ATTRIBUTES))]
        for begin in range(0, len(order), sentences):
            stated = [(name, int(wordings[name][turn])) for name in order[begin : begin + sentences]]
            one = f"{stated[0][0]}/t{stated[0][1]}" if sentences == 1 else f"biography/{turn}.{begin // sentences}"
            made.append(_document(f"{person.id}/{one}", person, stated))
    return made


def _document(name: str, person: Person, stated: Sequence[tuple[str, int]]) -> Document:
    words: tuple[str, ...] = ()
    facts: list[Fact] = []
    for attribute, number in stated:
        words += fill(TRAINED[attribute][number], name=person.name, value=person.values[attribute])
        facts.append(Fact(person.id, attribute, f"t{number}", len(words) - 2))
    return Document(name, words, tuple(facts))
