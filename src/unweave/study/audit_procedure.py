"""The question of the procedure beside that of the artifact: `compare` of the method that made an edited model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unweave._errors import ApplicabilityError, UserError
from unweave.records.audit import Procedure
from unweave.records.erasure import Erasure
from unweave.study.assemble import Assembly
from unweave.study.compare import run_spec
from unweave.study.given import NO_RECIPE
from unweave.study.methods import check_methods, refusal
from unweave.study.running import Message, Progress
from unweave.study.spec import MethodChoice, Spec

FOLDER = "procedure"


def check_procedure(assembly: Assembly, method: str) -> None:
    """Refuse a method that cannot be compared on this case.

    Raises:
        UserError: with the reason.
    """
    if not assembly.case.learner.recipe_known:
        raise ApplicabilityError(f"--procedure cannot be asked: {NO_RECIPE}.")
    check_methods((MethodChoice(method, {}),))
    if why := refusal(assembly.setting.learner, method, validation=len(assembly.validation)):
        raise ApplicabilityError(f"--procedure: {method} {why}.")


def procedure_of(
    spec: Spec, method: str, folder: Path | None, on_progress: Progress, on_message: Message
) -> Procedure:
    """Compare a method on the case of an audit, and say what of it belongs into the audit.

    Args:
        spec: The case as it was given, where models are kept and what trains them. The checkpoint is left out, and
            `references.models` are trained per world.
        method: Name of the method, with its default parameters.
        folder: Of the audit; the comparison is written below it. None = nowhere.
        on_progress: As of `compare`.
        on_message: As of `compare`.

    Raises:
        UserError: for bad input, and where the method diverged.
    """
    case = spec.cases[0]
    plain = replace(case, learner=replace(case.learner, checkpoint=None))
    asked = replace(spec, cases=(plain,), methods=(MethodChoice(method, {}),))
    found = run_spec(asked, on_progress=on_progress, on_message=on_message)
    row = next(one for one in found.result.cases[0].rows if one.kind == "method")
    if row.status != "ok":
        raise UserError(f"--procedure: {method} {row.reason}")
    page = ""
    if folder is not None:
        found.save(folder / FOLDER)
        page = f"{FOLDER}/report.html"
    return Procedure(
        method=method,
        label=row.label,
        verdict_untraining=row.verdict_untraining.outcome,
        verdict_unlearning=row.verdict_unlearning.outcome,
        residual_untraining=row.residual_untraining,
        residual_unlearning=row.residual_unlearning,
        models=case.references.models,
        page=page,
    )


def made_by(edited: Path) -> str | None:
    """The method that a record of `erase` beside an edited model names; None without one, or after retraining."""
    from unweave.records import read_record

    try:
        found = read_record(Erasure, edited.parent)
    except UserError:
        return None
    return None if found.method == "retrain" or edited.name != found.model_after.get("file") else found.method
