"""Code that a user's file imports is a part of what its models are."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
import pytest

from unweave._errors import UserError
from unweave.learners import own_code
from unweave.learners.imports import imports_of
from unweave.learners.own_code import make, sha256
from unweave.learners.specs import specify_own
from unweave.references.keys import Setting, model_fields
from unweave.references.objects import key_of
from unweave.references.plan import WorldPlan

CODE = """
import json
import helper
from torch import nn
def make(shape, classes):
    return nn.Linear(shape[0], classes * helper.SCALE)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper.py").write_text("import deeper\nSCALE = 1\n")
    (tmp_path / "deeper.py").write_text("import scipy\n")
    (tmp_path / "own.py").write_text(CODE)
    yield tmp_path
    for name in ("helper", "deeper"):
        sys.modules.pop(name, None)


def spec_of(folder):
    file = folder / "own.py"
    return specify_own(
        file, "make", (6,), 3, sha256=sha256(file), imports=imports_of(file.read_bytes()), opaque=False
    )


def key(spec):
    x = np.zeros((10, 6), np.float32)
    setting = Setting(spec, x, np.arange(10) % 3, np.arange(10), "data", x)
    return key_of(model_fields(setting, WorldPlan("original", "D", np.arange(10), (1,)))[0])


def test_versions_of_what_is_installed_and_digests_of_what_is_not(folder):
    found = imports_of((folder / "own.py").read_bytes())
    assert found["torch"] == f"torch {version('torch')}"
    assert found["scipy"] == f"scipy {version('scipy')}"  # by way of two files
    assert len(found["helper"]) == len(found["deeper"]) == 64
    assert sorted(found) == ["deeper", "helper", "scipy", "torch"]


def test_imports_are_found_wherever_they_stand_and_code_that_is_none_has_none():
    assert "numpy" in imports_of(
        b"def f():\n    try:\n        from numpy.random import rand\n    except OSError: pass"
    )
    assert imports_of(b"from . import near\nimport unweave.methods, os.path") == {}
    assert imports_of(b"def (:") == imports_of(b"\0") == imports_of(b"import there_is_no_such_module") == {}


@pytest.mark.parametrize("changed", ["helper.py", "deeper.py", "package"])
def test_models_of_other_imports_are_other_models(folder, changed):
    if changed == "package":
        (folder / "helper.py").unlink()
        (folder / "helper").mkdir()
        (folder / "helper" / "__init__.py").write_text("from .part import SCALE")
        (folder / "helper" / "part.py").write_text("SCALE = 1")
    before = key(spec_of(folder))
    assert key(spec_of(folder)) == before
    file = folder / "helper" / "part.py" if changed == "package" else folder / changed
    file.write_text(file.read_text() + "\n# other\n")
    assert key(spec_of(folder)) != before


def test_another_version_is_another_model(folder, monkeypatch):
    before = key(spec_of(folder))
    monkeypatch.setattr("unweave.learners.imports.version", lambda name: "0.1")
    assert key(spec_of(folder)) != before


def test_a_worker_refuses_imports_that_have_changed(folder):
    spec = spec_of(folder)
    assert make(spec).out_features == 3
    own_code._function.cache_clear()
    (folder / "helper.py").write_text("SCALE = 2\n")
    with pytest.raises(UserError, match=r"own\.py imports `helper`, which has changed since .* Start Python anew"):
        make(spec)
    sys.modules.pop("helper")  # as in a new process
    with pytest.raises(UserError, match=r"own\.py imports `deeper`.*SHA-256 .* then, not found here.*Run again"):
        make(spec)
