"""Trials of the audit: fresh retrains, each in a pool of its own, and cheats that leave S in the model.

Each trial trains its references anew, so that trials are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from unweave._random import derive
from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, run
from unweave.problem import BehaviourChoice, Case, ForgetChoice, LearnerChoice
from unweave.stats.ranks import rank
from unweave.study import assemble
from unweave.study.assemble import Assembly
from unweave.study.audit_checks import checks_of
from unweave.study.audit_models import Answers, Asked, answers, questions
from unweave.training.engine import many, stack, unstack
from unweave.training.outputs import logits, one_thread

ALPHA = 0.05
CASE = Case(name="audits", behaviour=BehaviourChoice("mislabel"), forget=ForgetChoice(discovery=0.2))
BRIEF = replace(CASE, learner=LearnerChoice(epochs=14))
"""A third of the default epochs, where what is tested is the test and not how well the models are trained."""


class Room(NamedTuple):
    """A case with what its models are asked."""

    assembly: Assembly
    learner: Learner
    asked: Asked

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and labels of D."""
        return torch.from_numpy(self.assembly.setting.x), torch.from_numpy(self.assembly.setting.y)

    def train(self, world: str, count: int, *path: str, seed: int = 0) -> State:
        """Models of a training set."""
        rows = self.assembly.worlds[world].rows
        with one_thread():
            return many(
                self.learner,
                *self.tensors,
                rows=[rows] * count,
                keys=[derive(seed, *path, k) for k in range(count)],
            )

    def ask(self, stacked: State, learner: Learner | None = None) -> Answers:
        """Their answers."""
        return answers(self.assembly, self.asked, learner or self.learner, stacked)

    def p_values(self, candidates: Answers, references: Answers) -> list[float]:
        """That each candidate is of the law of the references."""
        pools = [check.measure(candidates, references) for check in checks_of(self.assembly, self.asked)]
        return rank(pools).p.tolist()


def room(case: Case = CASE) -> Room:
    """Assemble a case."""
    assembly = assemble(case)
    return Room(assembly, build(assembly.setting.learner), questions(assembly))


def null_p_values(first: int, count: int, references: int, *, world: str = "untrained") -> list[float]:
    """P-values of fresh models of `world`, each in a pool of its own of fresh models of A(D∖S)."""
    here = room(BRIEF)
    found: list[float] = []
    for trial in range(first, first + count):
        pool = here.ask(here.train("untrained", references, "audit pool", seed=trial))
        found += here.p_values(here.ask(here.train(world, 1, "audit candidate", seed=trial)), pool)
    return found


def _noise(here: Room, originals: State) -> State:
    params = dict(originals.params)
    last = f"{max(int(name.partition('.')[0]) for name in params)}.weight"
    drawn = torch.randn(params[last].shape, generator=torch.Generator().manual_seed(0))
    return State({**params, last: params[last] + 0.1 * params[last].std() * drawn}, originals.buffers)


def _method(name: str, **params: float) -> Callable[[Room, State], State]:
    def cheat(here: Room, originals: State) -> State:
        (x, y), assembly = here.tensors, here.assembly
        forget, retain = torch.from_numpy(assembly.forget), torch.from_numpy(assembly.worlds["untrained"].rows)
        keys = [derive(0, "cheat", name, k) for k in range(len(unstack(originals)))]
        method = METHODS.get(name).build(**params)
        return run(
            method,
            here.learner,
            originals,
            forget=Examples(x[forget], y[forget]),
            retain=Examples(x[retain], y[retain]),
            keys=keys,
        ).state

    return cheat


def _head_only(here: Room, originals: State) -> State:
    """The last layer fitted to what a retrained model says, on features that still know S."""
    x, _ = here.tensors
    teachers = unstack(here.train("untrained", len(unstack(originals)), "teachers"))
    last = max(int(name.partition(".")[0]) for name in originals.params)
    made: list[State] = []
    for own, teacher in zip(unstack(originals), teachers, strict=True):
        with torch.no_grad():
            target = here.learner.apply(teacher, x, train=False, key=None)[0].softmax(1)
            features = here.learner.features(own, x)
        head = [own.params[f"{last}.{part}"].clone().requires_grad_() for part in ("weight", "bias")]
        adam = torch.optim.Adam(head, lr=0.01)
        for _ in range(400):
            adam.zero_grad()
            said = (features @ head[0].T + head[1]).log_softmax(1)
            (-(target * said).sum(1).mean()).backward()
            adam.step()
        params = {f"{last}.weight": head[0].detach(), f"{last}.bias": head[1].detach()}
        made.append(State({**own.params, **params}, own.buffers))
    return stack(made)


def _filtered(here: Room, *, near: float) -> Learner:
    """A model that says nothing of what looks like S: logits of 0 for inputs within `near` of an example of S."""
    forget = torch.from_numpy(here.assembly.setting.x[here.assembly.forget]).flatten(1)

    def apply(state: State, x: torch.Tensor, *, train: bool, key: Any) -> Any:
        said, buffers = here.learner.apply(state, x, train=train, key=key)
        hit = torch.cdist(x.flatten(1), forget).amin(1) <= near
        return torch.where(hit[:, None], 0.0, said), buffers

    return replace(here.learner, apply=apply)


CHEATS = (
    "identity",
    "last layer noise",
    "output clamp",
    "abstain filter",
    "one epoch",
    "random labels",
    "head only",
)


def cheat_answers(here: Room, name: str, originals: State) -> Answers:
    """What originals say after a cheat."""
    if name in ("output clamp", "abstain filter"):
        # Relearning and quantization are of the model behind the filter, which its owner would ship as well.
        plain = here.ask(originals)
        filtered = _filtered(here, near=1e-6 if name == "output clamp" else 1.5)
        x = torch.from_numpy(here.asked.x)
        shown = logits(filtered, originals, x).numpy()
        return plain._replace(logits={**plain.logits, "as it is": shown})
    edits = {
        "identity": lambda _, one: one,
        "last layer noise": _noise,
        "one epoch": _method("finetune", epochs=1 / here.learner.recipe.epochs),
        "random labels": _method("random_label"),
        "head only": _head_only,
    }
    return here.ask(edits[name](here, originals))


def caught(count: int, references: int, names: tuple[str, ...] = CHEATS, case: Case = CASE) -> dict[str, int]:
    """How many of `count` originals, each of a seed of its own, are caught after each cheat."""
    here = room(case)
    originals = here.train("original", count, "cheated")
    pool = here.ask(here.train("untrained", references, "cheat pool"))
    found = {}
    for name in names:
        p = np.array(here.p_values(cheat_answers(here, name, originals), pool))
        found[name] = int((p <= ALPHA).sum())
    return found
