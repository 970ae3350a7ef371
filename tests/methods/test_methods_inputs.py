"""Which methods make or move inputs: no others run on tokens, which are no numbers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from unweave.methods import METHODS


def watched(toy, seen: list[bool]):
    """The toy with a learner that notes whether it is only ever asked about examples that were given."""
    given = torch.cat([part.x for part in (toy.forget, toy.retain, toy.validation)])

    def note(x) -> None:
        with suppress(RuntimeError):  # of single examples under `vmap` nothing can be asked
            seen.append(bool((x.detach()[:, None] == given).all(-1).any(1).all()))

    def apply(state, x, *, train, key):
        note(x)
        return toy.learner.apply(state, x, train=train, key=key)

    def features(state, x):
        note(x)
        return toy.learner.features(state, x)

    return toy._replace(learner=replace(toy.learner, apply=apply, features=features, dense=None, stacked=False))


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name != "rem"])  # it runs a wider net
def test_methods_that_make_or_move_inputs_say_so(name, known, toy):
    seen: list[bool] = []
    watched(toy.only(0), seen).edit(lambda: METHODS.get(name).build(**known[name].strong))
    assert all(seen) != METHODS.get(name).declared.alters


def test_several_in_a_row_do_where_one_does():
    assert METHODS.get("npo then unsir").declared.alters and METHODS.get("expand(unsir)").declared.alters
    assert not METHODS.get("npo then finetune").declared.alters
