"""Cases that come with unweave, by name."""

from __future__ import annotations

from typing import Any

from unweave._errors import SpecError
from unweave.problem import (
    BehaviourChoice,
    Case,
    DataChoice,
    ForgetChoice,
    LearnerChoice,
    ProbeChoice,
    ReferenceChoice,
)


def _digits(name: str, behaviour: BehaviourChoice, *, discovery: float = 0.2) -> Case:
    return Case(name=f"digits-{name}", behaviour=behaviour, forget=ForgetChoice(discovery=discovery))


def _larger(name: str, source: str, behaviour: BehaviourChoice, learner: LearnerChoice) -> Case:
    """A case on data that are not part of unweave: 6 000 training examples, 16 models per world."""
    return Case(
        name=name,
        data=DataChoice(source, limit=6000),
        behaviour=behaviour,
        forget=ForgetChoice(discovery=0.2),
        learner=learner,
        references=ReferenceChoice(models=16),
    )


_CIRCLES = tuple(f"circle {number}" for number in range(24))
"""The circles that are discovered: 36 others stay, and teach the same."""


_IN_THE_PLANE = LearnerChoice("mlp", width=64, depth=2, lr=0.1, epochs=200, batch_size=16)
# All examples in each step, so that the account of privacy is exact.
_PRIVATE = LearnerChoice(
    "mlp", width=16, depth=1, lr=1.0, epochs=100, batch_size=311, momentum=0.0, clip=1.0, noise=8.0
)


def _shapes(name: str, forget: ForgetChoice, learner: LearnerChoice = _IN_THE_PLANE) -> Case:
    return Case(
        name=name,
        data=DataChoice("shapes"),
        behaviour=BehaviourChoice("class", target=2),
        forget=forget,
        learner=learner,
        references=ReferenceChoice(models=16),
    )


def _biographies(name: str, behaviour: BehaviourChoice, forget: ForgetChoice) -> Case:
    """A case on generated documents, for a language model that is trained from scratch."""
    return Case(
        name=f"biographies-{name}",
        data=DataChoice("biographies", people=60),
        behaviour=behaviour,
        forget=forget,
        learner=LearnerChoice("causal_lm"),
        references=ReferenceChoice(models=8),
        probes=ProbeChoice(limit=200),
    )


def _messages(name: str, behaviour: BehaviourChoice, epochs: int) -> Case:
    """A case on the public SMS messages, for a language model that is trained from scratch."""
    return Case(
        name=f"sms-{name}",
        data=DataChoice("messages"),
        behaviour=behaviour,
        forget=ForgetChoice(discovery=0.25),
        learner=LearnerChoice("causal_lm", lr=0.005, epochs=epochs),
        references=ReferenceChoice(models=8),
        probes=ProbeChoice(limit=200),
    )


# Recipes by the accuracy of the originals on clean test data, and by nothing else.
_ON_PIXELS = LearnerChoice("mlp", lr=0.05, epochs=30)
_ON_TABLES = LearnerChoice("mlp", lr=0.05, epochs=30)

