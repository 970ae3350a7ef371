"""`unweave compare`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
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

from unweave._errors import UserError
from unweave.cli.files import check_file, write_file
from unweave.cli.options import names_in, printable, refuse_twice
from unweave.records import result_to_json
from unweave.report import print_result
from unweave.study import Spec, assemble, check_out, read_spec, run_spec, trusted_files
from unweave.study.asked import read_measures
from unweave.study.choices import Fair
from unweave.study.compare import Message
from unweave.study.compare import Progress as Tell
from unweave.study.device import check_engine
from unweave.study.gate import asked_of
from unweave.study.given import no_checkpoint
from unweave.study.plugins import methods_of, plugins_of

_STAGES = {
    "train": "training references",
    "methods": "running methods",
    "measure": "measuring",
    "subsets": "training on parts",
    "expansion": "finding more of S",
    "edit": "editing the model",
    "proxies": "computing proxies",
}


def run_compare(
    *,
    spec: Path | None,
    cases: list[str],
    settings: list[str],
    quick: bool,
    methods: str | None,
    equal_cost: float | None,
    equal_rise: float | None,
    measures: list[str] | None,
    force: bool,
    out: Path | None,
    store: Path | None,
    workers: int | None,
    device: str | None,
    engine: str | None,
    seed: int | None,
    trust_code: list[Path],
    plugins: list[Path],
    json: Path | None,
    quiet: bool,
) -> None:
    """Read the spec, run it, print the table and write the files."""
    names = None if methods is None else names_in(methods, "--methods")
    once = {"methods": names, "measure": measures, "seed": seed, "workers": workers}
    once |= {"device": device, "engine": engine, "equal-cost": equal_cost, "equal-rise": equal_rise}
    keys = {"measure": "measures", "equal-cost": "fair.cost", "equal-rise": "fair.rise"}
    refuse_twice(settings, once, keys)
    if seed is not None:
        settings = [*settings, f"seed={seed}"]
    if workers is not None:
        settings = [*settings, f"workers={workers}"]
    wanted = read_spec(spec, cases=cases, settings=settings, methods=names, quick=quick)
    wanted = replace(wanted, out=out or wanted.out, store=store or wanted.store, trust_code=tuple(trust_code))
    fair = Fair(*(new or old for new, old in ((equal_cost, wanted.fair.cost), (equal_rise, wanted.fair.rise))))
    wanted = replace(wanted, fair=fair, device=device or wanted.device, engine=engine or wanted.engine)
    wanted = replace(wanted, plugins=tuple(plugins), force=force or wanted.force)
    if measures is not None:
        wanted = replace(wanted, measures=read_measures(measures))
    folder = wanted.out or new_folder()
    _check(wanted)
    check_out(folder)
    if json is not None:
        check_file(json)
    with progress(quiet) as (tell, say):
        study = run_spec(wanted, on_progress=tell, on_message=say)
    study.save(folder)
    if json is not None:
        try:
            write_file(json, result_to_json(study.result))
        except UserError as error:
            raise UserError(f"{error} The results are in {folder}.") from None
    if quiet:
        return
    console = Console()
    print_result(console, study.result)
    console.print(f"\nPage: {(folder / 'report.html').absolute().as_uri()}", soft_wrap=True)


def new_folder() -> Path:
    """`runs/<time>`, numbered where two runs begin in the same second: no result replaces another."""
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    candidates = (Path("runs") / (f"{stamp}-{number}" if number else stamp) for number in count())
    return next(folder for folder in candidates if not folder.exists())


def _check(spec: Spec) -> None:
    """Refuse bad input before any folder is made; the run itself meets what is assembled here again."""
    with plugins_of(spec.plugins) as names:
        methods_of(spec, names)
    no_checkpoint(spec.cases, "compare")
    check_engine(spec.engine, spec.device)
    trusted = trusted_files(spec.trust_code)
    asked_of(spec.measures, [assemble(case, trusted=trusted) for case in spec.cases], force=spec.force)


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
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        stages: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(_STAGES[stage], total=total)
            bars.update(stages[stage], completed=done, total=total)

        def say(message: str) -> None:
            if not quiet:
                bars.console.print(printable(message), style="yellow", highlight=False, markup=False)

        yield tell, say
