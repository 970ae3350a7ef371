"""Where the tasks of a run are done: by processes of this machine, or by Ray on this one or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from unweave.execute import Task, crew_of_workers, on_ray, run_tasks
from unweave.references import Store
from unweave.study.assemble import Assembly
from unweave.study.away import CODE, sender
from unweave.study.device import PROCESSES, address_of, name_of_device
from unweave.study.own_worlds import MethodsOf
from unweave.study.plugins import code_sent
from unweave.study.preflight import fit_in_memory
from unweave.study.shared import shared_folder
from unweave.study.spec import Spec

Run = Callable[..., list[Any]]
"""`run_tasks` of an engine, with its workers."""


class Engine(NamedTuple):
    """An engine at work: `train` runs tasks on the device of the models, `measure` such as need none."""

    train: Run
    measure: Run
    hardware: str


@contextmanager
def engine_at_work(
    spec: Spec,
    store: Store,
    assemblies: Sequence[Assembly],
    methods: MethodsOf,
    note: Callable[[Sequence[str]], None],
) -> Generator[Engine]:
    """The engine of a run until the block ends, after which nothing of it is left.

    Args:
        spec: Names the engine, and says how many tasks may be at work at once.
        store: Where models are; where tasks run elsewhere only this process writes it.
        assemblies: All cases of the run.
        methods: The methods of each case.
        note: Called with what a reader should know: here that memory is not enough for all workers.

    Raises:
        UserError: where memory is not enough for one worker, Ray is not installed, or its cluster not there.
    """
    address = address_of(spec.engine)
    wanted = spec.workers or cores()
    workers = wanted if address else fit_in_memory(assemblies, methods, workers=wanted)
    if workers < wanted:
        note([f"Memory is enough for {workers} of {wanted} workers at a time."])
    if spec.engine == PROCESSES:
        # Processes that share a GPU get in each other's way, and hold each its own copy of CUDA.
        at_device = min(workers, spec.workers or (cores() if spec.device == "cpu" else 1))
        with shared_folder(store, workers=workers) as shared, crew_of_workers() as crew:
            run = partial(_run_shared, shared, crew=crew)
            named = name_of_device(spec.device)
            yield Engine(partial(run, workers=at_device), partial(run, workers=workers), named)
        return
    most = spec.workers if address else None  # a Ray of our own has no more cores than that
    asked = [choice for of_case in methods.values() for choice in of_case]
    fetch = sender(store, assemblies, code_sent(asked))
    with on_ray(address, workers=most, cores=workers, code=CODE, fetch=fetch, commit=store.commit) as ray:
        yield Engine(partial(ray.run, gpu=spec.device != "cpu"), ray.run, f"; {ray.hardware}")


def cores() -> int:
    """Cores this process may use, where the system can tell; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_shared(shared: str | None, tasks: Sequence[Task], **options: Any) -> list[Any]:
    """`run_tasks`, each told where large arrays are shared."""
    told = [
        replace(one, arguments={**one.arguments, "where": {**one.arguments["where"], "shared": shared}})
        for one in tasks
    ]
    return run_tasks(told, **options)
