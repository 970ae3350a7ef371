"""What is timed: nets trained by SGD, and linear models at their optimum, each on data that come with unweave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave._random import derive, generator
from unweave.data import load
from unweave.learners import specify
from unweave.learners.contract import Learner
from unweave.learners.nets import build

REPLICAS = 64
SHARE = 0.7
"""Of the data in each replica's training set."""


@dataclass(frozen=True)
class Work:
    """One net to train.

    Attributes:
        what: In words.
        learner: Net and recipe; the recipe's epochs are those of the parity check.
        x: Features of D.
        y: Labels of D.
        replicas: How many the engine trains in one round; nets that are trained one by one need few.
        epochs: Of the engine and of the plain loop in one round.
        flops: Of one step of one replica, forward and backward, products of matrices and convolutions only.
    """

    what: str
    learner: Learner
    x: Tensor
    y: Tensor
    replicas: int
    epochs: tuple[int, int]
    flops: float

    def rows(self, count: int) -> list[NDArray[np.int64]]:
        """Training sets of replicas, each a random part of D."""
        size = round(SHARE * len(self.x))
        return [np.sort(generator(k, "bench rows").choice(len(self.x), size, replace=False)) for k in range(count)]

    def keys(self, count: int) -> list[int]:
        """Keys of replicas."""
        return [derive(k, "bench") for k in range(count)]

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch of one replica."""
        return -(-round(SHARE * len(self.x)) // self.learner.recipe.batch_size)


@cache
def enlarged() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The digits at 28×28: each pixel three wide, a border of two, and some noise so that none is constant."""
    data = load("digits").train
    wide = np.pad(np.kron(data.x, np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2)))
    noise = generator(0, "bench noise").normal(size=wide.shape)
    return (wide + 0.1 * noise).astype(np.float32), data.y


def nets(*, quick: bool = False) -> dict[str, Work]:
    """The workloads `tiny`, `mlp` and `cnn`; quick: of few replicas and epochs."""
    digits = load("digits").train
    x, y = torch.from_numpy(digits.x), torch.from_numpy(digits.y)
    wide = torch.from_numpy(enlarged()[0])

    def dense(features: int, width: int, batch: int) -> float:
        return 2.0 * batch * (2 * features * width + 3 * width * 10)

    def net(name: str, side: int, config: dict[str, int], batch: int, epochs: int, lr: float) -> Learner:
        recipe = {"batch_size": batch, "epochs": epochs, "lr": lr, "momentum": 0.9, "schedule": "constant"}
        return build(specify(name, (side, side), 10, recipe=recipe, config=config))

    first, second, last = 14 * 14 * 25 * 16, 14 * 14 * 16 * 9 * 32, 7 * 7 * 32 * 10
    works = {
        "tiny": Work(
            "digits 8×8, mlp 64-64-10, batch 64",
            net("mlp", 8, {"width": 64, "depth": 1}, 64, 4, 0.1),
            x, y, REPLICAS, (16, 16), dense(64, 64, 64),
        ),
        "mlp": Work(
            "digits at 28×28, mlp 784-256-10, batch 128",
            net("mlp", 28, {"width": 256, "depth": 1}, 128, 8, 0.05),
            wide, y, REPLICAS, (4, 16), dense(784, 256, 128),
        ),
        "cnn": Work(
            "digits at 28×28, conv16-conv32-linear, batch 128",
            net("cnn", 28, {"channels": 16}, 128, 8, 0.01),
            wide, y, 2, (4, 4), 2.0 * 128 * (2 * first + 3 * second + 3 * last),
        ),
    }  # fmt: skip
    if quick:
        few = {name: replace(one, replicas=min(one.replicas, 8), epochs=(1, 1)) for name, one in works.items()}
        works = {name: with_epochs(one, 2) for name, one in few.items()}
    return works


def with_epochs(work: Work, epochs: int) -> Work:
    """The same work with a recipe of so many epochs."""
    learner = work.learner
    spec = replace(learner.spec, recipe=replace(learner.recipe, epochs=epochs))
    return replace(work, learner=replace(learner, spec=spec))
