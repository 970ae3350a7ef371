"""What workers do: train a world, run a method on every original. Arguments are JSON; results are stored."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from unweave._errors import DivergedError
from unweave._random import derive
from unweave.execute import task
from unweave.references import (
    Entry,
    Outputs,
    Store,
    WorldName,
    digest,
    key_of,
    outputs_fields,
    read_verified,
)
from unweave.study.assemble import Assembly, assemble
from unweave.study.spec import MethodChoice, case_from_tree

# Stands here and not in `methods`, so that a run whose outputs are all stored need not import torch.
METHODS_VERSION = 1
"""Enters the key of every stored output of a method; raised whenever a method changes."""


@task
def train_world(case: dict[str, Any], store: str, world: WorldName) -> int:
    """Train the models of one world that the store lacks; returns how many that were."""
    from unweave.references.ensure import ensure_outputs

    assembly = assemble(case_from_tree(case))
    return ensure_outputs(Store(Path(store)), assembly.setting, assembly.worlds[world])[1]


def method_fields(assembly: Assembly, choice: MethodChoice) -> dict[str, Any]:
    """What identifies the outputs of a method on every original."""
    originals = outputs_fields(assembly.setting, assembly.worlds["original"])
    return {
        "kind": "method outputs",
        "originals": originals,
        "forget": digest(assembly.setting.ids[assembly.forget]),
        "method": choice.name,
        "params": choice.params,
        "seed": assembly.case.seed,
        "version": METHODS_VERSION,
    }


def stored_method(store: Store, assembly: Assembly, choice: MethodChoice) -> Outputs | None:
    """The stored outputs of a method, if they are there and whole."""
    found = read_verified(store, key_of(method_fields(assembly, choice)))
    return None if found is None else Outputs(found[0]["logits"], found[1])


@task
def run_method(case: dict[str, Any], store: str, name: str, params: dict[str, Any]) -> str:
    """Run a method on every original and store its outputs on the probes, with cost and parameters.

    Returns:
        "" or, if the method itself failed, the reason: that is a row of the table, not the end of a run.
    """
    import torch

    from unweave.learners.nets import build
    from unweave.methods import METHODS, Examples, run
    from unweave.references.ensure import forward, load_models
    from unweave.training.outputs import one_thread

    assembly, choice, where = assemble(case_from_tree(case)), MethodChoice(name, params), Store(Path(store))
    if stored_method(where, assembly, choice) is not None:
        return ""
    setting, world = assembly.setting, assembly.worlds["original"]
    entry = METHODS.get(name)
    keys = [derive(assembly.case.seed, "method", choice.id, k) for k in range(len(world.keys))]
    retain = np.setdiff1d(world.rows, assembly.forget)
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    originals = load_models(where, setting, world)
    started = time.perf_counter()
    try:
        with one_thread():
            edited = run(
                entry.build(**params),
                build(setting.learner),
                originals,
                forget=Examples(x[assembly.forget], y[assembly.forget]),
                retain=Examples(x[retain], y[retain]),
                keys=keys,
            )
    except DivergedError as error:
        return str(error)
    notes = {
        "gradient_ratio": edited.gradient_ratio,
        "steps": edited.steps,
        "seconds": time.perf_counter() - started,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "params": {**entry.defaults(), **params},
        "cite": entry.declared.cite,
    }
    arrays = {"logits": forward(setting, edited.state)}
    where.write([Entry(method_fields(assembly, choice), arrays, notes)])
    return ""
