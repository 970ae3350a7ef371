"""How many times faster nets are trained in bfloat16 than in float32, in one run on this processor."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from unweave.bench.workloads import Work, nets, with_epochs
from unweave.learners.nets import build
from unweave.training.engine import many
from unweave.training.outputs import one_thread

ROUNDS = 5


def half(work: Work) -> Work:
    """The same work in bfloat16, as `learner.dtype` has it."""
    spec = work.learner.spec
    return replace(work, learner=build(replace(spec, recipe=replace(spec.recipe, dtype="bfloat16"))))


def main(target: str) -> None:
    """Train each net in five rounds, both ways in each, and write the ratios."""
    found = {}
    with one_thread():
        for name, work in nets().items():
            short = with_epochs(work, 1)
            rows, keys = work.rows(work.replicas), work.keys(work.replicas)
            steps = work.steps_per_epoch * work.replicas
            spent: list[list[float]] = []
            for _ in range(ROUNDS + 1):
                both = []
                for one in (short, half(short)):
                    begin = time.perf_counter()
                    many(one.learner, one.x, one.y, rows=rows, keys=keys)
                    both.append(1000 * (time.perf_counter() - begin) / steps)
                spent.append(both)
            whole, halved = zip(*spent[1:], strict=True)  # the first round finds how many a stack holds
            ratios = [a / b for a, b in zip(whole, halved, strict=True)]
            found[name] = {
                "times_faster": median(ratios), "least": min(ratios), "most": max(ratios),
                "float32_ms": median(whole), "bfloat16_ms": median(halved),
            }  # fmt: skip
            print(name, found[name], flush=True)
    Path(target).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
