"""Does an installed unweave work? Run by the Python of an environment, away from the checkout.

    python smoke.py CHECKOUT [CHECK...]

Nothing of the tests is needed: an empty environment has core dependencies alone. Where the package of an extra is
installed all the same, it is kept from being imported while the message without it is looked at.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

CHECKS: dict[str, Callable[[Path, Path], None]] = {}
SMALL = (
    "--set",
    "references.models=3",
    "--set",
    "references.null=3",
    "--set",
    "learner.epochs=2",
    "--workers",
    "1",
)

EXTRAS = {"tables": "pyarrow", "images": "PIL", "plots": "matplotlib", "ray": "ray", "language": "tokenizers"}
"""The package that each extra brings, by its name when imported."""


def check(function: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """A check by its name: it gets an empty folder and the checkout, and fails by an assertion."""
    CHECKS[function.__name__] = function
    return function


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A piece of Python in a process of its own, which sees the folder and no checkout."""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600)


def unweave(*arguments: str, folder: Path, without: str = "") -> subprocess.CompletedProcess[str]:
    """The command line; `without` is a package that it may not import."""
    hidden = f"sys.modules[{without!r}] = None; " if without else ""
    code = (
        f"import sys; {hidden}sys.argv = ['unweave', *{list(arguments)!r}]; from unweave.cli import main; main()"
    )
    return python(code, folder)


def well(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that ended well."""
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


@check
def origin(folder: Path, checkout: Path) -> None:
    """What is imported is what was installed, and not the checkout."""
    file = Path(well(python("import unweave; print(unweave.__file__)", folder)).strip()).resolve()
    assert checkout.resolve() / "src" not in file.parents, f"{file} is of the checkout"


@check
def version(folder: Path, checkout: Path) -> None:
    """The version of the command is that of the distribution, and of the sources."""
    said = well(unweave("--version", folder=folder)).split()[-1]
    source = (checkout / "src" / "unweave" / "_version.py").read_text(encoding="utf-8")
    assert said == metadata.version("unweave"), said
    assert f'"{said}"' in source, said


@check
def asks_for_help(folder: Path, checkout: Path) -> None:
    """Every command says what it does."""
    commands = re.findall(r"^  ([a-z]+)  ", well(unweave("--help", folder=folder)), re.M)
    assert {"compare", "audit", "erase", "sweep"} <= set(commands), commands
    for command in commands:
        assert "Usage: unweave" in well(unweave(command, "--help", folder=folder))


@check
def lists(folder: Path, checkout: Path) -> None:
    """All methods are there, with their sources."""
    well(unweave("list", "methods", "--json", "methods.json", folder=folder))
    named = {one["name"] for one in json.loads((folder / "methods.json").read_text(encoding="utf-8"))}
    page = (checkout / "docs" / "methods.md").read_text(encoding="utf-8")
    assert named == set(re.findall(r"^## (\w+)$", page, re.M)), named
    assert "@" in well(unweave("cite", "scrub", folder=folder))


@check
def compares(folder: Path, checkout: Path) -> None:
    """A small comparison by worker processes, with its page: vendored scripts stand in it, nothing is fetched."""
    well(
        unweave(
            "compare", "--case", "digits-trigger", "--methods", "finetune", "--out", "out", *SMALL, folder=folder
        )
    )
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    fetched = re.findall(r"<(?:script|link)[^>]+(?:src|href)=(?!\"data:)[^>]*>", page)
    assert len(page) > 300_000 and not fetched, fetched or f"{len(page)} characters"
    assert {one.name for one in (folder / "out").iterdir()} >= {"result.json", "rows.csv", "table.md"}


@check
def holds_its_files(folder: Path, checkout: Path) -> None:
    """Every file of the sources is installed: scripts, templates, sources of methods, py.typed."""
    code = "import unweave, pathlib; print(pathlib.Path(unweave.__file__).parent)"
    installed = Path(well(python(code, folder)).strip())
    source = checkout / "src" / "unweave"
    wanted = {
        one.relative_to(source) for one in source.rglob("*") if one.is_file() and "__pycache__" not in one.parts
    }
    missing = sorted(str(one) for one in wanted if not (installed / one).is_file())
    assert not missing, missing
    assert Path("py.typed") in wanted and Path("report/vendor/d3.min.js") in wanted
    licences = {file.name for file in metadata.files("unweave") or ()} & {"LICENSE", "LICENSE-d3", "LICENSE-plot"}
    assert len(licences) == 3, licences


def without(extra: str, folder: Path, *arguments: str) -> None:
    """A command that needs an extra says which, in one message, before anything is done."""
    package = EXTRAS[extra]
    hidden = package if importlib.util.find_spec(package) else ""
    done = unweave(*arguments, folder=folder, without=hidden)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, f"ended with {done.returncode}: {said[-500:]}"
    assert f"'unweave[{extra}]'" in said and "Traceback" not in said, said


@check
def without_tables(folder: Path, checkout: Path) -> None:
    """Parquet files, and data sets saved by `datasets`."""
    (folder / "people.parquet").write_bytes(b"PAR1")
    (folder / "saved").mkdir()
    (folder / "saved" / "state.json").write_text("{}", encoding="utf-8")
    (folder / "saved" / "dataset_info.json").write_text("{}", encoding="utf-8")
    for source, path in (("parquet", "people.parquet"), ("hf", "saved")):
        given = (
            f"data.source={source}",
            f"data.path={path}",
            "data.label=y",
            "data.test=0.5",
            "behaviour.kind=mislabel",
        )
        sets = [word for one in given for word in ("--set", one)]
        without("tables", folder, "compare", "--case", "digits-mislabel", *sets)


@check
def without_images(folder: Path, checkout: Path) -> None:
    """Folders of images."""
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png"):
        (folder / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pets" / name).write_bytes(b"\x89PNG")
    sets = ("--set", "data.source=images", "--set", "data.path=pets", "--set", "data.test=0.5")
    without("images", folder, "compare", "--case", "digits-mislabel", *sets)


@check
def without_ray(folder: Path, checkout: Path) -> None:
    """The engine `ray`."""
    without("ray", folder, "compare", "--engine", "ray")


_CALLS = {
    "plots": "from unweave.report.plots import plot_map; plot_map(None)",
    "language": "from pathlib import Path; from unweave.language.tokenizers import read_tokenizer; "
    "read_tokenizer(Path('.'), None)",
}


def _call_without(extra: str, folder: Path) -> None:
    hide = f"sys.modules[{EXTRAS[extra]!r}] = None" if importlib.util.find_spec(EXTRAS[extra]) else "pass"
    done = python(f"import sys; {hide}; {_CALLS[extra]}", folder)
    last = done.stderr.strip().splitlines()[-1]
    assert f"'unweave[{extra}]'" in last and "UserError" in last, done.stderr[-500:]


@check
def without_plots(folder: Path, checkout: Path) -> None:
    """Maps drawn by matplotlib."""
    _call_without("plots", folder)


@check
def without_language(folder: Path, checkout: Path) -> None:
    """The tokenizer of a checkpoint."""
    _call_without("language", folder)


def main(checkout: str, *names: str) -> int:
    """Do all checks, or those named."""
    failed = 0
    for name in names or CHECKS:
        with tempfile.TemporaryDirectory(prefix="unweave-smoke-") as folder:
            try:
                CHECKS[name](Path(folder), Path(checkout))
                print(f"{name}: ok", flush=True)
            except AssertionError as why:
                failed += 1
                print(f"{name}: FAILED: {why}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
