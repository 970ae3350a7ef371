"""The loss of a batch as one function, compiled once for all models where that pays: deep nets on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unweave.learners.contract import Learner, Params, State
from unweave.learners.specs import OWN

BatchLoss = Callable[[Params, Params, Tensor, Tensor, Tensor], tuple[Tensor, Params]]
"""`(params, buffers, x, y, key) → (mean cross-entropy, buffers after the pass)` of one model."""

_compiled: dict[str, BatchLoss] = {}


def batch_loss(learner: Learner, device: torch.device) -> BatchLoss:
    """The mean cross-entropy of a batch; on a GPU compiled, for a net of unweave's that cannot be stacked.

    Parameters and buffers are arguments, so that one compilation serves all models of a learner, and a second one
    the smaller last batch of an epoch. Code of the user's own is not compiled: it may do what cannot be.
    """
    if device.type != "cuda" or learner.stacked or learner.spec.name == OWN:
        return plain_loss(learner)
    name = repr(learner.spec)
    if name not in _compiled:
        _compiled[name] = compile_loss(learner)
    return _compiled[name]


def compile_loss(learner: Learner, *, backend: str | Callable[..., Any] = "inductor") -> BatchLoss:
    """The mean cross-entropy of a batch as one graph, forward and backward.

    Args:
        learner: A net without branches that hang on its numbers.
        backend: As `torch.compile` knows it.
    """
    return torch.compile(plain_loss(learner), fullgraph=True, dynamic=False, backend=backend)


def plain_loss(learner: Learner) -> BatchLoss:
    """The mean cross-entropy of a batch in training."""

    def loss(params: Params, buffers: Params, x: Tensor, y: Tensor, key: Tensor) -> tuple[Tensor, Params]:
        logits, after = learner.apply(State(params, buffers), x, train=True, key=key)
        return cross_entropy(logits, y), after

    return loss
