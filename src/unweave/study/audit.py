"""`audit`: one edited model beside references of both aims, by checks that must not pass what was not edited."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unweave import __version__
from unweave._errors import SpecError, UserError
from unweave.problem import Case, ReferenceChoice
from unweave.records.audit import AUDIT_SCHEMA, Audit, Finding
from unweave.references import Store, WorldName, WorldPlan, key_of, lease, model_fields, outputs_fields
from unweave.stats.ranks import references_needed
from unweave.study.assemble import Assembly, assemble
from unweave.study.compare import DEFAULT_STORE, Message, Progress, train_worlds
from unweave.study.engines import cores, engine_at_work
from unweave.study.forecast import forecast_text, seconds_per_model
from unweave.study.frame import AIMS
from unweave.study.given import NO_RECIPE, GivenModel, given_model
from unweave.study.holdings import keep_ids, made_anew, needed
from unweave.study.manifest import check_unchanged
from unweave.study.own_code import trusted_files
from unweave.study.spec import Spec, case_to_tree, read_spec

REFERENCES = 64
FRESH = 20


class AuditWanted(NamedTuple):
    """What `audit` is asked beside the case.

    Attributes:
        edited: File of the edited model.
        references: Reference models per aim; 0 = none are trained.
        fresh: Fresh retrains per aim, audited as if each was the edited model.
    """

    edited: Path
    references: int = REFERENCES
    fresh: int = FRESH


class Prepared(NamedTuple):
    """What is audited: the case as arrays, both models, and the worlds of which models are trained."""

    assembly: Assembly
    original: GivenModel
    edited: GivenModel
    worlds: dict[WorldName, WorldPlan]


def audit(
    case: Case | str,
    edited: str | os.PathLike[str],
    *,
    references: int = REFERENCES,
    fresh: int = FRESH,
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
        edited: File of the model after it: safetensors, or what torch.save wrote of a state_dict.
        references: Models per aim. A p-value is at least 1/(references + 1); 0 = none, and no verdict.
        fresh: Fresh retrains per aim that are audited as well: of them no more than about alpha should be flagged.
        store: Folder of models and outputs; what it holds is not trained again.
        workers: Worker processes of one thread each; None = one per core.
        trust_code: Files of your own with learners.
        on_progress: Called as (stage, done, total).
        on_message: Called with each sentence that a reader should see at once.

    Raises:
        UserError: for bad input, before anything is trained.

    Source: SCIENCE of the project: questions about one artifact are answered by ranks among references. Ranks:
        Vovk, Gammerman & Shafer (2005), §2.2.
    """
    found = read_spec(cases=[case]).cases[0] if isinstance(case, str) else case
    where = None if store is None else Path(store)
    spec = Spec((found,), None, store=where, workers=workers, trust_code=tuple(Path(one) for one in trust_code))
    wanted = AuditWanted(Path(edited), references, fresh)
    return run_audit(spec, wanted, on_progress=on_progress, on_message=on_message)


def prepare_audit(spec: Spec, wanted: AuditWanted) -> Prepared:
    """What an audit looks at, checked before any training.

    Raises:
        UserError: whatever is wrong with it.
    """
    if len(spec.cases) != 1:
        raise SpecError(f"`audit` looks at one case, got {len(spec.cases)}; name one with --case.")
    for name, count in (("references", wanted.references), ("fresh", wanted.fresh)):
        if count < 0 or count > 10_000 or 0 < count < 3:
            raise SpecError(f"--{name} is {count}; expected 0, or 3 to 10,000.")
    case = spec.cases[0]
    chosen = ReferenceChoice(max(3, wanted.references), max(3, wanted.fresh))
    assembly = assemble(replace(case, references=chosen), trusted=trusted_files(spec.trust_code))
    if assembly.case.forget.outside:
        raise UserError("S lies outside D: no model was trained on it, and there is no edit of S to audit.")
    original, edited = given_model(assembly), given_model(assembly, wanted.edited)
    trained = wanted.references > 0 and wanted.fresh > 0 and case.learner.recipe_known
    return Prepared(assembly, original, edited, assembly.worlds if trained else {})


def preflight_text(prepared: Prepared, checks: int, wanted: AuditWanted) -> str:
    """What so many references can show, before any of them is trained."""
    case, count = prepared.assembly.case, wanted.references
    alpha = case.alpha
    if not prepared.worlds:
        why = NO_RECIPE if not case.learner.recipe_known else "no references were asked for"
        return f"No verdict will be given: {why}. The two models are compared with each other."
    floor, each = references_needed(alpha), references_needed(alpha, checks)
    said = f"{count} references: no p-value can be below {1 / (count + 1):.3f}"
    if count < floor:
        return f"{said}, so level {alpha:g} cannot be reached; it needs {floor}. The verdict will be inconclusive."
    return (
        f"{said}; level {alpha:g} needs {floor}, since {checks} checks are ranked together "
        f"(each by itself with Holm's adjustment would need {each})."
    )


