"""What a learner is: `init`, `apply` and `features` as pure functions of one state, and a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave._random import Key
from unweave.learners.specs import LearnerSpec, Recipe

Params = dict[str, Tensor]


class State(NamedTuple):
    """One model: parameters that are trained and buffers that are not (flat dicts of tensors).

    A stack of K models is the same with a leading axis of length K on every tensor.
    """

    params: Params
    buffers: Params


@runtime_checkable
class Apply(Protocol):
    """The forward pass of one model; `key` feeds what is random in it (dropout), per replica."""

    def __call__(self, state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        """Logits [batch, classes] and the buffers after the pass."""
        ...


class Tied(NamedTuple):
    """What a net with example-tied dropout lets one do with its hidden units.

    Attributes:
        general: 1 for the units of all examples and 0 for those of memorisation [units], over all hidden layers.
        masks: `(buffers, x [b, ...]) → the units that each example has in training [b, units]`, 0 or 1.
        drawn: `(buffers, keys int64 [n]) → masks [n, units]` of any keys, in place of those of examples.
        apply: `(state, x, mask [b, units] or [units]) → logits` with these units alone.
        depth: The number of hidden layers of a net that is a plain relu net but for the masks, whose training the
            engine does by hand; None = it is differentiated.
    """

    general: Tensor
    masks: Callable[[Params, Tensor], Tensor]
    drawn: Callable[[Params, Tensor], Tensor]
    apply: Callable[[State, Tensor, Tensor], Tensor]
    depth: int | None = None


@dataclass(frozen=True)
class Learner:
    """A training algorithm A: architecture, recipe, and the functions that make and run one model.

    `dense`: the number of hidden layers of a plain relu net on `"l.weight"` and `"l.bias"`, whose steps the engine
    takes by hand; where it is None the engine differentiates `apply` under `vmap`.
    Where `stacked` is False there is no stack: models are trained, asked and edited one by one.
    `standardise` computes buffers from the features of a model's training set [n, ...] before it is trained,
    and `encode` is what `apply` does to features with them, before anything else.
    `tied` is there where hidden units belong to examples. `score` says what the model answers where that is
    not `apply`, as of candidates that are whole texts: `(state, probes [b, ...]) → logits [b, classes]`.
    `middle` gives vectors half-way through the net, [b, width], or [b, A, width] where an example has A labels;
    None = those of `features`.
    `read` says what a language model makes of every answer token: `(state, documents [n, T + A], A) → [n, A, 4]`,
    log π of the token, mean and variance of log π over the vocabulary, and 1 where the token is the likeliest.
    """

    spec: LearnerSpec
    init: Callable[[Key], State]
    apply: Apply
    features: Callable[[State, Tensor], Tensor]
    dense: int | None = None
    stacked: bool = True
    standardise: Callable[[Tensor], Params] | None = None
    encode: Callable[[Params, Tensor], Tensor] | None = None
    tied: Tied | None = None
    score: Callable[[State, Tensor], Tensor] | None = None
    middle: Callable[[State, Tensor], Tensor] | None = None
    read: Callable[[State, Tensor, int], Tensor] | None = None

    def start(self, key: Key, x: Tensor, rows: NDArray[np.int64]) -> State:
        """The model of a key before training on these rows of x [n, ...], on the device of x."""
        state = self.init(key)
        params = {name: value.to(x.device) for name, value in state.params.items()}
        buffers = {name: value.to(x.device) for name, value in state.buffers.items()}
        if self.standardise is not None:
            # In one order, so that sums over a set do not depend on how its rows are listed.
            own = torch.from_numpy(np.sort(rows)).to(x.device)
            buffers |= self.standardise(x.index_select(0, own))
        return State(params, buffers)

    @property
    def recipe(self) -> Recipe:
        """How the learner is trained."""
        assert self.spec.recipe is not None  # an opaque learner is never built
        return self.spec.recipe
