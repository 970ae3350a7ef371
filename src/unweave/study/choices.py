"""Which methods a run takes, with which parameters, and at which budgets they are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unweave._errors import SpecError
from unweave._registry import Origin
from unweave.records import Stage

_LARGEST_PARAMETER = 1e30  # what is larger overflows in single precision
_LARGEST_BUDGET = 100.0
_BUDGETS: dict[str, Stage] = {"cost": "equal_cost", "rise": "equal_rise"}
_PARTS = ("low", "medium", "high")
_MOST_PARTS = 10
_EXPANDS = re.compile(r"expand ?\( ?(?P<inner>.*?) ?\)")
_UNCHANGED = ("noop",)  # what changes nothing is the same at every budget


def expands(method: str) -> bool:
    """Whether a method is run on more than S: `expand(NAME)`; known here without torch.

    Example:
        >>> expands("expand(scrub)"), expands("boundary_expand")
        (True, False)
    """
    return _EXPANDS.fullmatch(method) is not None


def shown(value: Any) -> str:
    """A value for a message, shortened where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"{'a number' if isinstance(value, int) else 'a value'} too long to show"
    return text if len(text) <= 80 else text[:80] + "…"


@dataclass(frozen=True)
class MethodChoice:
    """A method by name, with the parameters (floats) that differ from its defaults.

    At a stage other than the default one it is run within a budget: a cost, as a multiple of one retraining, or a
    rise of the mean CE on D∖S, in nats. `origin` is None where the method is unweave's own, and until it is known.
    """

    name: str
    params: dict[str, Any]
    stage: Stage = "default"
    budget: float | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Refuse what is no finite number, from a file or from a script; 1 is the same parameter as 1.0."""
        for key, value in self.params.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not abs(value) <= _LARGEST_PARAMETER:
                raise SpecError(
                    f"`methods`: {self.name}.{key} is {shown(value)}; expected a finite number of at most "
                    f"{_LARGEST_PARAMETER:g}."
                )
        object.__setattr__(self, "params", {key: float(value) for key, value in self.params.items()})
        name = " ".join(self.name.split())
        if found := _EXPANDS.fullmatch(name):  # one name however it is spaced
            name = f"expand({found['inner']})"
        object.__setattr__(self, "name", name)

    @property
    def setting(self) -> str:
        """The name, with the parameters in brackets where there are any."""
        inside = ", ".join(f"{key}={value:.12g}" for key, value in sorted(self.params.items()))
        return f"{self.name}({inside})" if inside else self.name

    @property
    def id(self) -> str:
        """The setting, with its budget where it has one: `npo @ cost 0.1`."""
        kind = next((kind for kind, stage in _BUDGETS.items() if stage == self.stage), "")
        return f"{self.setting} @ {kind} {self.budget:.12g}" if kind else self.setting

    def to_json(self) -> dict[str, Any]:
        """The choice as arguments of a task."""
        origin = None if self.origin is None else list(self.origin)
        own = {"name": self.name, "params": self.params, "stage": self.stage, "budget": self.budget}
        return {**own, "origin": origin}

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> MethodChoice:
        """The choice that `to_json` wrote."""
        name, params, stage, budget, origin = (given[k] for k in ("name", "params", "stage", "budget", "origin"))
        if origin is not None:
            kind, whose, digest, imports = origin
            origin = Origin(kind, whose, digest, tuple((module, what) for module, what in imports))
        return MethodChoice(name, params, stage, budget, origin)


@dataclass(frozen=True)
class Fair:
    """Budgets at which methods are compared beside their defaults.

    Attributes:
        cost: What each may cost, as a multiple of one retraining; None = not compared so.
        rise: How far the mean CE on D∖S may rise, in nats; None = not compared so.
    """

    cost: float | None = None
    rise: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no budget."""
        for kind in _BUDGETS:
            value = getattr(self, kind)
            if value is not None and not 0 < value <= _LARGEST_BUDGET:
                raise _no_budget(kind, value)

    def to_tree(self) -> dict[str, float]:
        """The budgets that are given, by key."""
        return {kind: float(getattr(self, kind)) for kind in _BUDGETS if getattr(self, kind) is not None}


def _no_budget(kind: str, value: Any) -> SpecError:
    return SpecError(
        f"`fair.{kind}` is {shown(value)}; expected a number above 0 and at most {_LARGEST_BUDGET:g}."
    )


def with_budgets(methods: Sequence[MethodChoice], fair: Fair) -> tuple[MethodChoice, ...]:
    """The methods at their defaults, then each at every budget; what changes nothing has none.

    Example:
        >>> [one.id for one in with_budgets([MethodChoice("noop", {}), MethodChoice("npo", {})], Fair(rise=0.05))]
        ['noop', 'npo', 'npo @ rise 0.05']
    """
    found = list(methods)
    for kind, value in fair.to_tree().items():
        own = [one for one in methods if one.name not in _UNCHANGED]
        found += [replace(one, stage=_BUDGETS[kind], budget=value) for one in own]
    return tuple(found)


