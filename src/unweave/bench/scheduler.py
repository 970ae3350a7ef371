"""What worker processes cost besides the work: tasks of known length, over the time that they take at best."""

from __future__ import annotations

import time

from unweave.execute import Task, run_tasks, task

_WORKERS = 2


@task
def wait(seconds: float) -> None:
    """Take that long and no processor, so that what is measured is the scheduler and not a busy machine."""
    time.sleep(seconds)


def time_scheduler(*, quick: bool) -> dict[str, int | float]:
    """Seconds of many tasks on two workers that have yet to be started, over half of what the tasks sum up to."""
    count, each = (4, 0.1) if quick else (200, 1.0)
    tasks = [Task(f"{__name__}:wait", {"seconds": each}, f"wait {number}") for number in range(count)]
    begin = time.perf_counter()
    run_tasks(tasks, workers=_WORKERS)
    spent, best = time.perf_counter() - begin, count * each / _WORKERS
    return {"workers": _WORKERS, "tasks": count, "task_seconds": each, "seconds": spent, "over_best": spent / best}
