"""Running tasks: here one after the other, or by worker processes of one thread each."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from unweave._errors import UnweaveError
from unweave.execute.crew import (
    Answer,
    Crew,
    Death,
    Patience,
    Worker,
    alive,
    crew_of_workers,
    dismiss,
    dissolve,
    give,
    listen,
    start,
)
from unweave.execute.failures import (
    TRIES,
    Failed,
    WorkerError,
    failure,
    failure_here,
    lost,
    raise_failures,
    starved,
    tells_out_of_memory,
)
from unweave.execute.tasks import Task, call

Done = Callable[[int, Any], None]
"""Called with the number of a task and its value."""

_PATIENCE = Patience()


class _Value(NamedTuple):
    value: Any


class _Turn(NamedTuple):
    number: int
    limit: int  # how many tasks might be at work when it began


Ended = Generator[tuple[int, _Value | UnweaveError]]


def run_tasks(
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    on_done: Done | None = None,
    on_failed: Failed | None = None,
    crew: Crew | None = None,
    patience: Patience = _PATIENCE,
) -> list[Any]:
    """Run tasks and return their values in the order of the tasks.

    With one worker they run in this process, where nobody notices if one hangs. Otherwise each worker is a process
    with one BLAS thread.

    A task that raises is not tried again, and no error of a task stops the others. A worker that dies or hangs
    costs its task only, which is tried up to three times. Where memory runs out (an error says so, or a worker
    is ended by signal 9) half as many tasks are at work from then on, and the last try of such a task has the
    machine for itself. What a task does is never changed.

    Args:
        tasks: What to run; tasks must not depend on each other, and running one twice must do no harm.
        workers: Number of processes.
        on_done: Called in this thread with the number and value of each task as it ends.
        on_failed: Called in this thread with the number and error of each task that failed, as that happens.
        crew: Worker processes to use again, from `crew_of_workers`; None = new ones for these tasks.
        patience: When a worker is taken for hanging.

    Raises:
        UnweaveError: once all tasks have ended, if one failed: `raise_failures` says which class and text. What
            `on_done` and `on_failed` raise, and an interrupt, end everything at once.
    """
    values: list[Any] = [None] * len(tasks)
    failures: dict[int, UnweaveError] = {}

    def settle(ended: Ended) -> None:
        for number, outcome in ended:
            if isinstance(outcome, _Value):
                values[number] = outcome.value
                if on_done is not None:
                    on_done(number, outcome.value)
            else:
                failures[number] = outcome
                if on_failed is not None:
                    on_failed(number, outcome)

    if workers <= 1 or len(tasks) <= 1:
        settle(_here(tasks))
    else:
        with crew_of_workers() if crew is None else nullcontext(crew) as members:
            try:
                settle(_by_workers(tasks, min(workers, len(tasks)), members, patience))
            except BaseException:
                dissolve(members)  # some are at work still: their answers must not meet the next tasks
                raise
    raise_failures(tasks, failures)
    return values


def _here(tasks: Sequence[Task]) -> Ended:
    for number, item in enumerate(tasks):
        try:
            outcome = _Value(call(item.function, item.arguments))
        except Exception as error:  # noqa: BLE001 - the same error as from a worker, whatever it was
            outcome = failure_here(item, error)
        yield number, outcome


def _by_workers(tasks: Sequence[Task], workers: int, crew: Crew, patience: Patience) -> Ended:
    requests = [
        json.dumps({"function": one.function, "arguments": one.arguments}).encode() + b"\n" for one in tasks
    ]
    waiting, at_work = deque(range(len(tasks))), dict[Worker, _Turn]()
    tries, alone, limit = Counter[int](), set[int](), workers
    ended: list[tuple[int, _Value | UnweaveError]] = []
    while True:
        # First, so that workers need not wait for what is done with the outcomes.
        while waiting and _has_room(waiting[0], at_work, limit, alone):
            try:
                worker = _idle(crew, at_work)
            except WorkerError:
                if not at_work:
                    raise
                limit = len(at_work)  # those that there are go on
                break
            at_work[worker] = _Turn(waiting.popleft(), limit)
            give(worker, requests[at_work[worker].number])
        if limit < workers:  # memory is short, and those without work hold some
            for worker in [one for one in crew if one not in at_work]:
                dismiss(crew, worker)
        yield from ended
        if not at_work:
            return
        ended = []
        for worker, answer in listen(at_work, patience):
            number, at_once = at_work.pop(worker)
            tries[number] += 1
            if isinstance(answer, Death) or tells_out_of_memory(answer):
                dismiss(crew, worker)
            if answer.memory if isinstance(answer, Death) else tells_out_of_memory(answer):
                limit = min(limit, max(1, at_once // 2))  # once for several that run out at the same time
                if tries[number] == TRIES - 1:
                    alone.add(number)
            outcome = _outcome(tasks[number], answer, tries[number])
            if outcome is None:
                waiting.append(number)
            else:
                ended.append((number, outcome))


def _outcome(item: Task, answer: Answer | Death, tries: int) -> _Value | UnweaveError | None:
    """What a task came to, or None if it is to be tried again."""
    if isinstance(answer, Death):
        return lost(item, answer.how, memory=answer.memory) if tries == TRIES else None
    if tells_out_of_memory(answer):
        return starved(item, answer["error"]) if tries == TRIES else None
    return failure(item, answer) if "error" in answer else _Value(answer["value"])


def _has_room(number: int, at_work: dict[Worker, _Turn], limit: int, alone: set[int]) -> bool:
    if at_work and (number in alone or any(turn.number in alone for turn in at_work.values())):
        return False
    return len(at_work) < limit


def _idle(crew: Crew, at_work: dict[Worker, _Turn]) -> Worker:
    """A worker of the crew that has nothing to do, or a new one."""
    for worker in [one for one in crew if one not in at_work]:
        if alive(worker):
            return worker
        dismiss(crew, worker)
    crew.append(start())
    return crew[-1]
