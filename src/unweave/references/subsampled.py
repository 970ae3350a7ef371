"""Models that are each trained on a random part of D, of which what they make of every example is kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unweave._errors import DivergedError, UserError
from unweave._logits import label_margins
from unweave._random import Key, derive, generator
from unweave.learners.nets import build
from unweave.learners.opaque import fit_logits
from unweave.references.keys import Setting, about, digest, read_verified, versions_of
from unweave.references.membership import register
from unweave.references.objects import Arrays, Entry, Fields, Objects, key_of
from unweave.references.plan import WorldPlan
from unweave.training.engine import fastest_chunk, many
from unweave.training.outputs import logits, one_thread

Ints = NDArray[np.int64]
BLOCK = 100
"""Most models of one task and of one object; a run that is stopped loses the blocks it was at."""


class SubsetPlan(NamedTuple):
    """Which models are trained on which part of D.

    Attributes:
        models: How many.
        share: m/n, the part of D that each is trained on.
        seed: Determines parts and models.
        clusters: A number per example of D [n]; examples of one number are in or out together. None = each alone.
    """

    models: int
    share: float
    seed: int
    clusters: Ints | None = None


class Asked(NamedTuple):
    """Examples beside those of D that models are asked about: features [m, ...] and labels [m]."""

    x: NDArray[np.float32]
    y: Ints


class Answers(NamedTuple):
    """What models of parts of D make of D and of what else was asked, in that order.

    Attributes:
        inside: Whether example i of D is in the training set of model k [t, n].
        predicted: Predicted class [t, n + m].
        phi: φ = z_y − logsumexp_{k≠y} z_k of the label, in nats [t, n + m].
    """

    inside: NDArray[np.bool_]
    predicted: NDArray[np.int32]
    phi: NDArray[np.float32]


def subsets(
    n: int, models: range, *, share: float, key: Key, clusters: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Choose at random on which part of D each model is trained.

    Args:
        n: |D|.
        models: Numbers of the models; what one gets does not depend on the others.
        share: m/n, the part of D that each model sees, in (0, 1).
        key: Determines which.
        clusters: A number per example [n]; examples of one number, such as copies of each other, are in or out
            together. None = each example for itself.

    Returns:
        Whether example i is in the training set of model k [models, n]. Each set has round(share·n) examples, or
        less where clusters do not add up to that.

    Raises:
        UserError: if none or all examples would be in.

    Example:
        >>> subsets(4, range(2), share=0.5, key=0).sum(1).tolist()
        [2, 2]
    """
    size = round(share * n)
    if not 0 < size < n:
        raise UserError(f"A share of {share:g} of {n} examples is {size}; expected some of them, and not all.")
    unit = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1].reshape(n)
    sizes = np.bincount(unit)
    inside = np.zeros((len(models), n), dtype=np.bool_)
    for row, k in enumerate(models):
        order = generator(key, "subset", k).permutation(len(sizes))
        inside[row] = np.isin(unit, _fitting(order, sizes, size))
    return inside


def _fitting(order: Ints, sizes: Ints, room: int) -> Ints:
    """Units in their order, without those for which there is no room."""
    if (sizes == 1).all():
        return order[:room]
    taken: list[int] = []
    for one in order.tolist():
        if sizes[one] <= room:
            taken.append(one)
            room -= int(sizes[one])
        if room == 0:
            break
    return np.array(taken, dtype=np.int64)


def blocks(plan: SubsetPlan) -> list[range]:
    """The models of a plan in blocks, each of which is trained, stored and found again as a whole."""
    return [range(begin, min(begin + BLOCK, plan.models)) for begin in range(0, plan.models, BLOCK)]


def block_fields(setting: Setting, plan: SubsetPlan, asked: Asked, block: range) -> Fields:
    """What identifies the answers of a block of models."""
    return {
        "kind": "subset answers",
        "learner": setting.learner.identity(),
        "data": setting.fingerprint,
        "models": [block.start, block.stop],
        "share": plan.share,
        "seed": plan.seed,
        "clusters": None if plan.clusters is None else digest(plan.clusters),
        "asked": [digest(asked.x), digest(asked.y)],
        **versions_of(setting),
    }


def stored_block(store: Objects, setting: Setting, plan: SubsetPlan, asked: Asked, block: range) -> range | None:
    """The stored models that begin where a block does: all of it, more than that, or as many as there are.

    How many models were asked for decides where the last block ends: with fewer or more of them it is another.
    """
    fields = block_fields(setting, plan, asked, block)
    enough = range(block.stop, block.start + max(BLOCK, len(block)) + 1)
    for stop in (*enough, *reversed(range(block.start + 1, block.stop))):
        if store.has(key_of({**fields, "models": [block.start, stop]})):
            return range(block.start, stop)
    return None


