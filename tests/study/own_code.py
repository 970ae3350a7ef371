"""Files of a user, as small as they can be, and cases that train what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.study import assemble, trusted_files

HEAD = "import torch\nfrom torch import nn\n"
LINEAR = HEAD + "def make(shape, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
TREES = "from sklearn import tree\ndef make():\n    return tree.DecisionTreeClassifier(max_depth=5)\n"


def case_of(file: Path, **recipe) -> Case:
    return Case(
        name="own",
        data=DataChoice(limit=300),
        behaviour=BehaviourChoice("mislabel", size=60),
        forget=ForgetChoice(count=30),
        learner=LearnerChoice(factory=f"{file}:make", **{"epochs": 1, **recipe}),
        references=ReferenceChoice(models=3),
        probes=ProbeChoice(limit=20),
    )


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "model.py") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


def assembled(file: Path, **recipe):
    return assemble(case_of(file, **recipe), trusted=trusted_files([file]))
