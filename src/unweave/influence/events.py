"""Learning events: what models said of each example after every epoch of their training, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave._errors import UserError
from unweave._random import Key
from unweave.learners.contract import Learner, State
from unweave.training.engine import many
from unweave.training.outputs import logits

Floats = NDArray[np.float64]
Values = NDArray[np.floating]
Flags = NDArray[np.bool_]

_AT_ONCE = 2**24  # logits in memory at a time


class Recorded(NamedTuple):
    """What K models said of all n examples of D after each epoch, 17 bytes for each.

    Attributes:
        probability: Of the label [epochs, K, n], float32 in [0, 1].
        correct: Whether the label was predicted [epochs, K, n].
        maximum: Of the probabilities of all classes [epochs, K, n], float32.
        entropy: Of the prediction [epochs, K, n], float32 in nats, ≥ 0.
        distance: ‖p − onehot(y)‖₂ [epochs, K, n], float32 in 0…√2.
    """

    probability: NDArray[np.float32]
    correct: Flags
    maximum: NDArray[np.float32]
    entropy: NDArray[np.float32]
    distance: NDArray[np.float32]


class LearningEvents(NamedTuple):
    """Means over epochs and models, all [n]; `ranking.DIRECTION` has the sign of each against memorization.

    Attributes:
        confidence: Probability of the label, 0…1; low = learned late, as what is memorized.
        accuracy: Share of epochs in which the label was predicted (cumulative binary accuracy), 0…1; low = late.
        maximum: Largest probability of any class, 0…1; low = unsure, as of what is memorized.
        entropy: Nats, ≥ 0; high = unsure.
    """

    confidence: Floats
    accuracy: Floats
    maximum: Floats
    entropy: Floats


class Forgetting(NamedTuple):
    """How often each model forgot each example.

    Attributes:
        events: Epochs after which an example was predicted right and after the next one wrong [K, n].
        never: Whether it was not predicted right after any epoch [K, n]; its number of events is 0 as that of
            an example that was never forgotten, whose opposite it is.
    """

    events: NDArray[np.int64]
    never: Flags


# ---- pure functions of what was recorded ----


def learning_events(recorded: Recorded) -> LearningEvents:
    """How early and how surely examples were learned: means over epochs and models.

    Args:
        recorded: What `recorded` returned, or the same of any other training.

    Returns:
        Four values per example [n]. Sign trap: confidence, accuracy and maximum are LOW for what is memorized.

    Source: Jiang et al. (2021, arXiv 2002.03206), cumulative confidence and accuracy; Zhao & Triantafillou (2024,
        arXiv 2410.16516) with the repository of RUM (arXiv 2406.01257), all four. Deviation: entropy and not its
        negative, and 0·log 0 = 0, where the official code has NaN and drops the example.

    Example:
        >>> p = np.array([[[0.5, 1.0]], [[1.0, 1.0]]], np.float32)
        >>> of = Recorded(p, p > 0.6, p, 1 - p, 1 - p)
        >>> learning_events(of).confidence.tolist(), learning_events(of).accuracy.tolist()
        ([0.75, 1.0], [0.5, 1.0])
    """
    parts = (recorded.probability, recorded.correct, recorded.maximum, recorded.entropy)
    return LearningEvents(*(_checked(part).mean((0, 1), dtype=np.float64) for part in parts))


def forgetting_events(correct: Flags) -> Forgetting:
    """Count how often each example was forgotten: right after epoch e and wrong after epoch e + 1.

    Args:
        correct: Whether the label was predicted [epochs, K, n].

    Returns:
        Numbers of events, and which examples were never learned; many events = a hard example.

    Source: Toneva et al. (2019, arXiv 1812.05159), definition of a forgetting event. Deviation: all examples are
        looked at after each epoch, and not each in the batch it is trained in.

    Example:
        >>> found = forgetting_events(np.array([[[False, False]], [[True, False]], [[False, False]]]))
        >>> found.events.tolist(), found.never.tolist()
        ([[1, 0]], [[False, True]])
    """
    _checked(correct)
    return Forgetting((correct[:-1] & ~correct[1:]).sum(0), np.logical_not(correct.any(0)))


def forgetting_score(correct: Flags) -> Floats:
    """Mean number of forgetting events over models, by which examples are ranked.

    An example that a model never learned has no event, and yet is harder than any other: to rank it last its
    number would have to be infinite, and so would be its mean over models. It counts as the number of epochs,
    which is more than any example can be forgotten in them.

    Args:
        correct: Whether the label was predicted [epochs, K, n].

    Returns:
        [n] in 0…epochs; high = hard, as what is memorized or not learned at all. What is not learned at all is
        not memorized: see `Forgetting.never`.

    Source: Toneva et al. (2019, arXiv 1812.05159); their repository, `order_examples_by_forgetting.py`, which sums
        where this takes the mean.

    Example:
        >>> forgetting_score(np.array([[[False, False]], [[True, False]], [[False, False]]])).tolist()
        [1.0, 3.0]
    """
    found = forgetting_events(correct)
    return np.where(found.never, len(correct), found.events).mean(0)


def el2n(distance: Values, epoch: int) -> Floats:
    """EL2N: mean over models of ‖p(x) − onehot(y)‖₂ after one epoch, early in training.

    Args:
        distance: Norms of the error [epochs, K, n].
        epoch: After which epoch, from 1 to epochs.

    Returns:
        [n] in 0…√2; high = hard, as what is memorized.

    Raises:
        UserError: if there is no such epoch.

    Source: Paul et al. (2021, arXiv 2107.07075), EL2N score; they take epochs 10 to 20 of 200, and 10 models.

    Example:
        >>> el2n(np.array([[[1.0], [0.5]], [[0.0], [0.0]]]), 1).tolist()
        [0.75]
    """
    _checked(distance)
    if not 1 <= epoch <= len(distance):
        raise UserError(f"EL2N after epoch {epoch}: expected one of the recorded epochs, 1…{len(distance)}.")
    return distance[epoch - 1].mean(0, dtype=np.float64)


def _checked(values: NDArray[np.generic]) -> NDArray[np.generic]:
    if values.ndim != 3 or 0 in values.shape[:2]:
        raise UserError(
            f"Expected an array [epochs, models, examples] of at least one epoch and model, got {values.shape}."
        )
    return values


# ---- recording ----


def recorded(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    *,
    rows: Sequence[NDArray[np.int64]],
    keys: Sequence[Key],
    chunk: int | None = None,
) -> Recorded:
    """Train models once, as `many` does, and record after each epoch what they say of all of D.

    Recording changes no bit of the models. It costs a forward pass of all of D per epoch, about a third of the
    training itself.

    Args:
        learner: Architecture and recipe; one that cannot be stacked is trained model by model.
        x: Features of all of D [n, ...].
        y: Labels of all of D [n].
        rows: One training set per model, as rows of D. Means over models speak of memorization only where
            these are all of D: an example that a model was not trained on has no learning events.
        keys: One key per model.
        chunk: Models per stack; None = what is fastest here.

    Returns:
        Records [epochs, K, n].

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> x, y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
        >>> learner = build(specify("softmax", (4,), 2, recipe={"epochs": 3}))
        >>> recorded(learner, x, y, rows=[np.arange(20)] * 2, keys=[1, 2]).correct.shape
        (3, 2, 20)
    """
    epochs, n = learner.recipe.epochs, len(y)
    shape = (epochs, len(keys), n)
    found = Recorded(
        np.empty(shape, np.float32),
        np.empty(shape, np.bool_),
        *(np.empty(shape, np.float32) for _ in range(3)),
    )

    def look(epoch: int, begin: int, state: State) -> None:
        models = slice(begin, begin + _size(state))
        part = max(1, _AT_ONCE // (_size(state) * learner.spec.classes))
        for first in range(0, n, part):
            some = slice(first, first + part)
            values = _values(logits(learner, state, x[some]), y[some])
            for whole, own in zip(found, values, strict=True):
                whole[epoch, models, some] = own.cpu().numpy()

    after_epochs(learner, x, y, rows=rows, keys=keys, chunk=chunk, look=look)
    return found


def after_epochs(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    *,
    rows: Sequence[NDArray[np.int64]],
    keys: Sequence[Key],
    chunk: int | None,
    look: Callable[[int, int, State], None],
) -> State:
    """Train models as `many` does, and show each stack after each epoch.

    Args:
        learner: Architecture and recipe.
        x: Features of all of D [n, ...].
        y: Labels of all of D [n].
        rows: One training set per model.
        keys: One key per model.
        chunk: Models per stack; None = what is fastest here.
        look: Called with the epoch, the number of the first model of the stack, both from 0, and the stack,
            whose memory the next step may write to.

    Returns:
        The models, equal to the bit to those of `many`.
    """
    begins, size = [0], [0]

    def on_step(number: int, batch: Tensor, state: State) -> None:
        del batch
        if number < 0:  # a stack begins where the one before it ended
            begins.append(begins[-1] + size[-1])
            size.append(_size(state))
            return
        per_epoch = -(-len(rows[begins[-1]]) // learner.recipe.batch_size)
        if (number + 1) % per_epoch == 0:
            look(number // per_epoch, begins[-1], state)

    return many(learner, x, y, rows=rows, keys=keys, chunk=chunk, on_step=on_step)


def _size(stacked: State) -> int:
    return len(next(iter(stacked.params.values())))


def _values(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `Recorded` holds, of logits [K, n, classes]."""
    log_p = z.double().log_softmax(-1)
    p = log_p.exp()
    own = p[:, torch.arange(len(y), device=y.device), y]
    error = p - torch.nn.functional.one_hot(y, z.shape[-1])
    entropy = -(p * log_p.clamp(min=-1e300)).sum(-1)  # where p is 0, log p may be −∞
    return own, z.argmax(-1) == y, p.amax(-1), entropy.clamp(min=0), error.norm(dim=-1)
