"""What else has to be fast: methods in a stack, distances between models, two workers, and little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unweave._memory import peak_memory
from unweave._random import generator
from unweave._threads import ONE_THREAD
from unweave.bench.nets import engine_run, seconds
from unweave.bench.workloads import Work, nets, with_epochs
from unweave.learners.contract import State
from unweave.methods import METHODS, Examples, Method, run
from unweave.metrics import pair_distances
from unweave.training.engine import many
from unweave.training.outputs import one_thread
from unweave.training.replay import Training

_FORGET = 20
_STACK = 16
_COMMAND = (sys.executable, "-m", "unweave.bench.rest")


def time_methods(*, quick: bool) -> dict[str, Any]:
    """Cost of each method on 16 replicas of `tiny`, over its cost on one: the least of three rounds.

    Quick: on 4 replicas, once.
    """
    work, height = nets()["tiny"], 4 if quick else _STACK
    if quick:  # a shorter recipe: methods take their steps relative to it
        work = with_epochs(work, 1)
    count = len(work.x)
    rows, keys = [np.arange(count)] * height, work.keys(height)
    # A validation set of examples that were trained on after all: what is timed does not depend on that.
    parts = (slice(_FORGET), slice(_FORGET, None), slice(80))
    forget, retain, validation = (Examples(work.x[part], work.y[part]) for part in parts)
    training = Training(work.x, work.y, np.arange(count), keys, np.arange(_FORGET))
    found: dict[str, float] = {}
    with one_thread():
        stacks = {k: many(work.learner, work.x, work.y, rows=rows[:k], keys=keys[:k]) for k in (1, height)}
        for entry in METHODS:
            if entry.name == "noop":  # it costs nothing
                continue
            spent: dict[int, float] = {}
            built = entry.build()
            for size, stacked in stacks.items():

                def edit(size: int = size, stacked: State = stacked, method: Method = built) -> object:
                    known = training._replace(keys=keys[:size])
                    return run(
                        method,
                        work.learner,
                        stacked,
                        forget=forget,
                        retain=retain,
                        validation=validation,
                        training=known,
                        keys=keys[:size],
                    )

                spent[size] = min(seconds(edit) for _ in range(1 if quick else 3))
            found[entry.name] = spent[height] / spent[1]
    return {"replicas": height, "cost_over_one": found}


def child(*words: str) -> dict[str, Any]:
    """What a fresh process measures: `python -m unweave.bench.rest WORD …`, one thread."""
    done = subprocess.run(
        [*_COMMAND, *words], capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD
    )
    return json.loads(done.stdout.splitlines()[-1])


def two_workers(*, quick: bool) -> list[float]:
    """Models per second of two processes over those of one, in each round."""
    size = "quick" if quick else "full"
    return [2 * _together(1, size) / _together(2, size) for _ in range(1 if quick else 3)]


def _together(count: int, size: str) -> float:
    """Seconds until that many processes, begun at one moment, have each trained the replicas of `tiny`."""
    command, pipe = [*_COMMAND, "wait", size], subprocess.PIPE
    started = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | ONE_THREAD)
        for _ in range(count)
    ]
    for one in started:
        assert one.stdout is not None
        one.stdout.readline()  # it is ready
    begin = time.perf_counter()
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in started:
        one.communicate()
    return time.perf_counter() - begin


def _distances(quick: bool) -> dict[str, float]:
    models, probes = (20, 1000) if quick else (100, 10_000)
    rng = generator(0, "bench outputs")
    p, q = (rng.dirichlet(np.ones(10), size=(models, probes)).astype(np.float32) for _ in range(2))
    weights = np.full((1, probes), 1 / probes)
    spent = seconds(lambda: pair_distances(p, q, weights=weights))
    # Of the whole process, torch and inputs included.
    return {"models": models, "probes": probes, "seconds": spent, "memory_bytes": peak_memory()}


def _memory(work: Work) -> dict[str, Any]:
    """Most memory in use while the engine trains, beyond what was in use before."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = peak_memory()
        with one_thread():
            engine_run(work, work.replicas, 1)()
        return {"memory_bytes": peak_memory() - before}
    except OSError:
        return {"memory_bytes": {"not_measured": "this system does not tell a process its peak memory"}}


def _main(words: list[str]) -> None:
    torch.set_num_threads(1)
    quick = words[-1] == "quick"
    if words[0] == "distances":
        print(json.dumps(_distances(quick)))
    elif words[0] == "memory":
        print(json.dumps(_memory(nets(quick=quick)[words[1]])))
    else:
        work = nets(quick=quick)["tiny"]
        with one_thread():
            engine_run(work, work.replicas, 1)()
            print("ready", flush=True)
            sys.stdin.readline()
            engine_run(work, work.replicas, 2 if quick else 64)()


if __name__ == "__main__":
    _main(sys.argv[1:])
