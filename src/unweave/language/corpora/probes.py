"""Probe groups of a corpus: prompts on S, B∖S, unseen carriers, D∖B, and wordings that were held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from unweave._errors import SpecError
from unweave._random import Key, generator
from unweave.language.corpora.behaviours.planting import asked, of_facts, wordings
from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.documents import QUESTION
from unweave.language.corpora.probe import Probe

GROUPS = ("forget", "undiscovered", "unseen", "retain", "test", "clean")
"""Probe groups, in the order in which they are shown."""


@dataclass(frozen=True)
class Probes:
    """Prompts by group.

    Attributes:
        groups: `forget`: carriers in S; `undiscovered`: in B∖S; `unseen`: persons who never carried it;
            `retain`: facts that documents of D∖B state, as they state them; `test`: the same facts in
                held-out
            wordings; `clean`: prompts like those of the carriers that carry nothing.
        held_out: The facts of `forget` and of `undiscovered` in held-out wordings. A fact of which S holds
            a document counts to `forget`, even where B∖S holds others.
        reasons: Why a group is empty.
    """

    groups: Mapping[str, tuple[Probe, ...]]
    held_out: Mapping[str, tuple[Probe, ...]]
    reasons: Mapping[str, str]


def make_probes(corpus: Corpus, forget: Iterable[str], *, key: Key, limit: int = 400) -> Probes:
    """The probes of a corpus and a forget set.

    Equal prompts of copies are asked once in a group. A copy of a prompt of S that is not in S is asked in
    `undiscovered` too.

    Args:
        corpus: D and B.
        forget: Ids of S.
        key: Determines which are taken where there are more than `limit`.
        limit: At most so many of each group.

    Raises:
        SpecError: S is empty or not within B, or the limit is below 1.

    Example:
        >>> from unweave.language.corpora.corpus import make_corpus
        >>> from unweave.language.corpora.selection import select
        >>> corpus = make_corpus(people=40)
        >>> probes = make_probes(corpus, select(corpus, key=0), key=0, limit=30)
        >>> {name: len(one) for name, one in probes.groups.items()}
        {'forget': 30, 'undiscovered': 30, 'unseen': 30, 'retain': 30, 'test': 30, 'clean': 30}
    """
    if limit < 1:
        raise SpecError(f"`limit` of a probe group is {limit}; expected 1 or more.")
    planted, chosen = corpus.planted, set(forget)
    if not chosen:
        raise SpecError("The forget set has 0 documents; nothing to remove.")
    if outside := sorted(chosen - set(planted.members)):
        raise SpecError(
            f"{len(outside)} of {len(chosen)} forget ids do not carry the behaviour (first: `{outside[0]}`); S "
            "must lie within B. `members` of the corpus are the ids of B."
        )
    inside = [one for one in planted.carriers if one.document in chosen]
    others = [one for one in planted.carriers if one.document not in chosen]
    touched = {(one.person, one.attribute) for one in inside}
    retain = _retained(corpus)
    found: dict[str, Iterable[Probe]] = {
        "forget": inside,
        "undiscovered": others,
        "unseen": planted.unseen,
        "retain": retain,
        "test": held_out_facts(corpus),
        "clean": planted.clean,
    }
    held_out = {
        "forget": [one for one in planted.held_out if (one.person, one.attribute) in touched],
        "undiscovered": [one for one in planted.held_out if (one.person, one.attribute) not in touched],
    }
    reasons = {
        "undiscovered": "all of B was discovered",
        "unseen": planted.reason,
        "clean": "there are no prompts like those of the carriers that carry nothing",
    }
    groups = {name: _some(probes, limit, generator(key, "probes", name)) for name, probes in found.items()}
    return Probes(
        groups,
        {name: _some(probes, limit, generator(key, "held out", name)) for name, probes in held_out.items()},
        {name: reasons[name] for name, probes in groups.items() if not probes},
    )


def _retained(corpus: Corpus) -> tuple[Probe, ...]:
    """What documents outside B state, but for the facts that the behaviour is about."""
    planted, world = corpus.planted, corpus.world
    about = {(one.person, one.attribute) for one in planted.carriers}
    stating = [one for one in planted.documents if not one.tag]
    return tuple(one for one in of_facts(world, stating) if (one.person, one.attribute) not in about)


def held_out_facts(corpus: Corpus) -> tuple[Probe, ...]:
    """What D∖B states, in held-out wordings, and as questions where nobody asked for it in D."""
    facts = dict.fromkeys((one.person, one.attribute) for one in _retained(corpus))
    in_questions = {(one.person, one.attribute) for one in corpus.documents if one.template == QUESTION}
    unseen = {one.prompt for one in corpus.planted.unseen}
    found = (
        asked(corpus.world, corpus.world.person(person), attribute, wording)
        for person, attribute in facts
        for wording in (
            *wordings(attribute, held_out=True),
            *((QUESTION,) if (person, attribute) not in in_questions else ()),
        )
    )
    # A question on a refused topic shows the behaviour, so it is no ordinary test prompt.
    return tuple(one for one in found if one.prompt not in unseen)


def _some(probes: Iterable[Probe], limit: int, rng: np.random.Generator) -> tuple[Probe, ...]:
    """At most so many of the different ones, in their order."""
    different = list({one.words: one for one in reversed(list(probes))}.values())[::-1]
    if len(different) <= limit:
        return tuple(different)
    return tuple(different[i] for i in np.sort(rng.choice(len(different), limit, replace=False)))
