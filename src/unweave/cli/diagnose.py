"""`unweave diagnose`."""

from __future__ import annotations

from typing import Annotated

import typer

from unweave.cli.options import (
    AllowUnknown,
    Debug,
    Json,
    ModelStore,
    OneCase,
    Out,
    Quiet,
    Seed,
    Setting,
    SpecFile,
    TrustCode,
    Workers,
    names_in,
    reported,
)


def diagnose(
    spec: SpecFile = None,
    case: OneCase = None,
    setting: Setting = None,
    use: Annotated[
        str | None,
        typer.Option(help="What the request is for: privacy, mislabelled, backdoor, …", metavar="USE"),
    ] = None,
    models: Annotated[
        int, typer.Option(help="Models trained on random parts of D, for influence.", metavar="N")
    ] = 500,
    share: Annotated[float, typer.Option(help="Part of D that each of these sees.", metavar="P")] = 0.7,
    together: Annotated[
        str | None,
        typer.Option(
            help="Examples in or out of these parts together: `copies`, or a file of lines id,group.",
            metavar="copies|FILE",
        ),
    ] = None,
    proxies: Annotated[
        str | None,
        typer.Option(help="Cheap proxies to hold against memorization: names, or all.", metavar="NAMES"),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Look for the cheapest sufficient method among these: names, default (as in compare) or all.",
            metavar="NAMES",
        ),
    ] = None,
    out: Out = None,
    store: ModelStore = None,
    workers: Workers = None,
    allow_unknown: AllowUnknown = False,
    seed: Seed = None,
    trust_code: TrustCode = None,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what a request would change: what is known by heart of S, and what S does to others.

    Without a spec or case: the default case digits-mislabel.
    """
    with reported(debug):
        from unweave.cli.running import results_in
        from unweave.cli.shown import save, tell
        from unweave.cli.wanted import named_case, wanted_spec
        from unweave.study.diagnose import Wanted, prepare, run_diagnose
        from unweave.study.proxies import proxies_named

        ranked = () if proxies is None else proxies_named(names_in(proxies, "--proxies"))
        wanted = wanted_spec(
            spec,
            named_case(spec, case, "digits-mislabel"),
            setting,
            allow_unknown=allow_unknown,
            seed=seed,
            workers=workers,
            out=out,
            store=store,
            trust_code=trust_code,
            methods=methods,
        )
        asked = Wanted(models, share, use, together, ranked)
        prepare(wanted, asked)
        with results_in(wanted.out, json=json, quiet=quiet) as (folder, advance, say):
            found = run_diagnose(wanted, asked, on_progress=advance, on_message=say)
        save(found, folder)
        tell(found, folder, json=json, quiet=quiet)
