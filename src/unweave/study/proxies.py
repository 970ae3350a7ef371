"""Proxies of memorization and attributions on the originals of a case: computed by workers, and stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, DivergedError, SpecError, UnknownNameError
from unweave._random import derive, generator
from unweave.references import Entry, Objects, about, digest, key_of, model_fields, read_verified
from unweave.study.assemble import Assembly
from unweave.study.code import influence_code
from unweave.study.forecast import seconds_per_model

if TYPE_CHECKING:
    from unweave.influence.attribution import Attributions
    from unweave.learners.contract import Learner, State
    from unweave.methods import Examples

Ints = NDArray[np.int64]

_EVENTS = ("confidence", "accuracy", "maximum", "entropy", "forgetting", "el2n")
FAMILIES: dict[str, tuple[str, ...]] = {
    "events": _EVENTS,
    "curvature": ("curvature",),
    "holdout": ("holdout",),
    "tracin": ("tracin",),
    "datainf": ("datainf",),
    "trak": ("trak",),
    "influence-functions": ("influence-functions",),
}
"""Proxies that one computation gives, by its name."""
ATTRIBUTIONS = ("tracin", "datainf", "trak", "influence-functions")
PROXIES = tuple(name for names in FAMILIES.values() for name in names)

_MODELS = {"events": 8, "curvature": 8, "holdout": 8}
_OF_ATTRIBUTIONS = 4
_MOST_EXAMPLES = 2000
_MOST_PROBES = 100
_CHECKPOINTS = 8
_EARLY = 0.1  # EL2N is that of the first tenth of training
_DIMENSIONS = 512


class Computed(NamedTuple):
    """What a family of proxies gave.

    Attributes:
        each: Per proxy its value of every example by each model [K, r]; of TRAK by all models at once [1, r].
        score: Of every example of D on every test probe [n, p]; None of what is no attribution.
        models: Models it was computed of.
        cost: Of all of it, in trainings of one model.
    """

    each: dict[str, NDArray[np.float64]]
    score: NDArray[np.float64] | None
    models: int
    cost: float


def proxies_named(names: Sequence[str]) -> tuple[str, ...]:
    """Names of proxies, `all` for all there are.

    Raises:
        SpecError: for none at all.
        UnknownNameError: for a name that is not among them.

    Example:
        >>> proxies_named(["trak", "confidence"])
        ('confidence', 'trak')
    """
    if not names:
        raise SpecError(f"No proxy is named; expected `all` or some of: {', '.join(PROXIES)}.")
    for name in names:
        if name not in (*PROXIES, "all"):
            raise UnknownNameError("proxy", name, (*PROXIES, "all"))
    return PROXIES if "all" in names else tuple(name for name in PROXIES if name in names)


def families_of(names: Sequence[str]) -> list[str]:
    """The families that some proxies are of."""
    return [family for family, own in FAMILIES.items() if set(own) & set(names)]


def examples_of(assembly: Assembly) -> Ints:
    """Rows of D that proxies are compared on: all of D, or of a large one S and a sample of the others.

    At most 2 000, half of which may be of S.
    """
    rows, forget = assembly.worlds["original"].rows, assembly.forget
    if len(rows) <= _MOST_EXAMPLES:
        return rows
    rng = generator(assembly.case.seed, "examples of proxies")
    own = rng.permutation(forget)[: _MOST_EXAMPLES // 2]
    rest = rng.permutation(np.setdiff1d(rows, forget))[: _MOST_EXAMPLES - len(own)]
    return np.sort(np.concatenate([own, rest]))


def probes_of(assembly: Assembly) -> Ints:
    """Positions of the test probes that attributions are made for: the first 100."""
    return assembly.probes.groups["test"][:_MOST_PROBES]


def family_fields(assembly: Assembly, family: str) -> dict[str, Any]:
    """What identifies the proxies of a family."""
    test, aside = assembly.data.test, assembly.validation
    given: dict[str, Any] = {"examples": digest(examples_of(assembly))}
    if family in ATTRIBUTIONS:
        where = probes_of(assembly)
        given |= {"probes": [digest(one[where]) for one in (assembly.probes.x, assembly.probes.trained)]}
    if family == "holdout":
        given |= {"held_out": [digest(one[aside]) for one in (test.x, test.y)]}
    return {
        "kind": "proxies",
        "family": family,
        "models": [key_of(one) for one in _models(assembly, family)],
        "seed": assembly.case.seed,
        "code": influence_code(),
        **given,
    }


def _models(assembly: Assembly, family: str) -> list[dict[str, Any]]:
    world = assembly.worlds["original"]
    return model_fields(assembly.setting, world)[: _MODELS.get(family, _OF_ATTRIBUTIONS)]


def stored_family(store: Objects, assembly: Assembly, family: str) -> Computed | None:
    """The stored proxies of a family, if they are there and whole."""
    found = read_verified(store, key_of(family_fields(assembly, family)))
    if found is None:
        return None
    arrays, notes = found
    each = {name: arrays[f"each/{name}"].astype(np.float64) for name in FAMILIES[family]}
    score = arrays["score"].astype(np.float64) if "score" in arrays else None
    return Computed(each, score, notes["models"], notes["cost"])


def why_not(assembly: Assembly, family: str) -> str:
    """Why a family cannot be computed on a case; "" if it can."""
    learner = assembly.setting.learner
    if learner.opaque:
        return f"needs gradients, and of the learner {learner.label} only the outputs are known"
    if family == "holdout" and len(assembly.validation) == 0:
        return (
            "needs held-out examples, and none are set aside (`probes.validation` is 0, or there is no test data)"
        )
    return ""


def ensure_family(store: Objects, assembly: Assembly, family: str) -> str:
    """Compute the proxies of a family on the first originals, unless they are stored.

    Returns:
        "" or the reason why it cannot be measured here.
    """
    from unweave.training.outputs import one_thread

    if stored_family(store, assembly, family) is not None:
        return ""
    try:
        with one_thread():
            started = time.perf_counter()
            each, score = _compute(store, assembly, family)
            seconds = time.perf_counter() - started
    except (ApplicabilityError, DivergedError) as error:
        return str(error)
    arrays: dict[str, NDArray[Any]] = {f"each/{name}": values.astype(np.float32) for name, values in each.items()}
    if not all(np.isfinite(values).all() for values in arrays.values()):
        return "its values are not finite"
    if score is not None:
        arrays["score"] = score.astype(np.float32)
    notes = {
        "models": len(_models(assembly, family)),
        "cost": seconds / (seconds_per_model(assembly) or seconds),
        **about(assembly.setting, assembly.worlds["original"]),
    }
    store.write([Entry(family_fields(assembly, family), arrays, notes)])
    return ""


Found = tuple[dict[str, NDArray[np.float64]], NDArray[np.float64] | None]


def _compute(store: Objects, assembly: Assembly, family: str) -> Found:
    import torch

    from unweave.learners.nets import build
    from unweave.methods import Examples

    setting, world = assembly.setting, assembly.worlds["original"]
    learner, rows, keys = (
        build(setting.learner),
        examples_of(assembly),
        world.keys[: len(_models(assembly, family))],
    )
    x, y = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y))
    if family == "events":
        return _events(learner, x, y, rows, [world.rows] * len(keys), keys), None
    where = probes_of(assembly)
    probes = (
        torch.from_numpy(one[where]).to(setting.device) for one in (assembly.probes.x, assembly.probes.trained)
    )
    if family == "tracin":
        return _tracin(learner, Examples(x, y), Examples(*probes), rows, [world.rows] * len(keys), keys)
    stacked = _originals(store, assembly, len(keys))
    if family == "curvature":
        from unweave.influence.input_curvature import loss_curvature

        return {family: loss_curvature(learner, stacked, x[rows], y[rows])}, None
    if family == "holdout":
        from unweave.influence.holdout import holdout_retraining

        aside, test = assembly.validation, assembly.data.test
        held_out = Examples(*(torch.from_numpy(one[aside]).to(setting.device) for one in (test.x, test.y)))
        seeds = [derive(assembly.case.seed, "holdout", k) for k in range(len(keys))]
        return {family: holdout_retraining(learner, stacked, x[rows], held_out=held_out, keys=seeds)}, None
    return _attributions(assembly, family, learner, stacked, Examples(x, y), Examples(*probes), rows)


def _originals(store: Objects, assembly: Assembly, count: int) -> State:
    from unweave.references.ensure import load_models

    return _part(load_models(store, assembly.setting, assembly.worlds["original"]), slice(count))


def _part(stacked: State, some: slice) -> State:
    """Some models of a stack."""
    return type(stacked)(*({name: value[some] for name, value in part.items()} for part in stacked))


def _events(
    learner: Learner, x: Any, y: Any, rows: Ints, sets: list[Ints], keys: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    from unweave.influence.events import Recorded, el2n, forgetting_score, learning_events, recorded

    whole = recorded(learner, x, y, rows=sets, keys=list(keys))
    early = max(1, round(_EARLY * learner.recipe.epochs))
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in _EVENTS}
    for k in range(len(keys)):
        parts: list[Any] = [part[:, k : k + 1, rows] for part in whole]
        own = Recorded(*parts)
        values = {**learning_events(own)._asdict(), "forgetting": forgetting_score(own.correct)}
        for name, one in {**values, "el2n": el2n(own.distance, early)}.items():
            found[name].append(one)
    return {name: np.stack(values) for name, values in found.items()}


def _tracin(
    learner: Learner, train: Examples, probes: Examples, rows: Ints, sets: list[Ints], keys: Sequence[int]
) -> Found:
    from unweave.influence.attribution import Checkpoints, checkpoints, tracin

    epochs = learner.recipe.epochs
    after = sorted({max(1, round(epochs * (one + 1) / _CHECKPOINTS)) for one in range(_CHECKPOINTS)})
    kept = checkpoints(learner, *train, rows=sets, keys=list(keys), epochs=after)
    found = [
        tracin(
            learner, Checkpoints([_part(one, slice(k, k + 1)) for one in kept.states], kept.rates), train, probes
        )
        for k in range(len(keys))
    ]
    return _means("tracin", found, rows)


def _attributions(
    assembly: Assembly,
    family: str,
    learner: Learner,
    stacked: State,
    train: Examples,
    probes: Examples,
    rows: Ints,
) -> Found:
    from unweave.influence.attribution import datainf
    from unweave.influence.influence_functions import MOST_EXACT, influence_functions
    from unweave.influence.trak import trak

    if family == "trak":  # one estimate of all models: it multiplies means over them
        key, columns = derive(assembly.case.seed, "trak"), min(_DIMENSIONS, len(train.y) // 2)
        found = trak(learner, stacked, train, probes, dimensions=columns, key=key)
        return _means(family, [found], rows)
    size = sum(value[0].numel() for value in stacked.params.values())
    if family == "influence-functions" and size > MOST_EXACT:
        raise ApplicabilityError(
            f"the net has {size} parameters; above {MOST_EXACT} there is no exact solution, and one by conjugate "
            "gradients for every example costs more than memorization itself"
        )
    of = datainf if family == "datainf" else influence_functions
    models = len(next(iter(stacked.params.values())))
    each = [of(learner, _part(stacked, slice(k, k + 1)), train, probes) for k in range(models)]
    return _means(family, each, rows)


def _means(name: str, found: list[Attributions], rows: Ints) -> Found:
    score = np.mean([one.score for one in found], axis=0)
    return {name: np.stack([one.own[rows] for one in found])}, score
