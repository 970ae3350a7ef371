"""Forward passes of a stack, and the number of threads they may use."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor

from unweave.learners.contract import Learner, State
from unweave.training.lift import lift


@contextmanager
def one_thread() -> Generator[None]:
    """Run torch on one thread, with numbers below 1e-38 taken as 0.

    Two spinning threads on a busy machine are many times slower than one. And the momentum of a weight
    without a gradient, as of a pixel that is always 0, decays into numbers so small that the processor
    leaves its fast path: the updates of an mlp on images of clothes took four times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def logits(learner: Learner, stacked: State, x: Tensor, *, chunk: int = 512) -> Tensor:
    """Logits of every model of a stack on every probe.

    Args:
        learner: The learner that made the models.
        stacked: K models.
        x: Probes [n, ...].
        chunk: Probes per pass.

    Returns:
        float32 [K, n, classes].
    """

    def forward(state: State, batch: Tensor) -> Tensor:
        if learner.score is not None:
            return learner.score(state, batch)
        return learner.apply(state, batch, train=False, key=None)[0]

    with torch.no_grad():
        run = lift(forward, stacked=learner.stacked, shared=[1])
        return torch.cat([run(stacked, part) for part in x.split(chunk)], dim=1)


def token_facts(learner: Learner, stacked: State, documents: Tensor, answers: int) -> Tensor:
    """What every model of a stack says of each answer token of documents, by `Learner.read`.

    Args:
        learner: The learner that made the models, one of documents.
        stacked: K models.
        documents: Tokens and places of the answers [n, T + A].
        answers: A.

    Returns:
        float32 [K, n, A, 4].
    """
    read = learner.read
    assert read is not None  # only documents are read, and only of learners that read them
    with torch.no_grad():
        run = lift(lambda state, x: read(state, x, answers), stacked=learner.stacked, shared=[1])
        return run(stacked, documents)
