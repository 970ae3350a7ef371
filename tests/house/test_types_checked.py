"""In tests types are checked at run time: what is called, made or returned with a wrong one says so."""

import importlib.util
import sys

import pytest

import unweave._types
from unweave._types import Estimate

CODE = """
from __future__ import annotations
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from heavy import Box, Model
    Pair = tuple[Model, Model]

@dataclass(frozen=True)
class Parent:
    size: int
    model: Model | None = None

@dataclass(frozen=True)
class Child(Parent):
    rate: float = 0.0
    @property
    def half(self) -> int:
        return self.size / 2
    @classmethod
    def of(cls, size: int) -> Child:
        return cls(size)

@contextmanager
def within(size: int) -> Iterator[int]:
    yield size

def named(model: Model, name: str, pair: Pair | None = None) -> str:
    return name if model else model

def boxed(size: int, box: Box[Model] | None = None) -> Box[Model]:
    return size

def outer(x: int) -> int:
    def inner(y: str) -> int:
        return y
    return inner(x)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A module that is loaded as those of unweave are."""
    path = tmp_path_factory.mktemp("made") / "made_here.py"
    path.write_text(CODE)
    loader = type(unweave._types.__spec__.loader)("made_here", str(path))
    spec = importlib.util.spec_from_file_location("made_here", path, loader=loader)
    module = sys.modules["made_here"] = importlib.util.module_from_spec(spec)
    yield loader.exec_module(module) or module
    del sys.modules["made_here"]


def test_unweave_is_loaded_so():
    assert Estimate(1.0, None, None, 3).value == 1.0
    with pytest.raises(TypeError, match="parameter value=1 violates"):
        Estimate(1, None, None, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda made: made.Child("3"),  # a field of its parent
        lambda made: made.Child(3, rate=1),
        lambda made: made.Child.of("3"),
        lambda made: made.within("3").__enter__(),
        lambda made: made.named(object(), 3),  # beside a type that only the static checker knows
        lambda made: made.boxed("3"),
    ],
)
def test_a_wrong_argument_is_refused(made, wrong):
    with pytest.raises(TypeError, match="parameter .* violates"):
        wrong(made)


@pytest.mark.parametrize("wrong", [lambda made: made.Child(3).half, lambda made: made.named(0, "a")])
def test_a_wrong_result_is_refused(made, wrong):
    with pytest.raises(TypeError, match="return .* violates"):
        wrong(made)


def test_what_is_right_passes_and_functions_within_functions_are_not_looked_at(made):
    assert made.boxed(3) == 3
    assert made.Child.of(3).size == made.Child(3, model=object()).size == 3
    with made.within(3) as size:
        assert size == 3
    assert made.named(object(), "a", pair=(1, 2)) == "a" and made.outer(3) == 3
