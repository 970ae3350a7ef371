"""`make wheel`: build the wheel, install it into an empty environment, and try it there.

The environment sees nothing of the checkout, as that of somebody else would, and has core dependencies alone: what
needs an extra has to say which.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def environment() -> dict[str, str]:
    """The environment variables of a command that must not see the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def build(target: Path, *options: str) -> Path:
    """The wheel of the checkout in a folder."""
    shutil.rmtree(target, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        *options,
    ]
    subprocess.run([*command, "-w", str(target), str(ROOT)], check=True, env=environment())
    (wheel,) = target.glob("unweave-*.whl")
    return wheel


def contents(wheel: Path) -> set[str]:
    """The names of all files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def main() -> int:
    """Build, install, try."""
    runs = ROOT / "runs" / "wheel"
    wheel = build(runs / "dist")
    print(
        f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size / 1e6:.1f} MB, {len(contents(wheel))} files", flush=True
    )
    place = runs / "environment"
    venv.create(place, clear=True, with_pip=True)
    own = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [
        own,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        ROOT / "constraints.txt",
        wheel,
    ]
    subprocess.run(install, check=True, env=environment())
    smoke = shutil.copy(Path(__file__).with_name("smoke.py"), runs / "smoke.py")
    done = subprocess.run([own, smoke, ROOT], cwd=place, env=environment())
    if done.returncode == 0:
        shutil.rmtree(place)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
