"""Running tasks by Ray, on this machine or on several: what a task reads is sent, what it makes comes back.

Only the driver has the store. A task is a remote function that Ray never repeats by itself: its owner here does,
so that what always kills its worker, or never fits into memory, ends after a few tries.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

from unweave._errors import CorruptObjectError, UnweaveError, UserError
from unweave.execute.failures import (
    TRIES,
    Failed,
    WorkerError,
    as_answer,
    failure,
    lost,
    raise_failures,
    starved,
    tells_out_of_memory,
)
from unweave.execute.ray_connect import connected
from unweave.execute.ray_worker import OTHER, answer
from unweave.execute.run import Done
from unweave.execute.tasks import Task, call

_AHEAD = 2  # tasks in flight per core or GPU: one is at work, one waits with all that it reads

Fetch = Callable[[str], Any]
"""What a task reads, by its name; None = there is no such thing, and none is sent."""

Commit = Callable[[Sequence[Any]], Any]
"""Stores what a task made, each object verified."""


class Ray(NamedTuple):
    """An open connection: `run` is `run_tasks` of this engine, `hardware` says on what, in words."""

    run: Callable[..., list[Any]]
    hardware: str


class _Session(NamedTuple):
    ray: Any
    remote: Any
    kin: str
    most: int | None
    fetch: Fetch
    commit: Commit
    sent: dict[str, Any]


@contextmanager
def on_ray(
    address: str | None, *, workers: int | None, cores: int, code: str, fetch: Fetch, commit: Commit
) -> Generator[Ray]:
    """Run tasks by Ray until the block ends.

    Args:
        address: `HOST:PORT` of a running cluster to which this machine belongs; None = start one here, which
            nobody else can reach.
        workers: How many tasks may be at work at once; None = as many as there are cores or GPUs.
        cores: How many that is where Ray is started here.
        code: Name of a task without arguments that says what code it is, name → version; where a worker's says
            anything else, the run ends.
        fetch: Gives what tasks read; each is sent once, however many tasks read it.
        commit: Stores what tasks made, in this process.

    Raises:
        UserError: without Ray, or if there is no such cluster.
    """
    with connected(address, workers=workers or cores) as ray:
        kin = json.dumps({"function": code, "says": call(code, {})})
        session = _Session(ray, ray.remote(answer), kin, workers, fetch, commit, {})
        yield Ray(partial(run_tasks, session), _hardware(ray))


def _hardware(ray: Any) -> str:
    found, nodes = ray.cluster_resources(), sum(bool(one["Alive"]) for one in ray.nodes())
    gpus = f", {found['GPU']:g} GPUs" if found.get("GPU") else ""
    return f"Ray {ray.__version__}: {nodes} machine{'s' * (nodes != 1)}, {found.get('CPU', 0):g} cores{gpus}"


def run_tasks(
    session: _Session,
    tasks: Sequence[Task],
    *,
    gpu: bool = False,
    on_done: Done | None = None,
    on_failed: Failed | None = None,
) -> list[Any]:
    """Run tasks on the workers of Ray and return their values in the order of the tasks.

    A worker or a whole machine that dies costs the tasks that it was at, each of which is tried up to three
    times; where memory may be to blame the last try has a machine for itself. An error of a task is not tried
    again, and stops no other task.

    Args:
        session: An open connection.
        tasks: What to run; tasks must not depend on each other, and running one twice must do no harm.
        gpu: Whether each needs a GPU.
        on_done: Called in this thread with the number and value of each task as it ends.
        on_failed: Called likewise with the number and error of each that failed.

    Raises:
        UnweaveError: once all tasks have ended, what the failures come to; at once where a worker has other code,
            or no machine can run a task.
    """
    requests = [json.dumps({"function": one.function, "arguments": one.arguments}) for one in tasks]
    waiting, flying = deque(range(len(tasks))), dict[Future[Any], tuple[int, Any]]()
    tries, alone = Counter[int](), set[int]()
    values: list[Any] = [None] * len(tasks)
    failures: dict[int, UnweaveError] = {}
    try:
        if tasks:
            _check_room(session, gpu)
        while waiting or flying:
            for _ in range(min(len(waiting), _room(session, gpu) - len(flying))):
                number = waiting.popleft()
                cores = _least_cores(session, gpu) if number in alone else 1
                sent = _send(session, requests[number], tasks[number], cores, gpu)
                flying[sent.future()] = number, sent
            # Not `ray.wait`, in which SIGTERM would end this process with exit code 1.
            for ended in wait(flying, return_when=FIRST_COMPLETED)[0]:
                number, _ = flying.pop(ended)
                said = _receive(session, ended, tasks[number])
                tries[number] += 1
                if "value" in said:
                    values[number] = said["value"]
                    if on_done is not None:
                        on_done(number, values[number])
                elif ("lost" in said or tells_out_of_memory(said)) and tries[number] < TRIES:
                    waiting.append(number)
                    if tries[number] == TRIES - 1 and (tells_out_of_memory(said) or said["memory"]):
                        alone.add(number)
                else:
                    failures[number] = _error(tasks[number], said)
                    if on_failed is not None:
                        on_failed(number, failures[number])
    except session.ray.exceptions.RayError as error:
        raise WorkerError(f"Ray failed: {_first_line(error)}.") from error
    finally:
        for _, sent in flying.values():
            with suppress(Exception):
                session.ray.cancel(sent, force=True)
    raise_failures(tasks, failures)
    return values


def _machines(session: _Session, gpu: bool) -> list[dict[str, float]]:
    """What each machine has that can run a task; the cluster may have grown or shrunk since it was asked last."""
    there = [one["Resources"] for one in session.ray.nodes() if one["Alive"]]
    return [one for one in there if one.get("CPU", 0) >= 1 and (not gpu or one.get("GPU", 0) >= 1)]


def _check_room(session: _Session, gpu: bool) -> None:
    if not _machines(session, gpu):
        lacking = "GPU" if gpu else "core"
        raise UserError(f"The Ray cluster has no {lacking}: a task would wait for ever. `ray status` shows it.")


def _room(session: _Session, gpu: bool) -> int:
    """How many tasks may be in flight; without any machine they wait for one to come back."""
    if session.most is not None:
        return session.most
    kind = "GPU" if gpu else "CPU"
    return max(1, _AHEAD * int(sum(one[kind] for one in _machines(session, gpu))))


def _least_cores(session: _Session, gpu: bool) -> int:
    # Of the smallest machine, so that no task waits for one that is gone.
    return int(min((one["CPU"] for one in _machines(session, gpu)), default=1))


def _send(session: _Session, request: str, item: Task, cores: int, gpu: bool) -> Any:
    for name in item.inputs:
        if name not in session.sent and (value := session.fetch(name)) is not None:
            session.sent[name] = session.ray.put(value)
    names = [name for name in item.inputs if name in session.sent]
    once = session.remote.options(max_retries=0, retry_exceptions=False, num_cpus=cores, num_gpus=int(gpu))
    return once.remote(request, session.kin, names, *(session.sent[name] for name in names))


def _receive(session: _Session, ended: Future[Any], item: Task) -> dict[str, Any]:
    """A task's answer, once what it made is stored; or how it was lost."""
    errors = session.ray.exceptions
    try:
        text, made = ended.result()
    except errors.RayTaskError as error:  # `answer` raises nothing: it could not begin
        raise UserError(
            f"A worker of the Ray cluster could not begin the task {item.name}: {_first_line(error)}. The same "
            "unweave must be installed on every machine."
        ) from error
    except errors.OutOfMemoryError as error:
        return as_answer(MemoryError(_first_line(error)))
    except errors.WorkerCrashedError:
        return {"lost": "by a crash or a kill", "memory": True}
    except errors.NodeDiedError:
        return {"lost": "with its machine", "memory": False}
    except errors.ObjectLostError:
        return {"lost": "after it was done, with what it had made", "memory": False}
    except errors.RayError as error:
        return {"lost": f"by {type(error).__name__}: {_first_line(error)}", "memory": False}
    said = json.loads(text)
    if said.get("class") == OTHER:
        raise UserError(
            f"A worker of the Ray cluster has other code than this machine: {said['error']}. Models of two "
            "codes must not be mixed. Install the same on every machine, and run again."
        )
    try:
        session.commit(made)
    except CorruptObjectError:
        return {"lost": "as what it sent came damaged", "memory": False}
    return said


def _error(item: Task, said: dict[str, Any]) -> UnweaveError:
    if tells_out_of_memory(said):
        return starved(item, said["error"])
    return lost(item, said["lost"], memory=said["memory"]) if "lost" in said else failure(item, said)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
