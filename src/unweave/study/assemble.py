"""From a case to arrays: load data, plant the behaviour, choose S and the probes, plan the worlds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import Key, derive
from unweave.data import Dataset, Ids, fingerprint, load, state_of_files
from unweave.data.sources import Wanted
from unweave.language import learners as learners
from unweave.problem import (
    MIN_PROBES,
    Case,
    Planted,
    Probes,
    discovered,
    draw_outside,
    hold_out,
    plant,
    rows_of_ids,
    strata,
)
from unweave.references import Origin, Setting, WorldName, WorldPlan, plan
from unweave.study.case_data import CaseData, with_probes
from unweave.study.chosen_learner import chosen_learner
from unweave.study.corpora import check_forget, corpus_of
from unweave.study.own_code import Trusted, check_batches
from unweave.study.plane import grid
from unweave.study.shared import held_once, mapped
from unweave.study.spec import case_from_tree, case_to_tree


class Assembly(NamedTuple):
    """A case as arrays.

    Attributes:
        case: The case.
        data: The data before planting.
        planted: The training data with the behaviour in it.
        forget: Rows of S.
        probes: Probes of all groups.
        setting: What all models share; its probes are those of all groups and then the grid of a plane, if any.
        worlds: Training sets and keys.
        dropped: Ids of S that are not in D, where that was allowed.
        trusted: Files whose code may be run, with the digests that workers hold them against.
        validation: Rows of the test data that are no probes: methods may learn from them.
        found_in: The unit of each row that S was discovered in, all of it or nothing; None where each row is found
            by itself.
    """

    case: Case
    data: Dataset
    planted: Planted
    forget: NDArray[np.int64]
    probes: Probes
    setting: Setting
    worlds: dict[WorldName, WorldPlan]
    dropped: tuple[int | str, ...]
    trusted: Trusted
    validation: NDArray[np.int64]
    found_in: NDArray[np.int64] | None


def assemble(
    case: Case,
    *,
    trusted: Trusted | None = None,
    device: str = "cpu",
    shared: str | None = None,
    held: dict[str, NDArray[Any]] | None = None,
) -> Assembly:
    """Build and check everything a case needs, before any model is trained.

    Args:
        case: The case.
        trusted: Files of the user's own code that may be run, with their digests; see `trusted_files`.
        device: Where models are trained, `cpu`, `cuda` or `cuda:1`.
        shared: Folder by which processes share large arrays; None = they are this process's own.
        held: Large arrays of this process's other cases, by content: equal ones are held once, new ones added.

    Raises:
        UserError: whatever is wrong with the case, as one message.
    """
    own = trusted if case.learner.factory is not None and trusted is not None else {}
    _, _, short = case.data.source.partition(":")
    test = case.data.test if isinstance(case.data.test, str) else None
    files = state_of_files(case.data.path or short or None, test, case.learner.checkpoint)
    known = json.dumps(case_to_tree(case), sort_keys=True), tuple(sorted(own.items())), files
    if shared is not None:
        made = _assemble_shared(*known, shared)
    elif held is not None:  # past the cache, which would keep the arrays that are replaced
        made = _with_arrays(_assemble.__wrapped__(*known), partial(held_once, held=held))
    else:
        made = _assemble(*known)
    return made._replace(setting=made.setting._replace(device=device))


@lru_cache(maxsize=8)
def _assemble(text: str, trusted: tuple[tuple[str, str], ...], files: str) -> Assembly:
    # Cached by content: a worker meets the same case in each of its tasks.
    del files  # a part of the key: other files are other data, or another model
    case = case_from_tree(json.loads(text))
    key = derive(case.seed, "problem")
    corpus = corpus_of(case.data)
    check_forget(case, corpus)
    found = _of_data(case, key) if corpus is None else corpus.make(case, key)
    data, planted, forget, aside, probes, dropped, continued, found_in = found
    sizes = {name: len(rows) for name, rows in probes.groups.items()}
    if not any(strata(sizes).values()):
        raise SpecError(
            f"No probe group has {MIN_PROBES} examples ({', '.join(f'{k} {v}' for k, v in sizes.items())}), so "
            "nothing could be judged. Raise `data.limit`, `data.test` or `behaviour.size`."
        )
    learner, smallest = (continued, 1) if continued else chosen_learner(case.learner, data, dict(trusted))
    n, ids = len(data.train), _with_ids_outside(data, len(planted.y) - len(data.train))
    plane = grid(data, planted.x)
    asked = np.concatenate([probes.x, plane]) if len(plane) else probes.x
    name, read = case.data.path or case.data.source, data_fingerprint(data)
    origin = Origin(name, read, data.test.ids, _place(case), mixed=planted.mixed)
    own = fingerprint(planted.x, planted.y, ids)
    setting = Setting(learner, planted.x, planted.y, ids, own, asked, origin=origin)
    worlds = plan(
        n,
        forget,
        planted.members if planted.known else None,
        models=case.references.models,
        null=case.null_models,
        paired=case.references.paired,
        seed=case.seed,
    )
    sizes = {f"the training set {one.training_set}": len(one.rows) for one in worlds.values()}
    check_batches(learner, smallest, {**sizes, "the forget set S": len(forget)})
    code = dict(trusted)
    return Assembly(case, data, planted, forget, probes, setting, worlds, dropped, code, aside, found_in)


def _place(case: Case) -> str:
    """The file or folder of the data, absolute, or "" for data that come with a name alone."""
    path = case.data.path or case.data.source.partition(":")[2]
    return os.path.realpath(path) if path else ""


def training_data(case: Case, *, trusted: Trusted | None = None) -> Dataset:
    """The data of a case before any behaviour is planted, which need not be one of these data yet.

    Raises:
        UserError: for data that cannot be read, and for a case of documents whatever is wrong with it.
    """
    return _read(case) if corpus_of(case.data) is None else assemble(case, trusted=trusted).data


def _read(case: Case) -> Dataset:
    known = {key: value for key, value in vars(case.data).items() if key in Wanted._fields}
    return _without(load(case.data.source, **known), case.data.without)


def _of_data(case: Case, key: Key) -> CaseData:
    data = _read(case)
    everything = np.arange(len(data.test))
    # Which test examples are instances of the behaviour is known once it is planted.
    aside = hold_out(len(everything), _plant(case, data, everything), count=case.probes.validation, key=key)
    kept = np.setdiff1d(everything, aside)
    planted = _plant(case, data, kept)
    if any("\0" in str(one) for part in (data.train, data.test) if part.ids.dtype.kind == "U" for one in part.ids):
        raise SpecError("An id holds a NUL character, which tells ids apart in digests. Rename it.")
    planted, forget, dropped = _forget(case, planted, data, key)
    return with_probes(case, data, planted, forget, aside, dropped=dropped, key=key)


def _without(data: Dataset, ids: tuple[int | str, ...] | None) -> Dataset:
    """The data without some training examples, as if they had never been there."""
    if not ids:
        return data
    left = np.delete(np.arange(len(data.train)), rows_of_ids(data.train.ids, ids, name="data.without"))
    if len(left) < 2:
        raise SpecError(f"`data.without` leaves {len(left)} of {len(data.train)} training examples.")
    train = data.train
    columns = {name: values[left] for name, values in train.columns.items()}
    return replace(
        data, train=replace(train, x=train.x[left], y=train.y[left], ids=train.ids[left], columns=columns)
    )


def _plant(case: Case, data: Dataset, kept: NDArray[np.int64]) -> Planted:
    """The behaviour in D, with its unseen instances among these rows of the test data."""
    return plant(
        case.behaviour.kind,
        (data.train.x, data.train.y),
        (data.test.x[kept], data.test.y[kept]),
        classes=data.classes,
        key=derive(case.seed, "problem"),
        parameters=case.behaviour.parameters,
        ids=data.train.ids,
        columns=(data.train.columns, {name: values[kept] for name, values in data.test.columns.items()}),
    )


@lru_cache(maxsize=8)
def _assemble_shared(text: str, trusted: tuple[tuple[str, str], ...], files: str, folder: str) -> Assembly:
    # Past the cache of `_assemble`, which would keep the arrays that are replaced here.
    return _with_arrays(_assemble.__wrapped__(text, trusted, files), partial(mapped, folder=Path(folder)))


def _with_arrays(made: Assembly, same: Callable[[NDArray[Any]], NDArray[Any]]) -> Assembly:
    """A case with other arrays of the same numbers in place of its large ones."""
    train, test = (replace(part, x=same(part.x)) for part in (made.data.train, made.data.test))
    planted = replace(made.planted, x=same(made.planted.x))
    return made._replace(
        data=replace(made.data, train=train, test=test),
        planted=planted,
        probes=replace(made.probes, x=same(made.probes.x)),
        setting=made.setting._replace(x=planted.x, probes=same(made.setting.probes)),
    )


def data_fingerprint(data: Dataset) -> str:
    """One digest of both parts as they were read, before any behaviour is planted."""
    parts = (fingerprint(part.x, part.y, part.ids) for part in (data.train, data.test))
    return sha256("".join(parts).encode()).hexdigest()


def _forget(
    case: Case, planted: Planted, data: Dataset, key: Key
) -> tuple[Planted, NDArray[np.int64], tuple[int | str, ...]]:
    """S: within B, or outside D; and the ids that were named but are not in D."""
    chosen = case.forget
    if chosen.outside:
        if chosen.ids is not None or chosen.selection != "random":
            raise SpecError("`forget.outside` draws S from new instances at random; leave out `ids`, `selection`.")
        found, rows = draw_outside(planted, key=key, discovery=chosen.discovery, count=chosen.count)
        return found, rows, ()
    return planted, *discovered(chosen, planted, data.train.ids, key=key, test=data.test.ids.tolist())


def _with_ids_outside(data: Dataset, count: int) -> Ids:
    ids = data.train.ids
    if count == 0:
        return ids
    if ids.dtype.kind == "U":
        return np.array([*ids.tolist(), *(f"outside D, {number}" for number in range(count))], dtype=np.str_)
    begin = max(int(part.ids.max()) if part.ids.dtype.kind != "U" else 0 for part in (data.train, data.test)) + 1
    return np.concatenate([ids, np.arange(begin, begin + count)])
