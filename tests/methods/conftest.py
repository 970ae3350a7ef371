"""The toys methods are tried on, the contract checks of `unweave.testing`, and what is known of each method."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from unweave import testing
from unweave.methods import METHODS


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
    per_step: bool = False


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
    """The checks that authors of methods outside have as well."""
    return testing


@pytest.fixture(scope="session")
def toy():
    """Three small nets after 3 epochs: |S| = 10 in 2 batches, |D∖S| = 30 in 4."""
    return testing.small_toy()


@pytest.fixture(scope="session")
def memorised():
    """Three nets that have learned S by heart, with labels nothing else supports."""
    return testing.memorised_toy()


@pytest.fixture(scope="session", params=["cnn", "resnet9"])
def image_toy(request):
    """Two convolutional nets on 8×8 images: |S| = 10 in 2 batches, |D∖S| = 30 in 4."""
    return testing.image_toy(request.param)
