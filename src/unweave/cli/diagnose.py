"""`unweave diagnose`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from unweave.cli.compare import new_folder, progress
from unweave.cli.files import check_file, write_file
from unweave.cli.one_case import one_case
from unweave.cli.options import names_in
from unweave.records.diagnosis import diagnosis_to_json
from unweave.report.diagnosis import diagnosis_page, print_diagnosis
from unweave.study import check_out
from unweave.study.diagnose import Wanted, prepare, run_diagnose
from unweave.study.proxies import proxies_named


def run_diagnosis(
    *,
    spec: Path | None,
    case: str | None,
    settings: list[str],
    use: str | None,
    models: int,
    share: float,
    together: str | None,
    proxies: str | None,
    methods: str | None,
    out: Path | None,
    store: Path | None,
    workers: int | None,
    seed: int | None,
    trust_code: list[Path],
    json: Path | None,
    quiet: bool,
) -> None:
    """Read the case, train what a diagnosis needs, print it and write the JSON."""
    names = None if methods is None else names_in(methods, "--methods")
    ranked = () if proxies is None else proxies_named(names_in(proxies, "--proxies"))
    wanted = one_case(spec, case, settings, seed=seed, workers=workers, methods=names, default="digits-mislabel")
    wanted = replace(wanted, store=store or wanted.store, trust_code=tuple(trust_code))
    asked = Wanted(models, share, use, together, ranked)
    prepare(wanted, asked)
    folder = out or wanted.out or new_folder()
    check_out(folder)
    if json is not None:
        check_file(json)
    with progress(quiet) as (tell, say):
        found = run_diagnose(wanted, asked, on_progress=tell, on_message=say)
    write_file(folder / "diagnosis.json", diagnosis_to_json(found))
    write_file(folder / "diagnosis.html", diagnosis_page(found))
    if json is not None:
        write_file(json, diagnosis_to_json(found))
    if quiet:
        return
    console = Console()
    print_diagnosis(console, found)
    console.print(f"\nPage: {(folder / 'diagnosis.html').absolute().as_uri()}", soft_wrap=True)
