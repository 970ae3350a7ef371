"""Two files for an audit of `digits-mislabel`: a model of D, and one trained without S."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from unweave._random import derive
from unweave.learners.nets import build
from unweave.study import CASES, assemble
from unweave.training.engine import many, unstack


def main(original: str, retrained: str) -> None:
    """Train both and write them."""
    assembly = assemble(CASES["digits-mislabel"])
    learner = build(assembly.setting.learner)
    x, y = torch.from_numpy(assembly.setting.x), torch.from_numpy(assembly.setting.y)
    for world, target in (("original", original), ("untrained", retrained)):
        rows = assembly.worlds[world].rows
        (state,) = unstack(many(learner, x, y, rows=[rows], keys=[derive(0, "audited", world)]))
        save_file({**state.params, **state.buffers}, Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
