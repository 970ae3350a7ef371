"""A model as it was deployed, from a file: checked against the learner and the data of a case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.encoding import SHIFT
from unweave.problem import Case
from unweave.study.assemble import Assembly
from unweave.study.corpora import starts_there
from unweave.study.units import UNITS, with_units

if TYPE_CHECKING:
    from unweave.learners.checkpoints import Checkpoint
    from unweave.learners.contract import Learner, State

NO_RECIPE = (
    "it is not known how the model was trained, so no reference can be trained; give `learner.epochs` and "
    "`learner.lr` (and what else its recipe has) if you know them"
)
"""Why what needs references is not measured."""


class GivenModel(NamedTuple):
    """One model and the architecture it belongs to."""

    learner: Learner
    checkpoint: Checkpoint

    @property
    def state(self) -> State:
        """The model as a stack of one."""
        from unweave.training.engine import stack

        return stack([self.checkpoint.state])


def given_model(assembly: Assembly, file: Path | None = None) -> GivenModel:
    """The model of a file, or of the case's own checkpoint.

    Raises:
        SpecError: if there is no file, it cannot be read, or does not fit the learner.
        ApplicabilityError: for a learner of which nothing but outputs is known.
    """
    from unweave.learners.checkpoints import read_checkpoint
    from unweave.learners.nets import build

    setting, named = assembly.setting, assembly.case.learner.checkpoint
    if setting.learner.opaque:
        raise ApplicabilityError(
            f"{setting.learner.label} is a learner of which only outputs are known: its models are never read "
            "from files, which would run their code. Leave `learner.checkpoint` out; models are fitted here."
        )
    if file is None and named is None:
        raise SpecError(
            "`learner.checkpoint` is missing: the file with the model as deployed, such as model.safetensors or "
            "what torch.save wrote of a state_dict."
        )
    import torch

    learner = build(setting.learner)
    like = learner.start(0, torch.from_numpy(setting.x), assembly.worlds["original"].rows)
    found = read_checkpoint(file or Path(str(named)), learner, like)
    if UNITS in found.header and not keeps_scales(found):
        found = found._replace(state=with_units(assembly, found.header[UNITS], found.state))
    return GivenModel(learner, found)


def keeps_scales(found: Checkpoint) -> bool:
    """Whether a file has the numbers that standardise a table among its tensors, as nets of unweave do."""
    return SHIFT in found.names


def says_units(found: Checkpoint) -> bool:
    """Whether a file says in which units its model takes the numbers of a table."""
    return keeps_scales(found) or UNITS in found.header


def no_checkpoint(cases: Sequence[Case], command: str) -> None:
    """Refuse a checkpoint where models are trained anew.

    Raises:
        ApplicabilityError: naming the commands that take one.
    """
    if any(case.learner.checkpoint is not None and not starts_there(case) for case in cases):
        raise ApplicabilityError(
            f"`learner.checkpoint` is one model, and `{command}` asks what a method does to models that are "
            "trained anew: leave it out. `unweave erase`, `audit` and `diagnose` take one."
        )


def outputs_of(learner: Learner, stacked: State, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of a stack of models [K, n, classes]."""
    import torch

    from unweave.training.outputs import logits, one_thread

    with one_thread():
        return logits(learner, stacked, torch.from_numpy(np.ascontiguousarray(x))).cpu().numpy()


def accuracies(logits: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the labels that each model of a stack gets [K]; NaN where nothing is asked."""
    if len(y) == 0:
        return np.full(len(logits), np.nan)
    return (logits.argmax(2) == y).mean(1).astype(np.float64)
