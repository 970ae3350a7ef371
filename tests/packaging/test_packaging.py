"""The wheel holds what the sources hold and works away from them; every extra is named where it is missing."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from tests.packaging import minimum, smoke, wheel

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the unpacked wheel, built without the network."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: `python -m pip install '.[test]'`")
    place = tmp_path_factory.mktemp("wheel")
    made = wheel.build(place / "dist", "--no-build-isolation", "--no-index")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(place / "installed")
    return place / "installed"


def smoked(installed: Path, place: Path, *names: str) -> subprocess.CompletedProcess[str]:
    script = shutil.copy(ROOT / "tests" / "packaging" / "smoke.py", place / "smoke.py")
    own = {**wheel.environment(), "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, str(ROOT), *names]
    return subprocess.run(command, cwd=place, env=own, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(installed, tmp_path):
    done = smoked(installed, tmp_path, "origin", "version", "lists", "holds_its_files", "compares")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_is_not_in_the_wheel_is_seen(installed, tmp_path):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(installed, spoilt)
    (spoilt / "unweave" / "report" / "vendor" / "plot.min.js").unlink()
    done = smoked(spoilt, tmp_path, "holds_its_files")
    assert done.returncode == 1 and "report/vendor/plot.min.js" in done.stdout


def test_the_checkout_is_told_from_what_is_installed(tmp_path):
    done = smoked(ROOT / "src", tmp_path, "origin")
    assert done.returncode == 1 and "is of the checkout" in done.stdout


@pytest.mark.parametrize("extra", smoke.EXTRAS)
def test_what_needs_an_extra_says_which(extra, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    smoke.CHECKS[f"without_{extra}"](tmp_path, ROOT)


def test_a_message_that_names_no_extra_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setitem(smoke.EXTRAS, "tables", "ray")
    with pytest.raises(AssertionError, match="ended with|unweave"):
        smoke.without("tables", tmp_path, "compare", "--engine", "ray")


def test_every_extra_is_looked_at_and_brings_its_package():
    names = {"PIL": "pillow"}
    brought = {name: names.get(package, package) for name, package in smoke.EXTRAS.items()}
    extras = {name: of for name, of in PROJECT["optional-dependencies"].items() if name != "test"}
    assert {name: [re.split("[>=]", one)[0] for one in of] for name, of in extras.items()} == {
        name: [package] for name, package in brought.items()
    }
    assert {f"without_{name}" for name in extras} <= set(smoke.CHECKS)


def test_lowest_versions_are_those_of_the_bounds():
    assert minimum.lowest(["numpy>=1.26", " pytest-xdist >= 3.6.1", "torch>=2.10"]) == [
        "numpy==1.26",
        "pytest-xdist==3.6.1",
    ]
    with pytest.raises(ValueError, match="'rich' has no lower bound"):
        minimum.lowest(["rich"])
    assert "typer==0.18" in minimum.wanted() and minimum.torch_of().startswith("torch==")


def test_tests_ask_for_the_versions_that_users_are_asked_for():
    bounds = {}
    extras = [one for of in PROJECT["optional-dependencies"].values() for one in of]
    for one in [*PROJECT["dependencies"], *extras]:
        name, bound = one.split(">=")
        assert bounds.setdefault(name, bound) == bound