def run_audit(
    spec: Spec, wanted: AuditWanted, *, on_progress: Progress | None = None, on_message: Message | None = None
) -> Audit:
    """Audit the one edited model of a spec; see `audit`."""
    from unweave.study.audit_checks import checks_of
    from unweave.study.audit_judge import comeback, judge_aim, recipe_p, utility, versions
    from unweave.study.audit_models import Answers, answers, questions

    clock = time.perf_counter()
    tell, show = on_progress or (lambda stage, done, total: None), on_message or (lambda said: None)
    prepared = prepare_audit(spec, wanted)
    assembly, original, edited, planned = prepared
    asked = questions(assembly)
    checks = checks_of(assembly, asked)
    show(preflight_text(prepared, len(checks), wanted))
    notes: list[str] = [*original.checkpoint.notes, *edited.checkpoint.notes]
    trained, total = _train(spec, assembly._replace(worlds=planned), notes, tell, show)
    steps = len(planned) + 2
    tell("measure", 0, steps)
    done = iter(range(1, steps + 1))
    parts: list[Answers] = []
    for one in (edited, original):
        parts.append(answers(assembly, asked, one.learner, one.state))
        tell("measure", next(done), steps)
    worlds: dict[WorldName, Answers] = {}
    for name in planned:
        worlds[name] = answers(assembly, asked, original.learner, _models(spec, assembly, name))
        tell("measure", next(done), steps)
    given = (parts[0], parts[1], worlds)
    judged = [judge_aim(assembly, checks, aim, *given) for aim in AIMS]
    findings = tuple(one.finding for one in judged)
    p = recipe_p(checks, parts[1], worlds)
    return Audit(
        schema=AUDIT_SCHEMA,
        name=assembly.case.name,
        headline=_headline(findings, original, edited),
        case=case_to_tree(assembly.case),
        alpha=assembly.case.alpha,
        forget=len(assembly.forget),
        behaviour=len(assembly.planted.members) if assembly.planted.known else None,
        verdicts={one.aim: one.verdict for one in findings},
        findings=findings,
        checks=tuple(check for one in judged for check in one.checks),
        utility=utility(assembly, *given),
        versions=versions(assembly, *given),
        relearned=comeback(assembly, *given),
        recipe_p=p,
        unanswered=_unanswered(assembly),
        warnings=_warnings(assembly, p, original, edited),
        files={"original": original.checkpoint.sha256, "edited": edited.checkpoint.sha256},
        cost={
            "models": float(total),
            "models_trained": float(trained),
            "seconds": time.perf_counter() - clock,
        },
        provenance={
            "unweave": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "fingerprint": assembly.setting.fingerprint,
            "notes": list(notes),
        },
    )


def _store(spec: Spec) -> Store:
    return Store((spec.store or DEFAULT_STORE).absolute())


def _train(spec: Spec, assembly: Assembly, notes: list[str], tell: Progress, show: Message) -> tuple[int, int]:
    """Train the references that the store lacks; returns how many were trained, and how many there are."""
    if not assembly.worlds:
        return 0, 0
    store, nothing = _store(spec), {assembly.case.name: ()}
    store.check_writable()

    def note(said: Sequence[str]) -> None:
        notes.extend(said)
        for one in said:
            show(one)

    before = store.quarantined()
    with ExitStack() as held:
        held.enter_context(lease(store.root, needed([assembly], nothing)))
        check_unchanged(store, assembly)
        work = sum(
            not store.has(key_of(one))
            for world in assembly.worlds.values()
            if not store.has(key_of(outputs_fields(assembly.setting, world)))
            for one in model_fields(assembly.setting, world)
        )
        if work > 0:
            show(forecast_text(float(work), seconds_per_model(assembly), spec.workers or cores()))
        engine = held.enter_context(engine_at_work(spec, store, [assembly], nothing, note))
        keep_ids(store, [assembly])
        counts = train_worlds(store, [assembly], engine.train, tell)
        note(made_anew(store, before))
    return counts


def _models(spec: Spec, assembly: Assembly, name: WorldName) -> Any:
    from unweave.references.ensure import load_models

    return load_models(_store(spec), assembly.setting, assembly.worlds[name])


def _headline(findings: tuple[Finding, ...], original: GivenModel, edited: GivenModel) -> str:
    if original.checkpoint.sha256 == edited.checkpoint.sha256:
        return "The edited model is the original, byte for byte."
    said = [f"{one.aim}: {one.verdict}" for one in findings]
    return "; ".join(said).capitalize() + "."


def _unanswered(assembly: Assembly) -> tuple[str, ...]:
    said: list[str] = []
    if not assembly.planted.known:
        said.append("What a model knows of the rest of the behaviour, and of new instances of it, was not asked.")
    said.append(
        "Whether the method that made this model untrains or unlearns in general: `unweave compare` asks that of "
        "many models; one model cannot show it."
    )
    return tuple(said)


def _warnings(assembly: Assembly, p: float | None, original: GivenModel, edited: GivenModel) -> tuple[str, ...]:
    said: list[str] = []
    if p is not None and p <= assembly.case.alpha:
        said.append(
            f"The original is not like models that its recipe trains on D (p = {p:.3f}): the references may not "
            "be its references. Check `learner` and the data."
        )
    if original.checkpoint.sha256 == edited.checkpoint.sha256:
        said.append("Original and edited model are one and the same file, byte for byte.")
    return tuple(said)
