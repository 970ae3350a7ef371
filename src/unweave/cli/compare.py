"""`unweave compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import (
    AllowUnknown,
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
    reported,
)

if TYPE_CHECKING:
    from unweave.study import Spec


def compare(
    spec: SpecFile = None,
    case: Cases = None,
    setting: Setting = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names of methods, separated by commas, or all; default: fifteen, and those of --plugin.",
            metavar="NAMES",
        ),
    ] = None,
    equal_cost: Annotated[
        float | None,
        typer.Option(
            help="Also run each method with as many epochs as this share of one retraining pays for, e.g. 0.1.",
            metavar="C",
        ),
    ] = None,
    equal_rise: Annotated[
        float | None,
        typer.Option(
            help="Also take each model to where its mean loss on D∖S has risen by so many nats, e.g. 0.05.",
            metavar="R",
        ),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="Metric, attack or measure of language models to take too: NAME[:AIM][@GROUP], with commas, all "
            "or none. Repeatable.",
            metavar="NAMES",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Measure also what does not apply; it is marked as forced.")
    ] = False,
    out: Out = None,
    store: ModelStore = None,
    workers: Workers = None,
    device: Device = None,
    engine: Engine = None,
    allow_unknown: AllowUnknown = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --case: the small form of a biographies case.")
    ] = False,
    seed: Seed = None,
    trust_code: TrustCode = None,
    plugin: Plugin = None,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train references, run methods, and say which of the two aims each method reached.

    Without a spec or case: the two default cases, side by side.
    """
    with reported(debug):
        from dataclasses import replace

        from unweave.cli.running import results_in
        from unweave.cli.shown import tell
        from unweave.cli.wanted import wanted_spec
        from unweave.study import run_spec
        from unweave.study.asked import read_measures
        from unweave.study.choices import Fair

        wanted = wanted_spec(
            spec,
            case or [],
            setting,
            allow_unknown=allow_unknown,
            quick=quick,
            seed=seed,
            workers=workers,
            methods=methods,
            device=device,
            engine=engine,
            out=out,
            store=store,
            trust_code=trust_code,
            plugin=plugin,
            also={
                "measure": ("measures", measure),
                "equal-cost": ("fair.cost", equal_cost),
                "equal-rise": ("fair.rise", equal_rise),
            },
        )
        costs = ((equal_cost, wanted.fair.cost), (equal_rise, wanted.fair.rise))
        wanted = replace(
            wanted,
            fair=Fair(*(new or old for new, old in costs)),
            force=force or wanted.force,
            measures=wanted.measures if measure is None else read_measures(measure),
        )
        _check(wanted)
        with results_in(wanted.out, json=json, quiet=quiet) as (folder, advance, say):
            study = run_spec(wanted, on_progress=advance, on_message=say)
        study.save(folder)
        tell(study.result, folder, json=json, quiet=quiet)


def _check(spec: Spec) -> None:
    """Refuse bad input before any folder is made; the run itself meets what is assembled here again."""
    from unweave.study import assemble, trusted_files
    from unweave.study.device import check_engine
    from unweave.study.gate import asked_of
    from unweave.study.given import no_checkpoint
    from unweave.study.plugins import methods_of, plugins_of

    with plugins_of(spec.plugins) as names:
        methods_of(spec, names)
    no_checkpoint(spec.cases, "compare")
    check_engine(spec.engine, spec.device)
    trusted = trusted_files(spec.trust_code)
    asked_of(spec.measures, [assemble(case, trusted=trusted) for case in spec.cases], force=spec.force)
