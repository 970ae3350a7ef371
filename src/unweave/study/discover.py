"""`discover`: the rest of a behaviour from the part of it that is known."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal, NamedTuple

from unweave._errors import ApplicabilityError, SpecError, UserError
from unweave.execute import Task
from unweave.problem import Case
from unweave.records.discovery import Discovery, Ranked
from unweave.references import in_use, key_of, model_fields
from unweave.study.assemble import Assembly, assemble
from unweave.study.engines import cores, engine_at_work
from unweave.study.evidence import HALVES, description_fields, evidence_of, first_originals
from unweave.study.forecast import forecast_text, seconds_per_model
from unweave.study.found import Asked, judge_discovery
from unweave.study.holdings import ids_of, keep_ids, made_anew, needed
from unweave.study.manifest import check_unchanged
from unweave.study.own_code import trusted_files
from unweave.study.preflight import check_room
from unweave.study.promise import LEAST
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
from unweave.study.spec import Spec

Confidence = Literal["mean", "95"]


class DiscoverWanted(NamedTuple):
    """What `discover` is asked beside the case: see there."""

    target: float = 0.9
    confidence: Confidence = "mean"
    rounds: int = 1
    method: str = "expansion"
    halves: int = HALVES
    confirmed: tuple[int | str, ...] = ()
    rejected: tuple[int | str, ...] = ()
    ask: int = 0


class Prepared(NamedTuple):
    """A case that was checked, what is computed of it, and the rows of examples that a person has judged."""

    assembly: Assembly
    described: tuple[str, ...]
    asked: Asked


def discover(
    case: Case | str,
    *,
    target: float = 0.9,
    confidence: Confidence = "mean",
    rounds: int = 1,
    method: str = "expansion",
    halves: int = HALVES,
    confirmed: Sequence[int | str] = (),
    rejected: Sequence[int | str] = (),
    ask: int = 0,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    trust_code: Sequence[str | os.PathLike[str]] = (),
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> tuple[Discovery, tuple[Ranked, ...]]:
    """Rank D∖S by how likely examples are of the behaviour of S, with a cut-off that promises a recall.

    Half of S, chosen at random, teaches the ranking; the other half is ranked among D∖S as if it were not known,
    and the cut is the score of its ⌈(n + 1)·target⌉-th member. What was discovered in units, as all of a person,
    is split by units, and the promise is of units with all their members.

    Args:
        case: The case, or the name of a registered one.
        target: Recall of the members of B∖S, in (0, 1).
        confidence: `mean`: recall is at least the target on average over S; `95`: that of the law of members is,
            with 95% confidence.
        rounds: How often D is ranked: what scores above half of the held-out seeds is a seed of the next round.
        method: A name of `unweave.influence.discovery.SCORERS`.
        halves: Models of random halves of D; even.
        confirmed: Ids that a person confirmed as members; they are seeds too, and void the promise.
        rejected: Ids that a person knows to be no members; they are no candidates.
        ask: How many candidates a person should look at next: the last above the cut; ≥ 0.
        store: Folder of models; what it holds is not trained again.
        workers: Worker processes of one thread each; None = one per core.
        trust_code: Files of your own with learners.
        on_progress: Called as (stage, done, total).
        on_message: Called with each sentence that a reader should see at once.

    Returns:
        The discovery, and the ranking of all candidates, best first.

    Raises:
        UserError: for bad input, before anything is trained.
    """
    spec = spec_of(case, store=store, workers=workers, trust_code=trust_code)
    wanted = DiscoverWanted(target, confidence, rounds, method, halves, tuple(confirmed), tuple(rejected), ask)
    return run_discover(spec, wanted, on_progress=on_progress, on_message=on_message)


def run_discover(
    spec: Spec, wanted: DiscoverWanted, *, on_progress: Progress | None = None, on_message: Message | None = None
) -> tuple[Discovery, tuple[Ranked, ...]]:
    """Find the rest of the behaviour of the one case of a spec; see `discover`."""
    from unweave.references.halves import half_fields

    clock = time.perf_counter()
    told = told_to(on_progress, on_message)
    tell, show, notes = told
    assembly, described, asked = prepare_discover(spec, wanted)
    few = first_originals(assembly, described)
    store = store_of(spec)
    store.check_writable()
    setting, seed, methods = assembly.setting, assembly.case.seed, {assembly.case.name: ()}
    pairs = {pair: key_of(half_fields(setting, seed, pair)) for pair in range(wanted.halves // 2)}
    descriptions = {one: key_of(description_fields(assembly, one)) for one in described}
    before = store.quarantined()
    check_room(store, [few], methods)
    with ExitStack() as held:
        keys = needed([few], methods) | {*pairs.values(), *descriptions.values()}
        held.enter_context(in_use(store, keys))
        check_unchanged(store, few)
        originals = [] if setting.learner.opaque else [key_of(one) for one in _models(few)]
        missing = [key for key in originals if not store.has(key)]
        new = [pair for pair, key in pairs.items() if not store.has(key)]
        if (work := len(missing) + float(len(new))) > 0:
            show(forecast_text(work, seconds_per_model(assembly), spec.workers or cores()))
        engine = held.enter_context(engine_at_work(spec, store, [few], methods, told.note))
        keep_ids(store, [few])
        label = f"of {assembly.case.name} (seed {seed})"
        reads = [*originals, *ids_of(few, few.worlds["original"])]
        tasks: list[Task] = [
            case_task("train_pair", store, assembly, f"training half-split models {pair} {label}", (), pair=pair)
            for pair in new
        ]
        tasks += [
            case_task("describe", store, assembly, f"{one} {label}", reads, described=one)
            for one, key in descriptions.items()
            if not store.has(key)
        ]
        engine.train(tasks, on_done=counter("subsets", len(tasks), tell))
        evidence = evidence_of(store, assembly, halves=wanted.halves, described=described)
        told.note(made_anew(store, before))
    cost = {
        "retrainings": wanted.halves / 2 + len(originals),
        "models": float(wanted.halves + len(originals)),
        "models_trained": float(2 * len(new) + len(missing)),
    }
    found, ranking = judge_discovery(assembly, evidence, asked)
    cost["seconds"] = time.perf_counter() - clock
    return found(cost, about_run(assembly, notes)), ranking


def _models(few: Assembly) -> list[dict[str, object]]:
    return model_fields(few.setting, few.worlds["original"])


def prepare_discover(spec: Spec, wanted: DiscoverWanted) -> Prepared:
    """The case of a spec as arrays, checked before anything is trained.

    Raises:
        UserError: whatever is wrong with it.
    """
    from unweave.influence.discovery import SCORERS

    case = only_case(spec, "discover")
    declared = SCORERS.get(wanted.method).declared
    if not 0 < wanted.target < 1:
        raise UserError(f"`target` is {wanted.target}; expected a recall above 0 and below 1, such as 0.9.")
    if wanted.confidence not in ("mean", "95"):
        raise UserError(f"`confidence` is {wanted.confidence!r}; expected mean or 95.")
    if wanted.halves < 2 or wanted.halves % 2:
        raise UserError(f"`models` is {wanted.halves}; expected an even number, 2 or more: halves come in pairs.")
    if not 1 <= wanted.rounds <= 20:
        raise UserError(f"`rounds` is {wanted.rounds}; expected 1 to 20.")
    if wanted.rounds > 1 and (not declared.reads_forget or "attribution" in declared.needs):
        raise ApplicabilityError(
            f"`{wanted.method}` learns nothing from further seeds, so rounds change nothing; leave out --rounds."
        )
    assembly = assemble(case, trusted=trusted_files(spec.trust_code))
    if not assembly.case.learner.recipe_known:
        raise SpecError(
            "`discover` trains models on halves of D, and how this model was trained is not known; give "
            "`learner.epochs` and `learner.lr`."
        )
    if assembly.case.forget.outside:
        raise UserError("S lies outside D, so there is no rest of S to rank; `forget.outside` does not go here.")
    if len(assembly.forget) < LEAST:
        raise UserError(
            f"S has {len(assembly.forget)} examples; expected at least {LEAST}: half of them teach the ranking, "
            "and the other half calibrates the cut-off."
        )
    if wanted.ask < 0:
        raise UserError(f"`ask` is {wanted.ask}; expected how many candidates to look at next, 0 or more.")
    confirmed, rejected = _judged(assembly, wanted)
    if len(confirmed) and "attribution" in declared.needs:
        raise ApplicabilityError(f"`{wanted.method}` knows S alone: confirmed examples cannot be its seeds.")
    opaque = assembly.setting.learner.opaque
    if opaque and not declared.needs <= {"outside", "inside"}:
        raise ApplicabilityError(
            f"`{wanted.method}` needs features or gradients, and of the learner {assembly.setting.learner.label} "
            "only the outputs are known. `expansion` and `confident-learning` need no more."
        )
    described = set(declared.needs) & {"embedding", "attribution"}
    if wanted.method == "expansion" and not opaque:
        described.add("embedding")
    asked = Asked(wanted.target, wanted.confidence, wanted.rounds, wanted.method, confirmed, rejected, wanted.ask)
    return Prepared(assembly, tuple(sorted(described)), asked)


def _judged(assembly: Assembly, wanted: DiscoverWanted) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of the examples that a person confirmed beside S, and rejected."""
    confirmed, rejected = (
        _rows_of(assembly, ids, name)
        for ids, name in ((wanted.confirmed, "confirmed"), (wanted.rejected, "rejected"))
    )
    forget, names = set(assembly.forget.tolist()), assembly.setting.ids
    for known, where in ((confirmed, "confirmed as well"), (forget, "in S")):
        if both := sorted(rejected & known):
            raise SpecError(
                f"{len(both)} of {len(rejected)} rejected ids are {where} (first: {names[both[0]]}); "
                "an example is of B or it is not: leave it out of one of the two."
            )
    left = len(names) - len(forget | confirmed | rejected)
    if left == 0:
        raise SpecError("All of D∖S is confirmed or rejected; nothing is left to rank.")
    return tuple(sorted(confirmed - forget)), tuple(sorted(rejected))


def _rows_of(assembly: Assembly, ids: Sequence[int | str], name: str) -> set[int]:
    row_of = {str(one): row for row, one in enumerate(assembly.setting.ids.tolist())}
    unknown = [one for one in ids if str(one) not in row_of]
    if unknown:
        raise SpecError(
            f"{len(unknown)} of {len(ids)} {name} ids are not in the training data (first: {unknown[0]}); "
            "use ids of the list that `discover` wrote for these data."
        )
    return {row_of[str(one)] for one in ids}
