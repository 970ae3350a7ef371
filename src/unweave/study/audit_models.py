"""What an audit asks of models, as arrays: afterwards nothing sees a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive, generator
from unweave.study.assemble import Assembly

if TYPE_CHECKING:
    from unweave.learners.contract import Learner, State

VARIANTS = ("as it is", "relearned", "8 bit", "4 bit")
_RELEARN_BATCHES = 100
_RELEARN_LR = 0.1  # of the recipe's
_NOISE = 0.1  # of the standard deviation of each feature
_COMPARED = 200  # examples whose features are compared, of S and of the rest each


class Asked(NamedTuple):
    """What every model of an audit is asked.

    Attributes:
        x: Probes of all groups, and then S once more with a little noise [n + s, ...].
        noisy: Where S with noise begins.
        features: Positions of probes whose features are compared: of S, then of what is retained.
        forget: How many of these are of S.
    """

    x: NDArray[np.float32]
    noisy: int
    features: NDArray[np.int64]
    forget: int


class Answers(NamedTuple):
    """Answers of a stack of K models.

    Attributes:
        logits: By variant [K, n + s, classes].
        features: Penultimate features [K, f, d]; [K, 0, 0] where only outputs are known.
    """

    logits: dict[str, NDArray[np.float32]]
    features: NDArray[np.float32]

    def of(self, models: slice) -> Answers:
        """Those of some of the models."""
        return Answers({name: one[models] for name, one in self.logits.items()}, self.features[models])


def of_outputs(logits: NDArray[np.float32]) -> Answers:
    """Answers of models of which outputs on the probes are known and nothing else, [K, n, classes]."""
    return Answers({"as it is": logits}, np.zeros((len(logits), 0, 0), np.float32))


def together(parts: list[Answers]) -> Answers:
    """Answers of several stacks as those of one."""
    names = parts[0].logits
    return Answers(
        {name: np.concatenate([one.logits[name] for one in parts]) for name in names},
        np.concatenate([one.features for one in parts]),
    )


def questions(assembly: Assembly) -> Asked:
    """The probes of a case, S with noise of a tenth of each feature's spread, and whose features are compared."""
    probes, key = assembly.probes, derive(assembly.case.seed, "audit")
    forget, retain = probes.groups["forget"], probes.groups.get("retain", probes.groups["test"])
    spread = assembly.setting.x.std(axis=0, dtype=np.float64)
    noise = generator(key, "noise").standard_normal(probes.x[forget].shape) * spread * _NOISE
    some = [where[:_COMPARED] for where in (forget, retain)]
    return Asked(
        np.concatenate([probes.x, (probes.x[forget] + noise).astype(np.float32)]),
        len(probes.x),
        np.concatenate(some),
        len(some[0]),
    )


def answers(assembly: Assembly, asked: Asked, learner: Learner, stacked: State) -> Answers:
    """Ask a stack of models everything: as they are, relearned on D∖S, and in fewer bits."""
    import torch

    from unweave.training.lift import lift
    from unweave.training.outputs import logits, one_thread
    from unweave.training.quantize import quantized

    x = torch.from_numpy(asked.x)
    with one_thread():
        found = {
            "as it is": stacked,
            "relearned": relearned(assembly, learner, stacked),
            **{
                f"{bits} bit": lift(lambda one, bits=bits: quantized(one, bits), stacked=learner.stacked)(stacked)
                for bits in (8, 4)
            },
        }
        shown = {name: logits(learner, state, x).numpy() for name, state in found.items()}
        features = lift(
            lambda state, x: learner.features(state, x).flatten(1), stacked=learner.stacked, shared=[1]
        )
        with torch.no_grad():
            held = features(stacked, x[torch.from_numpy(asked.features)])
    return Answers(shown, held.float().numpy())


def relearned(assembly: Assembly, learner: Learner, stacked: State) -> State:
    """A stack after fine-tuning on D∖B: one epoch, at most a hundred batches, at a tenth of the recipe's rate.

    Nothing of S or B is shown, so what comes back of it was still there.
    """
    import torch

    from unweave.methods import METHODS, Examples, run

    rows = np.setdiff1d(assembly.worlds["untrained"].rows, assembly.planted.members)
    most = _RELEARN_BATCHES * learner.recipe.batch_size
    key = derive(assembly.case.seed, "audit", "relearn")
    rows = np.sort(generator(key, "rows").permutation(rows)[:most])
    x, y = (torch.from_numpy(one) for one in (assembly.setting.x, assembly.setting.y))
    forget = torch.from_numpy(assembly.forget)
    method = METHODS.get("finetune").build(epochs=1 / learner.recipe.epochs, lr=_RELEARN_LR)
    count = len(next(iter(stacked.params.values())))
    return run(
        method,
        learner,
        stacked,
        forget=Examples(x[forget], y[forget]),
        retain=Examples(x[rows], y[rows]),
        keys=[key] * count,
    ).state
