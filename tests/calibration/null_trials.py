"""Null trials: two fresh batches of the same reference, told apart by the permutation test or not.

Every trial trains both of its batches anew, so that trials are independent of each other; trials that
share one pool of models are not, and may exceed the level without anything being wrong.
"""

import numpy as np
import torch

from unweave._random import derive, generator
from unweave.learners.nets import build
from unweave.metrics import pair_distances, probe_weights
from unweave.problem import BehaviourChoice, Case, ForgetChoice, LearnerChoice, strata
from unweave.stats import permutation_test
from unweave.study import assemble
from unweave.study.samples import probabilities
from unweave.training.engine import many
from unweave.training.outputs import logits, one_thread

MODELS = 16
ALPHA = 0.05
# A third of the default epochs: what is tested is the test, not how well the models are trained.
CASE = Case(
    name="calibration",
    behaviour=BehaviourChoice("mislabel"),
    forget=ForgetChoice(discovery=0.2),
    learner=LearnerChoice(epochs=14),
)


def p_values(first: int, count: int, *, shift: bool = False) -> list[float]:
    """Permutation p-values of `count` trials; with `shift` one batch is of another training set."""
    assembly = assemble(CASE)
    setting = assembly.setting
    learner, x, y = build(setting.learner), torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    probes = torch.from_numpy(setting.probes)
    groups = assembly.probes.groups
    share = strata({name: len(rows) for name, rows in groups.items()})
    weights = np.array([share[name] for name in groups]) @ probe_weights(groups, len(setting.probes))
    found: list[float] = []
    with one_thread():
        for trial in range(first, first + count):
            batches = []
            for side in ("a", "b"):
                world = "original" if shift and side == "b" else "untrained"
                keys = [derive(trial, "calibration", side, k) for k in range(MODELS)]
                rows = [assembly.worlds[world].rows] * MODELS
                models = many(learner, x, y, rows=rows, keys=keys)
                batches.append(probabilities(logits(learner, models, probes).numpy()))
            pooled = pair_distances(np.concatenate(batches), weights=weights[None]).norm[0]
            rng = generator(trial, "calibration permutation")
            blocks = np.arange(MODELS), np.arange(MODELS, 2 * MODELS)
            found.append(permutation_test(pooled, *blocks, rng=rng))
    return found
