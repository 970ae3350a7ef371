"""`unweave audit`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from unweave.cli.compare import new_folder, progress
from unweave.cli.files import check_file, write_file
from unweave.cli.one_case import one_case
from unweave.records.audit import audit_to_json
from unweave.report.audit import audit_page, print_audit
from unweave.study import check_out
from unweave.study.audit import run_audit
from unweave.study.audit_prepared import AuditWanted, prepare_audit


def run_audit_command(
    *,
    spec: Path | None,
    case: str | None,
    settings: list[str],
    edited: Path,
    references: int,
    fresh: int,
    retrained: list[Path],
    procedure: str | None,
    out: Path | None,
    store: Path | None,
    workers: int | None,
    seed: int | None,
    trust_code: list[Path],
    json: Path | None,
    quiet: bool,
) -> None:
    """Read the case and both models, train references, print the audit and write it."""
    wanted = one_case(spec, case, settings, seed=seed, workers=workers)
    wanted = replace(wanted, store=store or wanted.store, trust_code=tuple(trust_code))
    asked = AuditWanted(edited, references, fresh, tuple(retrained), procedure)
    prepare_audit(wanted, asked)
    folder = out or wanted.out or new_folder()
    asked = asked._replace(out=folder)
    check_out(folder)
    if json is not None:
        check_file(json)
    with progress(quiet) as (tell, say):
        found = run_audit(wanted, asked, on_progress=tell, on_message=say)
    write_file(folder / "audit.json", audit_to_json(found))
    write_file(folder / "audit.html", audit_page(found))
    if json is not None:
        write_file(json, audit_to_json(found))
    if quiet:
        return
    console = Console()
    print_audit(console, found)
    console.print(f"\nPage: {(folder / 'audit.html').absolute().as_uri()}", soft_wrap=True)
