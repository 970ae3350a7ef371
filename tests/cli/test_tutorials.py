"""The tutorials work as they are written: their files, their commands, and what they say comes out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
_BLOCK = re.compile(r"```(python|toml|sh)\n(.*?)```|<!-- (says|file): (.*?) -->", re.DOTALL)
# The same with fewer models. What a command of a tutorial says itself comes after it, and holds.
_FEWER = (("unweave audit ", "unweave audit --references 19 --fresh 3 "), ("--models 100 ", "--models 40 "))


def walk(text, folder, run):
    """Write each file of a tutorial, run its commands, and hold what it expects against them."""
    said = ""
    for kind, body, claim, value in _BLOCK.findall(text):
        if kind in ("python", "toml"):
            name = re.match(r"# (\S+\.\w+)\n", body).group(1)
            (folder / name).write_text(body)
        elif kind == "sh":
            said = run(body.replace("\\\n", " "), folder)
        elif claim == "says":
            assert value in " ".join(said.split()), f"expected {value!r} in: {said}"
        else:
            assert (folder / value).is_file(), value


def in_shell(command, folder):
    for whole, less in _FEWER:
        command = command.replace(whole, less)
    command = f'set -e\nunweave() {{ {sys.executable} -m unweave "$@"; }}\n{command}'
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.stem)
def test_a_tutorial_works_as_it_is_written(file, tmp_path):
    walk(file.read_text(encoding="utf-8"), tmp_path, in_shell)
    text = file.read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (file.parent / picture).is_file(), picture


def test_a_tutorial_that_says_what_is_not_so_fails(tmp_path):
    with pytest.raises(AssertionError, match="expected 'two'"):
        walk("```sh\necho one\n```\n<!-- says: two -->", tmp_path, in_shell)
    with pytest.raises(AssertionError, match="none.html"):
        walk("<!-- file: none.html -->", tmp_path, in_shell)
    with pytest.raises(AssertionError):
        walk("```sh\nfalse\n```", tmp_path, in_shell)
