"""Training once more, to the bit, for whoever wants to know what happened in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unweave._random import Key
from unweave.learners.contract import Learner, Params, State
from unweave.training.engine import many


class Training(NamedTuple):
    """How a stack of models was trained.

    Attributes:
        x: Features of all of D [n, ...].
        y: Labels of all of D [n].
        rows: The training set, as rows of D.
        keys: One key per model.
        forget: Rows of D that are S.
    """

    x: Tensor
    y: Tensor
    rows: NDArray[np.int64]
    keys: Sequence[Key]
    forget: NDArray[np.int64]


OnReplay = Callable[[int, Tensor, Params, Params, Params], None]
"""`(number of the step, rows of its batch [K, b], parameters before and after, buffers before)`, of a stack."""


def replay(learner: Learner, training: Training, *, begin: Callable[[Params], None], on_step: OnReplay) -> State:
    """Train one stack again and show every step of it; a learner that cannot be stacked takes one key at a time.

    Training depends on its key alone, so nothing has to be stored to know each step that was taken.

    Args:
        learner: Architecture and recipe.
        training: Data, training set and keys.
        begin: Called once with the parameters before training.
        on_step: Called after each step; the tensors it gets are its own.

    Returns:
        The models, equal to the bit to those that `many` gave for these keys.

    Raises:
        ValueError: for several keys of a learner that cannot be stacked.
    """
    count = len(training.keys)
    if count > 1 and not learner.stacked:
        raise ValueError(f"{learner.spec.label} cannot be stacked: expected one key, got {count}.")
    latest: dict[str, State] = {}

    def follow(number: int, rows: Tensor, state: State) -> None:
        # Steps may be taken in place.
        params, buffers = ({name: value.detach().clone() for name, value in part.items()} for part in state)
        now = State(params, buffers)
        if number < 0:
            begin(params)
        else:
            on_step(number, rows, latest["now"].params, params, latest["now"].buffers)
        latest["now"] = now

    rows = [training.rows] * count
    return many(learner, training.x, training.y, rows=rows, keys=training.keys, chunk=count, on_step=follow)
