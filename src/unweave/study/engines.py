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
from unweave.study.shared import shared_folder

Run = Callable[..., list[Any]]
"""`run_tasks` of an engine, with its workers."""


class Engine(NamedTuple):
    """An engine at work: `train` runs tasks on the device of the models, `measure` such as need none."""

    train: Run
    measure: Run
    hardware: str


@contextmanager
def engine_at_work(
    engine: str, store: Store, assemblies: Sequence[Assembly], *, workers: int | None, device: str
) -> Generator[Engine]:
    """The engine of a run until the block ends, after which nothing of it is left.

    Args:
        engine: Its name.
        store: Where models are; only this process writes it where tasks run elsewhere.
        assemblies: All cases of the run.
        workers: How many tasks may be at work at once; None = one per core, and one for what a GPU does.
        device: Where models are trained.
    """
    if engine == PROCESSES:
        # Processes that share a GPU get in each other's way, and hold each its own copy of CUDA.
        many, at_device = workers or cores(), workers or (cores() if device == "cpu" else 1)
        with shared_folder(store, workers=many) as shared, crew_of_workers() as crew:
            run = partial(_run_shared, shared, crew=crew)
            yield Engine(partial(run, workers=at_device), partial(run, workers=many), name_of_device(device))
        return
    with on_ray(
        address_of(engine),
        workers=workers,
        cores=cores(),
        code=CODE,
        fetch=sender(store, assemblies),
        commit=store.commit,
    ) as ray:
        yield Engine(partial(ray.run, gpu=device != "cpu"), ray.run, f"; {ray.hardware}")


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
