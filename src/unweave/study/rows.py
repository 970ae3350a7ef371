"""From outputs to the rows of one case: worlds first, then methods, then verdicts over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from unweave._types import Estimate, NotMeasured
from unweave.learners import LearnerSpec
from unweave.metrics import label, off_line_in_words
from unweave.records import Aim, CaseResult, Cost, Row, RowKind, Verdict, World
from unweave.references import Outputs, WorldName, WorldPlan
from unweave.report import case_headline
from unweave.study.assemble import Assembly
from unweave.study.frame import AIMS, NULL_LEVEL, REFERENCE, Frame, build_frame, forget_margins, geometry
from unweave.study.judge import Cell, cell, unjudged, verdicts
from unweave.study.measure import damage_of, groups_of, place, predictions, residual, tails_of
from unweave.study.methods import refusal
from unweave.study.samples import Sample, probabilities
from unweave.study.spec import MethodChoice, case_to_json

WORLD_NAMES: dict[WorldName, str] = {
    "original": "original A(D)",
    "untrained": "reference A(D∖S)",
    "unlearned": "reference A(D∖B)",
    "null_untrained": "fresh A(D∖S)",
    "null_unlearned": "fresh A(D∖B)",
}
_KINDS: dict[WorldName, RowKind] = {
    "original": "original",
    "untrained": "reference",
    "unlearned": "reference",
    "null_untrained": "null",
    "null_unlearned": "null",
}


def judge_case(
    assembly: Assembly,
    worlds: Mapping[WorldName, Outputs],
    methods: Sequence[tuple[MethodChoice, Outputs | str]],
) -> CaseResult:
    """Measure and judge everything of one case.

    Args:
        assembly: The case as arrays.
        worlds: Outputs of every world.
        methods: Outputs of every method, or the reason why it has none.
    """
    case, probes = assembly.case, assembly.probes
    frame = build_frame(case, probes, dict(worlds))
    shape = geometry(frame)
    null_ok = all(p > NULL_LEVEL for p in frame.null_p.values())
    rows = [_world_row(frame, name, assembly.worlds[name]) for name in worlds]

    ran = {choice.id: one for choice, one in methods if isinstance(one, Outputs)}
    blocks = frame.worlds["original"].blocks
    samples = {name: Sample(name, probabilities(one.logits), blocks) for name, one in ran.items()}
    cells: dict[tuple[str, Aim], Cell] = {
        (name, aim): cell(frame, samples[name], Sample(name, forget_margins(one.logits, probes), blocks), aim)
        for name, one in ran.items()
        for aim in AIMS
    }
    judged = verdicts(frame, cells, null_ok=null_ok)
    for choice, one in methods:
        if isinstance(one, Outputs):
            both: dict[Aim, Verdict] = {aim: judged[choice.id, aim] for aim in AIMS}
            rows.append(_method_row(frame, choice, samples[choice.id], one, both))
        else:
            refused = refusal(assembly.setting.learner, choice.name) != ""
            rows.append(_row_without_result(choice, one, "refused" if refused else "failed"))
    return CaseResult(
        name=case.name,
        headline=case_headline(name=case.name, rows=tuple(rows), geometry=shape, null_ok=null_ok),
        case=_describe(assembly),
        margin=case.margin,
        alpha=case.alpha,
        null_ok=null_ok,
        warnings=(*_about_learner(assembly.setting.learner), *_warnings(frame, rows)),
        geometry=shape,
        worlds=tuple(
            World(name, one.training_set, len(one.rows), len(one.keys)) for name, one in assembly.worlds.items()
        ),
        rows=tuple(rows),
    )


def _describe(assembly: Assembly) -> dict[str, Any]:
    described: dict[str, Any] = dict(case_to_json(assembly.case))
    described["sizes"] = {
        "D": len(assembly.setting.y),
        "B": len(assembly.planted.members),
        "S": len(assembly.forget),
        "discovery": len(assembly.forget) / len(assembly.planted.members),
    }
    described["learner_full"] = json.loads(json.dumps(assembly.setting.learner.identity()))
    described["absent_groups"] = dict(assembly.probes.absent)
    return described


def _measured(frame: Frame, sample: Sample) -> dict[str, Any]:
    where = place(frame, sample)
    return {
        "generality": where.generality,
        "off_line_squared": where.off_line_squared,
        "off_line": off_line_in_words(where.off_line_squared),
        "xy": where.xy,
        "weights": where.weights,
        "residual_untraining": residual(frame, sample, "untraining"),
        "residual_unlearning": residual(frame, sample, "unlearning"),
        "groups": groups_of(frame, sample),
        "tail": tails_of(frame, sample),
        "damage": damage_of(frame, sample),
        "n_models": len(sample.blocks),
    }


def _world_row(frame: Frame, name: WorldName, world: WorldPlan) -> Row:
    sample, kind = frame.worlds[name], _KINDS[name]
    if kind == "reference":
        itself = NotMeasured("the reference itself: an anchor of the map")
        measured: dict[str, Any] = {
            "generality": itself,
            "off_line_squared": itself,
            "off_line": "anchor",
            "xy": None,
            "weights": None,
            "residual_untraining": itself,
            "residual_unlearning": itself,
            "groups": groups_of(frame, sample),
            "tail": None,
            "damage": None,
            "n_models": len(sample.blocks),
        }
    else:
        measured = _measured(frame, sample)
    reason = "only methods are judged"
    retrained = 0.0 if name == "original" else 1.0
    return Row(
        id=name,
        name=WORLD_NAMES[name],
        kind=kind,
        stage="default",
        status="ok",
        reason="",
        params={"training_set": world.training_set},
        label="not applicable",
        verdict_untraining=unjudged(reason),
        verdict_unlearning=unjudged(reason),
        cost=Cost(retrained),
        **measured,
    )


def _method_row(
    frame: Frame, choice: MethodChoice, sample: Sample, outputs: Outputs, both: Mapping[Aim, Verdict]
) -> Row:
    notes = outputs.notes
    untraining, unlearning = both["untraining"], both["unlearning"]
    return Row(
        id=choice.id,
        name=choice.id,
        kind="method",
        stage="default",
        status="ok",
        reason="",
        params=notes["params"],
        label=label(untraining.outcome, unlearning.outcome),
        verdict_untraining=untraining,
        verdict_unlearning=unlearning,
        cost=Cost(notes["gradient_ratio"], notes["seconds"], notes["peak_memory_bytes"]),
        cite=notes["cite"],
        **_measured(frame, sample),
    )


def _row_without_result(choice: MethodChoice, reason: str, status: Literal["failed", "refused"]) -> Row:
    missing = NotMeasured(reason)
    return Row(
        id=choice.id,
        name=choice.id,
        kind="method",
        stage="default",
        status=status,
        reason=reason,
        params=dict(choice.params),
        label="not applicable",
        generality=missing,
        off_line_squared=missing,
        off_line=f"not measured: {reason}",
        xy=None,
        weights=None,
        residual_untraining=missing,
        residual_unlearning=missing,
        verdict_untraining=unjudged(reason),
        verdict_unlearning=unjudged(reason),
        groups={},
        tail=None,
        damage=None,
        cost=Cost(0.0),
    )


def _about_learner(learner: LearnerSpec) -> list[str]:
    if learner.file is None or learner.opaque:
        return []
    return [f"Models of {learner.label} are trained one by one: only nets of unweave's own are stacked."]


def _warnings(frame: Frame, rows: list[Row]) -> list[str]:
    found: list[str] = []
    if frame.too_few:
        found.append(f"No verdict: {frame.too_few}.")
    for aim in AIMS:
        name = WORLD_NAMES[REFERENCE[aim]]
        if frame.null_p[aim] <= NULL_LEVEL:
            found.append(
                f"Fresh retrains differ from {name} (permutation p = {frame.null_p[aim]:.3g}): "
                "this run gives no verdict."
            )
    for row in rows:
        anchor = {"null_untrained": 0.0, "null_unlearned": 1.0}.get(row.id)
        if anchor is not None and isinstance(row.generality, Estimate) and not covers(row.generality, anchor):
            found.append(
                f"The 95% interval of t of {row.name} does not hold its anchor {anchor:g}; "
                "one in twenty such intervals misses by chance."
            )
    outputs = frame.worlds["original"].outputs
    if (outputs == outputs[0]).all():
        found.append(
            "All models of a world are the same one: nothing in this learner is random, so intervals over models "
            "have no width and say nothing about another training set."
        )
    found += _untrained_well(frame)
    for name in frame.groups:
        if name not in frame.judged:
            found.append(f"`{name}` has only {len(frame.probes.groups[name])} probes: shown, not judged.")
    if "undiscovered" in frame.probes.absent:
        found.append("S = B: untraining and unlearning are the same aim in this case.")
    return found


def _untrained_well(frame: Frame) -> list[str]:
    """A warning if the originals know little more of ordinary data than which class is most frequent."""
    clean = frame.probes.clean[frame.probes.groups["retain"]]
    right = float((predictions(frame.worlds["original"])[:, frame.probes.groups["retain"]] == clean).mean())
    by_guessing = float(np.bincount(clean).max() / len(clean))
    if right >= by_guessing + (1 - by_guessing) / 4:
        return []
    return [
        f"The originals get {right:.0%} of retain right, and the most frequent class alone gives "
        f"{by_guessing:.0%}: the recipe (`learner.lr`, `learner.epochs`) does not train this learner."
    ]


def covers(estimate: Estimate, value: float) -> bool:
    """Whether the interval holds a value; an end that is None is unbounded."""
    return (estimate.low is None or estimate.low <= value) and (estimate.high is None or value <= estimate.high)
