"""Does another precision train the same models? Asked before it is used."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unweave._errors import UserError
from unweave._random import derive
from unweave.learners.nets import build
from unweave.learners.specs import LearnerSpec
from unweave.training.engine import many
from unweave.training.outputs import logits, one_thread

_STEPS, _MOST_EXAMPLES = 60, 2000
_ENOUGH = 0.998
_SHARE = 0.5
_found: dict[Hashable, Parity] = {}


class Parity(NamedTuple):
    """Shares of predictions in [0, 1] that are the same, after the first 60 steps.

    Attributes:
        paired: Of a model and its pair in float32: the same weights at the start, the same batches.
        seeds: Of two models in float32 that differ by their seed.
    """

    paired: float
    seeds: float

    @property
    def holds(self) -> bool:
        """Whether precision moves a model by no more than half of what another seed does."""
        return self.paired >= _ENOUGH or 1 - self.paired <= _SHARE * (1 - self.seeds)


def parity(learner: LearnerSpec, x: Tensor, y: Tensor, *, rows: NDArray[np.int64]) -> Parity:
    """What a precision changes in the predictions of a learner, beside what another seed changes.

    Two models of each precision take 60 steps at a constant rate. Rounding grows with every step, so that after a
    whole training a pair is two models of one law, and nothing could be told; at high rates it has grown to a few
    per cent after 60 steps, which is why it is held against the difference between seeds.

    Args:
        learner: Its recipe has a `dtype`.
        x: Features of D [n, ...], on the device to train on.
        y: Labels of D [n].
        rows: Examples to train on; predictions are compared on at most 2000 of them.

    Example:
        >>> import torch
        >>> from unweave.learners import specify
        >>> x, y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
        >>> parity(specify("mlp", (4,), 2), x, y, rows=np.arange(20)).paired
        1.0
    """
    assert learner.recipe is not None
    seen = rows[: _STEPS * learner.recipe.batch_size]
    epochs = max(1, round(_STEPS / math.ceil(len(seen) / learner.recipe.batch_size)))
    short = replace(learner.recipe, epochs=epochs, schedule="constant")
    predicted: list[Tensor] = []
    for recipe in (short, replace(short, dtype="float32")):
        of_pair = build(replace(learner, recipe=recipe))
        with one_thread():
            models = many(of_pair, x, y, rows=[seen] * 2, keys=[derive(k, "parity") for k in range(2)])
            predicted.append(logits(of_pair, models, x[seen[:_MOST_EXAMPLES]]).argmax(-1))
    low, full = predicted
    return Parity(float((low == full).double().mean()), float((full[0] == full[1]).double().mean()))


def check_parity(
    learner: LearnerSpec, x: Tensor, y: Tensor, *, rows: NDArray[np.int64], data: str
) -> Parity | None:
    """Refuse a precision that trains other models; None for float32, of which there is nothing to ask.

    Args:
        learner: Its recipe has a `dtype`.
        x: Features of D [n, ...], on the device to train on.
        y: Labels of D [n].
        rows: Examples to train on.
        data: What x and y are known by.

    Returns:
        The parity, found once per process for a learner and a training set.

    Raises:
        UserError: where precision moves a model by more than half of what another seed does.
    """
    if learner.recipe is None or learner.recipe.dtype == "float32":
        return None
    asked = (repr(learner), data, rows.tobytes(), str(x.device))
    if asked not in _found:
        _found[asked] = parity(learner, x, y, rows=rows)
    found = _found[asked]
    if not found.holds:
        raise UserError(
            f"`learner.dtype` is {learner.recipe.dtype}, which moves a model too far: after {_STEPS} steps "
            f"{1 - found.paired:.1%} of predictions are not those in float32, and between two seeds it is "
            f"{1 - found.seeds:.1%}; at most half of that is allowed. Leave `dtype` out, or lower `learner.lr`."
        )
    return found
