"""A recorded step: what is played again is what would have been done, whatever rate and rows it is given.

There is no GPU here: a recorder stands for it that keeps each operation with the memory it was given, as a CUDA
graph does, undoes what was done while it recorded, and can tell no number of Python from another afterwards.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unweave.learners import specify
from unweave.learners.nets import build
from unweave.training import engine
from unweave.training.engine import many
from unweave.training.graph import recorded


class Recording(TorchDispatchMode):
    """Keeps operations and the tensors they read and wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.done, self.before = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        written = [one for one in (*args, kwargs.get("out")) if isinstance(one, torch.Tensor)]
        kept = [(one, one.detach().clone()) for one in written]
        made = function(*args, **kwargs)
        shared = any(_shares(one, made) for one in written)
        self.before += [(one, old) for one, old in kept if not torch.equal(one, old)]
        self.done.append((function, args, kwargs, made, shared))
        return made


def _shares(one: torch.Tensor, made: object) -> bool:
    return isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() == one.untyped_storage().data_ptr()


class Graph:
    def __init__(self) -> None:
        self.recording = Recording()

    def replay(self) -> None:
        for function, args, kwargs, made, shared in self.recording.done:
            again = function(*args, **kwargs)
            if not shared and isinstance(made, torch.Tensor):
                made.copy_(again)  # to where it was when it was recorded


@pytest.fixture
def recorder(monkeypatch):
    """Stands for `torch.cuda`; tells how many graphs were recorded."""
    graphs: list[Graph] = []

    @contextmanager
    def record(graph):
        graphs.append(graph)
        with graph.recording:
            yield
        for one, old in reversed(graph.recording.before):
            one.copy_(old)

    class Stream:
        def wait_stream(self, other) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    return graphs


def train(learner, x, y, *, on=None):
    return many(learner, x, y, rows=[np.arange(22)] * 3, keys=[1, 2, 3], chunk=3).params


@pytest.mark.parametrize("recipe", [{}, {"weight_decay": 0.01}, {"schedule": "linear"}], ids=str)
def test_training_by_recorded_steps_is_training(recorder, monkeypatch, recipe):
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    y = torch.arange(30) % 3
    learner = build(
        specify("mlp", (6,), 3, config={"width": 5, "depth": 2}, recipe={"epochs": 6, "batch_size": 8, **recipe})
    )
    expected = train(learner, x, y)
    # As if the data were on a GPU.
    monkeypatch.setattr(engine, "recorded_where_it_pays", lambda on_batch, *given: recorded(on_batch))
    found = train(learner, x, y)
    assert len(recorder) == 2  # batches of 8, and the last one of 6
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)


def test_a_rate_that_is_a_number_of_python_is_seen(recorder):
    """The planted bug: what is recorded is the rate of that moment."""
    theta = torch.zeros(1)

    def of_the_moment(batch, rate, number):
        theta.add_(batch.sum().float(), alpha=-float(rate))

    def read_when_played(batch, rate, number):
        theta.addcmul_(batch.sum().float(), rate, value=-1)

    results = []
    for on_batch in (of_the_moment, read_when_played):
        theta.zero_()
        go = recorded(on_batch, warm=1)
        for rate in (1.0, 0.5, 0.25):
            go(torch.ones(1, 2, dtype=torch.int64), rate, 0)
        results.append(theta.item())
    assert results == [-2 * (1 + 0.5 + 0.5), -2 * (1 + 0.5 + 0.25)]
