"""A case out of thin air: five worlds and a method as random logits, and what is asked of them by name."""

from __future__ import annotations

import numpy as np

from unweave.problem import Case, Probes, ReferenceChoice
from unweave.records import MeasureValue
from unweave.references import Outputs
from unweave.study.asked import Asked
from unweave.study.frame import build_frame
from unweave.study.measures import Answers, measures_of
from unweave.study.samples import Sample, probabilities

MODELS, CLASSES = 5, 3
SIZES = {"forget": 20, "undiscovered": 22, "unseen": 20, "retain": 30, "test": 28}
WORLDS = ("original", "untrained", "unlearned", "null_untrained", "null_unlearned")
# Whether models of a world were trained on the groups of the behaviour, S first.
TRAINED = {
    "original": (1, 1, 1), "untrained": (0, 0.5, 1), "unlearned": (0, 0, 0),
    "null_untrained": (0, 0.5, 1), "null_unlearned": (0, 0, 0), "method": (0.5, 0.8, 0.7),
}  # fmt: skip


def probes() -> Probes:
    rng = np.random.default_rng(5)
    n, begin, groups = sum(SIZES.values()), 0, {}
    for name, size in SIZES.items():
        groups[name] = np.arange(begin, begin + size)
        begin += size
    clean = rng.integers(0, CLASSES, n)
    behaviour = np.arange(n) < sum(list(SIZES.values())[:3])
    wrong = (clean + 1) % CLASSES
    planted = np.where(behaviour, wrong, -1)
    trained = np.where(behaviour & (np.arange(n) < 42), wrong, clean)
    x = np.zeros((n, 1), dtype=np.float32)
    return Probes(x, clean, planted, trained, np.arange(n), groups, {}, {"forget": 20, "undiscovered": 22})


def logits_of(name: str, given: Probes, *, scatter: float = 1.0) -> np.ndarray:
    """What was trained on is believed more: planted labels of the behaviour, clean ones of D∖B."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    n = len(given.clean)
    found = rng.normal(0, scatter, (MODELS, n, CLASSES)) + np.random.default_rng(6).normal(0, 1, (n, CLASSES))
    found[:, np.arange(n), given.clean] += 2
    for group, amount in zip(("forget", "undiscovered", "unseen"), TRAINED[name], strict=True):
        at = given.groups.get(group, np.zeros(0, dtype=np.int64))
        found[:, at, given.planted[at]] += 5 * amount
    if name.endswith("untrained"):  # so that the original is off the line between the references
        found[:, given.groups["undiscovered"], (given.clean[given.groups["undiscovered"]] + 2) % CLASSES] += 3
    found[:, given.groups["retain"], given.clean[given.groups["retain"]]] += 1
    return found.astype(np.float32)


def values(
    asked: list[Asked], *, without: tuple[str, int] | None = None, paired: bool = False, known: bool = True
) -> dict[tuple[str, str], MeasureValue]:
    """What is said of every row, by row and name with aim and group; `without` leaves one model of a world out.

    The method's model k grew out of original k, so both are left out together.
    """
    given = probes()
    case = Case(name="thin air", references=ReferenceChoice(models=MODELS, paired=paired))
    worlds = WORLDS if known else ("original", "untrained", "null_untrained")
    logits = {name: logits_of(name, given) for name in (*worlds, "method")}
    if without is not None:
        for name in (without[0], *(("method",) if without[0] == "original" else ())):
            logits[name] = np.delete(logits[name], without[1], axis=0)
    frame = build_frame(case, given, {name: Outputs(logits[name], {}) for name in worlds})
    answers = {name: Answers(frame.worlds[name], logits[name]) for name in worlds}
    sample = Sample("method", probabilities(logits["method"]), frame.worlds["original"].blocks)
    answers["method"] = Answers(sample, logits["method"])
    said = measures_of(frame, answers, asked)
    return {(row, f"{one.name}:{one.aim}@{one.group}"): one for row in said for one in said[row]}


def ask(name: str, aim: str = "untraining", group: str = "forget", status: str = "allowed") -> Asked:
    return Asked(name, aim, group, status, "" if status == "allowed" else "because")
