"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave._version import __version__
from unweave.cli.audit_command import audit
from unweave.cli.discover import discover
from unweave.cli.options import (
    AllowUnknown,
    Debug,
    Json,
    ModelStore,
    Out,
    Plugin,
    Quick,
    Quiet,
    Seed,
    Setting,
    TrustCode,
    Workers,
    reported,
)
from unweave.cli.store import store as store_commands
from unweave.cli.sweep_options import sweep

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Did your method untrain or unlearn? Trains both kinds of reference model and says so, with intervals.",
    epilog="Exit codes: 0 ok, 1 corrupt store, 2 bad input, 70 bug or workers lost, "
    "130/143 interrupted (run again to go on).",
)


def _settings(given: list[str] | None, *, allow_unknown: bool) -> list[str]:
    return [*(given or []), *(["forget.allow_unknown=true"] if allow_unknown else [])]


def _version(asked: bool) -> bool:
    if asked:
        print(f"unweave {__version__}")
        raise typer.Exit
    return asked


app.add_typer(store_commands, name="store")


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Did your method untrain or unlearn?"""
    del version


@app.command()
def compare(
    spec: Annotated[Path | None, typer.Argument(help="TOML file of one case.", metavar="[SPEC.toml]")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Registered case instead of a spec; repeatable.", metavar="NAME")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a key of every case, e.g. forget.discovery=0.5; repeatable.",
            metavar="KEY=VALUE",
        ),
    ] = None,
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
    device: Annotated[
        str | None, typer.Option(help="Where models are trained: cpu (default), cuda or cuda:1.", metavar="DEVICE")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="What runs workers: processes (default), ray or ray:HOST:PORT.", metavar="ENGINE"),
    ] = None,
    allow_unknown: AllowUnknown = False,
    quick: Quick = False,
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
        from unweave.cli.compare import run_compare

        run_compare(
            spec=spec,
            cases=case or [],
            settings=_settings(setting, allow_unknown=allow_unknown),
            quick=quick,
            methods=methods,
            equal_cost=equal_cost,
            equal_rise=equal_rise,
            measures=measure,
            force=force,
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


app.command()(sweep)


@app.command()
def diagnose(
    spec: Annotated[Path | None, typer.Argument(help="TOML file of one case.", metavar="[SPEC.toml]")] = None,
    case: Annotated[str | None, typer.Option(help="Registered case instead of a spec.", metavar="NAME")] = None,
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
        from unweave.cli.diagnose import run_diagnosis

        run_diagnosis(
            spec=spec,
            case=case,
            settings=_settings(setting, allow_unknown=allow_unknown),
            use=use,
            models=models,
            share=share,
            together=together,
            proxies=proxies,
            methods=methods,
            out=out,
            store=store,
            workers=workers,
            seed=seed,
            trust_code=trust_code or [],
            json=json,
            quiet=quiet,
        )


app.command()(discover)


@app.command()
def erase(
    aim: Annotated[
        str, typer.Option(help="untraining or unlearning: the two have different ideals.", metavar="AIM")
    ],
    spec: Annotated[Path | None, typer.Argument(help="TOML file of one case.", metavar="[SPEC.toml]")] = None,
    request: Annotated[
        Path | None,
        typer.Option(help="The records to forget: CSV of id and sha256, or one id a line.", metavar="FILE"),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Method; default: retrain, where the recipe is known.", metavar="NAME")
    ] = None,
    case: Annotated[str | None, typer.Option(help="Registered case instead of a spec.", metavar="NAME")] = None,
    setting: Setting = None,
    models: Annotated[
        int, typer.Option(help="Models on random parts of D for the diagnosis before; 0: none.", metavar="N")
    ] = 100,
    confirm: Annotated[bool, typer.Option("--confirm", help="Carry out a large request.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Edit the model even where untraining is a no-op.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of models, records and the log; default: erased.", metavar="DIR"),
    ] = None,
    store: ModelStore = None,
    workers: Workers = None,
    allow_unknown: AllowUnknown = False,
    seed: Seed = None,
    trust_code: TrustCode = None,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Take examples out of a model: a new file beside the old one, a record, and a log of requests.

    The model is `learner.checkpoint` of the case; a second request in the same folder begins where the
    first ended.
    """
    with reported(debug):
        from unweave.cli.erase import run_erase_command

        run_erase_command(
            spec=spec,
            case=case,
            settings=_settings(setting, allow_unknown=allow_unknown),
            aim=aim,
            request=request,
            method=method,
            models=models,
            confirm=confirm,
            anyway=anyway,
            out=out,
            store=store,
            workers=workers,
            seed=seed,
            trust_code=trust_code or [],
            json=json,
            quiet=quiet,
        )


app.command("audit")(audit)


@app.command()
def cases(
    name: Annotated[str | None, typer.Argument(help="A case, or a file SPEC.toml: show it as a spec.")] = None,
    members: Annotated[
        bool, typer.Option("--members", help="With a name: list the ids of the behaviour's members.")
    ] = False,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="With a name: list ids of D with the SHA-256 of their content.")
    ] = False,
    setting: Setting = None,
    allow_unknown: AllowUnknown = False,
    trust_code: TrustCode = None,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List the cases that come with unweave, or show one."""
    with reported(debug):
        from unweave.cli.cases import run_cases

        settings = _settings(setting, allow_unknown=allow_unknown)
        run_cases(
            name=name,
            members=members,
            manifest=manifest,
            settings=settings,
            trust_code=trust_code or [],
            json=json,
        )


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="methods, scores, metrics, attacks, behaviours, corpora, learners, data.")
    ],
    plugin: Plugin = None,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List methods, scores of RUM, metrics, attacks, behaviours (of corpora), learners or data, with source."""
    with reported(debug):
        from unweave.cli.listing import run_list

        run_list(what, plugins=plugin or [], json=json)


@app.command()
def cite(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Names of methods, metrics, attacks, measures of language models or estimates of influence, or "
            "all methods.",
            metavar="NAME...",
        ),
    ],
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Print the BibTeX entries of the sources of methods, metrics, attacks, and of unweave."""
    with reported(debug):
        from unweave.cli.cite import run_cite

        run_cite(names, plugins=plugin or [])


@app.command()
def report(
    result: Annotated[
        Path, typer.Argument(help="JSON of compare, sweep, discover, audit or diagnose, or its folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File or folder to write the page to; default: beside the result.", metavar="PATH"),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw the page and the tables of what was saved again; nothing is trained or measured."""
    with reported(debug):
        from unweave.cli.report import run_report

        run_report(result, out=out, quiet=quiet)


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: whether it works, not how fast.")] = False,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Time the engine on this machine against the loop one would write by hand."""
    with reported(debug):
        from unweave.cli.bench import run_bench

        run_bench(quick=quick, json=json, quiet=quiet)