def read_fair(given: Any) -> Fair:
    """The table `fair` of a spec.

    Raises:
        SpecError: for what is no table of `cost` and `rise`, or a value that is no budget.
    """
    if given is None:
        return Fair()
    if not isinstance(given, dict):
        raise SpecError(f"`fair` is {shown(given)}; expected a table of `cost`, `rise` or both.")
    for key, value in given.items():
        if key not in _BUDGETS:
            raise SpecError(f"Unknown key `fair.{key}` in the spec. Known here: fair.cost, fair.rise.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _no_budget(key, value)
    return Fair(**{key: float(value) for key, value in given.items()})


def read_methods(given: Any) -> tuple[MethodChoice, ...] | None:
    """The list `methods` of a spec.

    Raises:
        SpecError: for what is no list of names or of tables with a name, or lists one twice.
    """
    if given is None:
        return None
    if given == "all":
        given = ["all"]
    if not isinstance(given, list) or not given:
        raise SpecError(
            f"`methods` is {shown(given)}; expected a list of names or of tables with a name, such as "
            '["noop", { name = "scrub", lr = 0.01 }].'
        )
    choices = tuple(_method(one) for one in given)
    ids = [choice.id for choice in choices]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise SpecError(f"`methods` lists {twice[0]} more than once.")
    return choices


def _method(given: Any) -> MethodChoice:
    if isinstance(given, str):
        return MethodChoice(given.strip(), {})
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise SpecError(f"`methods` holds {shown(given)}; expected a name, or a table with a name.")
    return choice_of(given)


def choice_of(given: dict[str, Any]) -> MethodChoice:
    """A table with a name; in one of several methods in a row `ssd.alpha = 5` may be quoted as a key, or not.

    The name `assign` stands for a method for each part of S, `low`, `medium` and `high`, or `each` of them.

    Raises:
        SpecError: for an assignment that lacks a part or what S is divided by.

    Example:
        >>> choice_of({"name": "assign", "by": "confidence", "low": "noop", "high": {"name": "npo", "lr": 0.1}}).id
        'noop / npo by confidence(high.lr=0.1)'
    """
    given = _assigned(given) if given["name"].strip() == "assign" else given
    return MethodChoice(given["name"], _flat({key: value for key, value in given.items() if key != "name"}))


def _flat(given: Mapping[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for key, value in given.items():
        params |= {f"{key}.{k}": v for k, v in _flat(value).items()} if isinstance(value, dict) else {key: value}
    return params


def _assigned(given: dict[str, Any]) -> dict[str, Any]:
    """The table of an assignment as that of a name of several methods."""
    by = given.get("by")
    if not isinstance(by, str) or not by.strip():
        raise SpecError(f"`methods`: `assign` has by = {shown(by)}; expected what S is divided by: `confidence`.")
    if unknown := sorted(str(key) for key in set(given) - {"name", "by", "parts", "each", *_PARTS}):
        known = ", ".join(("by", "parts", "each", *_PARTS))
        raise SpecError(f"Unknown key `{unknown[0]}` of `assign` in `methods`. Known here: {known}.")
    named = [part for part in _PARTS if part in given]
    parts = given.get("parts", len(_PARTS) if "each" in given or not named else len(named))
    if isinstance(parts, bool) or not isinstance(parts, int) or not 2 <= parts <= _MOST_PARTS:
        raise SpecError(
            f"`methods`: `assign` has parts = {shown(parts)}; expected a number from 2 to {_MOST_PARTS}."
        )
    wanted = {2: ["low", "high"], 3: list(_PARTS)}.get(parts)
    if ("each" in given) == bool(named) or (named and named != wanted):
        raise SpecError(
            f"`methods`: `assign` in {parts} parts has methods for {', '.join(named) or 'none'}"
            f"{' and for each' if 'each' in given else ''}; expected either `each`, or `low` and `high` for 2 "
            "parts and `low`, `medium` and `high` for 3."
        )
    found: list[tuple[str, dict[str, Any]]] = []
    for part in named or ["each"]:
        one = {"name": given[part]} if isinstance(given[part], str) else given[part]
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or one["name"].strip() == "assign":
            raise SpecError(f"`methods`: `assign` has {part} = {shown(given[part])}; expected a method.")
        found.append((one["name"].strip(), {key: value for key, value in one.items() if key != "name"}))
    each = found if named else found * parts
    labels = wanted or [f"part{number + 1}" for number in range(parts)]
    params = {label: own for label, (_, own) in zip(labels, each, strict=True) if own}
    return {"name": f"{' / '.join(name for name, _ in each)} by {by.strip()}", **params}
