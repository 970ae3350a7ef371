"""What an audit says before it begins, and beside its verdicts."""

from __future__ import annotations

from unweave.data import without_values
from unweave.records.audit import Finding, Procedure
from unweave.stats.ranks import references_needed
from unweave.study.audit_prepared import AuditWanted, Prepared
from unweave.study.given import NO_RECIPE, says_units
from unweave.study.units import unsaid_words


def preflight_text(prepared: Prepared, checks: int, wanted: AuditWanted) -> str:
    """What so many references can show, before any of them is trained."""
    case, count = prepared.assembly.case, len(prepared.retrained) or wanted.references
    alpha = case.alpha
    if not prepared.worlds and not prepared.retrained:
        why = NO_RECIPE if not case.learner.recipe_known else "no references were asked for"
        return f"No verdict will be given: {why}. The two models are compared with each other."
    floor, each = references_needed(alpha), references_needed(alpha, checks)
    said = f"{count} references{' of yours' if prepared.retrained else ''}: no p-value can be below "
    said += f"{1 / (count + 1):.3f}"
    if count < floor:
        return f"{said}, so level {alpha:g} cannot be reached; it needs {floor}. The verdict will be inconclusive."
    return (
        f"{said}; level {alpha:g} needs {floor}, since {checks} checks are ranked together "
        f"(each by itself with Holm's adjustment would need {each})."
    )


def headline(findings: tuple[Finding, ...], *, unchanged: bool) -> str:
    """Both verdicts in one line."""
    if unchanged:
        return "The edited model is the original, byte for byte."
    said = [f"{one.aim}: {one.verdict}" for one in findings]
    return "; ".join(said).capitalize() + "."


_WHY_APART = (
    "Whether S is what sets the model apart: a model retrained without S by another recipe (batch size, epochs, "
    "optimiser, how a table is scaled) is distinguishable as well. What it still says of S stands beside that of "
    "the references."
)


def unanswered(prepared: Prepared, findings: tuple[Finding, ...], procedure: Procedure | None) -> tuple[str, ...]:
    """What could not be asked, in sentences."""
    assembly = prepared.assembly
    apart = not prepared.unchanged and any(one.verdict == "distinguishable" for one in findings)
    said = [_WHY_APART] if apart else []
    if prepared.outputs is not None:
        said.append(
            f"Of {assembly.setting.learner.label} only outputs are known: what noise, further training, weights "
            "in fewer bits and features give away was not asked."
        )
        said += [
            f"The probes `{name}` are no examples of the data, so their outputs were not given, and not asked."
            for name in prepared.outputs.unanswered
        ]
    if prepared.retrained:
        said.append(
            "Whether the references that were given were trained without S, each with a seed of its own, is not "
            "known here."
        )
    if not assembly.planted.known:
        said.append("What a model knows of the rest of the behaviour, and of new instances of it, was not asked.")
    if procedure is not None:
        return tuple(said)
    said.append(
        "Whether the method that made this model untrains or unlearns in general: `unweave compare` asks that of "
        "many models; one model cannot show it."
    )
    return tuple(said)


def warnings(prepared: Prepared, p: float | None) -> tuple[str, ...]:
    """What puts a verdict into doubt, in sentences."""
    assembly = prepared.assembly
    given = [("the edited model", prepared.edited), *(("a retrained model", one) for one in prepared.retrained)]
    silent = [name for name, one in given if one is not None and not says_units(one.checkpoint)]
    said = [without_values(one) for one in assembly.data.warnings]
    said += [] if prepared.unchanged else unsaid_words(assembly, list(dict.fromkeys(silent)))
    if p is not None and p <= assembly.case.alpha:
        said.append(
            f"The original is not like models that its recipe trains on D (p = {p:.3f}): the references may not "
            "be its references. Check `learner` and the data."
        )
    if prepared.unchanged:
        said.append("Original and edited model are one and the same file, byte for byte.")
    return tuple(said)
