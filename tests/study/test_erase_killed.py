"""A request that is killed leaves nothing or a complete folder, and the next one works."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.study.erasing import save_model, tiny

ROOT = Path(__file__).parents[2]


def test_killed_at_every_call_that_writes(tmp_path):
    save_model(tiny(tmp_path))
    command = [sys.executable, "-m", "tests.study.killed_erase", str(tmp_path)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    calls = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    assert len(calls) == len(lines) - 1 > 8 and not lines[-1]["killed"], done.stdout
    for line in lines:
        assert line["whole"] in (["0001"], ["0001", "0002"])
        assert line["next"] == len(line["whole"]) + 1 == len(line["log"])
    # The rename is where nothing becomes everything.
    at = next(k for k, call in enumerate(calls) if call.startswith("os.rename .0002.") and "/" not in call)
    assert all(line["whole"] == ["0001"] for line in lines[: at + 1])
    assert all(line["whole"] == ["0001", "0002"] for line in lines[at + 1 :])
