"""`make minimum`: the lowest versions that pyproject.toml allows, but for torch, and many tests with them.

    python tests/packaging/minimum.py [PYTEST ARGUMENTS]

Tests that look at the style of the sources are left out with the tools that they call.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_LOWEST = ("torch", "ruff", "basedpyright", "hatchling")
"""torch is that of constraints.txt; the others do nothing for a user."""
LEFT_OUT = ("-W", "ignore::DeprecationWarning")
"""Old versions call old names of newer ones beside them, such as those of pyparsing in matplotlib."""
TESTED = (
    "tests/attacks", "tests/cli", "tests/data", "tests/execute", "tests/influence", "tests/language",
    "tests/learners", "tests/metrics", "tests/problem", "tests/records", "tests/references", "tests/report",
    "tests/stats", "tests/study_spec", "tests/study/test_compare.py", "tests/study/test_sweep.py",
    "tests/cluster/test_ray_study.py",
)  # fmt: skip


def lowest(requirements: Iterable[str]) -> list[str]:
    """The lowest version of each requirement that names one: `numpy>=1.26` becomes `numpy==1.26`.

    Raises:
        ValueError: for a requirement without a lower bound.
    """
    found: list[str] = []
    for one in requirements:
        match = re.fullmatch(r"\s*([\w.-]+)\s*>=\s*([\w.]+)\s*", one)
        if match is None:
            raise ValueError(f"{one!r} has no lower bound")
        if match.group(1) not in NOT_LOWEST:
            found.append(f"{match.group(1)}=={match.group(2)}")
    return found


def wanted(root: Path = ROOT) -> list[str]:
    """All dependencies and those of the tests, at their lowest, each once."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [one for names in project["optional-dependencies"].values() for one in names]
    return sorted(set(lowest([*project["dependencies"], *extras])))


def torch_of(root: Path = ROOT) -> str:
    """The torch that constraints.txt pins."""
    (line,) = re.findall(r"^torch==.*$", (root / "constraints.txt").read_text(encoding="utf-8"), re.M)
    return line


def main(*arguments: str) -> int:
    """Make the environment and run the tests in it."""
    place = ROOT / "runs" / "minimum"
    own = place / "bin" / "python"
    if not own.exists():
        venv.create(place, with_pip=True)
    install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", torch_of(), *wanted()]
    subprocess.run(install, check=True)
    subprocess.run([own, "-m", "pip", "install", "--quiet", "--no-deps", "-e", ROOT], check=True)
    print("\n".join(wanted()), flush=True)
    command = [own, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider", *LEFT_OUT]
    return subprocess.run([*command, *(arguments or TESTED)], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
