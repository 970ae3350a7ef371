"""A comparison that is stopped: its exit code, and that the same command goes on from there."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from unweave.records import Result, read_record

OPTIONS = [
    *("--case", "digits-trigger", "--set", "learner.epochs=2", "--set", "references.models=4"),
    *("--set", "probes.limit=40", "--workers", "2", "--methods", "noop,scrub", "--out", "out", "--store", "store"),
]


def _objects(store: Path) -> set[str]:
    return {file.name for file in store.rglob("objects/*/*.json")}


def _models(store: Path) -> set[str]:
    return {
        name
        for name in _objects(store)
        if b'"kind": "model"' in (store / "objects" / name[:2] / name).read_bytes()
    }


def _wait_for_a_model(process: "subprocess.Popen[str]", store: Path) -> list[str]:
    """Wait until the first model is stored; returns the processes of the workers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _models(store):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return children.read_text().split() if children.exists() else []  # known on Linux alone


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_and_run_again(tmp_path, number, code):
    command = [sys.executable, "-m", "unweave", "compare", *OPTIONS]
    pipe = subprocess.PIPE
    # Who runs the tests in the background of a script has them ignore Ctrl-C, and all they start.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed) as process:
        try:
            workers = _wait_for_a_model(process, tmp_path / "store")
            asked = time.monotonic()
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert time.monotonic() - asked < 10
    assert process.returncode == code, stderr
    assert stderr.strip() == "Interrupted. What was complete is stored; run the same command to go on."
    assert stdout == "" and not list((tmp_path / "out").iterdir())
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)

    kept = _objects(tmp_path / "store")
    assert kept
    done = subprocess.run([*command, "--quiet"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = read_record(Result, tmp_path / "out")
    assert result.provenance.models_trained + result.provenance.models_reused == 20
    assert result.provenance.models_reused > 0 and kept <= _objects(tmp_path / "store")
    assert {row.status for row in result.cases[0].rows} == {"ok"}


MOMENTS = {
    "while modules are imported": """
class Sent:
    def find_spec(self, name, *_):
        if name == "unweave.cli.app":
            send()

sys.meta_path.insert(0, Sent())
""",
    "before the command": """
from unweave.cli.app import app
app.registered_callback.callback = send
""",
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_says_how_to_go_on_whenever_the_signal_comes(moment, number, code):
    script = f"""
import os, signal, sys
import unweave.cli

def send():
    os.kill(os.getpid(), {int(number)})

{MOMENTS[moment]}
sys.argv = ["unweave", "list", "methods"]
unweave.cli.main()
"""
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, preexec_fn=heed)
    assert (done.stdout, done.returncode) == ("", code), done.stderr
    assert done.stderr.strip() == "Interrupted. What was complete is stored; run the same command to go on."
