"""What `compare` gives back: the result, which shows itself in a notebook and saves itself to a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unweave._durable import make_folder
from unweave._errors import UserError
from unweave.records import Result, rows_csv, to_json, write_atomically
from unweave.report import markdown_table, render_page, result_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; shows itself in a notebook, and saves itself to a folder."""

    result: Result

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `result.json`, `rows.csv`, `table.md` and `report.html`, each whole or not at all.

        Returns:
            The folder.

        Raises:
            UserError: if they cannot be written.
        """
        texts = {"result.json": to_json, "rows.csv": rows_csv}
        texts |= {"table.md": markdown_table, "report.html": render_page}
        return write_files(Path(folder), {name: make(self.result) for name, make in texts.items()})

    def plot_map(self, *, cases: Sequence[str] | None = None) -> Figure:
        """The map of each case as a matplotlib figure, side by side to one scale (`'unweave[plots]'`).

        Args:
            cases: Names of the cases to draw; None = all.

        Raises:
            UserError: where matplotlib is missing, or for a case that was not compared.
        """
        from unweave.report.plots import plot_map

        return plot_map(self.result, cases=cases)

    def __repr__(self) -> str:
        return f"Comparison: {self.result.headline}"

    def _repr_html_(self) -> str:
        return result_html(self.result)


def write_files(out: Path, texts: Mapping[str, str]) -> Path:
    """Write files of a result to a folder, each whole or not at all; returns the folder.

    Raises:
        UserError: if they cannot be written.
    """
    check_out(out)
    try:
        for name, text in texts.items():
            write_atomically(out / name, text)
    except OSError as error:
        raise UserError(
            f"Cannot write results to {out}: {error.strerror}. Models and outputs are stored: run again with "
            "another --out, or with room there, and nothing is trained anew."
        ) from None
    return out


def check_out(out: Path) -> None:
    """Find out before any training whether results can be written.

    Raises:
        UserError: with the folder and the system's reason.
    """
    try:
        make_folder(out)
        probe = out / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid name of a folder"
        raise UserError(f"Cannot write results to {out}: {reason}. Choose another folder with --out.") from None
