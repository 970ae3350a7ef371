"""A process that makes the models of small cases: `python one_run.py JSON`."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave.problem import BehaviourChoice, DataChoice, ProbeChoice

OWN = '''
import time

import torch
from torch import nn

STARTED = time.time_ns()


def make(shape, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(shape[0] * shape[1], 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, classes)
    )


def make_late(shape, classes):
    """The same in one process, and another in the next: what a recipe must not be."""
    net = make(shape, classes)
    with torch.no_grad():
        net[1].bias += torch.rand(16, generator=torch.Generator().manual_seed(STARTED % 2**60))
    return net
'''

_SMALL = Case(
    data=DataChoice("digits", limit=200, test=60),
    behaviour=BehaviourChoice("mislabel", size=40),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=20),
)


def case_of(recipe: str, seed: int, own: Path) -> Case:
    """A small case: a dense net, a convolution, one with dropout of the user's own, and one that is no recipe."""
    learner = {
        "mlp": LearnerChoice("mlp", epochs=2),
        "cnn": LearnerChoice("cnn", epochs=1, channels=4),
        "dropout": LearnerChoice(factory=f"{own}:make", epochs=2),
        "late": LearnerChoice(factory=f"{own}:make_late", epochs=2),
    }[recipe]
    return replace(_SMALL, name=recipe, learner=learner, seed=seed)


def _shuffled(run: Callable[..., list[Any]], seed: int) -> Callable[..., list[Any]]:
    """`run_tasks`, but in another order."""

    def call(tasks: Sequence[Any], *, on_done: Callable[[int, Any], None], **options: Any) -> list[Any]:
        order = random.Random(seed).sample(range(len(tasks)), len(tasks))
        made = run([tasks[n] for n in order], on_done=lambda n, value: on_done(order[n], value), **options)
        return [value for _, value in sorted(zip(order, made, strict=True), key=lambda pair: pair[0])]

    return call


def main(job: dict[str, Any]) -> None:
    """Make the models of a recipe in a store."""
    own = Path(job["store"]).parent / "own.py"
    if not own.exists():
        own.write_text(OWN)
    if job["shuffle"] is not None:
        module = sys.modules["unweave.study.compare"]
        module.run_tasks = _shuffled(module.run_tasks, job["shuffle"])  # type: ignore[attr-defined]
    case = case_of(job["recipe"], job["seed"], own)
    compare(case, methods=["noop", "scrub"], store=job["store"], workers=job["workers"], trust_code=[own])


if __name__ == "__main__":
    for one in json.loads(sys.argv[1]):
        main(one)
