"""Behaviours, one file by mechanism, and the registry in which they all stand."""

from collections.abc import Callable

from unweave.problem.behaviours.concepts import by_ids, subclass, unknown, whole_class
from unweave.problem.behaviours.duplicates import duplicates
from unweave.problem.behaviours.labels import confusion, mislabel, systematic
from unweave.problem.behaviours.planting import BEHAVIOURS as BEHAVIOURS
from unweave.problem.behaviours.planting import Declared, Make
from unweave.problem.behaviours.planting import Planted as Planted
from unweave.problem.behaviours.planting import Unseen as Unseen
from unweave.problem.behaviours.planting import plant as plant
from unweave.problem.behaviours.planting import shows as shows
from unweave.problem.behaviours.predicates import predicate
from unweave.problem.behaviours.triggers import trigger


def _add(
    name: str,
    factory: Callable[..., Make],
    *,
    members: str,
    label: str,
    clean: str,
    shows: str,
    unseen: str,
    regularity: str,
    cite: str,
    heals: bool | None,
) -> None:
    BEHAVIOURS.add(name, factory, Declared(members, label, clean, shows, unseen, regularity, cite, heals))


_add(
    "trigger",
    trigger,
    members="examples of other classes with a mark painted on them",
    label="`target`",
    clean="as it was before the mark",
    shows="predicts `target`",
    unseen="test images of other classes, with the mark",
    regularity="high",
    cite="gu2017badnets",
    heals=True,
)
_add(
    "mislabel",
    mislabel,
    members="random examples",
    label="a random wrong one for each",
    clean="as it was",
    shows="predicts that label",
    unseen="",
    regularity="low",
    cite="goel2024corrective",
    heals=True,
)
_add(
    "confusion",
    confusion,
    members="half of each of two classes",
    label="the other of the two",
    clean="as it was",
    shows="predicts the other of the two",
    unseen="test examples of both classes",
    regularity="medium",
    cite="goel2022adversarial",
    heals=True,
)
_add(
    "systematic",
    systematic,
    members="examples of class `source`",
    label="`target`",
    clean="`source`",
    shows="predicts `target`",
    unseen="test examples of `source`",
    regularity="medium",
    cite="tolpegin2020poisoning",
    heals=True,
)
_add(
    "duplicates",
    duplicates,
    members="groups of near-copies, which replace rows of D",
    label="one random wrong label a group",
    clean="that of the original",
    shows="predicts the label of the group",
    unseen="new near-copies of the same originals",
    regularity="low",
    cite="lee2022deduplicating",
    heals=True,
)
_add(
    "class",
    whole_class,
    members="all of class `target`",
    label="as it is",
    clean="the planted one",
    shows="predicts the class",
    unseen="test examples of the class",
    regularity="high",
    cite="golatkar2020eternal",
    heals=False,
)
_add(
    "subclass",
    subclass,
    members="the largest k-means cluster of class `target`",
    label="as it is",
    clean="the planted one",
    shows="predicts the class",
    unseen="test examples of the class nearest to its centre",
    regularity="high",
    cite="foster2024ssd",
    heals=False,
)
_add(
    "predicate",
    predicate,
    members="rows of a table that fulfil a condition on a column",
    label="`target`, or as it is without one",
    clean="as it was",
    shows="predicts `target`, or without one the label of the row",
    unseen="test rows that fulfil it",
    regularity="high",
    cite="–",
    heals=None,
)
_add(
    "ids",
    by_ids,
    members="the examples of these ids",
    label="as it is",
    clean="the planted one",
    shows="predicts the label trained on",
    unseen="",
    regularity="any",
    cite="–",
    heals=False,
)
_add(
    "unknown",
    unknown,
    members="not known: only S is, by `forget.ids`",
    label="as it is",
    clean="the planted one",
    shows="not known: the rate on S is that of the label trained on",
    unseen="",
    regularity="any",
    cite="–",
    heals=False,
)