def _read_block(store: Objects, setting: Setting, plan: SubsetPlan, asked: Asked, block: range) -> Arrays | None:
    """Answers of the first models of a block, as many as are stored and whole; None where there are none."""
    while (found := stored_block(store, setting, plan, asked, block)) is not None:
        stored = read_verified(store, key_of(block_fields(setting, plan, asked, found)))
        if stored is not None:
            return {name: array[: len(block)] for name, array in stored[0].items()}
    return None


def ensure_block(store: Objects, setting: Setting, plan: SubsetPlan, asked: Asked, block: range) -> int:
    """Train those models of a block whose answers are not stored; returns how many that were.

    Raises:
        DivergedError: if an answer is not finite.
    """
    known = _read_block(store, setting, plan, asked, block)
    if known is not None and len(known["phi"]) == len(block):
        return 0
    missing = block if known is None else block[len(known["phi"]) :]
    everything = WorldPlan("original", "D", np.arange(len(setting.y)), ())
    register(store, setting, everything)
    rows = [np.flatnonzero(one) for one in _inside(setting, plan, missing)]
    keys = [derive(plan.seed, "subset model", k) for k in missing]
    found = trained_logits(setting, rows, keys, asked)
    if not np.isfinite(found).all():
        raise DivergedError(
            f"Training on a {plan.share:.0%} part of D diverged: outputs are not finite. Lower `learner.lr`."
        )
    y = np.concatenate([setting.y, asked.y])
    arrays: Arrays = {"predicted": found.argmax(2).astype(np.int32), "phi": _scaled(found, y)}
    if known is not None:
        arrays = {name: np.concatenate([known[name], array]) for name, array in arrays.items()}
    store.write([Entry(block_fields(setting, plan, asked, block), arrays, about(setting, everything))])
    return len(missing)


def _inside(setting: Setting, plan: SubsetPlan, models: range) -> NDArray[np.bool_]:
    key = derive(plan.seed, "subsets")
    return subsets(len(setting.y), models, share=plan.share, key=key, clusters=plan.clusters)


def trained_logits(setting: Setting, rows: list[Ints], keys: list[Key], asked: Asked) -> NDArray[np.float32]:
    """Logits [k, n + m, classes] of models that are trained on these rows."""
    x = np.concatenate([setting.x, asked.x])
    if setting.learner.opaque:
        made = (
            fit_logits(setting.learner, setting.x, setting.y, rows=r, key=k, probes=x)
            for r, k in zip(rows, keys, strict=True)
        )
        return np.stack(list(made))
    learner = build(setting.learner)
    data, labels, all_x = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y, x))
    by_size: dict[int, list[int]] = {}
    for place, one in enumerate(rows):  # a stack is of training sets of one size
        by_size.setdefault(len(one), []).append(place)
    found: dict[int, NDArray[np.float32]] = {}
    with one_thread():
        for places in by_size.values():
            size = fastest_chunk(learner, data, labels, rows[places[0]], len(places))
            for begin in range(0, len(places), size):
                some = places[begin : begin + size]
                own = [rows[place] for place in some]
                stacked = many(learner, data, labels, rows=own, keys=[keys[place] for place in some], chunk=size)
                found |= zip(some, logits(learner, stacked, all_x).cpu().numpy(), strict=True)
    return np.stack([found[place] for place in range(len(rows))])


def _scaled(found: NDArray[np.float32], y: Ints) -> NDArray[np.float32]:
    """φ of the label [k, n]; model by model, since in double precision all of a block would not fit everywhere."""
    return np.concatenate([label_margins(one[None], y) for one in found]).astype(np.float32)


def read_answers(store: Objects, setting: Setting, plan: SubsetPlan, asked: Asked) -> Answers:
    """The answers of all models of a plan; what is missing or damaged is made anew."""
    found: list[Arrays] = []
    for block in blocks(plan):
        ensure_block(store, setting, plan, asked, block)
        arrays = _read_block(store, setting, plan, asked, block)
        assert arrays is not None  # it was written a moment ago
        found.append(arrays)
    inside = _inside(setting, plan, range(plan.models))
    predicted, phi = (np.concatenate([one[name] for one in found]) for name in ("predicted", "phi"))
    return Answers(inside, predicted, phi)
