"""The cheapest method that suffices for each aim, by the verdicts that `compare` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from unweave._types import NotMeasured
from unweave.records import Aim, Row
from unweave.records.diagnosis import Cheapest, Tried
from unweave.study.assemble import Assembly
from unweave.study.frame import AIMS
from unweave.study.methods import DEFAULT_METHODS, trains
from unweave.study.plugins import methods_of
from unweave.study.spec import MethodChoice, Spec

DEFAULT = "default"
"""In place of names: the methods that `compare` runs where none are named."""

Status = Literal["found", "none", "nothing to do", "not measured"]

_REFERENCE: dict[Aim, str] = {"untraining": "A(D∖S)", "unlearning": "A(D∖B)"}
_LEFT_OUT: dict[Aim, str] = {"untraining": "S", "unlearning": "all of B"}


class Chosen(NamedTuple):
    """The methods that a diagnosis tries, and why others that were named are not."""

    methods: tuple[MethodChoice, ...]
    left_out: dict[str, str]


def choose(spec: Spec, assembly: Assembly) -> Chosen:
    """Which methods of a spec run on the originals of its case; none where the spec names none.

    Raises:
        UserError: for names or parameters that are wrong.
    """
    if spec.methods is None:
        return Chosen((), {})
    asked: list[MethodChoice] = []
    for one in spec.methods:
        asked += [MethodChoice(name, {}) for name in DEFAULT_METHODS] if one.name == DEFAULT else [one]
    found = methods_of(Spec(spec.cases, tuple(asked)), ())
    tied = assembly.setting.learner.tied
    own = {one.id for one in found if trains(one.name) is not None and not tied}
    why = "needs models that were trained for it from the beginning, and the originals of this case were not"
    return Chosen(tuple(one for one in found if one.id not in own), {one: why for one in sorted(own)})


def tried_of(rows: Sequence[Row], left_out: Mapping[str, str]) -> tuple[Tried, ...]:
    """Every method that was named, with its cost and its two verdicts.

    Args:
        rows: Of `compare` for the case.
        left_out: Why others were not run.
    """
    found = tuple(_tried(row) for row in rows if row.kind == "method")
    none = tuple(
        Tried(name, None, "not measured", "not measured", NotMeasured(why), NotMeasured(why), why)
        for name, why in left_out.items()
    )
    return found + none


def _tried(row: Row) -> Tried:
    return Tried(
        row.id,
        row.cost.gradient_ratio if row.status == "ok" else None,
        row.verdict_untraining.outcome,
        row.verdict_unlearning.outcome,
        row.residual_untraining,
        row.residual_unlearning,
        row.reason,
    )


def cheapest_of(assembly: Assembly, tried: Sequence[Tried], *, no_op: bool) -> tuple[Cheapest, ...]:
    """The cheapest method whose verdict is "reached", per aim.

    Args:
        assembly: The case.
        tried: Methods with their verdicts; Holm's correction is over all of them.
        no_op: Whether untraining is shown to change next to nothing: not that it was not told to change something.
    """
    ran = [one for one in tried if one.cost is not None]
    return tuple(_cheapest(assembly, ran, aim, no_op=no_op and aim == "untraining") for aim in AIMS) if ran else ()


def _cheapest(assembly: Assembly, ran: Sequence[Tried], aim: Aim, *, no_op: bool) -> Cheapest:
    outcomes = [one.untraining if aim == "untraining" else one.unlearning for one in ran]
    undecided, reference, count = outcomes.count("inconclusive"), _REFERENCE[aim], len(ran)
    reached = [one for one, outcome in zip(ran, outcomes, strict=True) if outcome == "reached"]

    def said(status: Status, text: str, best: Tried | None = None) -> Cheapest:
        name, cost = ("", None) if best is None else (best.method, best.cost)
        return Cheapest(aim, status, name, cost, count, len(reached), undecided, f"For {aim} {text}")

    if no_op:
        return said(
            "nothing to do", "nothing need be done: without S predictions change by no more than was bounded."
        )
    if "no power" in outcomes:
        models = len(assembly.worlds["original"].keys)
        return said(
            "not measured",
            f"nothing can be judged: {models} models of D are not told from {reference}, which does not show that "
            f"nothing is left to do; retraining without {_LEFT_OUT[aim]} does by definition what is asked.",
        )
    if aim == "unlearning" and not assembly.planted.known:
        return said("not measured", "nothing is known: the behaviour is not declared.")
    if all(one == "not measured" for one in outcomes):
        return said(
            "not measured", "no method was judged: the fresh retrains or the probes do not allow a verdict."
        )
    if reached:
        best = min(reached, key=lambda one: one.cost or 0.0)
        price = "at no cost" if best.cost == 0 else f"at {_share(best.cost or 0.0)} of one retraining"
        more = f"; {len(reached) - 1} dearer ones suffice as well" if len(reached) > 1 else ""
        return said(
            "found", f"the cheapest sufficient method is {best.method}, {price} (tried: {count}{more}).", best
        )
    none = f"none of the {count} methods tried is shown to reach {reference}"
    none += f", {undecided} of them undecided" if undecided else ""
    if aim == "untraining":
        return said("none", f"{none}; retraining without S does by definition, at the cost of one training.")
    if len(assembly.forget) == len(assembly.planted.members):
        return said("none", f"{none}; retraining without S, which is all of B, does by definition.")
    return said(
        "none",
        f"from S alone {none}, nor does retraining without S by definition: discover more of the behaviour. "
        "Retraining without all of it does.",
    )


def _share(cost: float) -> str:
    """A multiple of one retraining with two digits.

    Example:
        >>> _share(0.083), _share(0.5), _share(0.0042)
        ('.083', '.5', '.0042')
    """
    return f"{cost:.2g}".removeprefix("0")
