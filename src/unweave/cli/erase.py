"""`unweave erase`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import (
    AllowUnknown,
    Debug,
    Json,
    ModelStore,
    OneCase,
    Quiet,
    Seed,
    Setting,
    SpecFile,
    TrustCode,
    Workers,
    reported,
)

if TYPE_CHECKING:
    from unweave.records import Aim
    from unweave.study.choices import MethodChoice


def erase(
    aim: Annotated[
        str, typer.Option(help="untraining or unlearning: the two have different ideals.", metavar="AIM")
    ],
    spec: SpecFile = None,
    request: Annotated[
        Path | None,
        typer.Option(help="The records to forget: CSV of id and sha256, or one id a line.", metavar="FILE"),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Method; default: retrain, where the recipe is known.", metavar="NAME")
    ] = None,
    case: OneCase = None,
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
        from rich.console import Console

        from unweave.cli.files import check_file, is_stdout, write_file
        from unweave.cli.running import progress
        from unweave.cli.wanted import named_case, wanted_spec
        from unweave.records import to_json
        from unweave.report.erasure import print_erasure
        from unweave.study.erase import EraseWanted, prepare_erase, run_erase
        from unweave.study.request import read_request

        asked = None if request is None else read_request(request)
        wanted = wanted_spec(
            spec,
            named_case(spec, case),
            setting,
            allow_unknown=allow_unknown,
            seed=seed,
            workers=workers,
            out=out,
            store=store,
            trust_code=trust_code,
            forget_ids=None if asked is None else asked.ids,
        )
        content = {} if asked is None else asked.content
        named = wanted.out or Path("erased")
        erase = EraseWanted(_aim(aim), named, _method(wanted.methods, method), content, confirm, models, anyway)
        folder = prepare_erase(wanted, erase).folder.parent
        with _kept_if_used(folder), progress(quiet) as (advance, say):
            check_file(json)
            found = run_erase(wanted, erase, on_progress=advance, on_message=say)
        if json is not None:
            write_file(json, to_json(found))
        if quiet or is_stdout(json):
            return
        console = Console()
        print_erasure(console, found)
        if found.model_after:
            console.print(f"\nModel: {folder / found.model_after['file']}", soft_wrap=True)
        console.print(f"Record: {folder / f'{found.number:04d}' / 'record.json'}", soft_wrap=True)


@contextmanager
def _kept_if_used(folder: Path) -> Generator[None]:
    """A folder that can be written to; one that was made for nothing is taken away again."""
    from unweave.study import check_out

    there = folder.is_dir()
    check_out(folder)
    try:
        yield
    finally:
        if not there:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _aim(text: str) -> Aim:
    from unweave._errors import SpecError

    if text in ("untraining", "unlearning"):
        return text
    raise SpecError(
        f"--aim is {text!r}; expected untraining (undo what exactly these examples did) or unlearning (remove the "
        "behaviour that they show). `unweave diagnose --use …` says which a use needs."
    )


def _method(of_spec: tuple[MethodChoice, ...] | None, named: str | None) -> MethodChoice | None:
    from unweave._errors import SpecError
    from unweave.study.choices import read_methods

    if named is not None and of_spec is not None:
        raise SpecError("Give --method or `methods` in the spec, not both; parameters stand in the spec.")
    if named is not None:
        found = read_methods([named])
        return None if found is None else found[0]
    if of_spec is not None and len(of_spec) != 1:
        raise SpecError(
            f"`methods` names {len(of_spec)} methods; `erase` runs one. Name it there, or with --method."
        )
    return None if of_spec is None else of_spec[0]
