"""The toys methods are tried on, and the module of contract checks."""

from __future__ import annotations

import importlib.util
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch

from unweave.learners import specify
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Known(NamedTuple):
    """What is known of a method: see `known/README.md`."""

    examples: int
    steps: int
    batches: int
    defaults: dict[str, float]
    golden: list[float]
    chance: bool = True
    strong: dict[str, float] = {}
    golden_at: dict[str, float] = {}
    golden_by: str = "lr"


@cache
def _known() -> dict[str, Known]:
    found: dict[str, Known] = {}
    for file in sorted(Path(__file__).with_name("known").glob("*.toml")):
        for name, table in tomllib.loads(file.read_text()).items():
            golden = [float(number) for number in table.pop("logits").split()]
            found[name] = Known(golden=golden, **table)
    return found


@pytest.fixture(scope="session")
def known() -> dict[str, Known]:
    """What is known of each method."""
    return _known()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each method with its defaults, and where those do next to nothing with strong parameters as well."""
    if "setting" in metafunc.fixturenames:
        of = [(name, {}) for name in METHODS.names()]
        of += [(name, this.strong) for name, this in _known().items() if this.strong]
        ids = [name + ("-strong" if given else "") for name, given in of]
        metafunc.parametrize("setting", of, indirect=True, ids=ids)


@pytest.fixture
def setting(request):
    """A way to build a method."""
    name, given = request.param
    return lambda: METHODS.get(name).build(**given)


@pytest.fixture(scope="session")
def contract() -> ModuleType:
    """The checks of `method_contract.py`, which lies beside the tests and in no package."""
    return _load("method_contract")


def _labelled(x):
    return x, x[:, :3].argmax(1)


def _toy(contract: ModuleType, *, wrong_labels: bool, config: dict, recipe: dict):
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    _, y = _labelled(x)
    held_out = _labelled(torch.randn(16, 6, generator=torch.Generator().manual_seed(1)))
    if wrong_labels:
        y[:10] = (y[:10] + 1) % 3
    learner = build(specify("mlp", (6,), 3, config=config, recipe=recipe))
    return contract.trained_toy(learner, x, y, forget=10, keys=[11, 12, 13], validation=Examples(*held_out))


@pytest.fixture(scope="session")
def toy(contract):
    """Three small nets after 3 epochs: |S| = 10 in 2 batches, |D∖S| = 30 in 4."""
    return _toy(contract, wrong_labels=False, config={"width": 8}, recipe={"epochs": 3, "batch_size": 8})


@pytest.fixture(scope="session")
def memorised(contract):
    """Three nets that have learned S by heart, with labels nothing else supports."""
    recipe = {"epochs": 60, "batch_size": 8, "lr": 0.1}
    return _toy(contract, wrong_labels=True, config={"width": 24}, recipe=recipe)


@pytest.fixture(scope="session", params=["cnn", "resnet9"])
def image_toy(request, contract):
    """Two convolutional nets on 8×8 images: |S| = 10 in 2 batches, |D∖S| = 30 in 4."""
    x = torch.rand(52, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(52) % 3
    x[:, :4, :4] += y[:, None, None] / 2
    config = {"channels": 2} if request.param == "cnn" else {"width": 2}
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.05}
    learner = build(specify(request.param, (8, 8), 3, config=config, recipe=recipe))
    held_out = Examples(x[40:], y[40:])
    return contract.trained_toy(learner, x[:40], y[:40], forget=10, keys=[11, 12], validation=held_out)
