"""`unweave cite`."""

from __future__ import annotations

from pathlib import Path

from unweave.study import bibtex


def run_cite(methods: list[str], *, plugins: list[Path]) -> None:
    """Print the entries, ready for a file of BibTeX."""
    print(bibtex(methods, plugins=plugins), end="")
