"""From answers of models to a diagnosis: memorization of S, what S and B do together, the regime, advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from unweave._gate import Group
from unweave._random import generator
from unweave._types import NOT_DECLARED, Estimate, Measured, NotMeasured
from unweave.attacks import ATTACKS
from unweave.influence import (
    HIGH_CROSS,
    HIGH_SELF,
    Influences,
    Range,
    Regime,
    entanglement,
    mean_leave_outs,
    regime_of,
    self_influence,
    unseen_share,
)
from unweave.metrics import METRICS, leave_out_means
from unweave.problem import MIN_PROBES
from unweave.problem.uses import use_of
from unweave.records import Aim
from unweave.records.diagnosis import (
    DIAGNOSIS_SCHEMA,
    Cheapest,
    Diagnosis,
    GroupChange,
    Influential,
    Memorized,
    Proxy,
    Tried,
)
from unweave.stats import interval, jackknife, leave_outs
from unweave.study.applicability import applicable
from unweave.study.assemble import Assembly
from unweave.study.cheapest import cheapest_of
from unweave.study.frame import forget_margins
from unweave.study.measures import within
from unweave.study.separation import separation
from unweave.study.single import (
    by_heart,
    most_influential,
    most_memorized,
    plane,
    share_above,
    surely_by_heart,
)
from unweave.study.spec import case_to_tree
from unweave.study.told_by_margins import told_by_margins

Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """What is known of models, as arrays.

    Attributes:
        inside: Whether example i of D is in the part that model k was trained on [t, n].
        predicted: Their predictions on D and on the probes [t, n + m].
        phi: φ of the label there [t, n + m].
        worlds: Logits on the probes of the models of each world [K, m, classes].
        features: Features of S and of D∖S of each original; None where they are not known.
        share: Part of D that each model of `inside` was trained on.
    """

    inside: NDArray[np.bool_]
    predicted: NDArray[np.int32]
    phi: NDArray[np.float32]
    worlds: dict[Any, NDArray[np.float32]]
    features: list[tuple[Floats, Floats]] | None
    share: float


def rest_of(assembly: Assembly) -> int:
    """How many examples D∖S has."""
    return len(np.setdiff1d(assembly.worlds["original"].rows, assembly.forget))


def features_of(assembly: Assembly, models: Any) -> list[tuple[Floats, Floats]]:
    """Penultimate features of S and of a part of D∖S, less than 4 000 examples, of each original."""
    import torch

    from unweave.learners.contract import State
    from unweave.learners.nets import build
    from unweave.training.engine import unstack

    learner, forget = build(assembly.setting.learner), assembly.forget
    rest = np.setdiff1d(assembly.worlds["original"].rows, forget)
    rest = rest[:: max(1, len(rest) // 2000)]
    x = torch.from_numpy(assembly.setting.x)
    found: list[tuple[Floats, Floats]] = []
    with torch.no_grad():
        for state in unstack(models):
            parts = (
                torch.cat([learner.features(State(*state), some) for some in x[rows].split(512)]).flatten(1)
                for rows in (forget, rest)
            )
            own, others = (part.double().cpu().numpy() for part in parts)
            found.append((own, others))
    return found


def judge_request(
    assembly: Assembly,
    parts: Parts,
    use: str | None,
    proxies: tuple[Proxy, ...],
    tried: tuple[Tried, ...],
    *,
    cost: dict[str, float],
    provenance: dict[str, Any],
) -> Diagnosis:
    """Everything that is said of a request."""
    correct = parts.predicted == np.concatenate([assembly.setting.y, assembly.probes.trained])
    rows = assembly.forget
    own = self_influence(parts.inside[:, rows], correct[:, rows].astype(np.float64))
    memorized = _memorized(assembly, parts, correct, own, int(surely_by_heart(own).sum()))
    groups = tuple(_group(assembly, parts, name) for name in assembly.probes.groups)
    regime = _regime(assembly, parts, memorized, groups)
    of_use = about_use(assembly, use)
    known = assembly.planted.known
    most = most_memorized(assembly, own)
    no_op = nothing_to_undo(regime.name, most)
    cheapest = cheapest_of(assembly, tried, no_op=no_op)
    return Diagnosis(
        schema=DIAGNOSIS_SCHEMA,
        name=assembly.case.name,
        headline=_headline(assembly, regime, most, memorized),
        case=case_to_tree(assembly.case),
        forget=len(assembly.forget),
        behaviour=len(assembly.planted.members) if known else None,
        memorized=memorized,
        entanglement=_entanglement(assembly, parts),
        groups=groups,
        self_level=regime.self_level,
        cross_level=regime.cross_level,
        cross_threshold=HIGH_CROSS,
        regime=regime.name,
        regime_text=regime.text,
        **of_use,
        advice=_advice(
            no_op, of_use["aim"], groups, cheapest, known=known, s_is_b=len(rows) == len(assembly.planted.members)
        ),
        most_memorized=most,
        most_influential=most_influential(assembly, parts.inside, correct),
        plane=plane(assembly, parts.inside, correct),
        warnings=_warnings(assembly, memorized, groups),
        cost=cost,
        provenance=provenance,
        tried=tried,
        cheapest=cheapest,
        proxies=proxies,
        separation=_separation(assembly, parts, correct) if known else {},
    )


def _separation(assembly: Assembly, parts: Parts, correct: NDArray[np.bool_]) -> dict[str, Measured]:
    members = assembly.planted.members
    others = np.setdiff1d(assembly.worlds["original"].rows, members)
    return separation(members, others, parts.inside, correct, parts.phi)


def _memorized(
    assembly: Assembly, parts: Parts, correct: NDArray[np.bool_], found: Influences, known: int
) -> Memorized:
    rows = assembly.forget
    hard = correct[:, rows].astype(np.float64)
    soft = (1 + np.tanh(parts.phi[:, rows].astype(np.float64) / 2)) / 2  # the logistic, which overflows nowhere
    inside = parts.inside[:, rows]
    return Memorized(
        mean=_mean_over_s(inside, hard),
        soft=_mean_over_s(inside, soft),
        above=share_above(found.value, HIGH_SELF),
        threshold=HIGH_SELF,
        models=len(inside),
        share=parts.share,
        largest_error=float(np.nanmax(found.standard_error)) if np.isfinite(found.value).any() else None,
        by_heart=known,
    )


def _mean_over_s(inside: NDArray[np.bool_], value: Floats) -> Measured:
    design = leave_outs({"subsets": np.arange(len(inside))})
    if isinstance(design, NotMeasured):
        return design
    theta = mean_leave_outs(inside, value)
    if not np.isfinite(theta).all():
        return NotMeasured("no example of S was both in and out of the parts of D; take more models")
    return interval(jackknife(theta, design))


def _group(assembly: Assembly, parts: Parts, name: str) -> GroupChange:
    where = assembly.probes.groups[name]
    labels = assembly.probes.trained[where]
    right = {
        world: (logits[:, where].argmax(2) == labels).mean(1).astype(np.float64)
        for world, logits in parts.worlds.items()
    }
    accuracy = {world: _accuracy(world, values) for world, values in right.items()}
    joint = _difference({name: right[name] for name in ("original", "untrained")})
    missing = NotMeasured(NOT_DECLARED)
    behaviour: Measured = missing
    if "unlearned" in right:
        behaviour = _difference({name: right[name] for name in ("original", "unlearned")})
    return GroupChange(
        name=name,
        probes=len(where),
        original=accuracy["original"],
        untrained=accuracy["untrained"],
        unlearned=accuracy.get("unlearned", missing),
        joint=joint,
        behaviour=behaviour,
    )


def _difference(samples: dict[str, Floats]) -> Measured:
    """Mean over models of the first sample, less that of the second if there is one."""
    ids = iter(
        np.split(np.arange(sum(map(len, samples.values()))), np.cumsum([len(v) for v in samples.values()])[:-1])
    )
    design = leave_outs({name: next(ids) for name in samples})
    if isinstance(design, NotMeasured):
        return design
    means = [leave_out_means(values, design.weights[name]) for name, values in samples.items()]
    return interval(jackknife(means[0] - means[1] if means[1:] else means[0], design))


def _accuracy(world: str, values: Floats) -> Measured:
    found = _difference({world: values})
    return within(found, (0.0, 1.0)) if isinstance(found, Estimate) else found


def _regime(assembly: Assembly, parts: Parts, memorized: Memorized, groups: tuple[GroupChange, ...]) -> Regime:
    own = next(group for group in groups if group.name == "forget")
    others = {
        group.name: _range(group.joint)
        for group in groups
        if group.name != "forget" and group.probes >= MIN_PROBES
    }
    with_s, without = (
        forget_margins(parts.worlds[world], assembly.probes)[..., 0] for world in ("original", "untrained")
    )
    margins = told_by_margins(
        with_s,
        without,
        paired=assembly.case.references.paired,
        rng=generator(assembly.case.seed, "permutation", "margins of a diagnosis"),
    )
    unseen = unseen_share(min(len(with_s), len(without)))
    return regime_of(_range(memorized.mean), _range(own.joint), others, margins, unseen=unseen)


def _range(found: Measured) -> Range:
    """An estimate as a range; all that is possible where it was not measured."""
    if isinstance(found, NotMeasured) or found.low is None or found.high is None:
        return Range(0.0, -1.0, 1.0)
    return Range(found.value, found.low, found.high)


def _entanglement(assembly: Assembly, parts: Parts) -> Measured:
    if parts.features is None:
        return NotMeasured("of this learner only the outputs are known")
    rest = rest_of(assembly)
    values = np.array([entanglement(own, others, rest=rest) for own, others in parts.features])
    if not np.isfinite(values).all():
        return NotMeasured("features of S and of D∖S have one and the same centre in some model")
    return _difference({"original": values})


def nothing_to_undo(regime: str, most: Sequence[Influential]) -> bool:
    """Whether untraining is a no-op, of a request of which nothing is known by heart either."""
    return regime == "no-op" and not by_heart(most)


def _headline(assembly: Assembly, regime: Regime, most: Sequence[Influential], memorized: Memorized) -> str:
    said = f"On {assembly.case.name}: {regime.text}"
    count = memorized.by_heart or 0
    if regime.name != "no-op" or not count:
        return said
    named = by_heart(most)[:3]
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f"{said} That is S on average; known by heart are, of S, the ids {', '.join(named)}{more}."


def about_use(assembly: Assembly, use: str | None) -> dict[str, Any]:
    """What a diagnosis says of the use of a request: its aim, and the metrics and attacks that fit it."""
    if use is None:
        return {"use": None, "aim": None, "why": "No use was stated.", "fitting": (), "not_fitting": {}}
    found = use_of(use)
    fitting, others = _fitting(found.aim, assembly)
    why = f"{use}: {found.why}."
    return {"use": use, "aim": found.aim, "why": why, "fitting": fitting, "not_fitting": others}


def _fitting(aim: Aim, assembly: Assembly) -> tuple[tuple[str, ...], dict[str, str]]:
    """Metrics and attacks that may be asked of an aim on a group that the case has, and of the others why not."""
    fitting: list[str] = []
    others: dict[str, str] = {}
    groups = [name for name in assembly.probes.groups if name not in ("retain", "test")]
    for name in [*METRICS.names(), *ATTACKS.names()]:
        found = [applicable(name, aim, on=cast(Group, group)) for group in groups]
        if any(one.status == "allowed" for one in found):
            fitting.append(name)
        else:
            others[name] = found[0].reason
    return tuple(fitting), others


def _advice(
    no_op: bool,
    aim: str | None,
    groups: tuple[GroupChange, ...],
    cheapest: tuple[Cheapest, ...],
    *,
    known: bool,
    s_is_b: bool,
) -> tuple[str, ...]:
    said = [one.text for one in cheapest if aim in (None, one.aim)]
    if no_op and not cheapest:
        said.append("For untraining nothing need be done: leaving the model as it is keeps within these bounds.")
    if aim == "untraining" and not no_op and not cheapest:
        said.append("Retraining without S reaches untraining by definition, at the cost of one training.")
    if aim != "untraining" and not s_is_b:
        said.append("Retraining without S does not unlearn: what S taught is still taught by B∖S.")
    left = next((group for group in groups if group.name == "undiscovered"), None)
    if left is not None and isinstance(left.untrained, Estimate) and aim != "untraining":
        said.append(f"Without S, {left.untrained.value:.0%} of B∖S still get the label of the behaviour.")
    if not known and not cheapest:
        said.append("The behaviour is not declared, so nothing about unlearning is measured.")
    if not cheapest:
        said.append(
            "--methods default says which is the cheapest method that suffices; unweave compare shows all."
        )
    return tuple(said)


def _warnings(assembly: Assembly, memorized: Memorized, groups: tuple[GroupChange, ...]) -> tuple[str, ...]:
    said = [f"{g.name} has {g.probes} probes, too few to count." for g in groups if g.probes < MIN_PROBES]
    if memorized.largest_error is not None and memorized.largest_error > 0.1:
        said.append(
            f"With {memorized.models} models the standard error of a single memorization is up to "
            f"{memorized.largest_error:.2f}; the mean over S is better known."
        )
    part = f"{memorized.share:.0%} of D"
    said.append(f"Memorization is that of models trained on {part}; those of all of D may know less by heart.")
    return tuple(said)
