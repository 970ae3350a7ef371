"""The section of the README for people with a model works as it is written, here with few references."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEWER = {"erase": ["--models", "20"], "audit": ["--references", "19", "--fresh", "3"]}


def commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## I have a model and a request\n")[2].partition("\n## ")[0]
    assert len(section.splitlines()) <= 25
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1)
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


@pytest.mark.slow
def test_the_commands_of_the_readme_run_and_say_what_it_says(tmp_path):
    shutil.copytree(ROOT / "examples" / "own_model", tmp_path / "examples" / "own_model")
    said = []
    for words in commands():
        program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "unweave"]
        options = FEWER.get(words[1], [])
        run = subprocess.run(
            [*program, *words[1:], *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert run.returncode == 0, run.stderr
        said.append(run.stdout)
    assert (tmp_path / "erased" / "0001" / "model.safetensors").is_file()
    assert "S is known by heart" in said[1].replace("\n", " ")
    assert "untraining: not distinguishable" in said[2].replace("\n", " ")
