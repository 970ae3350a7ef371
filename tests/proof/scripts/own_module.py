"""How many times faster models of a user's own module are trained in stacks than one by one, in one run."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from unweave.data import load
from unweave.learners.imports import imports_of
from unweave.learners.nets import build
from unweave.learners.own_code import sha256
from unweave.learners.specs import specify_own
from unweave.training.engine import many
from unweave.training.outputs import one_thread

CODE = """
from torch import nn


def make(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes))
"""
MODELS, ROUNDS = 64, 5


def main(target: str) -> None:
    """Train the digits in five rounds, both ways in each, and write the ratios and the largest difference."""
    digits = load("digits").train
    x, y = torch.from_numpy(digits.x), torch.from_numpy(digits.y)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "net.py"
        file.write_text(CODE, encoding="utf-8")
        recipe = {"epochs": 4}
        learner = build(
            specify_own(
                file,
                "make",
                (8, 8),
                10,
                sha256=sha256(file),
                imports=imports_of(file.read_bytes()),
                opaque=False,
                recipe=recipe,
            )
        )
        assert learner.stacked
        rows, keys = [np.arange(len(y))] * MODELS, list(range(MODELS))
        ratios: list[float] = []
        with one_thread():
            both = [learner, replace(learner, stacked=False)]
            many(learner, x, y, rows=rows, keys=keys)  # how many models a stack holds is found once
            for _ in range(ROUNDS):
                spent, found = [], []
                for one in both:
                    begin = time.perf_counter()
                    found.append(many(one, x, y, rows=rows, keys=keys).params)
                    spent.append(time.perf_counter() - begin)
                ratios.append(spent[1] / spent[0])
    apart = max(float((found[0][name] - found[1][name]).abs().max()) for name in found[0])
    steps = MODELS * learner.recipe.steps(len(y))
    record = {
        "times_faster": median(ratios), "least": min(ratios), "most": max(ratios), "apart": apart,
        "stacked_ms": 1e3 * spent[0] / steps, "one_by_one_ms": 1e3 * spent[1] / steps,
    }  # fmt: skip
    Path(target).write_text(json.dumps(record), encoding="utf-8")
    print(record)


if __name__ == "__main__":
    main(*sys.argv[1:])
