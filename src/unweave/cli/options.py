"""What commands have in common: options, and what becomes of errors: one message and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from unweave._errors import CorruptObjectError, SpecError, StoreError, UnweaveError

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="Also write JSON to this file; -: JSON alone, to the terminal.", metavar="PATH"),
]
AllowUnknown = Annotated[
    bool,
    typer.Option("--allow-unknown", help="Drop and list forget ids that are not in the training data."),
]
TrustCode = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust-code", help="File of your own that may be run (learner.factory). Repeatable.", metavar="FILE"
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", help="File of your own that registers methods; it is run. Repeatable.", metavar="FILE"
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a key of every case, e.g. forget.discovery=0.5; repeatable.",
        metavar="KEY=VALUE",
    ),
]
SpecFile = Annotated[Path | None, typer.Argument(help="TOML file of one case.", metavar="[SPEC.toml]")]
OneCase = Annotated[
    list[str] | None, typer.Option("--case", help="Registered case instead of a spec.", metavar="NAME")
]
"""A list, for of an option with one value the last would win and the others go unsaid."""
Cases = Annotated[
    list[str] | None,
    typer.Option("--case", help="Registered case instead of a spec; repeatable.", metavar="NAME"),
]
Device = Annotated[
    str | None, typer.Option(help="Where models are trained: cpu (default), cuda or cuda:1.", metavar="DEVICE")
]
Engine = Annotated[
    str | None,
    typer.Option(help="What runs workers: processes (default), ray or ray:HOST:PORT.", metavar="ENGINE"),
]
Out = Annotated[Path | None, typer.Option(help="Folder for results; default: runs/<time>.", metavar="DIR")]
ModelStore = Annotated[
    Path | None, typer.Option(help="Folder of trained models; default: .unweave/store.", metavar="DIR")
]
Workers = Annotated[int | None, typer.Option(help="Worker processes; default: one per core.", metavar="N")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.", metavar="N")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no tables; what failed is told.")]


def settings_of(given: list[str] | None, *, allow_unknown: bool) -> list[str]:
    """All of `--set`, with what `--allow-unknown` sets."""
    return [*(given or []), *(["forget.allow_unknown=true"] if allow_unknown else [])]


def names_in(given: str, option: str) -> list[str]:
    """Names separated by commas.

    Raises:
        SpecError: if there are none.

    Example:
        >>> names_in("noop, scrub", "--methods")
        ['noop', 'scrub']
    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise SpecError(f"{option} is empty; expected names separated by commas.")
    return names


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
        raise typer.Exit(130) from None
    except typer.Exit:
        raise
    except Exception:
        # Not on purpose, so not the user's doing: 1 would read as a corrupt store.
        traceback.print_exc()
        _say("This is a bug of unweave. Please report it with the lines above.")
        raise typer.Exit(70) from None


def printable(text: str) -> str:
    """A message for the terminal: a key or name in it cannot send commands to it."""
    return "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text)


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr)
