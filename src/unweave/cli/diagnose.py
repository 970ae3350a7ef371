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
    settings_of,
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
        from unweave.cli.one_case import one_case
        from unweave.cli.running import new_folder, progress
        from unweave.cli.shown import check_places, save, tell
        from unweave.study.diagnose import Wanted, prepare, run_diagnose
        from unweave.study.proxies import proxies_named

        names = None if methods is None else names_in(methods, "--methods")
        ranked = () if proxies is None else proxies_named(names_in(proxies, "--proxies"))
        wanted = one_case(
            spec,
            case,
            settings_of(setting, allow_unknown=allow_unknown),
            seed=seed,
            workers=workers,
            store=store,
            trust_code=trust_code,
            methods=names,
            default="digits-mislabel",
        )
        asked = Wanted(models, share, use, together, ranked)
        prepare(wanted, asked)
        folder = out or wanted.out or new_folder()
        check_places(folder, json)
        with progress(quiet) as (advance, say):
            found = run_diagnose(wanted, asked, on_progress=advance, on_message=say)
        save(found, folder)
        tell(found, folder, json=json, quiet=quiet)
