"""A comparison by Ray on two machines: the same as by processes, also after its driver was killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unweave import Case, Comparison, LearnerChoice, ReferenceChoice, compare
from unweave.execute import WorkerError
from unweave.problem import DataChoice, ForgetChoice, ProbeChoice
from unweave.records import Result, read_record, rows_csv
from unweave.references import Store
from unweave.study import engines

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OWN = """
import torch
from torch import nn

class Greedy(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        x = x.flatten(1) if self.training else x.flatten(1).clamp_(0, 0.5)  # writes into what it is given
        return self.inner(x)

def make():
    return Greedy()
"""


def tiny(called: str = "tiny", **learner: Any) -> Case:
    return Case(
        name=called,
        data=DataChoice(limit=300),
        forget=ForgetChoice(count=10),
        learner=LearnerChoice(**{"epochs": 1, **learner}),
        references=ReferenceChoice(models=3),
        probes=ProbeChoice(limit=20),
    )


def contents(root: Path) -> dict[str, bytes]:
    store = Store(root)
    return {key: store.read_packed(key).content for key in store.keys()}


@pytest.fixture(scope="module")
def engine(ray_cluster: Any) -> Iterator[str]:
    yield f"ray:{ray_cluster.address}"


def ran(found: Comparison) -> tuple[str, int, int]:
    provenance = found.result.provenance
    return rows_csv(found.result), provenance.models_trained, provenance.models_reused


def test_the_same_rows_and_the_same_objects_as_by_processes(engine: str, tmp_path: Path):
    cases, methods = [tiny("one"), tiny("two", name="forest", epochs=None, trees=3)], ["noop", "finetune"]
    here = compare(cases, methods=methods, store=tmp_path / "here", workers=1)
    away = compare(cases, methods=methods, store=tmp_path / "away", engine=engine)
    assert ran(here) == ran(away)
    assert contents(tmp_path / "here") == contents(tmp_path / "away")
    assert "2 machines, 2 cores" in away.result.provenance.hardware


def test_own_code_runs_on_workers_and_writes_into_nobody_elses_data(engine: str, tmp_path: Path):
    file = tmp_path / "model.py"
    file.write_text(OWN)
    case = tiny(factory=f"{file}:make")
    given: dict[str, Any] = {"methods": ["noop"], "trust_code": [file]}
    here = compare(case, store=tmp_path / "here", workers=1, **given)
    away = compare(case, store=tmp_path / "away", engine=engine, **given)
    assert ran(here) == ran(away)
    assert contents(tmp_path / "here") == contents(tmp_path / "away")


def test_a_method_of_a_file_runs_on_workers(engine: str, tmp_path: Path):
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n# my_method.py\n(.*?)```", text, re.S)
    assert found is not None
    file = tmp_path / "my_method.py"
    file.write_text(found[1])
    given: dict[str, Any] = {"methods": ["noop", "my_method"], "plugins": [file]}
    here = compare(tiny(), store=tmp_path / "here", workers=1, **given)
    away = compare(tiny(), store=tmp_path / "away", engine=engine, **given)
    assert ran(here) == ran(away) and "my_method" in ran(here)[0]
    assert contents(tmp_path / "here") == contents(tmp_path / "away")


def test_an_error_of_one_world_leaves_the_others_stored(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = engines.sender

    def spoilt(*given: Any) -> Any:
        give = real(*given)
        return lambda name: _without_labels(give(name)) if name == "case bad" else give(name)

    monkeypatch.setattr(engines, "sender", spoilt)
    with pytest.raises(WorkerError, match=r"(?s)5 of 10 tasks failed.*training D of bad \(seed 1\).*IndexError"):
        compare([tiny("good"), replace(tiny("bad"), seed=1)], methods=["noop"], store=tmp_path, engine=engine)
    monkeypatch.setattr(engines, "sender", real)
    assert ran(compare(tiny("good"), methods=["noop"], store=tmp_path, engine=engine))[1:] == (0, 15)


def _without_labels(assembly: Any) -> Any:
    return assembly._replace(setting=assembly.setting._replace(y=assembly.setting.y[:5]))


def test_a_driver_that_was_killed_resumes_from_the_disk(engine: str, ray_cluster: Any, tmp_path: Path):
    command = [sys.executable, "-m", "unweave", "compare", "--quiet", "--engine", engine, "--workers", "1"]
    command += ["--case", "digits-trigger", "--set", "learner.epochs=3", "--set", "references.models=4"]
    command += ["--set", "probes.limit=40", "--methods", "noop", "--out", "out", "--store", "store"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 60
        # Four of ids, then of the first world its models and its outputs: then comes the second.
        while len(list(tmp_path.glob("store/objects/*/*.json"))) < 10:
            assert process.poll() is None and time.monotonic() < end, process.communicate()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    kept = set(contents(tmp_path / "store"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    provenance = read_record(Result, tmp_path / "out").provenance
    assert provenance.models_trained + provenance.models_reused == 20
    assert 0 < provenance.models_reused < 20
    assert kept <= set(contents(tmp_path / "store"))
