"""What is trained before methods run: for the scores and the larger forget sets that some of them are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unweave.execute import Task
from unweave.references import Store, key_of, model_fields
from unweave.study.assemble import Assembly
from unweave.study.choices import MethodChoice, expands
from unweave.study.expansion import (
    EMBEDDING,
    MOST_RUNGS,
    embedding_key,
    expansion_sizes,
    ladder_keys,
    order_fields,
    pair_keys,
    read_order,
    rung_fields,
)
from unweave.study.fair import why_refused
from unweave.study.running import Progress, case_task, counter
from unweave.study.scores import ensure_scores, score_sizes

Wanted = Sequence[tuple[Assembly, MethodChoice]]
"""Methods that will run, each with its case."""

Tasks = dict[str, Task]


def ahead_sizes(assembly: Assembly, methods: Sequence[MethodChoice]) -> dict[str, int]:
    """Bytes of each object that some methods need before they run, by key."""
    return score_sizes(assembly, methods) | expansion_sizes(assembly, methods)


def read_ahead(assembly: Assembly, choice: MethodChoice) -> list[str]:
    """Keys of what a method reads of it."""
    own = ladder_keys(assembly) if expansion_sizes(assembly, [choice]) else []
    return [*score_sizes(assembly, [choice]), *own]


def ensure_ahead(
    store: Store,
    wanted: Wanted,
    run: Callable[..., list[Any]],
    tell: Progress,
) -> None:
    """Train what some methods need before they run and the store lacks, by tasks.

    Args:
        store: The store.
        wanted: Methods that will run, each with its case; those that are refused need nothing.
        run: Runs tasks.
        tell: Told of progress.
    """
    ensure_scores(store, wanted, run, tell)
    cases = _expanded(wanted)
    done = 0
    # What each step does is known once the one before is done.
    for step in (_evidence, _orders, _rungs):
        tasks: Tasks = {}
        for assembly in cases.values():
            tasks |= step(store, assembly)
        if not tasks:
            continue
        total = done + len(tasks)
        run(list(tasks.values()), on_done=counter("expansion", total, tell, first=done))
        done = total


def _expanded(wanted: Wanted) -> dict[str, Assembly]:
    """The cases of which more than S is looked for, each once, by the key of its order."""
    found = [one for one, choice in wanted if expands(choice.name) and not why_refused(one, choice)]
    return {key_of(order_fields(one)): one for one in found}


def _evidence(store: Store, assembly: Assembly) -> Tasks:
    """Half-split models, and the features of an original: the same for every S in D."""
    label = f"of {assembly.case.name} (seed {assembly.case.seed})"
    original = [key_of(one) for one in model_fields(assembly.setting, assembly.worlds["original"])[:1]]
    tasks = {
        key: case_task("train_pair", store, assembly, f"training half-split models {pair} {label}", (), pair=pair)
        for pair, key in enumerate(pair_keys(assembly))
    }
    key = embedding_key(assembly)
    tasks[key] = case_task("describe", store, assembly, f"{EMBEDDING} {label}", original, described=EMBEDDING)
    return {key: one for key, one in tasks.items() if not store.has(key)}


def _orders(store: Store, assembly: Assembly) -> Tasks:
    key = key_of(order_fields(assembly))
    if store.has(key):
        return {}
    reads = [*pair_keys(assembly), embedding_key(assembly)]
    return {
        key: case_task("order_candidates", store, assembly, f"looking for more of {assembly.case.name}", reads)
    }


def _rungs(store: Store, assembly: Assembly) -> Tasks:
    """A model for each rung; none where the order failed, which the method's own task then tells of."""
    order = key_of(order_fields(assembly))
    if not store.has(order):
        return {}
    keys = {key_of(rung_fields(assembly, n)): n for n in range(len(read_order(store, assembly).cuts))}
    label = f"of the ladder of {assembly.case.name} (seed {assembly.case.seed})"
    return {
        key: case_task("train_rung", store, assembly, f"training rung {rung} {label}", [order], rung=rung)
        for key, rung in keys.items()
        if not store.has(key)
    }


def expansion_work(store: Store, wanted: Wanted) -> tuple[float, int]:
    """How much is to be trained to find more than S, at most, in models of all of D; and in how many cases."""
    cases, pairs, rungs = _expanded(wanted), set[str](), 0
    for key, assembly in cases.items():
        pairs |= {one for one in pair_keys(assembly) if not store.has(one)}
        count = len(read_order(store, assembly).cuts) if store.has(key) else MOST_RUNGS
        rungs += sum(not store.has(key_of(rung_fields(assembly, rung))) for rung in range(count))
    return float(len(pairs) + rungs), len(cases)
