"""From outputs to the rows of one case: worlds first, then methods, then verdicts over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from unweave._types import NotMeasured
from unweave.metrics import label, off_line_in_words
from unweave.records import Aim, CaseResult, Cost, Plane, Row, RowKind, Verdict, World
from unweave.references import Outputs, WorldName, WorldPlan
from unweave.report import case_headline
from unweave.study.asked import Asked
from unweave.study.assemble import Assembly
from unweave.study.examples import with_furthest
from unweave.study.expansion import note_of_truth
from unweave.study.fair import why_refused
from unweave.study.frame import NULL_LEVEL, WORLD_NAMES, Frame, build_frame, forget_margins, geometry
from unweave.study.gate import of_documents
from unweave.study.judge import Cell, cell, unjudged, verdicts
from unweave.study.measure import damage_of, groups_of, place, residual, tails_of
from unweave.study.measures import Answers, measures_of
from unweave.study.plane import plane_of
from unweave.study.reading import reading_of
from unweave.study.samples import Sample, probabilities
from unweave.study.spec import MethodChoice, case_to_json
from unweave.study.warnings import warnings_of

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
    asked: Sequence[Asked] = (),
) -> CaseResult:
    """Measure and judge everything of one case.

    Args:
        assembly: The case as arrays.
        worlds: Outputs of every world.
        methods: Outputs of every method, or the reason why it has none.
        asked: Metrics and attacks that are measured of every row beside.
    """
    case, probes = assembly.case, assembly.probes
    plane = _plane(assembly, worlds, methods)
    worlds = {name: _on_probes(assembly, one) for name, one in worlds.items()}
    methods = [(choice, _on_probes(assembly, one) if isinstance(one, Outputs) else one) for choice, one in methods]
    frame = build_frame(case, probes, dict(worlds))
    shape = geometry(frame)
    null_ok = all(p > NULL_LEVEL for p in frame.null_p.values())
    rows = [_world_row(frame, name, assembly.worlds[name]) for name in worlds]

    ran = {choice.id: one for choice, one in methods if isinstance(one, Outputs)}
    blocks = frame.worlds["original"].blocks
    samples = {name: Sample(name, probabilities(one.logits), blocks) for name, one in ran.items()}
    for sample in samples.values():  # the first to ask for distances: see `ProbeTests.p_values`
        frame.tests.p_values(sample)
    cells: dict[tuple[str, Aim], Cell] = {
        (name, aim): cell(frame, samples[name], Sample(name, forget_margins(one.logits, probes), blocks), aim)
        for name, one in ran.items()
        for aim in frame.aims
    }
    judged = verdicts(frame, cells, null_ok=null_ok)
    for choice, one in methods:
        if isinstance(one, Outputs):
            both: dict[Aim, Verdict] = {aim: judged[choice.id, aim] for aim in frame.aims}
            # Told here and not by the method, which does not know the behaviour.
            truth = note_of_truth(assembly, one.notes["forget"]) if "forget" in one.notes else ""
            rows.append(_method_row(frame, choice, samples[choice.id], one, both, truth))
        else:
            refused = why_refused(assembly, choice) != ""
            rows.append(_row_without_result(choice, one, "refused" if refused else "failed"))
    answers = {name: Answers(samples[name], one.logits, one.tokens) for name, one in ran.items()}
    answers |= {name: Answers(frame.worlds[name], one.logits, one.tokens) for name, one in worlds.items()}
    said = measures_of(frame, answers, asked, reading_of(assembly) if of_documents(asked) else None)
    rows = [replace(row, measures=said.get(row.id, ())) for row in rows]
    rows, examples = with_furthest(assembly, frame, rows, samples)
    return CaseResult(
        name=case.name,
        headline=case_headline(name=case.name, rows=tuple(rows), geometry=shape, null_ok=null_ok),
        case=_describe(assembly),
        margin=case.margin,
        alpha=case.alpha,
        null_ok=null_ok,
        warnings=tuple(warnings_of(assembly, frame, rows)),
        geometry=shape,
        worlds=tuple(
            World(name, one.training_set, len(one.rows), len(one.keys)) for name, one in assembly.worlds.items()
        ),
        rows=tuple(rows),
        plane=plane,
        examples=examples,
    )


def _on_probes(assembly: Assembly, outputs: Outputs) -> Outputs:
    return outputs._replace(logits=outputs.logits[:, : len(assembly.probes.clean)])


def _plane(
    assembly: Assembly,
    worlds: Mapping[WorldName, Outputs],
    methods: Sequence[tuple[MethodChoice, Outputs | str]],
) -> Plane | None:
    shown = {name: one for name, one in worlds.items() if _KINDS[name] != "null"}
    ran = {choice.id: one for choice, one in methods if isinstance(one, Outputs)}
    on_grid = {
        name: one._replace(logits=one.logits[:, len(assembly.probes.clean) :])
        for name, one in {**shown, **ran}.items()
    }
    return plane_of(assembly.data, assembly.planted, assembly.forget, on_grid)


def _describe(assembly: Assembly) -> dict[str, Any]:
    described: dict[str, Any] = dict(case_to_json(assembly.case))
    size = len(assembly.planted.members) if assembly.planted.known else None
    outside = assembly.case.forget.outside
    described["sizes"] = {
        "D": len(assembly.worlds["original"].rows),
        "B": size,
        "S": len(assembly.forget),
        "discovery": None if size is None or outside else len(assembly.forget) / size,
    }
    if assembly.dropped:
        described["dropped_forget_ids"] = list(assembly.dropped)
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
    frame: Frame,
    choice: MethodChoice,
    sample: Sample,
    outputs: Outputs,
    both: Mapping[Aim, Verdict],
    truth: str,
) -> Row:
    notes = outputs.notes
    untraining, unlearning = both["untraining"], both.get("unlearning")
    return Row(
        id=choice.id,
        name=choice.id,
        kind="method",
        stage=choice.stage,
        status="ok",
        reason="",
        params=notes["params"],
        label=label(untraining.outcome, None if unlearning is None else unlearning.outcome),
        verdict_untraining=untraining,
        verdict_unlearning=unlearning or unjudged(frame.not_declared),
        cost=Cost(notes["gradient_ratio"], notes["seconds"], notes["peak_memory_bytes"]),
        cite=notes["cite"],
        budget=choice.budget,
        note="; ".join(filter(None, (notes.get("note", ""), truth))),
        **_measured(frame, sample),
    )


def _row_without_result(choice: MethodChoice, reason: str, status: Literal["failed", "refused"]) -> Row:
    reason = reason.removesuffix(".")  # a part of other sentences
    missing = NotMeasured(reason)
    return Row(
        id=choice.id,
        name=choice.id,
        kind="method",
        stage=choice.stage,
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
        budget=choice.budget,
    )
