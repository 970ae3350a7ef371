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
        from unweave.cli.running import results_in
        from unweave.cli.shown import save, tell
        from unweave.cli.wanted import named_case, wanted_spec
        from unweave.study.audit import run_audit
        from unweave.study.audit_prepared import AuditWanted, check_earlier, prepare_audit

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
        )
        asked = AuditWanted(edited, references, fresh, tuple(retrained or ()), procedure)
        prepared = prepare_audit(wanted, asked)
        if wanted.out is not None:
            check_earlier(wanted.out, prepared)
        with results_in(wanted.out, json=json, quiet=quiet) as (folder, advance, say):
            found = run_audit(wanted, asked._replace(out=folder), on_progress=advance, on_message=say)
        save(found, folder)
        tell(found, folder, json=json, quiet=quiet)
