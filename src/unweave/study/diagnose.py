"""`diagnose`: what a request would change, before anything is done about it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

from unweave._errors import SpecError, UserError
from unweave.execute import Task
from unweave.problem import Case
from unweave.records.diagnosis import Diagnosis, Proxy, Tried
from unweave.references import Store, in_use, key_of
from unweave.study import gate
from unweave.study.assemble import Assembly, assemble
from unweave.study.cheapest import Chosen, choose, tried_of
from unweave.study.compare import (
    analyse_cases,
    ensure_methods,
    originals_of,
    train_worlds,
)
from unweave.study.copies import COPIES, clusters_of, copies_of_forget, together_of
from unweave.study.deployed import deployed, with_model, without_recipe
from unweave.study.diagnosis import Parts, judge_request
from unweave.study.engines import Engine, cores, engine_at_work
from unweave.study.forecast import forecast_text, seconds_per_model
from unweave.study.given import NO_RECIPE, given_model
from unweave.study.holdings import keep_ids, made_anew, models_missing, needed
from unweave.study.manifest import check_unchanged
from unweave.study.own_code import trusted_files
from unweave.study.preflight import check_room
from unweave.study.proxies import Computed, families_of, proxies_named, stored_family, why_not
from unweave.study.ranked import judge_proxies
from unweave.study.running import (
    Message,
    Progress,
    about_run,
    case_task,
    counter,
    only_case,
    spec_of,
    store_of,
    told_to,
)
from unweave.study.scores import MODELS, SHARE, asked_of
from unweave.study.spec import MethodChoice, Spec


class Wanted(NamedTuple):
    """What `diagnose` is asked beside the case: see there."""

    models: int = MODELS
    share: float = SHARE
    use: str | None = None
    together: str | None = None
    proxies: tuple[str, ...] = ()


def diagnose(
    case: Case | str,
    *,
    use: str | None = None,
    models: int = MODELS,
    share: float = SHARE,
    together: str | os.PathLike[str] | None = None,
    proxies: Sequence[str] = (),
    methods: Sequence[str] = (),
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    trust_code: Sequence[str | os.PathLike[str]] = (),
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> Diagnosis:
    """Say what taking out S would change: how far S is known by heart, and what it does to others.

    Trains `models` models on random parts of D for the influence of single examples, and K models of A(D), A(D∖S)
    and A(D∖B) for that of S and B as a whole.

    Args:
        case: The case, or the name of a registered one.
        use: What the request is for (`unweave.problem.uses.USES`), which decides the aim; None = not stated.
        models: Models trained on random parts of D; a standard error of memorization is at worst
            √(.25/(share·t) + .25/((1−share)·t)), .05 for 500.
        share: Part of D that each of them sees.
        together: `copies` leaves out copies of each other together, exact and near ones, so that memorization is
            that of the group; a file of lines `id,group` says which examples instead. None = each alone.
        proxies: Names of proxies of memorization that are held against it (`PROXIES`), or `all`.
        methods: Names of methods to look for the cheapest sufficient one among; `default` for those that `compare`
            takes by default, `all` for all there are.
        store: Folder of models and outputs; what it holds is not trained again.
        workers: Worker processes of one thread each; None = one per core.
        trust_code: Files of your own with learners.
        on_progress: Called as (stage, done, total).
        on_message: Called with each sentence that a reader should see at once.

    Raises:
        UserError: for bad input, before anything is trained.

    Source: Feldman & Zhang (2020, arXiv 2008.03703) for memorization and influence. Deviation: `together`, since
    of several copies none is memorized by this definition.
    """
    spec = spec_of(case, store=store, workers=workers, trust_code=trust_code)
    spec = replace(spec, methods=tuple(MethodChoice(one, {}) for one in methods) or None)
    named = proxies_named(list(proxies)) if proxies else ()
    wanted = Wanted(models, share, use, None if together is None else str(together), named)
    return run_diagnose(spec, wanted, on_progress=on_progress, on_message=on_message)


def run_diagnose(
    spec: Spec, wanted: Wanted, *, on_progress: Progress | None = None, on_message: Message | None = None
) -> Diagnosis:
    """Diagnose the one case of a spec; see `diagnose`."""
    from unweave.references.subsampled import SubsetPlan, block_fields, blocks, stored_block

    clock = time.perf_counter()
    told = told_to(on_progress, on_message)
    tell, show, notes = told
    assembly = prepare(spec, wanted)
    model = given_model(assembly) if assembly.case.learner.checkpoint is not None else None
    if model is not None and not assembly.case.learner.recipe_known:
        own = deployed(assembly, model, None)
        cost = {"models": 0.0, "models_trained": 0.0, "seconds": time.perf_counter() - clock}
        return without_recipe(assembly, own, wanted.use, cost=cost, provenance=about_run(assembly, []))
    chosen = choose(spec, assembly)
    store = store_of(spec)
    store.check_writable()
    sets = together_of(assembly, wanted.together)
    clusters = clusters_of(sets, len(assembly.setting.y))
    plan = SubsetPlan(wanted.models, wanted.share, assembly.case.seed, clusters)
    asked = asked_of(assembly)

    def keys_of(some: Sequence[range]) -> list[str]:
        return [key_of(block_fields(assembly.setting, plan, asked, one)) for one in some]

    stored = {block: stored_block(store, assembly.setting, plan, asked, block) for block in blocks(plan)}
    before, methods = store.quarantined(), {assembly.case.name: chosen.methods}
    check_room(store, [assembly], methods)
    with ExitStack() as held:
        there = [one for one in stored.values() if one is not None]
        held.enter_context(in_use(store, needed([assembly], methods) | {*keys_of([*stored, *there])}))
        check_unchanged(store, assembly)
        lacking = {block: len(block) - len(found or ()) for block, found in stored.items()}
        missing = {block: models for block, models in lacking.items() if models > 0}
        if (work := models_missing(store, assembly) + plan.share * sum(missing.values())) > 0:
            show(forecast_text(work, seconds_per_model(assembly), spec.workers or cores()))
        engine = held.enter_context(engine_at_work(spec, store, [assembly], methods, told.note))
        keep_ids(store, [assembly])
        trained, total = train_worlds(store, [assembly], engine.train, tell)
        reads = {block: keys_of([one]) if (one := stored[block]) else [] for block in missing}
        tasks = [_task_of(store, assembly, wanted, block, sets, reads[block]) for block in missing]
        engine.train(tasks, on_done=counter("subsets", len(tasks), tell))
        parts = _read(store, assembly, plan)
        ranked = _ranked(store, assembly, parts, wanted.proxies, engine, tell)
        tried = _tried(store, assembly, chosen, engine, tell)
        told.note(made_anew(store, before))
    cost = {
        "models": float(total + wanted.models),
        "models_trained": float(trained + sum(missing.values())),
        "seconds": time.perf_counter() - clock,
    }
    about = about_run(assembly, notes)
    found = judge_request(assembly, parts, wanted.use, ranked, tried, cost=cost, provenance=about)
    memorized = replace(found.memorized, together=len(sets))
    found = replace(found, memorized=memorized, copies=copies_of_forget(assembly))
    if model is None:
        return found
    return with_model(found, deployed(assembly, model, parts.worlds["original"]), assembly.case.alpha)


def _ranked(
    store: Store, assembly: Assembly, parts: Parts, names: Sequence[str], engine: Engine, tell: Progress
) -> tuple[Proxy, ...]:
    """Compute the proxies that are asked for, where they are not stored, and hold them against memorization."""
    if not names:
        return ()
    computed: dict[str, Computed | str] = {family: why_not(assembly, family) for family in families_of(names)}
    missing: list[str] = []
    for family, why in computed.items():
        found = None if why else stored_family(store, assembly, family)
        computed[family] = why if found is None else found
        missing += [family] if found is None and not why else []
    label = f"of {assembly.case.name} (seed {assembly.case.seed})"
    tasks = [
        case_task(
            "compute_proxies", store, assembly, f"proxies ({one}) {label}", originals_of(assembly), family=one
        )
        for one in missing
    ]
    reasons = engine.train(tasks, on_done=counter("proxies", len(tasks), tell))
    for family, why in zip(missing, reasons, strict=True):
        computed[family] = why or stored_family(store, assembly, family) or "its values did not survive the store"
    return judge_proxies(assembly, parts, names, computed)


def _tried(store: Store, assembly: Assembly, chosen: Chosen, engine: Engine, tell: Progress) -> tuple[Tried, ...]:
    """Run the methods that are asked for and judge them as `compare` does, by the same tasks and keys."""
    if not chosen.methods:
        return tried_of((), chosen.left_out)
    of_each = {assembly.case.name: chosen.methods}
    failures = ensure_methods(store, [assembly], of_each, engine.train, tell)
    asked = gate.asked_of(None, [assembly], force=False)
    result = analyse_cases(store, [assembly], of_each, failures, asked, engine.measure, tell)[0]
    return tried_of(result.rows, chosen.left_out)


def _task_of(
    store: Store, assembly: Assembly, wanted: Wanted, block: range, sets: list[list[int]], reads: Sequence[str]
) -> Task:
    label = f"training models {block.start} to {block.stop} of parts of {assembly.case.name}"
    given = {"models": wanted.models, "share": wanted.share, "block": [block.start, block.stop]}
    given |= {"together": sets} if sets else {}
    return case_task("train_block", store, assembly, label, reads, **given)


def prepare(spec: Spec, wanted: Wanted) -> Assembly:
    """The case of a spec as arrays, with the worlds that a diagnosis reads, checked before anything is trained.

    Raises:
        UserError: whatever is wrong with it.
    """
    from unweave.problem.uses import use_of

    case = only_case(spec, "diagnose")
    if wanted.use is not None:
        use_of(wanted.use)
    if wanted.models < 20:
        raise UserError(f"`models` is {wanted.models}; expected at least 20 models on random parts of D.")
    if not 0 < wanted.share < 1:
        raise UserError(f"`share` is {wanted.share}; expected a part of D, above 0 and below 1.")
    assembly = assemble(case, trusted=trusted_files(spec.trust_code))
    if not assembly.case.learner.recipe_known and (wanted.proxies or spec.methods or wanted.together):
        raise SpecError(f"--proxies, --methods and --together need models that are trained: {NO_RECIPE}.")
    if assembly.case.forget.outside:
        raise UserError(
            "S lies outside D, so untraining is a no-op by definition: no model was trained on S, and there is "
            "nothing to diagnose. `unweave compare` says what unlearning does."
        )
    if case.learner.checkpoint is not None:
        given_model(assembly)  # what is wrong with the file
    if wanted.together not in (None, COPIES):
        together_of(assembly, wanted.together)  # what is wrong with the file
    if choose(spec, assembly).methods:  # verdicts need fresh retrains
        return assembly
    worlds = {name: world for name, world in assembly.worlds.items() if not name.startswith("null_")}
    return assembly._replace(worlds=worlds)


def _read(store: Store, assembly: Assembly, plan: Any) -> Parts:
    from unweave.references.ensure import ensure_outputs, load_models
    from unweave.references.subsampled import read_answers
    from unweave.study.diagnosis import features_of

    worlds = {
        name: ensure_outputs(store, assembly.setting, world)[0].logits for name, world in assembly.worlds.items()
    }
    answers = read_answers(store, assembly.setting, plan, asked_of(assembly))
    models = (
        None
        if assembly.setting.learner.opaque
        else load_models(store, assembly.setting, assembly.worlds["original"])
    )
    features = None if models is None else features_of(assembly, models)
    return Parts(answers.inside, answers.predicted, answers.phi, worlds, features, plan.share)
