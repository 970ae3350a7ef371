"""Commands in an empty folder each time, and what they wrote, kept by the fingerprint of command and code."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.proof.claims import ROOT, Run

from unweave import UserError
from unweave.data.named import VARIABLE, find, folders

LONGEST = 20
"""A command may take so many times what it takes on two quiet cores, and ten minutes."""


def _bytes_of(folder: Path) -> Iterable[bytes]:
    for file in sorted(folder.rglob("*")):
        own = file.parent == Path(__file__).parent or file.parent.name == "claims"
        if file.suffix in (".py", ".toml", ".bib", ".json", ".md") and not own:
            yield f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0"


@cache
def fingerprint(folders: tuple[str, ...], root: Path = ROOT) -> str:
    """SHA-256 of all that a command may run: these folders, but for the proof itself, and what is installed."""
    digest = hashlib.sha256()
    for folder in folders:
        for content in _bytes_of(root / folder):
            digest.update(content)
    for name in ("torch", "numpy", "scipy", "scikit-learn"):
        digest.update(f"{name} {metadata.version(name)}\0".encode())
    return digest.hexdigest()


def key(run: Run) -> str:
    """The name under which the results of a run are kept: its commands, and the code that they run."""
    named = [folder for folder in ("docs", "tests") if any(folder in command for command in run.commands)]
    code = fingerprint(("src", "examples", *named))
    text = json.dumps([run.commands, run.needs, code, platform.python_version(), platform.machine()])
    return f"{run.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def lacking(run: Run) -> str | None:
    """Why a run cannot be done here: data, a module, a program or a GPU that is not there."""
    for need in run.needs:
        kind, _, name = need.partition(":")
        if kind == "data" and not _found(name):
            return f"data absent: {name}"
        if kind == "module" and importlib.util.find_spec(name) is None:
            return f"module absent: {name}"
        if kind == "program" and shutil.which(name) is None:
            return f"program absent: {name}"
        if kind == "gpu" and not _gpu():
            return "GPU absent"
        if kind not in ("data", "module", "program", "gpu"):
            return f"unknown need {need}"
    return None


def _found(name: str) -> bool:
    try:
        find(name)
    except UserError:
        return False
    return True


@cache
def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def environment() -> dict[str, str]:
    """The environment of a command: this checkout, one thread a process, data where they are looked for here."""
    data = next((str(one.resolve()) for one in folders() if one.is_dir()), "")
    own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}
    paths = [str(ROOT / "src"), str(ROOT)]
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(paths), **({VARIABLE: data} if data else {})}


def words(command: str) -> list[str]:
    """The words of a command; `unweave` and `python` are those of this environment, {root} this checkout."""
    first, *rest = shlex.split(command.replace("{root}", str(ROOT)))
    own = {"unweave": [sys.executable, "-m", "unweave"], "python": [sys.executable]}
    return [*own.get(first, [first]), *rest]


def kept(run: Run, out: Path, *, older: bool = False) -> Path | None:
    """The folder with what a finished run wrote with this code; `older`: if there is none, what other code did."""
    folder = out / key(run)
    if (folder / "run.json").exists():
        return folder
    if not older:
        return None
    finished = [(load_run(one)["when"], one) for one in out.glob(f"{run.name}-*") if _same_commands(run, one)]
    return max(finished)[1] if finished else None


def _same_commands(run: Run, folder: Path) -> bool:
    done = load_run(folder)
    steps = tuple(step["command"] for step in done.get("steps", ()))
    return done.get("name") == run.name and steps == run.commands


def load_run(folder: Path) -> dict[str, Any]:
    """What is noted of a finished run; {} of one that failed."""
    noted = folder / "run.json"
    return json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {}


def when(run: Run, folder: Path) -> str:
    """When a run was done and with which code; a star marks code that has changed since."""
    done = load_run(folder)
    if not done:
        return "–"
    star = "" if folder.name == key(run) else "*"
    return f"{done['when'][:16].replace('T', ' ')}, {done.get('commit') or 'unknown'}{star}"


def _commit() -> str | None:
    """The commit that is checked out, if this is a checkout."""
    try:
        asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def do(run: Run, out: Path, files: Iterable[str]) -> Path:
    """Do the commands, and keep what they printed and the files that claims read; a failure is done again."""
    target = out / key(run)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    work = Path(tempfile.mkdtemp(prefix=f"proof-{run.name}-")).resolve()
    steps: list[dict[str, Any]] = []
    try:
        for place, command in enumerate(run.commands):
            printed = target / f"{place}.out"
            started = time.monotonic()
            with printed.open("wb") as stream:
                code = _call(command, work, stream, LONGEST * run.seconds + 600)
            steps.append({"command": command, "seconds": time.monotonic() - started, "exit": code})
            if code:
                break
        for name in files:
            if (work / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(work / name, target / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = {"name": run.name, "when": now, "commit": _commit(), "steps": steps}
    finished = not steps[-1]["exit"]
    (target / ("run.json" if finished else "failed.json")).write_text(json.dumps(done, indent=1), encoding="utf-8")
    return target


def _call(command: str, work: Path, stream: Any, limit: float) -> int:
    try:
        done = subprocess.run(
            words(command), cwd=work, stdout=stream, stderr=subprocess.STDOUT, env=environment(), timeout=limit
        )
    except subprocess.TimeoutExpired:
        stream.write(f"\nended after {limit:.0f} seconds\n".encode())
        return 124
    except OSError as why:
        stream.write(f"{why}\n".encode())
        return 127
    return done.returncode


def hardware() -> str:
    """The machine in a few words."""
    names = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else "").splitlines()
        if line.startswith("model name")
    ]
    model = names[0] if names else platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, torch {metadata.version('torch')}"
    return f"{os.cpu_count()} cores, {model}, {versions}, {'a GPU' if _gpu() else 'no GPU'}"
