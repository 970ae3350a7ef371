"""Timing of nets: the engine against the plain loop, what a step costs, and whether both train the same model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from unweave.bench.plain import module_of, train, weights_of
from unweave.bench.workloads import Work, with_epochs
from unweave.learners.contract import State
from unweave.training.batches import epoch_orders
from unweave.training.engine import many, unstack
from unweave.training.outputs import logits, one_thread

_SIZE = 1024
_PARITY = 4  # models trained by both


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def peak_flops() -> float:
    """Multiplications and additions a second of one product of 1024×1024 matrices, float32, one thread."""
    a, b = torch.rand(2, _SIZE, _SIZE, generator=torch.Generator().manual_seed(0)).unbind()
    return 2.0 * _SIZE**3 / min(seconds(lambda: torch.mm(a, b)) for _ in range(5))


def engine_run(work: Work, count: int, epochs: int) -> Callable[[], State]:
    """A call that trains that many replicas by the engine."""
    own = with_epochs(work, epochs)
    rows, keys = own.rows(count), own.keys(count)
    return lambda: many(own.learner, own.x, own.y, rows=rows, keys=keys)


def plain_run(work: Work, epochs: int) -> Callable[[], None]:
    """A call that trains one replica by the plain loop, from initial weights on."""
    own = with_epochs(work, epochs)
    rows, key = own.rows(1)[0], own.keys(1)[0]
    orders = epoch_orders(len(own.x), rows, epochs, key)

    def run() -> None:
        module = module_of(own.learner, own.learner.start(key, own.x, rows))
        train(own.learner, own.x, own.y, module, orders)

    return run


def time_net(work: Work, rounds: int) -> dict[str, Any]:
    """One workload: rounds of plain loop, engine and product of matrices in turn, on one thread.

    Returns:
        `speedup` of every round, `plain_ms` and `engine_ms` per replica and step, `peak_share` of every round,
        and `parity`.
    """
    steps = work.steps_per_epoch
    few, many_epochs = work.epochs
    engine, plain = engine_run(work, work.replicas, few), plain_run(work, many_epochs)
    found: dict[str, Any] = {"what": work.what, "speedup": [], "plain_ms": [], "engine_ms": [], "peak_share": []}
    with one_thread():
        engine_run(work, work.replicas, 1)()  # the size of a stack is chosen once
        plain_run(work, 1)()
        for _ in range(rounds):
            a = seconds(plain) / (many_epochs * steps)
            b = seconds(engine) / (few * steps * work.replicas)
            found["plain_ms"].append(1000 * a)
            found["engine_ms"].append(1000 * b)
            found["speedup"].append(a / b)
            found["peak_share"].append(work.flops / b / peak_flops())
        found["parity"] = _parity(work)
    return found


def _parity(work: Work) -> dict[str, float | int]:
    """Largest differences between models of both, and the share of equal predictions on all of D."""
    learner, epochs = work.learner, work.learner.recipe.epochs
    rows, keys = work.rows(_PARITY), work.keys(_PARITY)
    ours = unstack(many(learner, work.x, work.y, rows=rows, keys=keys))
    weights, outputs, same = 0.0, 0.0, 0.0
    for one, own, key in zip(ours, rows, keys, strict=True):
        module = module_of(learner, learner.start(key, work.x, own))
        train(learner, work.x, work.y, module, epoch_orders(len(work.x), own, epochs, key))
        theirs = weights_of(learner, module)
        weights = max(weights, *(float((one.params[name] - theirs[name]).abs().max()) for name in theirs))
        stacked = State({name: value[None] for name, value in one.params.items()}, {})
        mine = logits(learner, stacked, work.x)[0]
        with torch.no_grad():
            other = module.eval()(work.x)
        outputs = max(outputs, float((mine - other).abs().max()))
        same += float((mine.argmax(1) == other.argmax(1)).float().mean()) / _PARITY
    steps = epochs * work.steps_per_epoch
    return {"steps": steps, "weights": weights, "logits": outputs, "same_predictions": same}


def growth(work: Work, counts: tuple[int, ...], epochs: int, rounds: int) -> dict[str, float]:
    """Milliseconds per replica and step of K models, for each K; the least of the rounds."""
    found: dict[int, float] = {}
    with one_thread():
        for _ in range(rounds):
            for count in counts:
                spent = seconds(engine_run(work, count, epochs)) / (epochs * work.steps_per_epoch * count)
                found[count] = min(found.get(count, spent), spent)
    return {str(count): 1000 * spent for count, spent in found.items()}