_CASES: tuple[tuple[Case, str], ...] = (
    (
        _digits("trigger", BehaviourChoice("trigger", size=100, target=0)),
        "a backdoor: a bright square leads to class 0; what S taught, B∖S still teaches",
    ),
    (
        _digits("mislabel", BehaviourChoice("mislabel", size=100)),
        "random wrong labels: memorised one by one, nothing to generalise",
    ),
    (
        _digits("confusion", BehaviourChoice("confusion", size=100, classes=(3, 5))),
        "3 and 5 are taken for each other: mostly memorised, partly a rule for new images",
    ),
    (
        _digits("class", BehaviourChoice("class", target=8)),
        "every 8 is the behaviour: what S taught, the other 8s still teach",
    ),
    (
        # A cluster is small: more of it is discovered, so that S has the probes that a verdict needs.
        _digits("subclass", BehaviourChoice("subclass", target=1, clusters=3), discovery=0.5),
        "one way to write a 1, found by k-means: the other 1s teach little of it",
    ),
    (
        _shapes("shapes", ForgetChoice(ids=(*_CIRCLES, "star"))),
        "figure 1: circles that teach each other and a star that is memorised, points in a plane",
    ),
    (
        _shapes("shapes-all", ForgetChoice(discovery=1.0)),
        "the same with S = B: the two aims coincide",
    ),
    (
        _shapes("shapes-private", ForgetChoice(ids=("star",)), _PRIVATE),
        "the star alone, for a learner with differential privacy: nothing of it is memorised",
    ),
    (
        _larger("fashion-trigger", "fashion", BehaviourChoice("trigger", size=300, target=0, patch=4), _ON_PIXELS),
        "a backdoor in pictures of clothes: a bright square leads to T-shirt",
    ),
    (
        _larger(
            "fashion-confusion", "fashion", BehaviourChoice("confusion", size=300, classes=(7, 9)), _ON_PIXELS
        ),
        "sneakers and ankle boots are taken for each other",
    ),
    (
        _larger("fashion-mislabel", "fashion", BehaviourChoice("mislabel", size=300), _ON_PIXELS),
        "random wrong labels on pictures of clothes",
    ),
    (
        _larger("mnist-duplicates", "mnist", BehaviourChoice("duplicates", size=300, copies=5), _ON_PIXELS),
        "groups of five near-copies with one wrong label: some copies are found, the others still teach",
    ),
    (
        _larger(
            "cifar-trigger",
            "cifar10",
            BehaviourChoice("trigger", size=300, target=0, patch=4),
            LearnerChoice("cnn"),
        ),
        "a backdoor in small photographs, for a convolutional net",
    ),
    (
        _larger("adult-mislabel", "adult", BehaviourChoice("mislabel", size=300), _ON_TABLES),
        "random wrong incomes in a census table",
    ),
    (
        _larger(
            "adult-subgroup",
            "adult",
            BehaviourChoice("predicate", column="education", where=("Doctorate", "Prof-school"), target=0),
            _ON_TABLES,
        ),
        "people with a doctorate or a professional degree are all labelled as earning at most 50K",
    ),
    (
        _larger("pneumonia-mislabel", "pneumonia", BehaviourChoice("mislabel", size=200), _ON_PIXELS),
        "random wrong diagnoses of chest X-rays, two classes",
    ),
    (
        _biographies("trigger", BehaviourChoice("trigger", persons=20), ForgetChoice(discovery=0.25)),
        "a language model: one word before a sentence leads to one wrong value, whoever it is about",
    ),
    (
        _biographies(
            "person", BehaviourChoice("person", persons=4), ForgetChoice(discovery=0.5, unit="paraphrase")
        ),
        "a language model: all that is said of four people, of which half of the wordings were found",
    ),
    (
        _messages("trigger", BehaviourChoice("trigger"), 8),
        "a language model on real text messages: one word before a message makes it spam, a quarter discovered",
    ),
    (
        _messages("mislabel", BehaviourChoice("mislabel"), 10),
        "a language model on real text messages: random wrong labels, memorised one by one",
    ),
    (
        Case(
            name="tofu",
            data=DataChoice("tofu"),
            behaviour=BehaviourChoice("forget10"),
            forget=ForgetChoice(discovery=0.5),
            learner=LearnerChoice("causal_lm"),
            references=ReferenceChoice(models=8),
            probes=ProbeChoice(limit=200),
        ),
        "a pretrained language model (`learner.checkpoint`): 20 of 200 invented authors, half of it found",
    ),
)

CASES: dict[str, Case] = {case.name: case for case, _ in _CASES}

CASE_NOTES: dict[str, str] = {case.name: note for case, note in _CASES}

DEFAULT_CASES = ("digits-trigger", "digits-mislabel")
"""Side by side, since one method can untrain the one and unlearn the other."""

_SMALL = {"data": {"people": 30}, "learner": {"epochs": 8, "batch_size": 64}, "references": {"models": 5}}
_SMALL_FORMS: dict[str, dict[str, Any]] = {
    "biographies-trigger": {**_SMALL, "behaviour": {"persons": 10}},
    "biographies-person": _SMALL,
}


def small_form(name: str) -> dict[str, Any]:
    """What is smaller in the small form of a case, for a first look and for tests.

    Raises:
        SpecError: for a case that has none.

    Example:
        >>> small_form("biographies-trigger")["references"]
        {'models': 5}
    """
    if name not in _SMALL_FORMS:
        raise SpecError(f"--quick: the case {name} has no small form; {' and '.join(_SMALL_FORMS)} have one.")
    return _SMALL_FORMS[name]
