"""`unweave cite`."""

from __future__ import annotations

from pathlib import Path

from unweave.study import bibtex


def run_cite(names: list[str], *, plugins: list[Path]) -> None:
    """Print the entries, ready for a file of BibTeX."""
    print(bibtex(names, plugins=plugins), end="")
