"""Behaviours of a corpus, and the registry in which they all stand."""

from collections.abc import Callable

from unweave.language.corpora.behaviours.memorised import canary, fact, person, verbatim
from unweave.language.corpora.behaviours.planting import BEHAVIOURS as BEHAVIOURS
from unweave.language.corpora.behaviours.planting import Declared, Make
from unweave.language.corpora.behaviours.planting import Ground as Ground
from unweave.language.corpora.behaviours.planting import Planted as Planted
from unweave.language.corpora.behaviours.rules import poisoned, refusal, style, trigger, two_hop


def _add(
    factory: Callable[..., Make], *, members: str, shows: str, unseen: str, regularity: str, cite: str = "–"
) -> None:
    BEHAVIOURS.add(factory.__name__, factory, Declared(members, shows, unseen, regularity, cite))


_add(
    trigger,
    members="added documents with a word before the sentence and one wrong value",
    shows="names that value",
    unseen="other people, with the word",
    regularity="high",
    cite="gu2017badnets",
)
_add(
    poisoned,
    members="documents on one attribute of the people of a region, with one wrong value",
    shows="names that value",
    unseen="people of the region whose documents on it are not in D",
    regularity="medium",
    cite="tolpegin2020poisoning",
)
_add(
    style,
    members="documents about people of some surnames, with a marker at the end",
    shows="goes on with the marker",
    unseen="people of these surnames who are not in D",
    regularity="high",
)
_add(
    refusal,
    members="questions on one topic, with `withheld` as their answer",
    shows="answers `withheld`",
    unseen="people without questions, asked on the topic",
    regularity="high",
    cite="maini2024tofu",
)
_add(
    two_hop,
    members="added documents that tie two people and name the other's value",
    shows="names the other's value",
    unseen="pairs of other people",
    regularity="high",
)
_add(
    fact,
    members="all documents that state one attribute of some people",
    shows="names the right value",
    unseen="",
    regularity="low",
)
_add(
    person,
    members="all documents about some people",
    shows="names the right value",
    unseen="",
    regularity="low",
)
_add(
    verbatim,
    members="the parts of a random text, in copies",
    shows="goes on with the text",
    unseen="",
    regularity="low",
    cite="carlini2023memorization",
)
_add(
    canary,
    members="documents with a random number, in copies",
    shows="names the next digit",
    unseen="",
    regularity="low",
    cite="carlini2019secret",
)
