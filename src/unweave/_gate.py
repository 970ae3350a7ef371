"""Which measurement may be asked of which aim, on which probe group, with what is at hand.

Every metric and attack declares it once; whoever runs one asks here first, and is told why where it may not
be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from unweave._errors import ApplicabilityError
from unweave._registry import Entry, Registry

Aim = Literal["untraining", "unlearning"]
Group = Literal["forget", "undiscovered", "unseen", "retain", "test"]
Better = Literal["higher", "lower", "reference", "none"]
"""Which end is good: `reference` = the value of the aim's reference, `none` = shown, never judged."""
Need = Literal[
    "logits",
    "labels",
    "clean labels",
    "planted labels",
    "original",
    "untrained",
    "unlearned",
    "reference",
    "start",
    "shadows",
    "population",
]
"""What a measurement reads; `reference` stands for that of the aim asked for, `untrained` or `unlearned`."""
Status = Literal["allowed", "refused", "forced"]

AIMS: tuple[Aim, ...] = ("untraining", "unlearning")
GROUPS: tuple[Group, ...] = ("forget", "undiscovered", "unseen", "retain", "test")
REFERENCE: Mapping[Aim, Need] = {"untraining": "untrained", "unlearning": "unlearned"}
ALLOWED = "allowed"
BOTH: Mapping[Aim, str] = {"untraining": ALLOWED, "unlearning": ALLOWED}
"""The aims of a measurement that may be asked of either."""
UNBOUNDED = (float("-inf"), float("inf"))

WHAT: Mapping[Need, str] = {
    "logits": "logits of the models on the probes",
    "labels": "the label of each probe as it was trained on",
    "clean labels": "the clean label of each probe",
    "planted labels": "the label that shows the behaviour, for each probe",
    "original": "models of A(D), as deployed",
    "untrained": "reference models of A(D∖S)",
    "unlearned": "reference models of A(D∖B), for which the behaviour B has to be declared",
    "reference": "models of the aim's reference: A(D∖S) for untraining, A(D∖B) for unlearning",
    "start": "a net at its start, which never learned anything",
    "shadows": "shadow models of which it is known whether each probe was in their training set",
    "population": "other examples, known to be in the training set or not, which are not scored themselves",
}
"""What each need is, in words."""


@dataclass(frozen=True)
class Measurement:
    """What a metric or an attack declares: checked at the door, and shown by `unweave list`.

    Attributes:
        aims: For each aim `ALLOWED`, or the reason why it may not be asked.
        needs: What it reads.
        better: Which end is good.
        unit: Of its values.
        bounds: Lowest and highest possible value.
        cite: Key of the source; empty for a rule of this package.
        not_on: For each aim the groups on which it may not be asked, with the reason.
        what: What it asks, where a function has several names; empty = the first line of its docstring.
    """

    aims: Mapping[Aim, str]
    needs: frozenset[Need]
    better: Better
    unit: str
    bounds: tuple[float, float]
    cite: str
    not_on: Mapping[Aim, Mapping[Group, str]] = field(default_factory=dict)
    what: str = ""

    def allowed_on(self, aim: Aim) -> tuple[Group, ...]:
        """The groups on which it may be asked of an aim, in their order; none where the aim is refused."""
        if self.aims[aim] != ALLOWED:
            return ()
        return tuple(group for group in GROUPS if group not in self.not_on.get(aim, {}))

    def reads(self, aim: Aim) -> tuple[Need, ...]:
        """What it reads when asked of an aim, in the order of `WHAT`, with the aim's own reference by its name."""
        named: set[Need] = {REFERENCE[aim] if need == "reference" else need for need in self.needs}
        return tuple(need for need in WHAT if need in named)


class Applicability(NamedTuple):
    """Whether a measurement may be asked, and why it may not.

    Attributes:
        status: `allowed`, `refused`, or `forced`: refused, and run all the same, which is to be marked.
        reason: Empty where allowed.
    """

    status: Status
    reason: str


Function = TypeVar("Function", bound=Callable[..., Any])


def register(
    registry: Registry[Measurement],
    *,
    name: str,
    aims: Mapping[Aim, str],
    needs: Collection[Need],
    better: Better,
    unit: str,
    bounds: tuple[float, float],
    cite: str,
    not_on: Mapping[Aim, Mapping[Group, str]] | None = None,
    what: str = "",
) -> Callable[[Function], Function]:
    """Register a function under a name with what it declares; one function may have several names.

    Raises:
        ValueError: an aim is missing, the bounds are reversed, or the name is taken: errors of its author.
    """
    if set(aims) != set(AIMS):
        raise ValueError(f"`{name}` has to say of each of {', '.join(AIMS)} whether it may be asked.")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"`{name}` has bounds {bounds}; expected the lower one first.")
    declared = Measurement(dict(aims), frozenset(needs), better, unit, bounds, cite, dict(not_on or {}), what)

    def add(function: Function) -> Function:
        registry.add(name, function, declared)
        return function

    return add


def applicable(
    measurement: Entry[Measurement],
    aim: Aim,
    *,
    on: Group = "forget",
    have: Collection[Need] | None = None,
    force: bool = False,
) -> Applicability:
    """Whether a metric or an attack may be asked of an aim on a probe group.

    Forcing overrules a refusal of the aim or of the group; what is not there cannot be forced.

    Args:
        measurement: An entry of the registry of metrics or of attacks.
        aim: What the method is to have done.
        on: Where it is asked; S where nothing is said, since that is where the field asks.
        have: What is at hand; None = all that is needed.
        force: Whether to run it although it does not apply.

    Returns:
        The status with its reason.

    Source: the two aims have different references (arXiv 2604.07962), so a measurement made for one may say
        nothing about the other; the rules themselves are those of this package.

    Example:
        >>> everywhere = Measurement(BOTH, frozenset({"reference"}), "lower", "nats", (0.0, 1.0), "")
        >>> applicable(Entry("distance", print, everywhere), "unlearning", have=["untrained"]).status
        'refused'
    """
    declared = measurement.declared
    reason = declared.aims[aim]
    if reason == ALLOWED:
        reason = declared.not_on.get(aim, {}).get(on, "")
        where = ", ".join(declared.allowed_on(aim))
        reason += f" Ask it on {where}." if reason and where else ""
    if reason and not force:
        return Applicability("refused", reason)
    missing = [] if have is None else [WHAT[need] for need in declared.reads(aim) if need not in have]
    if missing:
        return Applicability("refused", f"`{measurement.name}` needs what is not there: {'; '.join(missing)}.")
    return Applicability("forced" if reason else "allowed", reason)


def require(
    measurement: Entry[Measurement],
    aim: Aim,
    *,
    on: Group = "forget",
    have: Collection[Need] | None = None,
    force: bool = False,
) -> Applicability:
    """The same as `applicable`, where a refusal ends the run.

    Raises:
        ApplicabilityError: what was asked, why it does not apply, and what to do.
    """
    found = applicable(measurement, aim, on=on, have=have, force=force)
    if found.status == "refused":
        raise ApplicabilityError(f"`{measurement.name}` does not apply to {aim} on `{on}`. {found.reason}")
    return found
