"""The example notebook, run cell by cell by a real kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def outputs_of(cell) -> dict[str, str]:
    return {kind: data for one in cell.outputs if "data" in one for kind, data in one.data.items()}


# The event loop of the kernel's client warns about itself on some platforms; the notebook's own warnings are
# printed by the kernel and seen below.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_the_notebook_runs_and_its_objects_show_themselves(path: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # no result that nobody measured
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = "".join(one.text for cell in code for one in cell.outputs if one.output_type == "stream")
    assert "Warning" not in printed
    shown = outputs_of(code[0])
    assert "scrub" in shown["text/html"] and "<table" in shown["text/html"]
    assert shown["text/plain"].startswith("Comparison: ") and len(shown["text/plain"]) > 20
    assert "image/png" in outputs_of(code[1])
    assert "delete: " in printed and re.search(r"generality -?\d\S* \[-?\d", printed)
    assert (tmp_path / "runs" / "half" / "report.html").is_file()


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
