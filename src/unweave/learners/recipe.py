"""How a learner is trained: rule, rate and length, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from unweave._errors import SpecError
from unweave._identity import identity_of

Schedule = Literal["constant", "linear", "cosine"]
Dtype = Literal["float32", "bfloat16"]
Optimiser = Literal["sgd", "adamw"]

BETA2 = 0.99
"""Decay of the second moments of AdamW; `momentum` is that of the first."""


@dataclass(frozen=True)
class Recipe:
    """How a learner is trained: SGD or AdamW on the mean cross-entropy, for a fixed number of epochs.

    `lr` is the peak rate, reached after `warmup` steps; `schedule` is `constant`, `linear` or `cosine` (to 0 at
    the last step). With a `clip` it is DP-SGD: each example's gradient is cut to that length, and Gaussian noise
    of `noise` times it is added. `dtype` is that of products of matrices and convolutions; parameters and their
    sums are float32 in any case.
    """

    lr: float
    epochs: int
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    clip: float | None = None
    noise: float = 0.0
    dtype: Dtype = "float32"
    optimiser: Optimiser = "sgd"
    warmup: int = 0

    def steps(self, n: int) -> int:
        """Number of optimiser steps on n examples; the last batch of an epoch may be smaller."""
        return self.epochs * math.ceil(n / self.batch_size)

    def identity(self) -> dict[str, Any]:
        """What makes two recipes the same."""
        privacy = ("clip", "noise") if self.clip is None else ()
        return identity_of(self, later=("dtype", "optimiser", "warmup", *privacy))

    def rate(self, step: int, total: int) -> float:
        """Learning rate at `step` of `total`.

        Example:
            >>> Recipe(lr=0.4, epochs=1, schedule="linear").rate(5, 10)
            0.2
            >>> [Recipe(lr=0.4, epochs=1, warmup=2).rate(step, 10) for step in (0, 1, 2)]
            [0.2, 0.4, 0.4]
        """
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        share = (step - self.warmup) / max(total - self.warmup, 1)
        return self.lr * (1 - share if self.schedule == "linear" else (1 + math.cos(math.pi * share)) / 2)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that cannot be followed.

    Raises:
        SpecError: naming the field, its value and what is expected.
    """
    for field in ("epochs", "batch_size"):
        value = getattr(recipe, field)
        if not isinstance(value, int) or value < 1:
            raise SpecError(f"`learner.{field}` is {value}; expected a whole number of at least 1.")
    if recipe.warmup < 0:
        raise SpecError(f"`learner.warmup` is {recipe.warmup}; expected a whole number of steps, 0 for none.")
    if recipe.optimiser not in get_args(Optimiser):
        raise SpecError(
            f"`learner.optimiser` is {recipe.optimiser!r}; expected {' or '.join(get_args(Optimiser))}."
        )
    if not 0 < recipe.lr < math.inf:
        raise SpecError(f"`learner.lr` is {recipe.lr}; expected a positive number.")
    if not 0 <= recipe.momentum < 1:
        raise SpecError(f"`learner.momentum` is {recipe.momentum}; expected 0 ≤ momentum < 1.")
    if not 0 <= recipe.weight_decay < math.inf:
        raise SpecError(f"`learner.weight_decay` is {recipe.weight_decay}; expected a number ≥ 0.")
    if recipe.clip is not None and not 0 < recipe.clip < math.inf:
        raise SpecError(f"`learner.clip` is {recipe.clip}; expected a positive number.")
    if not 0 <= recipe.noise < math.inf:
        raise SpecError(f"`learner.noise` is {recipe.noise}; expected a number ≥ 0.")
    if recipe.dtype not in get_args(Dtype):
        raise SpecError(f"`learner.dtype` is {recipe.dtype!r}; expected {' or '.join(get_args(Dtype))}.")
    if recipe.dtype != "float32" and recipe.clip is not None:
        raise SpecError(
            "`learner.dtype` and `learner.clip` exclude each other: privacy is accounted for in float32."
        )
    if recipe.noise > 0 and recipe.clip is None:
        raise SpecError("`learner.noise` is given without `learner.clip`, of which it is a multiple.")
    if recipe.schedule not in get_args(Schedule):
        raise SpecError(
            f"`learner.schedule` is {recipe.schedule!r}; expected one of {', '.join(get_args(Schedule))}."
        )
