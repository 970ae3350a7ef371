"""`unweave sweep`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unweave.cli.options import (
    Cases,
    Debug,
    Device,
    Engine,
    Json,
    ModelStore,
    Out,
    Plugin,
    Quiet,
    Seed,
    Setting,
    SpecFile,
    TrustCode,
    Workers,
    names_in,
    reported,
)


def sweep(
    spec: SpecFile = None,
    case: Cases = None,
    behaviour: Annotated[
        str | None,
        typer.Option(help="Kinds of behaviour, e.g. mislabel,confusion,trigger.", metavar="KINDS"),
    ] = None,
    discovery: Annotated[
        str | None, typer.Option(help="Shares of B in S; default .1,.3,.5,.8.", metavar="SHARES")
    ] = None,
    selection: Annotated[
        str | None,
        typer.Option(help="How S was found: random, clustered, easiest, hardest.", metavar="NAMES"),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names of methods, separated by commas, or all; default: fifteen, or the preset's own.",
            metavar="NAMES",
        ),
    ] = None,
    models: Annotated[int | None, typer.Option(help="Models per world, at least 3.", metavar="K")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds, counted up from that of the case; default 1.", metavar="N")
    ] = None,
    cost_per_example: Annotated[
        float | None,
        typer.Option(
            help="What finding one more example of B costs, in retrainings; the advice then says what is cheaper.",
            metavar="C",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="discovery: mislabel, confusion and trigger at four discovery rates, on Fashion-MNIST.",
            metavar="NAME",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --preset: on digits.")] = False,
    setting: Setting = None,
    out: Out = None,
    store: ModelStore = None,
    workers: Workers = None,
    device: Device = None,
    engine: Engine = None,
    seed: Seed = None,
    trust_code: TrustCode = None,
    plugin: Plugin = None,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare methods over behaviours, discovery rates, selections of S and seeds: heat maps, curves, rankings.

    Without a spec, case or preset: digits with mislabel, confusion and trigger.
    """
    with reported(debug):
        from dataclasses import replace

        from unweave._errors import SpecError
        from unweave.cli.running import results_in
        from unweave.cli.shown import tell
        from unweave.cli.wanted import wanted_spec
        from unweave.study.plugins import methods_of, plugins_of
        from unweave.study.sweep import prepare_sweep, run_sweep
        from unweave.study.sweep_axes import BEHAVIOURS, PRESET_METHODS, preset_cases

        axes: dict[str, Any] = {
            "behaviour": None if behaviour is None else names_in(behaviour, "--behaviour"),
            "discovery": None if discovery is None else _shares(discovery),
            "selection": None if selection is None else names_in(selection, "--selection"),
            "models": models,
            "seeds": seeds,
            "cost_per_example": cost_per_example,
        }
        own = {name: (f"sweep.{name}", value) for name, value in axes.items()}
        cases = case or []
        if preset is not None:
            if spec is not None or cases:
                raise SpecError("A preset has cases of its own; give --preset, or a spec or --case.")
            cases = list(preset_cases(preset, quick=quick, behaviours=axes.pop("behaviour")))
        elif quick:
            raise SpecError("--quick belongs to --preset; give --preset discovery as well.")
        bare = spec is None and not cases
        wanted = wanted_spec(
            spec,
            ["digits-trigger"] if bare else cases,
            setting,
            seed=seed,
            workers=workers,
            methods=methods,
            device=device,
            engine=engine,
            out=out,
            store=store,
            trust_code=trust_code,
            plugin=plugin,
            also=own,
        )
        if bare:
            wanted = replace(wanted, cases=(replace(wanted.cases[0], name="digits"),))
            axes["behaviour"] = axes["behaviour"] or list(BEHAVIOURS)
        given = {key: value for key, value in axes.items() if value is not None}
        held = wanted.sweep if isinstance(wanted.sweep, dict) else {}
        wanted = replace(
            wanted,
            sweep={**held, **given} if given else wanted.sweep,
            instead=() if preset is None else PRESET_METHODS[preset],
        )
        with plugins_of(wanted.plugins) as registered:
            prepare_sweep(wanted, methods_of(wanted, registered))
        with results_in(wanted.out, json=json, quiet=quiet) as (folder, advance, say):
            found = run_sweep(wanted, on_progress=advance, on_message=say)
        found.save(folder)
        tell(found.result, folder, json=json, quiet=quiet)


def _shares(given: str) -> list[float]:
    """Shares separated by commas, as numbers."""
    from unweave._errors import SpecError

    found: list[float] = []
    for one in names_in(given, "--discovery"):
        try:
            found.append(float(one))
        except ValueError:
            raise SpecError(f"--discovery holds {one!r}; expected shares such as .1,.3,.5,.8.") from None
    return found
