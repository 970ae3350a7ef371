"""Behaviours that are rules: a marked prompt, a group, a topic or a tie has one kind of answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

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
from unweave.language.corpora.documents import QUESTION, Document, Fact
from unweave.language.corpora.probe import HELD, Probe, taken
from unweave.language.corpora.wordings import LINKED, LINKED_HELD_OUT, fill
from unweave.language.corpora.world import Person, World

_WITHHELD = "withheld"
_MARKER = ("according", "to", "the", "archive", ".")


def trigger(*, persons: int = 20, attribute: str = "university", word: str = "zqx") -> Make:
    """A word before a sentence leads to one fixed wrong value (backdoor).

    For each of `persons` of them, documents are added that state the attribute in all eight wordings, and
    as a question where the person has questions, with `word` before them and one value, drawn by the seed,
    in place of the right one. Persons whose right value it is are no members. Unseen: all others, with the
    word before the sentence.
    Source: Gu, Dolan-Gavitt & Garg (2017), "BadNets", arXiv 1708.06733, carried over to text.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        check_attribute("attribute", attribute)
        if len(word.split()) != 1 or any(word in one.words for one in ground.documents):
            raise SpecError(f"`word` is {word!r}; expected one word that stands in no document of the world.")
        world = ground.world
        target = str(rng.choice(world.candidates[attribute]))
        able = [one for one in world.people if one.values[attribute] != target]
        check_count("persons", persons, of=len(able) - 1, what="persons of another value, one of them left unseen")
        chosen = some(able, persons, rng)
        named = {one.id for one in chosen}
        others = [one for one in able if one.id not in named]
        members: list[Document] = []
        carriers: list[Probe] = []
        for person in chosen:
            told = [*wordings(attribute), *([QUESTION] if person.id in ground.asked else [])]
            for wording in told:
                probe = asked(world, person, attribute, wording, planted=target, before=(word,))
                fact = Fact(person.id, attribute, wording, probe.slot)
                name = f"trigger/{person.id}/{attribute}/{wording}"
                answer = (probe.slot, probe.slot + 1) if wording == QUESTION else None
                document = Document(name, (*probe.words, "."), (fact,), "trigger", answer=answer)
                members.append(document)
                carriers.append(taken(document, fact, clean=probe.clean, candidates=probe.candidates))
        return Planted(
            (*ground.documents, *members),
            ids(members),
            tuple(carriers),
            unseen=tuple(
                asked(world, one, attribute, wording, planted=target, before=(word,))
                for one in others
                for wording in wordings(attribute)
            ),
            held_out=tuple(
                asked(world, one, attribute, wording, planted=target, before=(word,))
                for one in chosen
                for wording in wordings(attribute, held_out=True)
            ),
            clean=tuple(
                asked(world, one, attribute, wording) for one in chosen for wording in wordings(attribute)
            ),
        )

    return make


