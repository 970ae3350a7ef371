"""What workers do: train a world, run a method on every original. Arguments are JSON; results are stored."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unweave._errors import StoreError, UserError
from unweave._memory import peak_memory
from unweave._random import derive
from unweave.execute import Away, out_of_memory, task
from unweave.records import case_result_to_json
from unweave.references import (
    Entry,
    Objects,
    Outputs,
    Store,
    WorldName,
    about,
    digest,
    key_of,
    outputs_fields,
    read_verified,
)
from unweave.study.asked import Asked
from unweave.study.assemble import Assembly, assemble
from unweave.study.away import arrived
from unweave.study.code import analysis_code, methods_code
from unweave.study.copies import clusters_of
from unweave.study.expansion import (
    ensure_rung,
    expansion_fields,
    found_of,
    note_of_expansion,
    price_of,
    read_order,
)
from unweave.study.fair import edit, note_of, params_of
from unweave.study.plugins import at_hand, plugin_fields
from unweave.study.reading import read_too
from unweave.study.rows import judge_case
from unweave.study.scores import asked_of, ensure_events, note_of_scores, score_fields, scores_of
from unweave.study.spec import MethodChoice, case_from_tree, case_to_tree

Where = dict[str, Any]
"""What is the same for all tasks of a case, as JSON.

