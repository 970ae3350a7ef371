"""The commands, and what becomes of errors: one message and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from unweave._errors import CorruptObjectError, StoreError, UnweaveError
from unweave._version import __version__

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Did your method untrain or unlearn? Trains both kinds of reference model and says so, with intervals.",
    epilog="Exit codes: 0 ok, 1 corrupt store, 2 bad input, 70 bug or workers lost, "
    "130/143 interrupted (run again to go on).",
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.", metavar="PATH")]
AllowUnknown = Annotated[
    bool,
    typer.Option("--allow-unknown", help="Drop and list forget ids that are not in the training data."),
]
TrustCode = Annotated[
    list[Path] | None,
    typer.Option("--trust-code", help="File of your own that may be run (learner.factory).", metavar="FILE"),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no tables.")]


@contextmanager
def reported(debug: bool) -> Generator[None]:
    """Turn what unweave raises on purpose into one message and an exit code."""
    try:
        yield
    except UnweaveError as error:
        if debug:
            traceback.print_exc()
        _say(f"Error: {error}")
        code = 1 if isinstance(error, CorruptObjectError) else 2
        if not isinstance(error, StoreError) and type(error).__name__ == "WorkerError":
            code = 70  # a bug of ours or the machine's doing, not that of the input
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        _say(_GO_ON)
        raise typer.Exit(130) from None
    except typer.Exit:
        raise
    except Exception:
        # Not on purpose, so not the user's doing: 1 would read as a corrupt store.
        traceback.print_exc()
        _say("This is a bug of unweave. Please report it with the lines above.")
        raise typer.Exit(70) from None
    except SystemExit as stop:
        if stop.code == 143:
            _say(_GO_ON)
        raise


def _settings(given: list[str] | None, *, allow_unknown: bool) -> list[str]:
    return [*(given or []), *(["forget.allow_unknown=true"] if allow_unknown else [])]


_GO_ON = "Interrupted. What was complete is stored; run the same command to go on."


def _say(text: str) -> None:
    """One message on stderr; a key or name in it cannot send commands to the terminal."""
    print("".join(one if one.isprintable() or one in "\n\t" else "�" for one in text), file=sys.stderr)


def _version(asked: bool) -> bool:
    if asked:
        print(f"unweave {__version__}")
        raise typer.Exit
    return asked


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
        str | None, typer.Option(help="Names of methods, separated by commas; default: all.", metavar="NAMES")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results; default: runs/<time>.", metavar="DIR")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of trained models; default: .unweave/store.", metavar="DIR")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; default: one per core.", metavar="N")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where models are trained: cpu (default), cuda or cuda:1.", metavar="DEVICE")
    ] = None,
    allow_unknown: AllowUnknown = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", metavar="N")] = None,
    trust_code: TrustCode = None,
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
            methods=methods,
            out=out,
            store=store,
            workers=workers,
            device=device,
            seed=seed,
            trust_code=trust_code or [],
            json=json,
            quiet=quiet,
        )


@app.command()
def cases(
    name: Annotated[str | None, typer.Argument(help="A case, or a file SPEC.toml: show it as a spec.")] = None,
    members: Annotated[
        bool, typer.Option("--members", help="With a name: list the ids of the behaviour's members.")
    ] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key, as in compare.", metavar="KEY=VALUE")
    ] = None,
    allow_unknown: AllowUnknown = False,
    trust_code: TrustCode = None,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List the cases that come with unweave, or show one."""
    with reported(debug):
        from unweave.cli.cases import run_cases

        settings = _settings(setting, allow_unknown=allow_unknown)
        run_cases(name=name, members=members, settings=settings, trust_code=trust_code or [], json=json)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, behaviours, learners or data.")],
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List methods, behaviours, learners or data, with source and needs."""
    with reported(debug):
        from unweave.cli.listing import run_list

        run_list(what, json=json)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="result.json, or the folder that holds it.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File or folder to write the page to; default: beside the result.", metavar="PATH"),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw the page and the table of a result again; nothing is trained or measured."""
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
