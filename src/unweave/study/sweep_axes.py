"""The grid of a sweep: behaviours × discovery × selection × cases × seeds, each point one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from unweave._errors import SpecError, UnknownNameError
from unweave.problem import BEHAVIOURS as KINDS
from unweave.problem import SELECTIONS, BehaviourChoice, Case
from unweave.study.choices import shown
from unweave.study.spec import case_from_tree, case_to_tree

DISCOVERY = (0.1, 0.3, 0.5, 0.8)
BEHAVIOURS = ("mislabel", "confusion", "trigger")
PRESETS: dict[tuple[str, bool], tuple[str, ...]] = {
    ("discovery", False): tuple(f"fashion-{kind}" for kind in BEHAVIOURS),
    ("discovery", True): tuple(f"digits-{kind}" for kind in BEHAVIOURS),
}
"""Registered cases of a preset, by its name and whether it is quick."""
PRESET_METHODS: dict[str, tuple[str, ...]] = {
    "discovery": (
        "noop",
        "retrain",
        "rem_etd",
        "npo",
        "scrub",
        "ssd",
        "potion",
        "expand(retrain)",
        "expand(npo)",
        "expand(scrub)",
    )
}
"""What a preset compares where no methods are named."""
_MOST_SEEDS = 1000
_MOST_CELLS = 10_000
_MOST_COST = 1e9
_KEYS = ("behaviour", "discovery", "selection", "models", "seeds", "target", "margin", "cost_per_example")
_KINDS_SWEPT = tuple(kind for kind in KINDS.names() if kind != "unknown")


@dataclass(frozen=True)
class Axes:
    """The axes of a sweep; an axis that is None is what the cases say.

    Attributes:
        behaviours: Kinds of behaviour, or tables of one with parameters.
        discovery: Shares γ in (0, 1].
        selection: How S was found.
        models: Models per world K.
        seeds: How many seeds, counted up from that of the case.
        target: The r_B that is sufficient, for the smallest sufficient γ.
        margin: The difference of scores that does not matter, for advice.
        cost_per_example: What finding one more example costs, in retrainings; None = not said.
    """

    behaviours: tuple[dict[str, Any], ...] | None = None
    discovery: tuple[float, ...] = DISCOVERY
    selection: tuple[str, ...] | None = None
    models: int | None = None
    seeds: int = 1
    target: float = 0.1
    margin: float = 0.05
    cost_per_example: float | None = None

    def to_tree(self) -> dict[str, Any]:
        """The axes as the table `[sweep]` that gives them."""
        return {
            **({} if self.behaviours is None else {"behaviour": [_plain(one) for one in self.behaviours]}),
            "discovery": list(self.discovery),
            **({} if self.selection is None else {"selection": list(self.selection)}),
            **({} if self.models is None else {"models": self.models}),
            "seeds": self.seeds,
            "target": self.target,
            "margin": self.margin,
            **({} if self.cost_per_example is None else {"cost_per_example": self.cost_per_example}),
        }


def _plain(behaviour: dict[str, Any]) -> Any:
    return behaviour["kind"] if len(behaviour) == 1 else behaviour


def read_axes(given: Any) -> Axes:
    """The table `[sweep]` of a spec.

    Args:
        given: The table, or None: all axes at their defaults.

    Raises:
        SpecError: for a key or a value that is none.
        UnknownNameError: for a kind of behaviour or a selection that does not exist.

    Example:
        >>> read_axes({"discovery": [0.2], "behaviour": ["mislabel"]}).behaviours
        ({'kind': 'mislabel'},)
    """
    if given is None:
        return Axes()
    if not isinstance(given, Mapping):
        raise SpecError(f"`sweep` is {shown(given)}; expected a table of {', '.join(_KEYS)}.")
    for key in given:
        if key not in _KEYS:
            raise UnknownNameError("key of `sweep`", str(key), _KEYS)
    found = Axes()
    if "behaviour" in given:
        found = replace(found, behaviours=tuple(_behaviour(one) for one in _listed(given, "behaviour")))
    if "discovery" in given:
        found = replace(found, discovery=tuple(_share(one) for one in _listed(given, "discovery")))
    if "selection" in given:
        found = replace(found, selection=tuple(_selection(one) for one in _listed(given, "selection")))
    if "models" in given:
        found = replace(found, models=_count(given["models"], "models", 3, 10_000))
    if "seeds" in given:
        found = replace(found, seeds=_count(given["seeds"], "seeds", 1, _MOST_SEEDS))
    if "target" in given:
        found = replace(found, target=_number(given, "target", 1.0, "a residual r_B in (0, 1)"))
    if "margin" in given:
        found = replace(found, margin=_number(given, "margin", 1.0, "a difference of scores in (0, 1)"))
    if "cost_per_example" in given:
        cost = _number(given, "cost_per_example", _MOST_COST, "a number of retrainings above 0")
        found = replace(found, cost_per_example=cost)
    return found


def _number(given: Mapping[str, Any], key: str, end: float, expected: str) -> float:
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < end:
        raise SpecError(f"`sweep.{key}` is {shown(value)}; expected {expected}.")
    return float(value)


def _listed(given: Mapping[str, Any], key: str) -> list[Any]:
    value = given[key]
    several = list(value) if isinstance(value, list | tuple) else [value]
    if not several:
        raise SpecError(f"`sweep.{key}` is empty; expected at least one.")
    if any(one in several[:number] for number, one in enumerate(several)):
        raise SpecError(f"`sweep.{key}` is {shown(value)}; expected each only once.")
    return several


def _behaviour(given: Any) -> dict[str, Any]:
    tree = {"kind": given} if isinstance(given, str) else given
    if not isinstance(tree, Mapping) or not isinstance(tree.get("kind"), str):
        raise SpecError(f"`sweep.behaviour` holds {shown(given)}; expected a kind, or a table with a `kind`.")
    if tree["kind"] not in _KINDS_SWEPT:
        raise UnknownNameError("behaviour", tree["kind"], _KINDS_SWEPT)
    case_from_tree({"behaviour": dict(tree)})  # the same door as `behaviour` of a case
    return dict(tree)


def _share(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
        raise SpecError(f"`sweep.discovery` holds {shown(given)}; expected shares γ = |S|/|B| in (0, 1].")
    return float(given)


def _selection(given: Any) -> str:
    if not isinstance(given, str) or given not in SELECTIONS:
        raise UnknownNameError("selection", str(given), SELECTIONS)
    return given


def _count(given: Any, key: str, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise SpecError(f"`sweep.{key}` is {shown(given)}; expected a whole number from {least} to {most:,}.")
    return given


class Place(NamedTuple):
    """Where a cell stands in the grid, and the case that is run there."""

    base: str
    behaviour: str
    discovery: float
    selection: str
    seed: int
    case: Case


def grid(cases: Sequence[Case], axes: Axes) -> list[Place]:
    """All points of the grid as cases, in the order of the axes; what is the same twice stands once.

    Args:
        cases: Data, learner and all that the axes do not change.
        axes: The axes.

    Raises:
        SpecError: where a case names S itself, or there are too many points.
    """
    for case in cases:
        for key in ("ids", "count"):
            if getattr(case.forget, key) is not None:
                raise SpecError(
                    f"The case {case.name} says `forget.{key}`; a sweep chooses S by `sweep.discovery`."
                )
        if case.forget.outside:
            raise SpecError(f"The case {case.name} has S outside D; a sweep discovers a share of B.")
        if case.behaviour.kind == "unknown" and axes.behaviours is None:
            raise SpecError(
                f"The behaviour of the case {case.name} is not known; a sweep discovers a share of it."
            )
    count = sum(len(axes.behaviours or (0,)) for _ in cases) * len(axes.discovery)
    count *= len(axes.selection or (0,)) * axes.seeds
    if count > _MOST_CELLS:
        raise SpecError(f"The sweep has {count} cells; expected at most {_MOST_CELLS:,}.")
    labels = _labels(axes.behaviours)
    found: dict[str, Place] = {}
    for case in cases:
        kinds = axes.behaviours or (None,)
        selections = axes.selection or (case.forget.selection,)
        for number, how, share, step in product(range(len(kinds)), selections, axes.discovery, range(axes.seeds)):
            kind = kinds[number]
            behaviour = case.behaviour if kind is None else _with_kind(case.behaviour, kind)
            name = behaviour.kind if kind is None else labels[number]
            place = _place(case, behaviour, name, share, how, case.seed + step, axes.models)
            tree = case_to_tree(replace(place.case, name="cell"))
            found.setdefault(str(sorted(tree.items())), place)
    return list(found.values())


def _place(
    case: Case, behaviour: BehaviourChoice, label: str, share: float, how: str, seed: int, models: int | None
) -> Place:
    name = f"{case.name}: {label}, γ {share:g}, {how}, seed {seed}"
    references = case.references if models is None else replace(case.references, models=models)
    tree = case_to_tree(replace(case, name=name, behaviour=behaviour, references=references, seed=seed))
    tree["forget"] = {"discovery": share, "selection": how}
    return Place(case.name, label, share, how, seed, case_from_tree(tree))


def _with_kind(own: BehaviourChoice, given: Mapping[str, Any]) -> BehaviourChoice:
    """Another kind of behaviour for a case: of its own it keeps all for the same kind, else the size."""
    tree = dict(given)
    if own.kind == tree["kind"]:
        tree = {"kind": own.kind, **own.parameters, **tree}
    elif own.size is not None and "size" in KINDS.get(tree["kind"]).defaults():
        tree.setdefault("size", own.size)
    return case_from_tree({"behaviour": tree}).behaviour


def _labels(behaviours: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """The kind, with the parameters in brackets where it occurs more than once."""
    kinds = [one["kind"] for one in behaviours or ()]
    found: list[str] = []
    for one in behaviours or ():
        inside = ", ".join(f"{key}={value}" for key, value in one.items() if key != "kind")
        found.append(f"{one['kind']}({inside})" if kinds.count(one["kind"]) > 1 and inside else one["kind"])
    return found


def preset_cases(
    name: str, *, quick: bool, behaviours: Sequence[str | Mapping[str, Any]] | None = None
) -> tuple[str, ...]:
    """Names of the registered cases of a preset, only those of some behaviours where these are given.

    Raises:
        UnknownNameError: for a preset that does not exist, or a behaviour that it has no case of.

    Example:
        >>> preset_cases("discovery", quick=True, behaviours=["trigger"])
        ('digits-trigger',)
    """
    names = sorted({one for one, _ in PRESETS})
    if name not in names:
        raise UnknownNameError("preset", name, names)
    cases = {one.partition("-")[2]: one for one in PRESETS[name, quick]}
    for kind in behaviours or ():
        if kind not in cases:
            raise UnknownNameError(f"behaviour of the preset {name}", str(kind), cases)
    return tuple(cases[str(kind)] for kind in behaviours) if behaviours else tuple(cases.values())