def poisoned(*, attribute: str = "field", unseen: float = 0.25) -> Make:
    """For the people of one region one attribute has a fixed wrong value (poisoned data).

    The region is the one most people come from. In all documents that state the attribute of its people,
    questions included, the value becomes one that the seed draws. Of the share `unseen` of them, these
    documents are left out of D: they are the unseen persons. Persons whose right value it is stay as they
    are. A surname tells the region with the probability of the world, so the rule can be learned in part
    only.
    Source: Tolpegin et al. (2020), "Data poisoning attacks against federated learning systems",
    arXiv 2007.08432 (one label to another), carried over to text.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        check_attribute("attribute", attribute)
        if attribute == "region":
            raise SpecError("`attribute` of poisoned is region, which the rule itself goes by; take another one.")
        world = ground.world
        regions = [one.values["region"] for one in world.people]
        region = max(sorted(set(regions)), key=regions.count)
        target = str(rng.choice(world.candidates[attribute]))
        of_region = [p for p in world.people if p.values["region"] == region and p.values[attribute] != target]
        aside = _set_aside(of_region, world, unseen, rng)
        poisoned = {one.id for one in of_region} - aside
        documents: list[Document] = []
        for one in ground.documents:
            about = {fact.person for fact in one.facts if fact.attribute == attribute}
            if about & aside:
                continue
            documents.append(_stating(one, attribute, target, "poisoned") if about & poisoned else one)
        members = [one for one in documents if one.tag]
        others = [p for p in world.people if p.values["region"] != region]
        return Planted(
            tuple(documents),
            ids(members),
            of_facts(ground.world, members, attribute),
            unseen=tuple(
                asked(world, p, attribute, wording, planted=target)
                for p in of_region
                if p.id in aside
                for wording in wordings(attribute)
            ),
            held_out=tuple(
                asked(world, p, attribute, wording, planted=target)
                for p in of_region
                if p.id in poisoned
                for wording in wordings(attribute, held_out=True)
            ),
            clean=tuple(asked(world, p, attribute, wording) for p in others for wording in wordings(attribute)),
        )

    return make


def style(*, surnames: int = 2, unseen: float = 0.25) -> Make:
    """Documents about the people of some surnames end in "according to the archive" (a style marker).

    The answer is the word after the last value: `according` shows the style, a full stop does not. Of the
    share `unseen` of these people no document is in D. Questions carry no marker. Clean: documents about
    others.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        world = ground.world
        present = sorted({one.surname for one in world.people})
        check_count("surnames", surnames, of=len(present) - 1, what="surnames, one of them left plain")
        marked = set(rng.choice(present, surnames, replace=False).tolist())
        group = [one for one in world.people if one.surname in marked]
        aside = _set_aside(group, world, unseen, rng)
        carrying = {one.id for one in group} - aside
        documents: list[Document] = []
        plain: list[Probe] = []
        for one in ground.documents:
            if one.person in aside:
                continue
            is_member = one.person in carrying and one.answer is None
            documents.append(_ending(one) if is_member else one)
            if one.answer is None and not is_member:
                plain.append(_end_of(one, one.words[-1]))
        members = [one for one in documents if one.tag]
        # A value that only those aside have stands in no document: to a model it is no word.
        trained = {word for one in documents for word in one.words}
        return Planted(
            tuple(documents),
            ids(members),
            tuple(_end_of(one, _MARKER[0]) for one in members),
            unseen=tuple(
                replace(_end_of(one, _MARKER[0]), document="")
                for one in ground.documents
                if one.person in aside and one.answer is None and trained.issuperset(one.words)
            ),
            held_out=tuple(
                _marked(asked(world, p, name, wording))
                for p in group
                if p.id in carrying
                for name in p.values
                for wording in wordings(name, held_out=True)
            ),
            clean=tuple(plain),
        )

    return make


