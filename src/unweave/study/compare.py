"""`compare`: train what is missing, run the methods, measure, judge, and write it all down."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unweave import __version__
from unweave._errors import SpecError, UserError
from unweave.execute import Task, run_tasks
from unweave.problem import Case
from unweave.records import SCHEMA, CaseResult, Provenance, Result, case_result_from_json
from unweave.references import Store, in_use, key_of, model_fields, outputs_fields, stored_fields
from unweave.report import headline_result
from unweave.study.ahead import ensure_ahead, read_ahead
from unweave.study.asked import Asked, read_measures
from unweave.study.assemble import Assembly, assemble
from unweave.study.choices import Fair, choice_of, with_budgets
from unweave.study.comparison import Comparison
from unweave.study.device import PROCESSES, check_engine
from unweave.study.engines import Run, cores, engine_at_work
from unweave.study.fair import why_refused
from unweave.study.gate import asked_of, reads_documents
from unweave.study.given import no_checkpoint
from unweave.study.holdings import ids_of, keep_ids, made_anew, needed, of_other_versions
from unweave.study.manifest import check_unchanged
from unweave.study.own_code import trusted_files
from unweave.study.own_worlds import MethodsOf, panels
from unweave.study.plugins import code_name, methods_of, plugins_of, runs_here, told_of
from unweave.study.preflight import check_room
from unweave.study.reading import read_too
from unweave.study.running import Message, Progress, case_named, case_task, counter, store_of, told_to
from unweave.study.spec import MethodChoice, Spec, case_from_tree, case_to_tree, read_spec
from unweave.study.tasks import analysis_fields, method_fields


def compare(
    case: Case | str | Sequence[Case | str] | None = None,
    *,
    methods: str | Sequence[str | tuple[str, dict[str, float]] | dict[str, Any]] | None = None,
    equal_cost: float | None = None,
    equal_rise: float | None = None,
    measures: str | Sequence[str] | None = None,
    force: bool = False,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    device: str = "cpu",
    engine: str = PROCESSES,
    trust_code: Sequence[str | os.PathLike[str]] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> Comparison:
    """Say for each method whether it untrained or unlearned, with intervals.

    Trains K models of each world (A(D), A(D∖S), A(D∖B), and fresh batches of both references), runs
    each method on every original, and compares laws of outputs on the probe groups.

    Args:
        case: One case or several, or names of registered ones; None = the two default cases.
        methods: Names, (name, parameters), or dicts with a name as in a spec; `all` for all there are; None = the
            default methods. `ssd then finetune` is one after the other.
        equal_cost: Also run each method with as many whole epochs as this share of one retraining pays for.
        equal_rise: Also take each model of each method to where its mean CE on D∖S has risen by so many nats.
        measures: Metrics and attacks to measure of every row beside the map, such as `tow` or
            `lira_offline:unlearning@undiscovered` (`NAME[:AIM][@GROUP]`; aim: every one it may be asked of; group:
            `forget`); None = the default ones, `none` = none, `all` = all that apply.
        force: Measure what does not apply to an aim or on a group all the same; it is marked.
        store: Folder of models and outputs; what it holds is not trained again.
        workers: Worker processes of one thread each; None = one per core, and one for what a GPU does.
        device: Where models are trained and edited: `cpu`, `cuda`, or one of several GPUs as `cuda:1`.
        engine: What runs the workers: `processes`, `ray`, or `ray:HOST:PORT` of a Ray cluster (`'unweave[ray]'`).
        trust_code: Files of your own with learners (`learner.factory`); no other code is run.
        plugins: Files of your own that register methods; without `methods` they are run beside the default ones.
        on_progress: Called as (stage, done, total).
        on_message: Called with each sentence that a reader should see at once; they are in the provenance as well.

    Returns:
        The comparison; `.result` is the record, `.save(folder)` writes files.

    Raises:
        UserError: for bad input, before anything is trained.

    Example:
        >>> from unweave import Case, LearnerChoice, ReferenceChoice, compare
        >>> tiny = Case(learner=LearnerChoice(epochs=1), references=ReferenceChoice(models=3))
        >>> study = compare(tiny, methods=["noop"], store=getfixture("tmp_path"), workers=1)
        >>> [row.name for row in study.result.cases[0].rows if row.kind == "method"]
        ['noop']
    """
    listed = () if case is None else (case,) if isinstance(case, Case | str) else tuple(case)
    for one in listed:
        if not isinstance(one, (Case, str)):  # pyright: ignore[reportUnnecessaryIsInstance] - scripts are not typed
            raise SpecError(f"`case` holds {one!r}; expected an unweave.Case or the name of a registered one.")
    cases = tuple(case_named(one) for one in listed) or read_spec().cases
    # Through the same door as a file, so that a wrong value is refused here as there.
    cases = tuple(case_from_tree(case_to_tree(one)) for one in cases)
    chosen = None
    if isinstance(methods, str):
        methods = [methods]
    if methods is not None:
        chosen = tuple(choice_given(one) for one in methods)
    where = None if store is None else Path(store)
    trust = tuple(Path(one) for one in trust_code)
    spec = Spec(cases, chosen, store=where, workers=workers, device=device, engine=engine, trust_code=trust)
    spec = replace(spec, fair=Fair(equal_cost, equal_rise), plugins=tuple(Path(one) for one in plugins))
    spec = replace(spec, measures=read_measures(measures), force=force)
    return run_spec(spec, on_progress=on_progress, on_message=on_message)


def choice_given(given: str | tuple[str, dict[str, float]] | dict[str, Any]) -> MethodChoice:
    """A method as a script names it."""
    if isinstance(given, str):
        return MethodChoice(given, {})
    if isinstance(given, dict) and isinstance(given.get("name"), str):
        return choice_of(given)
    if isinstance(given, tuple) and len(given) == 2:
        return MethodChoice(given[0], dict(given[1]))
    raise SpecError(f"`methods` holds {given!r}; expected a name, (name, parameters) or a dict with a name.")


def run_spec(spec: Spec, *, on_progress: Progress | None = None, on_message: Message | None = None) -> Comparison:
    """Run a whole spec; see `compare`."""
    with plugins_of(spec.plugins) as names:
        return _run_spec(spec, methods_of(spec, names), on_progress=on_progress, on_message=on_message)


def _run_spec(
    spec: Spec, methods: Sequence[MethodChoice], *, on_progress: Progress | None, on_message: Message | None
) -> Comparison:
    started, clock = datetime.now(UTC), time.perf_counter()
    told = told_to(on_progress, on_message)
    tell, show, notes = told
    names = [case.name for case in spec.cases]
    if not names or len(set(names)) < len(names):
        raise UserError(f"Expected cases of different names, got {names or 'none'}.")
    no_checkpoint(spec.cases, "compare")
    methods = with_budgets(methods, spec.fair)
    check_engine(spec.engine, spec.device)
    store = store_of(spec)
    store.check_writable()
    trusted = trusted_files(spec.trust_code)
    arrive = partial(assemble, trusted=trusted, device=spec.device)
    assemblies, of_each, notes_of_panels = panels([arrive(case) for case in spec.cases], methods, again=arrive)
    asked = asked_of(spec.measures, assemblies, force=spec.force)
    if reads_documents(asked):
        assemblies = [read_too(assembly) for assembly in assemblies]
    check_room(store, assemblies, of_each)

    def failed(number: int, error: Exception) -> None:
        del number  # the error that ends the run names the task
        show(f"A task failed, and the others go on: {str(error).partition(chr(10))[0]}")

    told.note([*told_of(methods), *notes_of_panels])
    before, keys = store.quarantined(), needed(assemblies, of_each)
    with ExitStack() as held:
        held.enter_context(in_use(store, keys))
        for assembly in assemblies:
            check_unchanged(store, assembly)
        engine = held.enter_context(engine_at_work(spec, store, assemblies, of_each, told.note))
        told.note(of_other_versions(store, assemblies))
        keep_ids(store, assemblies)
        train, measure = (partial(run, on_failed=failed) for run in (engine.train, engine.measure))
        trained, total = train_worlds(store, assemblies, train, tell)
        failures = ensure_methods(store, assemblies, of_each, train, tell)
        results = analyse_cases(store, assemblies, of_each, failures, asked, measure, tell)
        told.note(made_anew(store, before))

    provenance = provenance_of(
        started=started,
        clock=clock,
        hardware=engine.hardware,
        seed=spec.cases[0].seed,
        counts=(trained, total),
        spec=_spec_tree(spec, methods),
        fingerprints={assembly.case.name: assembly.setting.fingerprint for assembly in assemblies},
        notes=notes,
    )
    return Comparison(Result(SCHEMA, headline_result(tuple(results)), provenance, tuple(results)))


def provenance_of(
    *,
    started: datetime,
    clock: float,
    hardware: str,
    seed: int,
    counts: tuple[int, int],
    spec: dict[str, Any],
    fingerprints: dict[str, str],
    notes: Sequence[str],
) -> Provenance:
    """Where the numbers of a run come from; `counts`: models that were trained now, and all of them."""
    trained, total = counts
    return Provenance(
        unweave=__version__,
        python=platform.python_version(),
        torch=version("torch"),
        numpy=version("numpy"),
        hardware=f"{platform.machine()}, {cores()} cores, {sys.platform}{hardware}",
        seed=seed,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        models_trained=trained,
        models_reused=total - trained,
        spec=spec,
        fingerprints=fingerprints,
        notes=tuple(notes),
    )


def _spec_tree(spec: Spec, methods: Sequence[MethodChoice]) -> dict[str, Any]:
    named = [one for one in methods if one.stage == "default"]
    listed = [{"name": one.name, **one.params} if one.params else one.name for one in named]
    fair = {"fair": spec.fair.to_tree()} if spec.fair.to_tree() else {}
    measures: dict[str, Any] = (
        {} if spec.measures is None else {"measures": [str(one) for one in spec.measures] or ["none"]}
    )
    if spec.force:
        measures["force"] = True
    return {
        "version": 1,
        "methods": listed,
        **fair,
        **measures,
        "cases": [case_to_tree(case) for case in spec.cases],
    }


def train_worlds(store: Store, assemblies: Sequence[Assembly], run: Run, tell: Progress) -> tuple[int, int]:
    """Train the models that are missing; returns how many were trained, and how many there are."""
    tasks: list[Task] = []
    total = 0
    for assembly in assemblies:
        for name, world in assembly.worlds.items():
            total += len(world.keys)
            if not store.has(key_of(outputs_fields(assembly.setting, world))):
                label = f"training {world.training_set} of {assembly.case.name} (seed {assembly.case.seed})"
                models = [key_of(fields) for fields in stored_fields(assembly.setting, world)]
                reads = [*models, *ids_of(assembly, world)]
                tasks.append(case_task("train_world", store, assembly, label, reads, world=name))
    counts = run(tasks, on_done=counter("train", len(tasks), tell))
    return sum(counts), total


def ensure_methods(
    store: Store,
    assemblies: Sequence[Assembly],
    methods: MethodsOf,
    run: Run,
    tell: Progress,
) -> dict[tuple[str, str], str]:
    """Run the methods whose outputs are missing; returns the reasons of those that failed or were refused."""
    tasks: list[Task] = []
    about: list[tuple[str, MethodChoice]] = []
    refused: dict[tuple[str, str], str] = {}
    wanted = [(assembly, choice) for assembly in assemblies for choice in methods[assembly.case.name]]
    wanted = [(one, choice) for one, choice in wanted if not store.has(key_of(method_fields(one, choice)))]
    ensure_ahead(store, wanted, run, tell)
    for assembly, choice in wanted:
        if why := why_refused(assembly, choice):
            refused[assembly.case.name, choice.id] = why
        else:
            label = f"running {choice.id} on {assembly.case.name} (seed {assembly.case.seed})"
            reads = [*originals_of(assembly), *code_name(choice), *read_ahead(assembly, choice)]
            tasks.append(case_task("run_method", store, assembly, label, reads, choice=choice.to_json()))
            about.append((assembly.case.name, choice))
    done = counter("methods", len(tasks), tell)
    reasons: dict[tuple[str, str], str] = {}
    for here, runner in ((True, run_tasks), (False, run)):
        some = [number for number, (_, choice) in enumerate(about) if runs_here(choice) == here]
        found = runner([tasks[number] for number in some], on_done=done)
        reasons |= {(about[n][0], about[n][1].id): said for n, said in zip(some, found, strict=True) if said}
    return refused | reasons


def originals_of(assembly: Assembly) -> list[str]:
    """Keys of all that a method needs to know of the original models."""
    world = assembly.worlds["original"]
    models = [key_of(fields) for fields in model_fields(assembly.setting, world)]
    return [*models, key_of(outputs_fields(assembly.setting, world)), *ids_of(assembly, world)]


def analyse_cases(
    store: Store,
    assemblies: Sequence[Assembly],
    methods: MethodsOf,
    failures: dict[tuple[str, str], str],
    asked: Sequence[Asked],
    run: Run,
    tell: Progress,
) -> list[CaseResult]:
    """Measure and judge every case; what is stored already needs no worker."""
    tasks: list[Task] = []
    stored = 0
    for assembly in assemblies:
        choices = methods[assembly.case.name]
        listed = [choice.to_json() for choice in choices]
        failed = {method: why for (case, method), why in failures.items() if case == assembly.case.name}
        key = key_of(analysis_fields(assembly, choices, failed, asked))
        reads = [key, *(key_of(outputs_fields(assembly.setting, one)) for one in assembly.worlds.values())]
        reads += [key_of(method_fields(assembly, choice)) for choice in choices]
        reads += sorted({name for choice in choices for name in code_name(choice)})
        given = {"methods": listed, "failures": failed, "measures": [one.to_json() for one in asked]}
        label = f"measuring {assembly.case.name} (seed {assembly.case.seed})"
        tasks.append(case_task("analyse", store, assembly, label, reads, **given))
        stored += store.has(key)
    done = counter("measure", len(tasks), tell)
    # What is stored is only read, which is done here sooner than a worker starts.
    values = (run_tasks if stored == len(tasks) else run)(tasks, on_done=done)
    return [case_result_from_json(value) for value in values]
