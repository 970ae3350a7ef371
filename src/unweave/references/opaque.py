"""References of opaque learners: the store keeps what they said, never a pickle of them."""

from __future__ import annotations

import numpy as np

from unweave.references.keys import Outputs, Setting, digest, model_fields, outputs_fields, read_verified
from unweave.references.plan import WorldPlan
from unweave.references.store import Entry, Store, key_of


def ensure_opaque_outputs(store: Store, setting: Setting, world: WorldPlan) -> tuple[Outputs, int]:
    """The outputs of a world, and how many models had to be trained for them; each is stored as it is finished."""
    whole = outputs_fields(setting, world)
    found = read_verified(store, key_of(whole))
    if found is not None:
        return Outputs(found[0]["logits"], found[1]), 0
    from unweave.learners.opaque import outputs

    probes, trained = digest(setting.probes), 0
    parts = []
    for fields, key in zip(model_fields(setting, world), world.keys, strict=True):
        one = {"kind": "outputs of one model", "model": key_of(fields), "probes": probes}
        stored = read_verified(store, key_of(one))
        if stored is None:
            logits = outputs(
                setting.learner, setting.x[world.rows], setting.y[world.rows], setting.probes, key=key
            )
            store.write([Entry(one, {"logits": logits}, {})])
            trained += 1
        else:
            logits = stored[0]["logits"]
        parts.append(logits)
    logits = np.stack(parts)
    store.write([Entry(whole, {"logits": logits}, {})])
    return Outputs(logits, {}), trained
