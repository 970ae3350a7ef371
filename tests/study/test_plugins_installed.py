"""Methods of installed packages: when they are loaded, what they are known by, and what is said of bad ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from unweave import UserError
from unweave.methods import METHODS
from unweave.methods.plugins import load_packages, method_entry, origin_of
from unweave.study import catalogue

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


def example() -> str:
    return re.search(r"```python\n# my_method.py\n(.*?)```", DOCS.read_text(), re.S)[1]


@pytest.fixture(autouse=True)
def registry_as_it_was():
    before = METHODS.names()
    yield
    assert METHODS.names() == before, "a plugin stayed in the registry"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that makes a package which says that it has methods."""

    def install(
        text: str, *, name: str = "unweave-mine", module: str = "mine_of_this_test", value: str = ""
    ) -> None:
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{name.replace('-', '_')}-0.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.5\n")
        (info / "entry_points.txt").write_text(f"[unweave.methods]\nmine = {value or module}\n")
        modules.append(module)

    modules: list[str] = []
    monkeypatch.syspath_prepend(str(tmp_path))
    load_packages.cache_clear()
    yield install
    load_packages.cache_clear()
    for module in modules:
        METHODS.take(lambda entry, module=module: entry.factory.__module__ == module)
        sys.modules.pop(module, None)


def test_a_package_is_loaded_for_a_name_that_is_not_known_without_it(install):
    install(example())
    method_entry("noop")
    assert "mine_of_this_test" not in sys.modules
    entry = method_entry("my_method")
    origin = origin_of(entry)
    assert (origin.kind, origin.name, len(origin.digest)) == ("package", "unweave-mine 0.5", 64)
    assert next(one for one in catalogue("methods") if one["name"] == "my_method")["from"] == (
        "package unweave-mine 0.5"
    )


def test_the_digest_of_a_package_follows_its_files(install, tmp_path):
    install(example())
    first = load_packages()["mine_of_this_test"]
    assert load_packages()["mine_of_this_test"] == first
    METHODS.take(lambda entry: entry.name == "my_method")
    del sys.modules["mine_of_this_test"]
    (tmp_path / "mine_of_this_test.py").write_text(example() + "# edited\n")
    load_packages.cache_clear()
    assert load_packages()["mine_of_this_test"].digest != first.digest


def test_a_signal_while_a_package_is_loaded_is_no_error_of_it(install):
    before = METHODS.names()
    install("raise SystemExit(143)")
    with pytest.raises(SystemExit, match="143"):
        method_entry("unheard_of")
    assert METHODS.names() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "raise RuntimeError('oh')",
            r"RuntimeError: oh \(mine_of_this_test.py, line 1\). Mend it, or remove it with",
        ),
        ("raise SystemExit", "SystemExit"),
        ("x = 1", "loading it registered no method"),
        ("{taken}", "`noop` is registered already, by unweave.methods.baselines"),
    ],
)
def test_what_is_wrong_with_a_package_names_it(install, text, said):
    before = METHODS.names()
    install(example().replace('"my_method"', '"noop"') if text == "{taken}" else text)
    with pytest.raises(UserError, match=f"(?s)The installed package unweave-mine .*{said}"):
        method_entry("unheard_of")
    assert METHODS.names() == before
    method_entry("noop")  # what needs no package is not hurt by it
