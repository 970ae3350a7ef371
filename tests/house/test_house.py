"""The house keeps its own rules: arrows between rooms, sizes of files, light imports, no strays."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "unweave").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
HEAVY = ("torch", "sklearn", "scipy.stats", "pandas", "matplotlib", "transformers", "ray")


def test_only_the_allowed_arrows_between_rooms():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_every_room_stands_in_the_import_contract():
    rooms = {
        file.relative_to(ROOT / "src" / "unweave").parts[0] for file in SOURCES if file.parent.name != "unweave"
    }
    contract = (ROOT / "pyproject.toml").read_text()
    missing = {room for room in rooms if f'"unweave.{room}' not in contract and f" unweave.{room}" not in contract}
    assert not missing


def check_size(file):
    assert len(file.read_text().splitlines()) <= 400


@pytest.mark.parametrize("file", [*SOURCES, *TESTS], ids=lambda file: file.name)
def test_files_have_at_most_400_lines(file):
    check_size(file)


def test_the_check_of_sizes_can_fail(tmp_path):
    (tmp_path / "file.py").write_text("x = 1\n" * 401)
    with pytest.raises(AssertionError):
        check_size(tmp_path / "file.py")


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_files_have_a_docstring(file):
    assert file.read_text().startswith('"""')


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_no_file_is_a_place_for_everything(file):
    assert not {"utils", "helpers", "common", "core", "manager", "base", "misc"} & set(file.with_suffix("").parts)


def _loads(statement: str, names: tuple[str, ...]) -> list[str]:
    code = f"import sys; {statement}; print([n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout)


@pytest.mark.parametrize("statement", ["import unweave", "import unweave.cli.app", "import unweave.report"])
def test_import_is_light(statement):
    assert _loads(statement, HEAVY) == []


def test_commands_start_without_torch():
    """What is stored already is shown without it, and it takes longer to load than all else."""
    assert _loads("import unweave.study", ("torch",)) == []


def test_a_worker_starts_without_what_its_tasks_may_not_need():
    heavy = ("numpy", "pydantic", "scipy", "jinja2", "typer", *HEAVY)
    assert _loads("import unweave.execute.worker", heavy) == []
    assert _loads("import unweave; unweave.Case", ("numpy",)) == ["numpy"]


def test_the_check_of_light_imports_can_fail():
    assert _loads("import unweave.training.engine", ("torch",)) == ["torch"]


def test_public_names_are_what_the_package_says():
    import unweave

    text = (ROOT / "src" / "unweave" / "__init__.py").read_text()
    exported = set(re.findall(r"import (\w+) as \1", text))
    assert exported <= set(dir(unweave))
    assert all(getattr(unweave, name).__module__.startswith("unweave") for name in exported - {"__version__"})
    with pytest.raises(AttributeError, match="has no attribute 'compere'"):
        _ = unweave.compere
    assert {"Case", "compare", "Comparison", "__version__"} <= exported


def test_nothing_speaks_of_the_machine_it_was_written_on():
    forbidden = re.compile(r"(?<![\w.])/(work|root|tmp)/|\bpypi\.org\b|files\.pythonhosted")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    files = [ROOT / name for name in listed.splitlines() if "vendor" not in name and "tests/" not in name]
    found = [f"{file}: {m.group()}" for file in files if (m := forbidden.search(file.read_text(errors="replace")))]
    assert not found


def test_changelog_has_its_lines_under_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[?Unreleased\]?\n+(### \w+\n+)?- ", text, re.M)


def _built_pages():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize("name", _built_pages())
def test_documents_made_from_the_code_are_up_to_date(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == _built_pages()[name](), (
        "run `python docs/build.py`"
    )


def test_every_verdict_and_world_is_in_the_glossary():
    from typing import get_args, get_type_hints

    from unweave.records import Aim, Label, Outcome, World
    from unweave.records.audit import ArtifactVerdict

    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    worlds = [name for name in get_args(get_type_hints(World)["name"]) if not name.startswith("null_")]
    for word in (*get_args(Outcome), *get_args(Label), *worlds):
        assert f"`{word}`" in text, word
    for word in (*get_args(Aim), *get_args(ArtifactVerdict)):
        assert word in text, word


def _anchors(file: Path) -> set[str]:
    """Where links into a document may point: its headings, as those who show Markdown name them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(file: Path) -> None:
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.M | re.S)
    for path, anchor in re.findall(r"\]\((?!http)([^)#\s]*)#?([^)\s]*)\)", text):
        other = file.parent / path if path else file
        assert other.exists(), path
        assert not anchor or anchor in _anchors(other), f"{path}#{anchor}"


@pytest.mark.parametrize("file", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda file: file.name)
def test_links_of_documents_lead_somewhere(file):
    check_links(file)


@pytest.mark.parametrize("link", ["other.md", "#nothing", "page.md#nothing"])
def test_the_check_of_links_can_fail(tmp_path, link):
    page = tmp_path / "page.md"
    page.write_text(f"# A heading\n[here](#a-heading) [there]({link})\n")
    with pytest.raises(AssertionError):
        check_links(page)
    page.write_text("# A heading\n[here](#a-heading) [there](page.md#a-heading)\n")
    check_links(page)


def test_every_spec_key_and_option_is_documented():
    from dataclasses import fields, is_dataclass
    from typing import get_type_hints

    from unweave.problem import Case

    text = (ROOT / "docs" / "spec.md").read_text()
    hints = get_type_hints(Case)
    for field in fields(Case):
        inner = [one.name for one in fields(hints[field.name])] if is_dataclass(hints[field.name]) else []
        for name in inner or [field.name]:
            assert f"`{name}`" in text or f".{name}`" in text, f"{field.name}.{name}"
    text += (ROOT / "docs" / "store.md").read_text()
    source = "".join(file.read_text() for file in (ROOT / "src" / "unweave" / "cli").glob("*.py"))
    for option in re.findall(r'"(--[a-z-]+)"', source):
        assert option in text or option == "--version", option
