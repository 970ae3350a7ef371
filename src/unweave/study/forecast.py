"""What training will take, told before it begins."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unweave.study.assemble import Assembly

_FEW = 16


def seconds_per_model(assembly: Assembly) -> float | None:
    """Seconds of one core to train one model of D, from a trial of one epoch; None for opaque learners."""
    if assembly.setting.learner.opaque:
        return None
    import torch

    from unweave.learners.nets import build
    from unweave.training.engine import fastest_chunk, many
    from unweave.training.outputs import one_thread

    setting = assembly.setting
    learner = build(setting.learner)
    one_epoch = replace(learner.recipe, epochs=1)
    brief = replace(learner, spec=replace(setting.learner, recipe=one_epoch))
    x, y = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y))
    rows = assembly.worlds["original"].rows
    batch = learner.recipe.batch_size
    with one_thread():
        size = fastest_chunk(learner, x, y, rows, _FEW)

        def epoch(of: NDArray[np.int64]) -> float:
            begin = time.perf_counter()
            many(brief, x, y, rows=[of] * size, keys=list(np.arange(size).tolist()), chunk=size)
            return time.perf_counter() - begin

        # What is compiled or set up for a first batch of a size, the last of an epoch as well, comes once.
        epoch(rows[: batch + len(rows) % batch])
        spent = epoch(rows)
    return spent / size * learner.recipe.epochs


def forecast_text(models: float, seconds: float | None, workers: int) -> str:
    """How many models are to be trained, in models of all of D, and about how long that takes.

    Example:
        >>> forecast_text(446.0, 0.1, 2)
        'To be trained: the work of 446 models on all of D, about 22 s with 2 workers.'
        >>> forecast_text(446.0, 60.0, 1)
        'To be trained: the work of 446 models on all of D, about 7.4 h with 1 worker.'
    """
    work = f"To be trained: the work of {models:.0f} models on all of D"
    if seconds is None:
        return f"{work}; how long that takes is not known of this learner."
    shown = duration_text(models * seconds / workers)
    return f"{work}, about {shown} with {workers} worker{'' if workers == 1 else 's'}."


def duration_text(seconds: float) -> str:
    """A time in seconds, minutes or hours.

    Example:
        >>> duration_text(22.3), duration_text(120.0)
        ('22 s', '2.0 min')
    """
    number, unit = (
        (seconds, "s") if seconds < 90 else (seconds / 60, "min") if seconds < 5400 else (seconds / 3600, "h")
    )
    return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
