"""Results to write and read: those built by hand for the report, which cover the usual and the degenerate."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from unweave.records import Result


def _builders() -> ModuleType:
    file = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("results_built_by_hand", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def results() -> dict[str, Result]:
    """Results by name; `usual` has two cases with all kinds of row."""
    build = _builders()
    usual = build.make_result(build.trigger_case(), build.mislabel_case())
    degenerate = {name: build.make_result(case) for name, case in build.degenerate_cases().items()}
    return {"usual": usual, "no cases": build.make_result(), **degenerate}


@pytest.fixture
def result(results: dict[str, Result]) -> Result:
    """The usual result."""
    return results["usual"]
