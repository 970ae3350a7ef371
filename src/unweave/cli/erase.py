"""`unweave erase`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from unweave._errors import SpecError
from unweave.cli.compare import progress
from unweave.cli.files import check_file, write_file
from unweave.cli.one_case import one_case
from unweave.records import Aim
from unweave.records.erasure import erasure_to_json
from unweave.report.erasure import print_erasure
from unweave.study import check_out
from unweave.study.choices import MethodChoice, read_methods
from unweave.study.erase import EraseWanted, prepare_erase, run_erase
from unweave.study.request import read_request


def run_erase_command(
    *,
    spec: Path | None,
    case: str | None,
    settings: list[str],
    aim: str,
    request: Path | None,
    method: str | None,
    models: int,
    confirm: bool,
    anyway: bool,
    out: Path | None,
    store: Path | None,
    workers: int | None,
    seed: int | None,
    trust_code: list[Path],
    json: Path | None,
    quiet: bool,
) -> None:
    """Read case and request, check them, carry it out, and say what was done."""
    asked = None if request is None else read_request(request)
    ids = None if asked is None else asked.ids
    wanted = one_case(spec, case, settings, seed=seed, workers=workers, forget_ids=ids)
    wanted = replace(wanted, store=store or wanted.store, trust_code=tuple(trust_code))
    content = {} if asked is None else asked.content
    named = out or wanted.out or Path("erased")
    erase = EraseWanted(aim_of(aim), named, _method(wanted.methods, method), content, confirm, models, anyway)
    folder = prepare_erase(wanted, erase).folder.parent
    with _kept_if_used(folder), progress(quiet) as (tell, say):
        if json is not None:
            check_file(json)
        found = run_erase(wanted, erase, on_progress=tell, on_message=say)
    if json is not None:
        write_file(json, erasure_to_json(found))
    if quiet:
        return
    console = Console()
    print_erasure(console, found)
    if found.model_after:
        console.print(f"\nModel: {folder / found.model_after['file']}", soft_wrap=True)
    console.print(f"Record: {folder / f'{found.number:04d}' / 'record.json'}", soft_wrap=True)


@contextmanager
def _kept_if_used(folder: Path) -> Generator[None]:
    """A folder that can be written to; one that was made for nothing is taken away again."""
    there = folder.is_dir()
    check_out(folder)
    try:
        yield
    finally:
        if not there:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def aim_of(text: str) -> Aim:
    """An aim by its name.

    Raises:
        SpecError: for any other text.
    """
    if text in ("untraining", "unlearning"):
        return text
    raise SpecError(
        f"--aim is {text!r}; expected untraining (undo what exactly these examples did) or unlearning (remove the "
        "behaviour that they show). `unweave diagnose --use …` says which a use needs."
    )


def _method(of_spec: tuple[MethodChoice, ...] | None, named: str | None) -> MethodChoice | None:
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
