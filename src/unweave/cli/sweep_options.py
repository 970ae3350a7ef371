"""The options of `unweave sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.options import (
    Debug,
    Json,
    ModelStore,
    Out,
    Plugin,
    Quiet,
    Seed,
    Setting,
    TrustCode,
    Workers,
    reported,
)


def sweep(
    spec: Annotated[Path | None, typer.Argument(help="TOML file of one case.", metavar="[SPEC.toml]")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Registered case instead of a spec; repeatable.", metavar="NAME")
    ] = None,
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
    device: Annotated[
        str | None, typer.Option(help="Where models are trained: cpu (default), cuda or cuda:1.", metavar="DEVICE")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="What runs workers: processes (default), ray or ray:HOST:PORT.", metavar="ENGINE"),
    ] = None,
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
        from unweave.cli.sweep import run_sweep_command

        run_sweep_command(
            spec=spec,
            cases=case or [],
            settings=setting or [],
            behaviour=behaviour,
            discovery=discovery,
            selection=selection,
            methods=methods,
            models=models,
            seeds=seeds,
            cost_per_example=cost_per_example,
            preset=preset,
            quick=quick,
            out=out,
            store=store,
            workers=workers,
            device=device,
            engine=engine,
            seed=seed,
            trust_code=trust_code or [],
            plugins=plugin or [],
            json=json,
            quiet=quiet,
        )
