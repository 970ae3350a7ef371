"""What `discover` knows of each example of D: half-split models, features of an original, attributions; stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive
from unweave.references import Entry, Objects, about, digest, key_of, model_fields, read_verified
from unweave.study.assemble import Assembly
from unweave.study.code import influence_code
from unweave.study.prompts import counts_of
from unweave.study.samples import probabilities

if TYPE_CHECKING:
    from unweave.influence.discovery import Evidence

HALVES = 10
"""Half-split models, unless said otherwise."""

_ORIGINALS = {"embedding": 1, "attribution": 4}
_DIMENSIONS = 512


def first_originals(assembly: Assembly, described: Sequence[str]) -> Assembly:
    """The case with as many originals as some descriptions are made of, and no other world."""
    world = assembly.worlds["original"]
    count = max((_ORIGINALS[one] for one in described), default=0)
    return assembly._replace(worlds={"original": replace(world, keys=world.keys[:count])})


def description_fields(assembly: Assembly, described: str) -> dict[str, Any]:
    """What identifies what originals say of each example of D."""
    models = model_fields(assembly.setting, assembly.worlds["original"])[: _ORIGINALS[described]]
    of = {} if described == "embedding" else {"forget": digest(assembly.forget), "seed": assembly.case.seed}
    return {
        "kind": "evidence",
        "of": described,
        "models": [key_of(one) for one in models],
        "code": influence_code(),
        **of,
    }


def ensure_description(store: Objects, assembly: Assembly, described: str) -> int:
    """Compute the embedding of D, or attributions to S, unless it is stored; returns how many models it took."""
    fields = description_fields(assembly, described)
    if read_verified(store, key_of(fields)) is not None:
        return 0
    import torch

    from unweave.influence.trak import trak
    from unweave.learners.contract import State
    from unweave.learners.nets import build
    from unweave.methods import Examples
    from unweave.references.ensure import load_models
    from unweave.training.engine import unstack
    from unweave.training.outputs import one_thread

    setting, own = assembly.setting, first_originals(assembly, [described]).worlds["original"]
    learner, stacked = build(setting.learner), load_models(store, setting, own)
    x, y = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y))
    with one_thread(), torch.no_grad():
        if described == "embedding":
            state = State(*next(iter(unstack(stacked))))
            parts = [learner.features(state, some).flatten(1) for some in x.split(512)]
            found = torch.cat(parts).cpu().numpy()
        else:
            columns, key = min(_DIMENSIONS, len(y) // 2), derive(assembly.case.seed, "discover", "trak")
            probes = Examples(x[assembly.forget], y[assembly.forget])
            found = trak(learner, stacked, Examples(x, y), probes, dimensions=columns, key=key).score
    store.write([Entry(fields, {described: found.astype(np.float32)}, about(setting, own))])
    return len(own.keys)


def described_by(store: Objects, assembly: Assembly, described: str) -> NDArray[np.float64]:
    """The stored embedding or attributions; what is missing or damaged is made anew."""
    ensure_description(store, assembly, described)
    found = read_verified(store, key_of(description_fields(assembly, described)))
    assert found is not None  # it was written a moment ago
    return found[0][described].astype(np.float64)


def evidence_of(store: Objects, assembly: Assembly, *, halves: int, described: Sequence[str]) -> Evidence:
    """What is known of each example of D, as arrays."""
    from unweave.influence.discovery import Evidence, out_of_fold
    from unweave.references.halves import read_halves

    setting = assembly.setting
    made = read_halves(store, setting, assembly.case.seed, halves // 2)
    means = out_of_fold(probabilities(made.logits), made.inside, setting.y)
    more = {one: described_by(store, assembly, one) for one in described}
    x = counts_of(setting.x, assembly.data.classes) if assembly.data.documents else setting.x
    inputs = x.reshape(len(setting.y), -1).astype(np.float64)
    return Evidence(
        labels=setting.y,
        outside=means.outside,
        inside=means.inside,
        embedding=more.get("embedding"),
        attribution=more.get("attribution"),
        forget=assembly.forget,
        log_outside=means.log_outside,
        log_inside=means.log_inside,
        inputs=inputs if np.isfinite(inputs).all() else None,
    )
