"""Train what the store lacks, and keep the outputs of every model on the probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unweave._errors import DivergedError
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.opaque import fit_logits
from unweave.references.keys import (
    Outputs,
    Setting,
    about,
    model_fields,
    opaque_fields,
    outputs_fields,
    read_verified,
)
from unweave.references.membership import register
from unweave.references.objects import Arrays, Entry, Objects, key_of
from unweave.references.plan import WorldPlan
from unweave.training.engine import fastest_chunk, many, stack, unstack
from unweave.training.outputs import logits, one_thread, token_facts
from unweave.training.parity import check_parity


def ensure_models(store: Objects, setting: Setting, world: WorldPlan) -> int:
    """Train the models of a world that the store lacks, in one stack where they can be; returns how many."""
    fields = model_fields(setting, world)
    missing = [k for k, one in enumerate(fields) if not store.has(key_of(one))]
    if not missing:
        return 0
    register(store, setting, world)
    learner = build(setting.learner)
    x, y = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y))
    parity = check_parity(setting.learner, x, y, rows=world.rows, data=setting.fingerprint)
    notes = {} if parity is None else {"parity_with_float32": parity._asdict()}
    # What is trained one by one is written one by one: a run that is killed loses one model.
    for part in [missing] if learner.stacked else [[k] for k in missing]:
        with one_thread():
            chunk = fastest_chunk(learner, x, y, world.rows, len(part))
            keys = [world.keys[k] for k in part]
            stacked = many(learner, x, y, rows=[world.rows] * len(part), keys=keys, chunk=chunk)
        _check_finite(stacked, world)
        models = zip(part, unstack(stacked), strict=True)
        store.write([Entry(fields[k], _to_arrays(one), {"chunk": chunk, **notes}) for k, one in models])
    return len(missing)


def _check_finite(stacked: State, world: WorldPlan) -> None:
    finite = torch.stack([value.flatten(1).isfinite().all(1) for value in stacked.params.values()]).all(0)
    if not finite.all():
        bad = int((~finite).sum())
        raise DivergedError(
            f"Training on {world.training_set} diverged: the weights of {bad} of {len(finite)} models are not "
            "finite, so there is no reference to compare with. Lower `learner.lr`."
        )


def load_models(store: Objects, setting: Setting, world: WorldPlan) -> State:
    """The models of a world as a stack, each verified; what is bad or missing is trained anew."""
    return _ensure_stack(store, setting, world)[0]


def _ensure_stack(store: Objects, setting: Setting, world: WorldPlan) -> tuple[State, int]:
    keys = [key_of(fields) for fields in model_fields(setting, world)]
    found = [read_verified(store, key) for key in keys]
    trained = 0
    if any(one is None for one in found):
        trained = ensure_models(store, setting, world)
        found = [store.read(key) for key in keys]
    return stack([_to_state(one[0], setting.device) for one in found if one is not None]), trained


def ensure_outputs(store: Objects, setting: Setting, world: WorldPlan) -> tuple[Outputs, int]:
    """The outputs of a world, and how many models had to be trained for them."""
    fields = outputs_fields(setting, world)
    found = read_verified(store, key_of(fields))
    if found is not None:
        return Outputs.of(*found), 0
    if setting.learner.opaque:
        logits, trained = _ensure_opaque(store, setting, world)
        outputs = Outputs(logits, {})
    else:
        models, trained = _ensure_stack(store, setting, world)
        outputs = Outputs(forward(setting, models), {}, read(setting, models))
    if not np.isfinite(outputs.logits).all():
        raise DivergedError(
            f"Training on {world.training_set} diverged: outputs of its models are not finite, so there is no "
            "reference to compare with. Lower `learner.lr`."
        )
    register(store, setting, world)
    store.write([Entry(fields, outputs.arrays, about(setting, world))])
    return outputs, trained


def _ensure_opaque(store: Objects, setting: Setting, world: WorldPlan) -> tuple[NDArray[np.float32], int]:
    """The outputs of models of which nothing else is kept, each written as it is made."""
    register(store, setting, world)
    found: list[NDArray[np.float32]] = []
    fitted = 0
    for fields, key in zip(opaque_fields(setting, world), world.keys, strict=True):
        stored = read_verified(store, key_of(fields))
        if stored is None:
            made = fit_logits(
                setting.learner, setting.x, setting.y, rows=world.rows, key=key, probes=setting.probes
            )
            store.write([Entry(fields, {"logits": made}, {})])
            fitted += 1
            stored = store.read(key_of(fields))
        found.append(stored[0]["logits"])
    return np.stack(found), fitted


def forward(setting: Setting, stacked: State) -> NDArray[np.float32]:
    """Logits of a stack on the probes [K, m, classes]."""
    with one_thread():
        probes = torch.from_numpy(setting.probes).to(setting.device)
        return logits(build(setting.learner), stacked, probes).cpu().numpy()


def read(setting: Setting, stacked: State) -> NDArray[np.float32] | None:
    """What a stack says of every answer token of the documents [K, n, A, 4]; None where none are read."""
    if setting.documents is None:
        return None
    with one_thread():
        x = torch.from_numpy(setting.documents.x).to(setting.device)
        return token_facts(build(setting.learner), stacked, x, setting.documents.answers).cpu().numpy()


def _to_arrays(state: State) -> Arrays:
    parts = {"params": state.params, "buffers": state.buffers}
    return {f"{part}/{name}": value.cpu().numpy() for part, of in parts.items() for name, value in of.items()}


def _to_state(arrays: Arrays, device: str) -> State:
    parts: dict[str, dict[str, Any]] = {"params": {}, "buffers": {}}
    for path, value in arrays.items():
        part, _, name = path.partition("/")
        parts[part][name] = torch.from_numpy(value).to(device)
    return State(parts["params"], parts["buffers"])
