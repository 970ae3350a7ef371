"""All of it in one run, as a record."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable
from typing import Any

import numpy
import torch

from unweave._version import __version__
from unweave.bench.linear import time_ridge, time_softmax
from unweave.bench.nets import growth, peak_flops, time_net
from unweave.bench.rest import child, time_methods, two_workers
from unweave.bench.scheduler import time_scheduler
from unweave.bench.workloads import REPLICAS, nets
from unweave.training.outputs import one_thread

SCHEMA = "unweave-bench/1"

PARITY = {"weights": 3e-6, "logits": 3e-5, "same_predictions": 0.9998}
"""What models of engine and plain loop may differ by after some sixty steps; convolutions add in another order."""


def bench(*, quick: bool = False, tell: Callable[[str], None] = lambda stage: None) -> dict[str, Any]:
    """Time every engine against the plain loop, in turn within one run, each on one thread.

    Ratios are of what was timed side by side; a busy machine moves both sides. `speedup` and `peak_share` are
    {"min", "median", "max"} over rounds.

    Args:
        quick: Two rounds and small sizes: whether it works, not how fast it is.
        tell: Called with the name of each stage.

    Returns:
        A record for JSON: `machine`, `versions`, `rounds`, `workloads` (tiny, mlp, cnn, linear,
        linear_leave_20, ridge, ridge_many), `growth`, `methods`, `workers`, `scheduler`, `distances`.
    """
    rounds = 2 if quick else 5
    works, replicas = nets(quick=quick), 8 if quick else REPLICAS
    found: dict[str, Any] = {}
    with one_thread():
        for name, work in works.items():
            tell(name)
            found[name] = {
                **_summed(time_net(work, rounds)),
                **child("memory", name, "quick" if quick else "full"),
            }
        tell("linear")
        found["linear"] = _summed(time_softmax(rounds, leave_out=False, replicas=replicas))
        found["linear_leave_20"] = _summed(time_softmax(rounds, leave_out=True, replicas=replicas))
        tell("ridge")
        found["ridge"] = _summed(time_ridge(rounds, replicas=replicas))
        found["ridge_many"] = _summed(time_ridge(rounds, replicas=16 * replicas))
        tell("growth")
        counts = (1, 4, 16) if quick else (1, 4, 16, 64, 256)
        grown = growth(works["tiny"], counts, 2 if quick else 8, 1 if quick else 3)
        tell("methods")
        methods = time_methods(quick=quick)
        peak = peak_flops()
    tell("workers")
    workers = _spread(two_workers(quick=quick))
    tell("scheduler")
    scheduler = time_scheduler(quick=quick)
    tell("distances")
    distances = child("distances", "quick" if quick else "full")
    return {
        "schema": SCHEMA,
        "quick": quick,
        "rounds": rounds,
        "machine": {
            "processor": _processor(), "cores": os.cpu_count(), "peak_gflops": peak / 1e9, "device": "cpu",
        },
        "versions": {
            "unweave": __version__, "python": platform.python_version(), "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "workloads": found,
        "parity_tolerance": PARITY,
        "growth": {"workload": "tiny", "engine_ms": grown},
        "methods": methods,
        "workers": {"workload": "tiny", "two_over_one": workers},
        "scheduler": scheduler,
        "distances": distances,
        "gpu": {"not_measured": "the bench times the CPU"},
    }  # fmt: skip


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _summed(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _spread(value) if isinstance(value, list) else value for key, value in record.items()}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
