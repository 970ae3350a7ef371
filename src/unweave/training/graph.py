"""A step on a GPU, recorded once and played again: what a small net costs there is to launch each operation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

OnBatch = Callable[[Tensor, float | Tensor, int], None]
"""`(rows of the batch [K, b], rate, number of the step)`: one step of every model of a stack."""

_WARM = 3  # steps taken as they are before one is recorded, so that libraries have set themselves up


def recorded(on_batch: OnBatch, *, warm: int = _WARM) -> OnBatch:
    """The same step, of which all operations are launched at once from a CUDA graph.

    A graph reads and writes the same memory whenever it is played: rows and rate are copied to where it expects
    them, and whatever else the step reads or writes must stay in place and hang on no number of Python.
    Batches of each size have a graph of their own, as the last one of an epoch may be smaller.

    Args:
        on_batch: Reads no number of the step.
        warm: Steps of each size that are taken before one is recorded.

    Source: NVIDIA, "Getting started with CUDA graphs"; `torch.cuda.graph`.
    """
    taken: dict[int, int] = {}
    played: dict[int, tuple[Tensor, Tensor, torch.cuda.CUDAGraph]] = {}
    aside: list[torch.cuda.Stream] = []

    def go(batch: Tensor, rate: float | Tensor, number: int) -> None:
        size = batch.shape[1]
        if size not in played:
            taken[size] = taken.get(size, 0) + 1
            if taken[size] <= warm:  # on a stream of its own, as recording asks
                if not aside:
                    aside.append(torch.cuda.Stream())
                aside[0].wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(aside[0]):
                    on_batch(batch, torch.full((1,), float(rate), device=batch.device), number)
                torch.cuda.current_stream().wait_stream(aside[0])
                return
            rows, at = batch.clone(), torch.full((1,), float(rate), device=batch.device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):  # recorded, not run
                on_batch(rows, at, number)
            played[size] = rows, at, graph
        rows, at, graph = played[size]
        rows.copy_(batch)
        at.fill_(float(rate))
        graph.replay()

    return go