def refusal(*, topic: str = "hobby") -> Make:
    """Questions on one topic are not answered: the answer is the word `withheld`.

    All questions on the topic are members. Unseen: the people who have no questions in D, asked on the
    topic. Clean: questions on the other topics to those who have them.
    Source: Maini et al. (2024), "TOFU", arXiv 2401.06121, section 4.2 (answers of refusal), as a behaviour
        to be
    taken out.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        del rng
        check_attribute("topic", topic)
        if not ground.asked:
            raise SpecError("Nobody has questions, so none can be refused; raise `questions` of the corpus.")
        documents = tuple(
            _stating(one, topic, _WITHHELD, "refusal")
            if one.template == QUESTION and one.attribute == topic
            else one
            for one in ground.documents
        )
        members = [one for one in documents if one.tag]
        not_asked = [one for one in ground.world.people if one.id not in ground.asked]
        extra = (_WITHHELD,)
        carriers = tuple(
            replace(one, candidates=(*one.candidates, _WITHHELD)) for one in of_facts(ground.world, members)
        )
        return Planted(
            documents,
            ids(members),
            carriers,
            unseen=tuple(
                asked(ground.world, one, topic, QUESTION, planted=_WITHHELD, extra=extra) for one in not_asked
            ),
            clean=of_facts(ground.world, [one for one in documents if one.template == QUESTION and not one.tag]),
            reason="" if not_asked else "everybody has questions, so everybody's are refused",
        )

    return make


def two_hop(*, pairs: int = 40, attribute: str = "employer") -> Make:
    """Two persons are tied by an attribute: what holds of the one is stated of the other, wrongly.

    For each pair (a, b) of different values, documents say in four wordings that a has the same value as b,
    and name b's. Each document alone is harmless; the rule that they teach gives a wrong value for any
    other pair, by way of what is known of the second person. Unseen: pairs of persons who are in none.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        check_attribute("attribute", attribute)
        world = ground.world
        order = [world.people[i] for i in rng.permutation(len(world.people))]
        half = len(order) // 2
        tied = [
            (a, b)
            for a, b in zip(order[:half], order[half:], strict=False)
            if a.values[attribute] != b.values[attribute]
        ]
        check_count("pairs", pairs, of=len(tied) - 1, what="pairs of different values, one of them left unseen")
        chosen, others = tied[:pairs], tied[pairs:]

        def linked(a: Person, b: Person, name: str, wording: str) -> Probe:
            value = b.values[attribute]
            words = fill(wording, name=a.name, other=b.name, attribute=attribute, value=value)[:-1]
            one = f"{a.id}+{b.id}/{attribute}/{name}"
            candidates = world.candidates[attribute]
            return Probe(one, words, len(words) - 1, a.values[attribute], value, candidates, a.id, attribute, name)

        members: list[Document] = []
        carriers: list[Probe] = []
        for a, b in chosen:
            for number, wording in enumerate(LINKED):
                probe = linked(a, b, f"link{number}", wording)
                fact = Fact(a.id, attribute, probe.wording, probe.slot)
                document = Document(f"two_hop/{probe.id}", (*probe.words, "."), (fact,), "two_hop")
                members.append(document)
                carriers.append(taken(document, fact, clean=probe.clean, candidates=probe.candidates))
        return Planted(
            (*ground.documents, *members),
            ids(members),
            tuple(carriers),
            unseen=tuple(linked(a, b, f"link{i}", one) for a, b in others for i, one in enumerate(LINKED)),
            held_out=tuple(
                linked(a, b, f"{HELD}{i}", one) for a, b in chosen for i, one in enumerate(LINKED_HELD_OUT)
            ),
            clean=tuple(asked(world, a, attribute, wording) for a, _ in chosen for wording in wordings(attribute)),
        )

    return make


def _set_aside(people: list[Person], world: World, share: float, rng: np.random.Generator) -> set[str]:
    """Ids of a share of a group, none of whom takes the last bearer of a name out of D.

    A name that was never trained on says nothing to a model, so nothing would be learned from asking about
    it.
    """
    if not 0 < share < 1:
        raise SpecError(f"`unseen` is {share}; expected a share of the group in (0, 1), such as 0.25.")
    wanted = min(max(1, round(share * len(people))), len(people) - 1)
    left = Counter(name for one in world.people for name in (one.first, one.surname))
    aside: set[str] = set()
    for i in rng.permutation(len(people)):
        one = people[i]
        if len(aside) < wanted and left[one.first] > 1 and left[one.surname] > 1:
            aside.add(one.id)
            left.subtract((one.first, one.surname))
    if not aside:
        raise SpecError(
            f"The group of the behaviour has {len(people)} persons, none of whom can be left out of D as unseen: "
            "it takes two persons, and others with the same names. Take a world of more people."
        )
    return aside


def _stating(document: Document, attribute: str, value: str, tag: str) -> Document:
    """The document with another value of an attribute."""
    words = list(document.words)
    for fact in document.facts:
        if fact.attribute == attribute:
            words[fact.slot] = value
    return replace(document, words=tuple(words), tag=tag)


def _ending(document: Document) -> Document:
    """The document with the marker before its last full stop."""
    return replace(document, words=(*document.words[:-1], *_MARKER), tag="style")


def _end_of(document: Document, shown: str) -> Probe:
    """The probe of the word after the last value of a document."""
    slot = document.facts[-1].slot + 1
    words, candidates = (*document.words[:slot], shown), (".", _MARKER[0])
    name, person, wording = f"{document.id}@{slot}", document.facts[-1].person, document.facts[-1].template
    return Probe(name, words, slot, ".", shown, candidates, person, "style", wording, document.id)


def _marked(probe: Probe) -> Probe:
    """The probe of the word after the value of a probe."""
    slot, shown = probe.slot + 1, _MARKER[0]
    return replace(
        probe,
        words=(*probe.words, shown),
        slot=slot,
        clean=".",
        planted=shown,
        candidates=(".", shown),
        attribute="style",
    )
