"""`unweave audit`."""

from __future__ import annotations

from pathlib import Path
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
    reported,
    settings_of,
)


def audit(
    edited: Annotated[
        Path,
        typer.Option(
            help="The edited model: safetensors, a state_dict of torch.save; of scikit-learn outputs as .npz.",
            metavar="FILE",
        ),
    ],
    spec: SpecFile = None,
    case: OneCase = None,
    setting: Setting = None,
    references: Annotated[
        int, typer.Option(help="Reference models per aim; 0: none, and no verdict.", metavar="N")
    ] = 64,
    fresh: Annotated[
        int, typer.Option(help="Fresh retrains that are audited as well, as a control; 0: none.", metavar="N")
    ] = 20,
    retrained: Annotated[
        list[Path] | None,
        typer.Option(
            help="A model that you retrained without S, or a folder: references of untraining. Repeatable.",
            metavar="FILE",
        ),
    ] = None,
    procedure: Annotated[
        str | None, typer.Option(help="Also compare this method on the case.", metavar="METHOD")
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
    """Say of one edited model whether it can be told from models retrained without S, and without B.

    The model before the edit is `learner.checkpoint` of the case.
    """
    with reported(debug):
        from unweave.cli.one_case import one_case
        from unweave.cli.running import new_folder, progress
        from unweave.cli.shown import check_places, save, tell
        from unweave.study.audit import run_audit
        from unweave.study.audit_prepared import AuditWanted, prepare_audit

        settings = settings_of(setting, allow_unknown=allow_unknown)
        wanted = one_case(spec, case, settings, seed=seed, workers=workers, store=store, trust_code=trust_code)
        asked = AuditWanted(edited, references, fresh, tuple(retrained or ()), procedure)
        prepare_audit(wanted, asked)
        folder = out or wanted.out or new_folder()
        asked = asked._replace(out=folder)
        check_places(folder, json)
        with progress(quiet) as (advance, say):
            found = run_audit(wanted, asked, on_progress=advance, on_message=say)
        save(found, folder)
        tell(found, folder, json=json, quiet=quiet)
