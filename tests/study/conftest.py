"""A small case with a model before an edit and models after it, for tests of the audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from unweave._random import derive
from unweave.learners.nets import build
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice
from unweave.records.audit import Audit
from unweave.study.assemble import Assembly, assemble
from unweave.study.audit import audit
from unweave.training.engine import many, unstack


class Audited(NamedTuple):
    """The case, and files of models of D (`original`), D∖S (`untrained`) and D∖B (`unlearned`)."""

    folder: Path
    case: Case
    assembly: Assembly

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def train(self, world: str, name: str, seed: int) -> Path:
        """A model of a world of its own seed, in a file."""
        setting = self.assembly.setting
        x, y = (torch.from_numpy(one) for one in (setting.x, setting.y))
        rows, key = self.assembly.worlds[world].rows, derive(seed, "deployed", world)
        one = unstack(many(build(setting.learner), x, y, rows=[rows], keys=[key]))[0]
        save_file({k: value.contiguous() for k, value in one.params.items()}, self.file(name))
        return self.file(name)

    def audit(self, edited: str | Path = "untrained", case: Case | None = None, **options: Any) -> Audit:
        wanted: dict[str, Any] = {"references": 19, "fresh": 3, "workers": 1, "store": self.folder / "store"}
        file = self.file(edited) if isinstance(edited, str) else edited
        return audit(case or self.case, file, **wanted | options)


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("audited")
    case = Case(
        name="audited",
        data=DataChoice(limit=400),
        behaviour=BehaviourChoice("mislabel", size=60),
        forget=ForgetChoice(discovery=0.5),
        learner=LearnerChoice(epochs=30, lr=0.3),
    )
    made = Audited(folder, case, assemble(case))
    for world in ("original", "untrained", "unlearned"):
        made.train(world, world, 7)
    learner = replace(case.learner, checkpoint=str(made.file("original")))
    return made._replace(case=replace(case, learner=learner))


@pytest.fixture(scope="session")
def variant(audited: Audited) -> Callable[..., Case]:
    """The case with another part of it, such as `variant(behaviour=…)`."""
    return lambda **parts: replace(audited.case, **parts)
