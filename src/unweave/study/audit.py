"""`audit`: one edited model beside references of both aims, by checks that must not pass what was not edited."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.problem import Case
from unweave.records import Aim
from unweave.records.audit import AUDIT_SCHEMA, Audit
from unweave.references import WorldName, WorldPlan, in_use
from unweave.study.assemble import Assembly
from unweave.study.audit_prepared import FRESH, REFERENCES, AuditWanted, Prepared, prepare_audit
from unweave.study.audit_procedure import made_by, procedure_of
from unweave.study.audit_words import headline, preflight_text, unanswered, warnings
from unweave.study.compare import train_worlds
from unweave.study.engines import cores, engine_at_work
from unweave.study.forecast import forecast_text, seconds_per_model
from unweave.study.frame import AIMS
from unweave.study.holdings import keep_ids, made_anew, models_missing, needed
from unweave.study.manifest import check_unchanged
from unweave.study.running import Message, Progress, Told, about_run, spec_of, store_of, told_to
from unweave.study.spec import Spec, case_to_tree

if TYPE_CHECKING:
    from unweave.study.audit_models import Answers, Asked

    Seen = tuple[Answers, Answers, dict[WorldName, Answers]]


def audit(
    case: Case | str,
    edited: str | os.PathLike[str],
    *,
    references: int = REFERENCES,
    fresh: int = FRESH,
    retrained: Sequence[str | os.PathLike[str]] = (),
    procedure: str | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    trust_code: Sequence[str | os.PathLike[str]] = (),
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> Audit:
    """Say of one edited model whether it can be told from models that were retrained without S, and without B.

    The edited model is ranked among `references` models of A(D∖S), and of A(D∖B) where B is declared, by its
    distance to them on all probe groups, after noise, relearning and quantization, and in its features; see
    `stats.ranks.rank`. No single model can be shown to be untrained: it is distinguishable, or not with so many
    references.

    Args:
        case: The case, with `learner.checkpoint` as the model before the edit, or the name of a registered one.
        edited: File of the model after it: safetensors, or what torch.save wrote of a state_dict; of a classifier
            of scikit-learn its outputs, as .npz with `train_ids`, `train`, `test_ids`, `test` (log-probabilities).
        references: Models per aim. A p-value is at least 1/(references + 1); 0 = none, and no verdict.
        fresh: Fresh retrains per aim that are audited as well: of them no more than about alpha should be flagged.
        retrained: Files or folders of models that you retrained without S: they are the references of untraining.
        procedure: Also `compare` this method on the case, with `references.models` of the case.
        store: Folder of models and outputs; what it holds is not trained again.
        workers: Worker processes of one thread each; None = one per core.
        trust_code: Files of your own with learners.
        on_progress: Called as (stage, done, total).
        on_message: Called with each sentence that a reader should see at once.

    Raises:
        UserError: for bad input, before anything is trained.

    Source: full conformal ranks, Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, §2.2.
    """
    spec = spec_of(case, store=store, workers=workers, trust_code=trust_code)
    wanted = AuditWanted(Path(edited), references, fresh, tuple(Path(one) for one in retrained), procedure)
    return run_audit(spec, wanted, on_progress=on_progress, on_message=on_message)


def run_audit(
    spec: Spec, wanted: AuditWanted, *, on_progress: Progress | None = None, on_message: Message | None = None
) -> Audit:
    """Audit the one edited model of a spec; see `audit`."""
    from unweave.study.audit_checks import checks_of
    from unweave.study.audit_judge import comeback, judge_aim, recipe_p, utility, versions
    from unweave.study.audit_models import questions

    clock = time.perf_counter()
    told = told_to(on_progress, on_message)
    tell, show, notes = told
    prepared = prepare_audit(spec, wanted)
    assembly, asked = prepared.assembly, questions(prepared.assembly)
    checks = checks_of(assembly, asked)
    show(preflight_text(prepared, len(checks), wanted))
    if wanted.procedure is None and (method := made_by(wanted.edited)) is not None:
        show(f"The record beside {wanted.edited.name} names the method: --procedure {method} compares it as well.")
    for one in (prepared.original, prepared.edited):
        notes += () if one is None else one.checkpoint.notes
    trained, total = _train(spec, assembly._replace(worlds=prepared.worlds), told)
    found = (
        _of_models(spec, prepared, asked, tell) if prepared.outputs is None else _of_classifiers(spec, prepared)
    )
    own: set[Aim] = {"untraining"} if prepared.retrained else set()
    judged = [judge_aim(assembly, checks, aim, *found, given=aim in own) for aim in AIMS]
    findings = tuple(one.finding for one in judged)
    p = recipe_p(checks, found[1], found[2])
    procedure = None
    if wanted.procedure is not None:
        procedure = procedure_of(spec, wanted.procedure, wanted.out, tell, show)
    return Audit(
        schema=AUDIT_SCHEMA,
        name=assembly.case.name,
        headline=headline(findings, unchanged=prepared.unchanged),
        case=case_to_tree(assembly.case),
        alpha=assembly.case.alpha,
        forget=len(assembly.forget),
        behaviour=len(assembly.planted.members) if assembly.planted.known else None,
        verdicts={one.aim: one.verdict for one in findings},
        findings=findings,
        checks=tuple(check for one in judged for check in one.checks),
        utility=utility(assembly, *found),
        versions=versions(assembly, *found),
        relearned=comeback(assembly, *found),
        recipe_p=p,
        unanswered=unanswered(prepared, findings, procedure),
        warnings=warnings(prepared, p),
        files=prepared.files,
        retrained=tuple(one.checkpoint.sha256 for one in prepared.retrained),
        procedure=procedure,
        cost={
            "models": float(total),
            "models_trained": float(trained),
            "seconds": time.perf_counter() - clock,
        },
        provenance={**about_run(assembly, notes), "edited": wanted.edited.name},
    )


def _of_models(spec: Spec, prepared: Prepared, asked: Asked, tell: Progress) -> Seen:
    """Answers of the edited model, of the original, and of references."""
    from unweave.study.audit_models import answers
    from unweave.training.engine import stack

    assembly, original, edited = prepared.assembly, prepared.original, prepared.edited
    assert original is not None and edited is not None  # it is no opaque learner
    learner, steps = original.learner, len(prepared.worlds) + 2 + bool(prepared.retrained)
    tell("measure", 0, steps)
    done = iter(range(1, steps + 1))
    parts: list[Answers] = []
    for one in (edited, original):
        parts.append(answers(assembly, asked, learner, one.state))
        tell("measure", next(done), steps)
    worlds: dict[WorldName, Answers] = {}
    if prepared.retrained:
        stacked = stack([one.checkpoint.state for one in prepared.retrained])
        worlds["untrained"] = answers(assembly, asked, learner, stacked)
        tell("measure", next(done), steps)
    for name in prepared.worlds:
        worlds[name] = answers(assembly, asked, learner, _models(spec, assembly, name))
        tell("measure", next(done), steps)
    return parts[0], parts[1], worlds


def _of_classifiers(spec: Spec, prepared: Prepared) -> Seen:
    """The same where nothing but outputs is known: the original is the first classifier of D."""
    from unweave.references.ensure import ensure_outputs
    from unweave.study.audit_models import of_outputs

    assembly, outputs = prepared.assembly, prepared.outputs
    assert outputs is not None  # it is a learner of which only outputs are known
    store, setting = store_of(spec), assembly.setting
    one = replace(assembly.worlds["original"], keys=assembly.worlds["original"].keys[:1])
    shown: dict[WorldName, Answers] = {}
    worlds: dict[WorldName, WorldPlan] = {**prepared.worlds, "original": one}
    for name, world in worlds.items():
        told, _ = ensure_outputs(store, setting, world)
        shown[name] = of_outputs(told.logits[:, : len(assembly.probes.x)])
    return of_outputs(outputs.logits), shown.pop("original"), shown


def _train(spec: Spec, assembly: Assembly, told: Told) -> tuple[int, int]:
    """Train the references that the store lacks; returns how many were trained, and how many there are."""
    if not assembly.worlds:
        return 0, 0
    store, nothing = store_of(spec), {assembly.case.name: ()}
    store.check_writable()

    before = store.quarantined()
    with ExitStack() as held:
        held.enter_context(in_use(store, needed([assembly], nothing)))
        check_unchanged(store, assembly)
        work = models_missing(store, assembly)
        if work > 0:
            told.show(forecast_text(work, seconds_per_model(assembly), spec.workers or cores()))
        engine = held.enter_context(engine_at_work(spec, store, [assembly], nothing, told.note))
        keep_ids(store, [assembly])
        counts = train_worlds(store, [assembly], engine.train, told.tell)
        told.note(made_anew(store, before))
    return counts


def _models(spec: Spec, assembly: Assembly, name: WorldName) -> Any:
    from unweave.references.ensure import load_models

    return load_models(store_of(spec), assembly.setting, assembly.worlds[name])
