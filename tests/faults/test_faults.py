"""Every fault of the harness, few times each; `make faults` does them by the hundred."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from full import ROOMS, as_line

SCRIPT = Path(__file__).with_name("full.py")
SLOW = {"runs"}


@pytest.mark.parametrize("room", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in ROOMS])
def test_faults_do_no_harm_and_bad_code_is_caught(room, tmp_path):
    rows = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), "--smoke", "--room", room, "--json", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    found = json.loads(rows.read_text()) if rows.exists() else []
    assert done.returncode == 0, "\n".join([*map(as_line, found), done.stderr])
    for row in found:
        if "skipped" in row:
            print(f"{row['name']} was skipped: {row['skipped']}")
        elif row["control"]:
            assert row["corrupt"] + row["lost"] + row["wrong"] > 0, row
        else:
            assert (row["corrupt"], row["lost"], row["wrong"]) == (0, 0, 0) and row["done"] > 0, row
