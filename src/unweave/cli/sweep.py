"""`unweave sweep`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from unweave._errors import SpecError, UserError
from unweave.cli.compare import new_folder, progress
from unweave.cli.files import check_file, write_file
from unweave.cli.options import names_in, refuse_twice
from unweave.records import sweep_to_json
from unweave.report.sweep_terminal import print_sweep
from unweave.study import check_out, read_spec
from unweave.study.plugins import methods_of, plugins_of
from unweave.study.sweep import prepare_sweep, run_sweep
from unweave.study.sweep_axes import BEHAVIOURS, PRESET_METHODS, preset_cases


def run_sweep_command(
    *,
    spec: Path | None,
    cases: list[str],
    settings: list[str],
    behaviour: str | None,
    discovery: str | None,
    selection: str | None,
    methods: str | None,
    models: int | None,
    seeds: int | None,
    cost_per_example: float | None,
    preset: str | None,
    quick: bool,
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
    """Read the spec and the axes, run the grid, print the tables and write the files."""
    names = None if methods is None else names_in(methods, "--methods")
    axes: dict[str, Any] = {
        "behaviour": None if behaviour is None else names_in(behaviour, "--behaviour"),
        "discovery": None if discovery is None else _shares(discovery),
        "selection": None if selection is None else names_in(selection, "--selection"),
        "models": models,
        "seeds": seeds,
        "cost_per_example": cost_per_example,
    }
    once = {**axes, "methods": names, "seed": seed, "workers": workers, "device": device, "engine": engine}
    refuse_twice(settings, once, {name: f"sweep.{name}" for name in axes})
    settings = [
        *settings,
        *(f"{key}={value}" for key, value in (("seed", seed), ("workers", workers)) if value is not None),
    ]
    if preset is not None:
        if spec is not None or cases:
            raise SpecError("A preset has cases of its own; give --preset, or a spec or --case.")
        cases = list(preset_cases(preset, quick=quick, behaviours=axes.pop("behaviour")))
    elif quick:
        raise SpecError("--quick belongs to --preset; give --preset discovery as well.")
    bare = spec is None and not cases
    wanted = read_spec(spec, cases=["digits-trigger"] if bare else cases, settings=settings, methods=names)
    if bare:
        wanted = replace(wanted, cases=(replace(wanted.cases[0], name="digits"),))
        axes["behaviour"] = axes["behaviour"] or list(BEHAVIOURS)
    given = {key: value for key, value in axes.items() if value is not None}
    if given:
        held = wanted.sweep if isinstance(wanted.sweep, dict) else {}
        wanted = replace(wanted, sweep={**held, **given})
    wanted = replace(wanted, out=out or wanted.out, store=store or wanted.store, trust_code=tuple(trust_code))
    wanted = replace(
        wanted, device=device or wanted.device, engine=engine or wanted.engine, plugins=tuple(plugins)
    )
    wanted = replace(wanted, instead=() if preset is None else PRESET_METHODS[preset])
    with plugins_of(wanted.plugins) as registered:
        prepare_sweep(wanted, methods_of(wanted, registered))
    folder = wanted.out or new_folder()
    check_out(folder)
    if json is not None:
        check_file(json)
    with progress(quiet) as (tell, say):
        found = run_sweep(wanted, on_progress=tell, on_message=say)
    found.save(folder)
    if json is not None:
        try:
            write_file(json, sweep_to_json(found.result))
        except UserError as error:
            raise UserError(f"{error} The results are in {folder}.") from None
    if quiet:
        return
    console = Console()
    print_sweep(console, found.result)
    console.print(f"\nPage: {(folder / 'sweep.html').absolute().as_uri()}", soft_wrap=True)


def _shares(given: str) -> list[float]:
    """Shares separated by commas, as numbers."""
    found: list[float] = []
    for one in names_in(given, "--discovery"):
        try:
            found.append(float(one))
        except ValueError:
            raise SpecError(f"--discovery holds {one!r}; expected shares such as .1,.3,.5,.8.") from None
    return found
