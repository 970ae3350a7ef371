"""What training will take, told before it begins."""

from __future__ import annotations

from unweave.problem import BehaviourChoice, Case, DataChoice, LearnerChoice
from unweave.study import assemble
from unweave.study.forecast import seconds_per_model
from unweave.study.own_code import trusted_files

SLOW_TO_BEGIN = """
import time
import torch

SEEN = set()

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.out = torch.nn.BatchNorm1d(64), torch.nn.Linear(64, 10)

    def forward(self, x):
        if self.training and len(x) not in SEEN:  # as a compiler would: once for each size of a batch
            SEEN.add(len(x))
            time.sleep(0.5)
        return self.out(self.norm(x.flatten(1)))

def make():
    return Net()
"""
EPOCHS = 50


def test_what_comes_once_is_not_counted_for_each_epoch(tmp_path):
    """A second at the first batches of an epoch would be fifty seconds a model, of which it takes one."""
    file = tmp_path / "net.py"
    file.write_text(SLOW_TO_BEGIN)
    case = Case(
        data=DataChoice("digits", limit=200),
        behaviour=BehaviourChoice("mislabel", size=20),
        learner=LearnerChoice(factory=f"{file}:make", epochs=EPOCHS, lr=0.05, batch_size=64),
    )
    found = seconds_per_model(assemble(case, trusted=trusted_files([file])))
    assert found is not None and found < 0.25 * EPOCHS
