"""The command line, called in this process or as a process of its own, in an empty folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from unweave.cli.app import app

TINY = (
    "--set=learner.epochs=1",
    "--set=references.models=3",
    "--set=probes.limit=40",
    "--workers=1",
    "--methods=noop",
)

Invoke = Callable[..., Result]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, since results and the store lie below it by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def invoke() -> Invoke:
    """Call a command in this process."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return call


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Call a command as a process, the way a shell does."""

    def call(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unweave", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False)

    return call


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Options that make a comparison take a second."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `out` and `store` of a tiny comparison that went well."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--case", "digits-trigger", *TINY, "--out", str(folder / "out"), "--store", str(folder / "store")]
    done = CliRunner().invoke(app, ["compare", *options, "--json", str(folder / "again.json"), "--seed", "3"])
    assert done.exit_code == 0, done.output
    (folder / "stdout.txt").write_text(done.stdout)
    return folder