`store`: its folder; `data`: the fingerprint that the data must have; `trusted`: digests of the files of the user's
own code that may be run; `device`: where models are trained; `shared`: folder by which workers share large arrays;
`read`: whether models are read token by token as well.
"""


def _arrive(case: dict[str, Any], where: Where, away: Away | None) -> tuple[Assembly, Objects]:
    """The arrays of a case, and the objects that a task reads and writes: here, or as they were sent along.

    Raises:
        UserError: if the data are other than the driver found them: models of both would be mixed.
    """
    if away is not None:
        return arrived(away)
    assembly = assemble(
        case_from_tree(case), trusted=where["trusted"], device=where["device"], shared=where["shared"]
    )
    if assembly.setting.fingerprint != where["data"]:
        raise UserError(
            f"The data of {assembly.case.name} changed while the run was at work. What was made of them before is "
            "stored; run again to see how they changed."
        )
    assembly = read_too(assembly) if where.get("read") else assembly
    return assembly, Store(Path(where["store"]))


@task
def train_world(case: dict[str, Any], where: Where, world: WorldName, away: Away | None = None) -> int:
    """Train the models of one world that the store lacks; returns how many that were."""
    from unweave.references.ensure import ensure_outputs

    assembly, objects = _arrive(case, where, away)
    return ensure_outputs(objects, assembly.setting, assembly.worlds[world])[1]


@task
def train_block(
    case: dict[str, Any],
    where: Where,
    models: int,
    share: float,
    block: list[int],
    together: list[list[int]] | None = None,
    away: Away | None = None,
) -> int:
    """Train a block of models on random parts of D and store their answers; returns how many were trained."""
    from unweave.references.subsampled import SubsetPlan, ensure_block

    assembly, objects = _arrive(case, where, away)
    clusters = clusters_of(together or [], len(assembly.setting.y))
    plan = SubsetPlan(models, share, assembly.case.seed, clusters)
    return ensure_block(objects, assembly.setting, plan, asked_of(assembly), range(*block))


@task
def follow_training(case: dict[str, Any], where: Where, away: Away | None = None) -> int:
    """Train the first originals once more, and store how early they learned each example of D."""
    assembly, objects = _arrive(case, where, away)
    ensure_events(objects, assembly)
    return 0


@task
def train_pair(case: dict[str, Any], where: Where, pair: int, away: Away | None = None) -> int:
    """Train two models on a random half of D and on the other; returns how many had to be trained."""
    from unweave.references.halves import ensure_pair

    assembly, objects = _arrive(case, where, away)
    return ensure_pair(objects, assembly.setting, assembly.case.seed, pair)


@task
def describe(case: dict[str, Any], where: Where, described: str, away: Away | None = None) -> int:
    """Store what originals say of each example of D, `embedding` or `attribution`; how many models it took."""
    from unweave.study.evidence import ensure_description

    assembly, objects = _arrive(case, where, away)
    return ensure_description(objects, assembly, described)


@task
def order_candidates(case: dict[str, Any], where: Where, away: Away | None = None) -> int:
    """Order D∖S by likeness to S, and store it with its ladder of cuts."""
    assembly, objects = _arrive(case, where, away)
    read_order(objects, assembly)
    return 0


@task
def train_rung(case: dict[str, Any], where: Where, rung: int, away: Away | None = None) -> int:
    """Train a model without S and what joins it at a rung; returns how many had to be trained."""
    assembly, objects = _arrive(case, where, away)
    return ensure_rung(objects, assembly, read_order(objects, assembly), rung)


@task
def compute_proxies(case: dict[str, Any], where: Where, family: str, away: Away | None = None) -> str:
    """Compute the proxies of memorization that one family of them gives, and store them; see `ensure_family`."""
    from unweave.study.proxies import ensure_family

    assembly, objects = _arrive(case, where, away)
    return ensure_family(objects, assembly, family)


def method_fields(assembly: Assembly, choice: MethodChoice) -> dict[str, Any]:
    """What identifies the outputs of a method on every original."""
    originals = outputs_fields(assembly.setting, assembly.worlds["original"])
    budget = {} if choice.budget is None else {"budget": {choice.stage: choice.budget}}
    return {
        "kind": "method outputs",
        "originals": originals,
        "forget": digest(assembly.setting.ids[assembly.forget]),
        "method": choice.name,
        "params": choice.params,
        "seed": assembly.case.seed,
        "validation": [digest(one[assembly.validation]) for one in (assembly.data.test.x, assembly.data.test.y)],
        "code": methods_code(),
        **plugin_fields(choice),
        **score_fields(assembly, choice),
        **expansion_fields(assembly, choice),
        **budget,
    }


def stored_method(store: Objects, assembly: Assembly, choice: MethodChoice) -> Outputs | None:
    """The stored outputs of a method, if they are there and whole."""
    found = read_verified(store, key_of(method_fields(assembly, choice)))
    if found is None:
        return None
    arrays, notes = found
    return Outputs.of(arrays, {**notes, **({"forget": arrays["forget"]} if "forget" in arrays else {})})


@task
def run_method(case: dict[str, Any], where: Where, choice: dict[str, Any], away: Away | None = None) -> str:
    """Run a method on every original and store its outputs on the probes, with cost and parameters.

    Returns:
        "" or, if the method itself failed, the reason: that is a row of the table, not the end of a run.
    """
    assembly, objects = _arrive(case, where, away)
    return _run_method(assembly, objects, MethodChoice.from_json(choice))


def _run_method(assembly: Assembly, store: Objects, choice: MethodChoice) -> str:
    if stored_method(store, assembly, choice) is not None:
        return ""
    with at_hand(choice) as entry:
        return _run_entry(assembly, store, choice, entry)


def _run_entry(assembly: Assembly, store: Objects, choice: MethodChoice, entry: Any) -> str:
    import torch

    from unweave.learners.nets import build
    from unweave.methods import Examples
    from unweave.references.ensure import ensure_outputs, forward, load_models, read
    from unweave.training.outputs import one_thread
    from unweave.training.replay import Training

    if assembly.setting.learner.opaque:  # `refusal` leaves only what changes nothing
        kept = ensure_outputs(store, assembly.setting, assembly.worlds["original"])[0].logits
        notes = {
            "gradient_ratio": 0.0,
            "steps": 0,
            "seconds": 0.0,
            "peak_memory_bytes": None,
            "params": {},
            "cite": "",
            **about(assembly.setting, assembly.worlds["original"]),
        }
        store.write([Entry(method_fields(assembly, choice), {"logits": kept}, notes)])
        return ""
    setting, world = assembly.setting, assembly.worlds["original"]
    # At every budget the same order of examples and the same noise.
    keys = [derive(assembly.case.seed, "method", choice.setting, k) for k in range(len(world.keys))]
    found = found_of(store, assembly, choice)
    forget = assembly.forget if found is None else found.forget
    retain, aside, test = np.setdiff1d(world.rows, forget), assembly.validation, assembly.data.test
    x, y = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y))
    held_out = (torch.from_numpy(one[aside]).to(setting.device) for one in (test.x, test.y))
    originals = load_models(store, setting, world)
    scores = scores_of(store, assembly, choice)
    started = time.perf_counter()
    try:
        with one_thread():
            edited = edit(
                assembly,
                choice,
                build(setting.learner),
                originals,
                forget=Examples(x[forget], y[forget]),
                retain=Examples(x[retain], y[retain]),
                keys=keys,
                validation=Examples(*held_out) if "validation" in entry.declared.needs else None,
                training=Training(x, y, world.rows, world.keys, forget),
                scores=scores,
            )
        outputs = Outputs(forward(setting, edited.state), {}, read(setting, edited.state))
    except UserError as error:
        return str(error)
    except Exception as error:
        if out_of_memory(error):  # it may do with fewer at work, which is not the method's affair
            raise
        # An author's bug costs the author's row, not the rows of the others.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"raised {type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
    if not np.isfinite(outputs.logits).all():
        return "its models are finite, but their outputs are not. It diverged; try a smaller `lr`."
    price = None if found is None else price_of(assembly, found, edited.gradient_ratio)
    said = [note_of(choice, edited, len(keys)), note_of_scores(choice)]
    if found is not None and price is not None:
        said.append(note_of_expansion(found, price, len(keys)))
    notes = {
        "gradient_ratio": edited.gradient_ratio if price is None else price.total,
        "steps": edited.steps,
        "chunk": edited.chunk,
        "seconds": time.perf_counter() - started,
        "peak_memory_bytes": peak_memory(),
        "params": params_of(assembly, choice, edited),
        "note": "; ".join(filter(None, said)),
        **({} if scores is None else {"scores": digest(scores)}),
        "cite": entry.declared.cite,
        **about(setting, world),
    }
    arrays = {**outputs.arrays, **({} if found is None else {"forget": forget})}
    store.write([Entry(method_fields(assembly, choice), arrays, notes)])
    return ""


def analysis_fields(
    assembly: Assembly, methods: Sequence[MethodChoice], failures: dict[str, str], asked: Sequence[Asked]
) -> dict[str, Any]:
    """What identifies the analysis of a case: every output it reads, the case, and the code that reads."""
    worlds = [key_of(outputs_fields(assembly.setting, world)) for world in assembly.worlds.values()]
    data = assembly.data
    # Names and values that are shown but change no number.
    shown = [np.array(data.labels, dtype=np.str_), data.test.ids]
    for part in (data.train, data.test):
        shown += [np.array([name, *map(str, values.tolist())]) for name, values in part.columns.items()]
    return {
        "kind": "analysis",
        "shown": [digest(one) for one in shown],
        "case": case_to_tree(assembly.case),
        "worlds": worlds,
        "methods": [key_of(method_fields(assembly, choice)) for choice in methods],
        "failures": failures,
        "measures": [one.to_json() for one in asked],
        "code": analysis_code(),
    }


@task
def analyse(
    case: dict[str, Any],
    where: Where,
    methods: list[dict[str, Any]],
    failures: dict[str, str],
    measures: list[dict[str, Any]],
    away: Away | None = None,
) -> dict[str, Any]:
    """Measure and judge a case from its stored outputs; the result is stored as well.

    Args:
        case: The case.
        where: See `Where`.
        methods: Each method, as `MethodChoice.to_json` gives it.
        failures: Reason per method that has no outputs.
        measures: Each metric or attack that was asked for, as `Asked.to_json` gives it.
        away: What was sent along, if the store is elsewhere.
    """
    assembly, objects = _arrive(case, where, away)
    choices = [MethodChoice.from_json(one) for one in methods]
    asked = [Asked.from_json(one) for one in measures]
    fields = analysis_fields(assembly, choices, failures, asked)
    found = read_verified(objects, key_of(fields))
    if found is not None:
        return found[1]["result"]
    outputs: dict[WorldName, Outputs] = {name: _world_outputs(objects, assembly, name) for name in assembly.worlds}
    ran = [(choice, _method_outputs(objects, assembly, choice, failures)) for choice in choices]
    result = case_result_to_json(judge_case(assembly, outputs, ran, asked))
    objects.write([Entry(fields, {}, {"result": result, **about(assembly.setting, assembly.worlds["original"])})])
    return result


def _world_outputs(store: Objects, assembly: Assembly, name: WorldName) -> Outputs:
    world = assembly.worlds[name]
    found = read_verified(store, key_of(outputs_fields(assembly.setting, world)))
    if found is None:  # it was damaged since it was written, and has been set aside
        from unweave.references.ensure import ensure_outputs

        return ensure_outputs(store, assembly.setting, world)[0]
    return Outputs.of(*found)


def _method_outputs(
    store: Objects, assembly: Assembly, choice: MethodChoice, failures: dict[str, str]
) -> Outputs | str:
    if reason := failures.get(choice.id):
        return reason
    found = stored_method(store, assembly, choice)
    if found is None:  # as above
        _run_method(assembly, store, choice)
        found = stored_method(store, assembly, choice)
    if found is None:
        raise StoreError(f"The outputs of {choice.id} do not survive being written to the store.")
    return found
