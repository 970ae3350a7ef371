"""Holdout retraining: how much a model's prediction changes when it goes on to learn from other data alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave._errors import UserError
from unweave._random import Key
from unweave.learners.contract import Learner, State
from unweave.methods import Examples, run
from unweave.methods.baselines import finetune
from unweave.training.outputs import logits

_AT_ONCE = 2**24  # logits in memory at a time


def symmetric_divergence(logits: Tensor, others: Tensor) -> Tensor:
    """½·[KL(p‖q) + KL(q‖p)] of the predictions of two models, = ½·Σ_c (p_c − q_c)·(log p_c − log q_c).

    Args:
        logits: Of one model [..., classes].
        others: Of the other [..., classes].

    Returns:
        [...] in nats, 0 where the two agree, without bound.

    Source: Jeffreys (1946), here halved. Deviation: from logits in double precision, where the official code of
        RUM cuts probabilities off at 10⁻¹⁰: two confident models differ by their logits there too.

    Example:
        >>> z = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log()
        >>> round(symmetric_divergence(z[0], z[1]).item(), 4)  # 0.4 · (log 2 + log 3)/2
        0.3584
    """
    one, other = (z.double().log_softmax(-1) for z in (logits, others))
    return ((one.exp() - other.exp()) * (one - other)).sum(-1).clamp(min=0) / 2


def holdout_retraining(
    learner: Learner,
    stacked: State,
    x: Tensor,
    *,
    held_out: Examples,
    keys: Sequence[Key],
    epochs: float = 1.0,
    lr: float = 1.0,
    chunk: int | None = None,
) -> NDArray[np.float64]:
    """Divergence of each model from itself after it was fine-tuned on held-out data and on nothing else.

    What is like other examples stays as it was predicted; what a model knew by heart is not rehearsed, and goes.

    Args:
        learner: The learner that made the models.
        stacked: K models; left untouched.
        x: Features of D [n, ...]; labels play no part.
        held_out: Examples like those of D that no model was trained on, with their labels.
        keys: One key per model: the order of the held-out examples.
        epochs: Passes over the held-out data, as a multiple of the recipe's epochs.
        lr: Learning rate, as a multiple of the recipe's; it stays the same throughout.
        chunk: Models per stack; None = what is fastest here.

    Returns:
        Symmetric Kullback–Leibler divergence [K, n] in nats, ≥ 0; high = memorized. Means over models are the
        caller's.

    Raises:
        UserError: if there are no held-out examples, or not one key per model.
        DivergedError: if a fine-tuned model is no longer finite.

    Source: Carlini et al. (2019, arXiv 1910.13427), holdout retraining; defaults are those of RUM (Zhao et al.
        2024, arXiv 2406.01257), 30 epochs at rate .1 for models of 30 epochs at .1, as shares of the recipe.
        Deviation: all epochs are taken, where the official code ends when the loss has not fallen for 4 of them.
    """
    if len(held_out.y) == 0:
        raise UserError("Holdout retraining needs held-out examples; there are none.")
    models = len(next(iter(stacked.params.values())))
    if len(keys) != models:
        raise UserError(f"Holdout retraining of {models} models needs one key for each, got {len(keys)}.")
    # A method is given a forget set in any case; fine-tuning takes no batch of it.
    unread = Examples(held_out.x[:1], held_out.y[:1])
    method = finetune(epochs=epochs, lr=lr)
    after = run(method, learner, stacked, forget=unread, retain=held_out, keys=keys, chunk=chunk).state
    size = max(1, _AT_ONCE // (models * learner.spec.classes))
    parts = [
        symmetric_divergence(logits(learner, stacked, some), logits(learner, after, some))
        for some in x.split(size)
    ]
    return torch.cat(parts, 1).cpu().numpy()
