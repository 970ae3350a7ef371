"""Options of `unweave audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.options import (
    AllowUnknown,
    Debug,
    Json,
    ModelStore,
    Out,
    Quiet,
    Seed,
    Setting,
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
    spec: Annotated[Path | None, typer.Argument(help="TOML file of one case.", metavar="[SPEC.toml]")] = None,
    case: Annotated[str | None, typer.Option(help="Registered case instead of a spec.", metavar="NAME")] = None,
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
        from unweave.cli.audit import run_audit_command

        run_audit_command(
            spec=spec,
            case=case,
            settings=[*(setting or []), *(["forget.allow_unknown=true"] if allow_unknown else [])],
            edited=edited,
            references=references,
            fresh=fresh,
            retrained=retrained or [],
            procedure=procedure,
            out=out,
            store=store,
            workers=workers,
            seed=seed,
            trust_code=trust_code or [],
            json=json,
            quiet=quiet,
        )
