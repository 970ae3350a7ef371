"""How many models a stack should hold: found by a short trial, since it hangs on caches."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_STEPS = 5
_WORSE = 1.2  # no larger stack is tried once one costs so much more than the best

_tried: dict[Hashable, dict[int, float]] = {}


def best_chunk(
    stack_of: Callable[[int], Callable[[], None]],
    count: int,
    *,
    what: Hashable,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The size of a stack at which a step costs least per model, on this machine.

    A step of each size is timed, the best of five, until larger stacks are clearly dearer. Small nets gain by few
    large operations; large ones lose when weights, velocities and activations leave the cache.

    Args:
        stack_of: Makes a stack of that many models to try, and returns the function that takes a step of it.
        count: How many models there are to train.
        what: What the cost depends on; the trial is made once per process for each.
        clock: Tells the time in seconds.

    Returns:
        Models per stack, at most `count`.

    Example:
        >>> best_chunk(lambda size: lambda: None, 1, what="an example")
        1
    """
    costs = _tried.setdefault(what, {})
    for size in _SIZES:
        # Trials that an earlier, smaller count did not need are made up for.
        if size > count or costs and min(costs.values()) * _WORSE < costs[max(costs)]:
            break
        if size not in costs:
            costs[size] = _cost(stack_of(size), clock) / size
    return min((size for size in costs if size <= count), key=lambda size: (costs[size], size))


def _cost(step: Callable[[], None], clock: Callable[[], float]) -> float:
    step()  # what is laid out once is not part of it
    times: list[float] = []
    for _ in range(_STEPS):
        begin = clock()
        step()
        times.append(clock() - begin)
    return min(times)
