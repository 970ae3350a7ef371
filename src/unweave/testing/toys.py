"""Small models with all that a method is given, on which its contract is checked in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from unweave._random import Key
from unweave.learners import specify
from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.methods import Edited, Examples, Given, Method, Net, run
from unweave.training.engine import many, stack, unstack
from unweave.training.replay import Training

Build = Callable[[], Method]


class Toy(NamedTuple):
    """Originals with the data they were trained on: all that a method is given."""

    learner: Learner
    originals: State
    forget: Examples
    retain: Examples
    keys: Sequence[Key]
    validation: Examples | None = None
    training: Training | None = None

    def edit(self, build: Build, chunk: int | None = None) -> Edited:
        """What a method makes of the originals."""
        sets: dict[str, Any] = {"forget": self.forget, "retain": self.retain, "validation": self.validation}
        rest: dict[str, Any] = {"keys": self.keys, "training": self.training, "chunk": chunk or len(self.keys)}
        return run(build(), self.learner, self.originals, **sets, **rest)

    def given(self, net: Net) -> Given:
        """What `prepare` is given for an original, but for its history."""
        return Given(self.forget, self.retain, State(net.params, net.buffers), self.validation)

    def only(self, k: int) -> Toy:
        """The toy with original k alone."""
        training = None if self.training is None else self.training._replace(keys=[self.training.keys[k]])
        return self._replace(originals=stack([unstack(self.originals)[k]]), keys=[self.keys[k]], training=training)


def trained_toy(
    learner: Learner, x: Tensor, y: Tensor, *, forget: int, keys: Sequence[Key], validation: Examples
) -> Toy:
    """A toy whose originals are trained on x and y, of which the first `forget` are S."""
    rows = np.arange(len(y))
    originals = many(learner, x, y, rows=[rows] * len(keys), keys=keys)
    training = Training(x, y, rows, keys, rows[:forget])
    sets = Examples(x[:forget], y[:forget]), Examples(x[forget:], y[forget:])
    return Toy(learner, originals, *sets, [5 + k for k in range(len(keys))], validation, training)


def small_toy() -> Toy:
    """Three small nets after 3 epochs: |S| = 10 in 2 batches, |D∖S| = 30 in 4."""
    return _own(_small())


def memorised_toy() -> Toy:
    """Three nets that have learned S by heart, with labels nothing else supports."""
    return _own(_memorised())


def image_toy(learner: str = "resnet9") -> Toy:
    """Two convolutional nets on 8×8 images: |S| = 10 in 2 batches, |D∖S| = 30 in 4.

    Args:
        learner: `cnn` or `resnet9`, which has batch norm; both are edited one by one.
    """
    return _own(_images(learner))


def _own(toy: Toy) -> Toy:
    """A toy whose tensors are its own: a method that writes into one spoils no later check."""
    return tree_map(lambda one: one.clone() if isinstance(one, Tensor) else one, toy)


@cache
def _small() -> Toy:
    return _points(wrong_labels=False, config={"width": 8}, recipe={"epochs": 3, "batch_size": 8})


@cache
def _memorised() -> Toy:
    recipe = {"epochs": 60, "batch_size": 8, "lr": 0.1}
    return _points(wrong_labels=True, config={"width": 24}, recipe=recipe)


@cache
def _images(learner: str) -> Toy:
    x = torch.rand(52, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(52) % 3
    x[:, :4, :4] += y[:, None, None] / 2
    config = {"channels": 2} if learner == "cnn" else {"width": 2}
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.05}
    net = build(specify(learner, (8, 8), 3, config=config, recipe=recipe))
    return trained_toy(net, x[:40], y[:40], forget=10, keys=[11, 12], validation=Examples(x[40:], y[40:]))


def _labelled(x: Tensor) -> Examples:
    return Examples(x, x[:, :3].argmax(1))


def _points(*, wrong_labels: bool, config: Mapping[str, Any], recipe: Mapping[str, Any]) -> Toy:
    x, y = _labelled(torch.randn(40, 6, generator=torch.Generator().manual_seed(0)))
    held_out = _labelled(torch.randn(16, 6, generator=torch.Generator().manual_seed(1)))
    if wrong_labels:
        y[:10] = (y[:10] + 1) % 3
    learner = build(specify("mlp", (6,), 3, config=dict(config), recipe=dict(recipe)))
    return trained_toy(learner, x, y, forget=10, keys=[11, 12, 13], validation=held_out)
