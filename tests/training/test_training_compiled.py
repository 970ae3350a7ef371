"""The loss that a GPU compiles: one graph for all models of a learner, with the gradients of the plain one."""

from __future__ import annotations

import pytest
import torch

from unweave.learners import specify
from unweave.learners.nets import build
from unweave.training import compiled
from unweave.training.compiled import batch_loss, compile_loss, plain_loss


def learner(name: str, **recipe: object):
    config = {"channels": 2} if name == "cnn" else {"width": 2}
    return build(specify(name, (16, 16), 3, config=config, recipe={"epochs": 1, "batch_size": 4, **recipe}))


def gradients(loss, of, seed: int):
    state = of.init(seed)
    params = {name: value.requires_grad_() for name, value in state.params.items()}
    x = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(seed))
    value, buffers = loss(params, state.buffers, x, torch.tensor([0, 1, 2, 0]), torch.tensor(1))
    value.backward()
    return value.detach(), {name: one.grad for name, one in params.items()}, buffers


@pytest.mark.parametrize(("name", "recipe"), [("cnn", {}), ("resnet9", {}), ("resnet9", {"dtype": "bfloat16"})])
def test_one_graph_serves_every_model(name, recipe):
    """Traced in full, nothing left to Python, and differentiated; only the making of machine code is left out."""
    torch.compiler.reset()
    made: list[int] = []

    def backend(graph, inputs):
        made.append(1)
        return graph.forward

    of = learner(name, **recipe)
    loss = compile_loss(of, backend=backend)
    for seed in (0, 1):
        for found, expected in zip(gradients(loss, of, seed), gradients(plain_loss(of), of, seed), strict=True):
            torch.testing.assert_close(found, expected)
    assert made == [1]


def test_only_what_pays_is_compiled(monkeypatch):
    made = plain_loss(learner("cnn"))
    monkeypatch.setattr(compiled, "compile_loss", lambda of: made)
    monkeypatch.setattr(compiled, "_compiled", {})
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert batch_loss(learner("resnet9"), gpu) is made
    assert batch_loss(learner("resnet9"), cpu) is not made
    assert batch_loss(build(specify("mlp", (4,), 2)), gpu) is not made
