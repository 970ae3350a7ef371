"""The trial that chooses the size of a stack."""

from __future__ import annotations

import pytest
import torch

from unweave.training import chunk, engine
from unweave.training.chunk import best_chunk


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def run(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("cheapest", "count", "expected"), [(1, 100, 1), (8, 100, 8), (8, 4, 4), (128, 500, 128), (8, 1, 1)]
)
def test_the_size_that_costs_least_per_model_is_found(cheapest, count, expected):
    clock = Clock()
    made: list[int] = []

    def stack_of(size: int):
        made.append(size)
        # Per model: dear below the cheapest size, and dearer again above it.
        return lambda: clock.run(size * (0.0003 + 0.002 * abs(size - cheapest) / max(size, cheapest)))

    assert best_chunk(stack_of, count, what=("toy", cheapest, count), clock=clock.now) == expected
    assert max(made) <= min(count, 2 * cheapest)  # clearly dearer ones are not tried on
    best_chunk(stack_of, count, what=("toy", cheapest, count), clock=clock.now)
    assert len(made) == len(set(made))  # nor anything twice


def test_what_a_smaller_count_left_out_is_tried_later():
    clock = Clock()
    made: list[int] = []

    def stack_of(size: int):
        made.append(size)
        return lambda: clock.run(0.004)

    assert best_chunk(stack_of, 3, what="grows", clock=clock.now) == 2
    assert best_chunk(stack_of, 16, what="grows", clock=clock.now) == 16 and made == [1, 2, 4, 8, 16]


def test_the_trial_leaves_the_data_and_the_result_as_they_are(toy_data, toy_learner, monkeypatch):
    (x, y), (x0, y0) = toy_data(30), toy_data(30)
    learner, rows = toy_learner(1), [torch.arange(20).numpy()] * 9
    tried = engine.many(learner, x, y, rows=rows, keys=range(9))
    assert torch.equal(x, x0) and torch.equal(y, y0)
    monkeypatch.setattr(chunk, "_cost", lambda step, clock: pytest.fail("a given size needs no trial"))
    given = engine.many(learner, x, y, rows=rows, keys=range(9), chunk=4)
    assert all(torch.equal(tried.params[name], given.params[name]) for name in given.params)
