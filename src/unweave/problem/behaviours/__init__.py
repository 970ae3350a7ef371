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
    unseen: str,
    regularity: str,
    cite: str,
    heals: bool,
) -> None:
    BEHAVIOURS.add(name, factory, Declared(members, label, unseen, regularity, cite, heals))


_add(
    "trigger",
    trigger,
    members="examples of other classes with a mark painted on them",
    label="`target`",
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
    unseen="test rows that fulfil it",
    regularity="high",
    cite="–",
    heals=True,
)
_add(
    "ids",
    by_ids,
    members="the examples of these ids",
    label="as it is",
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
    unseen="",
    regularity="any",
    cite="–",
    heals=False,
)
