"""What a run shows of itself, and where its results go."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from unweave.cli.files import check_file
from unweave.cli.options import printable
from unweave.study import check_out
from unweave.study.running import Message
from unweave.study.running import Progress as Tell

_STAGES = {
    "train": "training references",
    "methods": "running methods",
    "measure": "measuring",
    "subsets": "training on parts",
    "expansion": "finding more of S",
    "edit": "editing the model",
    "proxies": "computing proxies",
}


@contextmanager
def results_in(out: Path | None, *, json: Path | None, quiet: bool) -> Generator[tuple[Path, Tell, Message]]:
    """The folder of a run's results, checked before any work as `--json` is, and its progress.

    Args:
        out: The folder; None = a new one.
        json: Where else the record goes.
        quiet: Whether nothing is shown.

    Raises:
        UserError: if results cannot be written there, with the system's reason.
    """
    folder = out or _new_folder()
    check_out(folder)
    check_file(json)
    with progress(quiet) as (advance, say):
        yield folder, advance, say


def _new_folder() -> Path:
    """`runs/<time>`, numbered where two runs begin in the same second: no result replaces another."""
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    candidates = (Path("runs") / (f"{stamp}-{number}" if number else stamp) for number in count())
    return next(folder for folder in candidates if not folder.exists())


@contextmanager
def progress(quiet: bool) -> Generator[tuple[Tell, Message]]:
    """Bars for the stages of a run, where there is a terminal to show them."""
    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    bars = Progress(*columns, console=console)
    # Bars that are not drawn are never begun: older versions of rich end disabled ones with an empty line.
    with bars if console.is_terminal and not quiet else nullcontext():
        stages: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(_STAGES[stage], total=total)
            bars.update(stages[stage], completed=done, total=total)

        def say(message: str) -> None:
            if not quiet:
                bars.console.print(printable(message), style="yellow", highlight=False, markup=False)

        yield tell, say
