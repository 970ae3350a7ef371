"""`--plugin` and `cite` as a shell calls them, and a method as a package in an environment of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import unweave
from unweave.methods import METHODS
from unweave.methods.sources import parse_bibtex, sources

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "unweave-hinge"


@pytest.fixture
def plugin(tmp_path) -> Path:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    file = tmp_path / "my_method.py"
    file.write_text(re.search(r"```python\n# my_method.py\n(.*?)```", text, re.S)[1])
    return file


def few(tiny) -> list[str]:
    return [one for one in tiny if not one.startswith(("--methods", "--workers"))]


def test_compare_with_a_file(run, plugin, tiny, tmp_path):
    options = [*few(tiny), "--methods=noop,my_method", "--workers=2", "--out=out", "--case=digits-trigger"]
    done = run("compare", *options, "--plugin", plugin.name, "--quiet", "--json", "r.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    result = json.loads((tmp_path / "r.json").read_text())
    rows = {row["id"]: row["status"] for row in result["cases"][0]["rows"] if row["kind"] == "method"}
    assert rows == {"noop": "ok", "my_method": "ok"}
    assert "of the file my_method.py" in result["provenance"]["notes"][0]
    refused = run("compare", *options)
    assert refused.returncode == 2 and "Unknown method `my_method`" in refused.stderr


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_a_method_that_fails_is_told_where_no_table_is_shown(run, plugin, tiny, command):
    plugin.write_text(plugin.read_text().replace("forget, retain =", "forget, nothing ="))
    options = [*few(tiny), "--methods=my_method", "--workers=1", "--out=out", "--case=digits-trigger", "--quiet"]
    done = run(command, *options, "--plugin", plugin.name)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("Failed: my_method on digits-trigger") and "name 'retain'" in done.stderr


@pytest.mark.parametrize("command", [["compare"], ["list", "methods"], ["cite", "noop"]])
def test_a_file_that_fails_is_one_message(run, plugin, command):
    plugin.write_text("1 / 0")
    done = run(*command, "--plugin", plugin.name)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: Running ") and "(my_method.py, line 1)" in done.stderr


def test_list_and_cite_with_a_file(invoke, plugin):
    listed = invoke("list", "methods", "--plugin", plugin.name)
    assert listed.exit_code == 0 and f"from: file {plugin}" in listed.stdout
    assert "my_method" not in METHODS
    refused = invoke("list", "data", "--plugin", plugin.name)
    assert refused.exit_code == 2 and "--plugin registers methods" in refused.stderr
    unknown = invoke("cite", "my_method", "noop", "--plugin", plugin.name)
    assert unknown.stdout.splitlines()[:2] == [
        "% my_method: its source is me2026mymethod, of which no entry is known",
        "% noop: no source",
    ]
    bib = 'bibtex="@misc{me2026mymethod, title = {Mine}, author = {Me}, year = 2026}", cite='
    plugin.write_text(plugin.read_text().replace("cite=", bib))
    cited = invoke("cite", "my_method", "--plugin", plugin.name)
    assert cited.stdout.startswith(
        "% my_method\n@misc{me2026mymethod, title = {Mine}, author = {Me}, year = 2026}\n"
    )


def test_cite_prints_entries_that_can_be_read_again(invoke):
    done = invoke("cite", "all")
    assert done.exit_code == 0
    found = parse_bibtex(done.stdout, "the output")
    registered = {
        key: one for key, one in sources().items() if key != "zhao2024what"
    }  # of several methods together
    assert {key: one for key, one in found.items() if key != "unweave"} == registered
    assert "@inproceedings{zhao2024what," in invoke("cite", "noop / scrub by confidence").stdout
    assert found["unweave"].fields["version"] == unweave.__version__
    assert "% noop: no source" in done.stdout.splitlines()
    some = invoke("cite", "scrub", "neggrad_plus", "scrub", "ssd").stdout
    assert "% scrub, neggrad_plus\n@inproceedings{kurmanji2023scrub," in some
    assert list(parse_bibtex(some, "the output")) == ["kurmanji2023scrub", "foster2024ssd", "unweave"]


def test_cite_offers_near_names(invoke):
    done = invoke("cite", "scrubb")
    assert done.exit_code == 2 and "`scrubb`. Did you mean `scrub`" in done.stderr
    assert invoke("cite").exit_code == 2


# ---- a package, installed where there was none ----


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """The bin folder of a new environment with the example in it, and all that this one has within reach."""
    import shutil

    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    within_reach = [str(Path(unweave.__file__).parents[1]), sysconfig.get_path("purelib")]
    (site / "within_reach.pth").write_text("\n".join(dict.fromkeys(within_reach)) + "\n")
    source = folder / "source"  # building writes beside the source
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*command, "--no-build-isolation", source], capture_output=True, text=True, timeout=300, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert list(site.glob("unweave_hinge-*.dist-info"))
    return python.parent


@pytest.fixture
def in_environment(environment, tmp_path):
    def call(*arguments: str, module: str = "unweave") -> subprocess.CompletedProcess[str]:
        command = [environment / "python", "-m", module, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return call


def test_an_installed_method_is_listed_cited_and_compared(in_environment, run, tiny, tmp_path):
    listed = in_environment("list", "methods", "--json", "list.json")
    assert (listed.returncode, listed.stderr) == (0, "")
    last = json.loads((tmp_path / "list.json").read_text())[-1]
    assert (last["name"], last["from"]) == ("inverted_hinge", "package unweave-hinge 0.1.0")
    cited = in_environment("cite", "inverted_hinge")
    assert parse_bibtex(cited.stdout, "the output")["cha2025loku"].fields["year"] == "2025"
    options = [*few(tiny), "--methods=noop,inverted_hinge", "--workers=2", "--case=digits-trigger", "--quiet"]
    done = in_environment("compare", *options, "--out", "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    rows = {row["id"]: row["status"] for row in result["cases"][0]["rows"] if row["kind"] == "method"}
    assert rows == {"noop": "ok", "inverted_hinge": "ok"}
    assert "of the package unweave-hinge 0.1.0" in result["provenance"]["notes"][0]
    assert run("compare", *options).returncode == 2, "it is known here as well"


def test_the_package_passes_its_own_test(in_environment):
    done = in_environment("-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"), module="pytest")
    assert done.returncode == 0, done.stdout


def test_the_module_of_the_example_is_short():
    assert len((EXAMPLE / "unweave_hinge.py").read_text().splitlines()) < 40


def test_help_loads_no_plugin_and_no_torch():
    code = (
        "import sys; sys.argv = ['unweave', '--help']\n"
        "from unweave.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'unweave.methods', 'unweave.study')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert " cite " in done.stdout
