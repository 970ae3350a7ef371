"""Modules of the user's own: which are trained side by side, and that nobody can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unweave.learners.contract import Learner
from unweave.learners.imports import imports_of
from unweave.learners.modules import own_module
from unweave.learners.own_code import sha256
from unweave.learners.specs import specify_own
from unweave.learners.stackable import MOST_KEPT
from unweave.training.engine import many, part, stack
from unweave.training.loop import fit

NETS = '''
import torch
from torch import nn


def plain(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 16), nn.ReLU(), nn.Linear(16, classes))


def batch_norm(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, classes))


def layer_norm(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, classes))


class Rows(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.rows = nn.Embedding(4, 6)
        self.last = nn.Linear(6, classes)

    def forward(self, x):
        return self.last(self.rows(x.long().clamp(0, 3)).mean(1))


def rows(shape, classes):
    return Rows(classes)


def dropout(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, classes))


def convolution(shape, classes):
    return nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(24, classes))


def large(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 1200), nn.ReLU(), nn.Linear(1200, 1200), nn.Linear(1200, classes))


class Looks(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        return self.last(x) if x.sum().item() > 0 else -self.last(x)


def looks(shape, classes):
    return Looks(shape[0], classes)


class Recurrent(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.cell = nn.LSTM(1, 5, batch_first=True)
        self.last = nn.Linear(5, classes)

    def forward(self, x):
        return self.last(self.cell(x[..., None])[0][:, -1])


def recurrent(shape, classes):
    return Recurrent(classes)


class Planted(torch.autograd.Function):
    """Says under `vmap` something else than alone: by how much stands in WRONG."""

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad

    @staticmethod
    def vmap(info, in_dims, x):
        return WRONG(x, info.batch_size), in_dims[0]


class Own(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        return Planted.apply(self.last(x))


def own(shape, classes):
    return Own(shape[0], classes)
'''


def _learner(folder: Path, function: str, code: str = NETS, width: int = 8, **recipe: float) -> Learner:
    file = folder / "nets.py"
    file.write_text(code)
    wanted = {"epochs": 3, "batch_size": 16, **recipe}
    return own_module(
        specify_own(
            file,
            function,
            (width,),
            3,
            sha256=sha256(file),
            imports=imports_of(file.read_bytes()),
            opaque=False,
            recipe=wanted,
        )
    )


def _examples(learner: Learner) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    return torch.randn(90, *learner.spec.shape, generator=rng), torch.randint(3, (90,), generator=rng)


SIDE_BY_SIDE = ["plain", "layer_norm", "rows"]


@pytest.mark.parametrize("function", SIDE_BY_SIDE)
def test_ordinary_nets_are_trained_side_by_side(tmp_path: Path, function: str) -> None:
    assert _learner(tmp_path, function).stacked


@pytest.mark.parametrize("function", ["batch_norm", "dropout", "convolution", "large", "looks", "recurrent"])
def test_what_cannot_be_or_gains_nothing_is_trained_one_by_one(tmp_path: Path, function: str) -> None:
    learner = _learner(tmp_path, function)
    assert not learner.stacked
    x, y = _examples(learner)
    rows = np.arange(20)
    both = many(learner, x, y, rows=[rows, rows], keys=[1, 2])
    alone = stack([fit(learner, x, y, rows=rows, key=key) for key in (1, 2)])
    assert all(torch.equal(both.params[name], alone.params[name]) for name in alone.params)


def test_a_net_is_large_by_what_a_batch_of_it_keeps(tmp_path: Path) -> None:
    assert _learner(tmp_path, "plain", batch_size=16).stacked
    assert not _learner(tmp_path, "plain", batch_size=MOST_KEPT // 16).stacked


@pytest.mark.parametrize("function", SIDE_BY_SIDE)
def test_a_stack_is_what_its_models_are_alone_whoever_stands_beside_them(tmp_path: Path, function: str) -> None:
    learner = _learner(tmp_path, function)
    assert learner.stacked
    x, y = _examples(learner)
    keys, rng = list(range(7)), np.random.default_rng(0)
    rows = [rng.permutation(90)[:37] for _ in keys]  # the last batch has 5
    stacks = {size: many(learner, x, y, rows=rows, keys=keys, chunk=size) for size in (1, 3, 7)}
    for size in (1, 3):
        for found, expected in zip(stacks[size], stacks[7], strict=True):
            assert all(torch.equal(found[name], expected[name]) for name in expected)
    some = many(learner, x, y, rows=rows[2:4], keys=keys[2:4])
    assert all(torch.equal(some.params[name], part(stacks[7], slice(2, 4)).params[name]) for name in some.params)
    alone = stack([fit(learner, x, y, rows=r, key=key) for r, key in zip(rows, keys, strict=True)])
    for found, expected in zip(stacks[7], alone, strict=True):
        for name in expected:
            assert torch.allclose(found[name].double(), expected[name].double(), atol=1e-5), name


WRONG = {
    "another_number": "1.001 * x",
    "a_last_digit_that_hangs_on_the_stack": "x * (1 + size * 2**-23)",
    "an_error": "1 / 0",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_module_that_is_another_one_side_by_side_is_found_out(tmp_path: Path, wrong: str) -> None:
    assert _learner(tmp_path, "own", f"WRONG = lambda x, size: x.clone()\n{NETS}").stacked
    assert not _learner(tmp_path, "own", f"WRONG = lambda x, size: {wrong}\n{NETS}").stacked


def test_what_a_module_draws_it_draws_from_the_key_of_each_model(tmp_path: Path) -> None:
    learner = _learner(tmp_path, "dropout")
    x, y = _examples(learner)
    first, second = (fit(learner, x, y, rows=np.arange(50), key=3) for _ in range(2))
    assert all(torch.equal(first.params[name], second.params[name]) for name in first.params)


def test_the_trial_leaves_the_generators_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(11)
    before = torch.default_generator.get_state()
    _learner(tmp_path, "dropout")
    assert torch.equal(before, torch.default_generator.get_state())


@pytest.mark.parametrize("draw", ["torch.rand(())", "random.random()", "np.random.rand()"])
def test_a_module_that_draws_seldom_seen_is_found_by_the_generators(tmp_path: Path, draw: str) -> None:
    code = f"import random\nimport numpy as np\n{NETS}".replace("self.last(x) if", f"0 * {draw} + self.last(x) if")
    code = code.replace("x.sum().item() > 0", "True")
    assert not _learner(tmp_path, "looks", code).stacked
    assert _learner(tmp_path, "looks", code.replace(draw, "1")).stacked
