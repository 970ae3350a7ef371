"""Verdicts: which of the two aims each method reached, by the rule fixed before the run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unweave._types import NO_OP, NotMeasured
from unweave.metrics import conjunction, excess, outcome
from unweave.problem import AIM_GROUPS, MIN_PROBES
from unweave.records import Aim, Part, Verdict
from unweave.stats import Jackknife, equivalence, holm, interval, jackknife, lower_bound, p_below
from unweave.study.frame import AIMS, NO_POWER, OVERALL, Frame
from unweave.study.measure import accuracy_difference
from unweave.study.samples import Distances, Sample, design_of

ACCURACY_MARGIN = 0.01
"""Accuracy on retain and test must be within one point of the reference's."""


@dataclass(frozen=True)
class Cell:
    """One method × aim before the correction for multiplicity; `unmeasured` says what was missing."""

    overall: Jackknife
    parts: tuple[Part, ...]
    p_value: float | None
    unmeasured: str


def excess_of(
    distances: Distances, samples: tuple[Sample, Sample, Sample], margin: float, group: int
) -> Jackknife:
    """T = E²(M,R) − margin·E²(O,R) of (method, original, reference) on one group."""
    row, original, reference = samples
    design = design_of(*samples)
    of_row, of_original = (distances.energy(sample, reference, design, group=group) for sample in (row, original))
    return jackknife(excess(of_row, of_original, margin=margin), design)


def cell(frame: Frame, row: Sample, margins: Sample, aim: Aim) -> Cell:
    """Test all parts of one aim for one method.

    Args:
        frame: The case.
        row: The method's models, on probabilities.
        margins: The same models, on the margins φ over S (used for a privacy request).
        aim: Which aim.
    """
    case, samples = frame.case, (row, frame.worlds["original"], frame.reference(aim))
    parts: list[Part] = []
    overall = excess_of(frame.distances, samples, case.margin, OVERALL)
    parts.append(_part("distance overall", overall, p_below(overall), case.alpha))
    unmeasured = ""
    for name in _own_groups(frame, aim):
        if name not in frame.judged:
            count = len(frame.probes.groups[name])
            unmeasured = f"`{name}` has {count} probe{'s' * (count != 1)}; a verdict needs at least {MIN_PROBES}"
            continue
        jack = excess_of(frame.distances, samples, case.margin, frame.groups[name])
        parts.append(_part(f"distance on {name}", jack, p_below(jack), case.alpha))
    if case.privacy and aim == "untraining":
        worlds = frame.margin_worlds
        jack = excess_of(
            frame.margin_distances, (margins, worlds["original"], worlds["untrained"]), case.margin, 0
        )
        parts.append(_part("margins on forget", jack, p_below(jack), case.alpha))
    for name in ("retain", "test"):
        if name not in frame.judged:
            count = len(frame.probes.groups[name]) if name in frame.groups else 0
            unmeasured = f"`{name}` has {count} probe{'s' * (count != 1)}; a verdict needs at least {MIN_PROBES}"
            continue
        difference = accuracy_difference(frame, row, aim, name)
        parts.append(
            _part(f"accuracy on {name}", difference, equivalence(difference, ACCURACY_MARGIN), case.alpha)
        )
    p_value = None if unmeasured else conjunction([part.p_value for part in parts])
    return Cell(overall, tuple(parts), p_value, unmeasured)


def _own_groups(frame: Frame, aim: Aim) -> list[str]:
    present = [name for name in AIM_GROUPS[aim] if name in frame.groups]
    # Where S = B and nothing is unseen, the behaviour shows on S alone.
    return present or ["forget"]


def _part(name: str, jack: Jackknife, p_value: float, alpha: float) -> Part:
    return Part(name, interval(jack), p_value, p_value <= alpha)


def verdicts(frame: Frame, cells: dict[tuple[str, Aim], Cell], *, null_ok: bool) -> dict[tuple[str, Aim], Verdict]:
    """The verdict of every method × aim, with Holm's correction over all cells that were tested.

    Args:
        frame: The case.
        cells: What `cell` measured per row and aim.
        null_ok: Whether the fresh retrains sit on their anchors; if not there is no verdict.
    """
    tested = [key for key, one in cells.items() if one.p_value is not None and frame.has_power(key[1])]
    adjusted = holm(np.array([cells[key].p_value for key in tested], dtype=np.float64)) if tested else []
    p_holm = dict(zip(tested, (float(p) for p in adjusted), strict=True))
    judged = {key: _verdict(frame, one, key[1], p_holm.get(key), null_ok) for key, one in cells.items()}
    return _one_aim(judged) if frame.one_aim else judged


def _one_aim(judged: dict[tuple[str, Aim], Verdict]) -> dict[tuple[str, Aim], Verdict]:
    """Where S = B both references are one law: what was reached against one batch only is undecided."""
    for row in {row for row, _ in judged}:
        both = [judged[row, aim] for aim in AIMS]
        if [one.outcome for one in both].count("reached") == 1:
            why = "S = B, and only one of the two batches of the one reference was reached"
            for aim, one in zip(AIMS, both, strict=True):
                judged[row, aim] = replace(one, outcome="inconclusive", reason=why)
    return judged


def _verdict(frame: Frame, one: Cell, aim: Aim, p_holm: float | None, null_ok: bool) -> Verdict:
    value = interval(one.overall)
    if frame.no_op(aim):  # whatever any test says
        return Verdict("no power", NO_OP, value, one.parts, one.p_value, p_holm)
    if not null_ok:
        reason = "the fresh retrains miss their anchors: no verdict in this run"
        return Verdict("not measured", reason, value, one.parts, one.p_value, p_holm)
    if frame.too_few:
        return Verdict("not measured", frame.too_few, value, one.parts, one.p_value, p_holm)
    if one.unmeasured and not frame.has_power(aim):
        # What the aim is about was not looked at, so "nothing to remove" would be no finding.
        return Verdict("not measured", one.unmeasured, value, one.parts, one.p_value, p_holm)
    alpha = frame.case.alpha
    lower = lower_bound(one.overall, level=1 - alpha)
    p_power = 0.0 if frame.has_power(aim) else 1.0  # decided at its own level, not at alpha
    decided = outcome(p_power=p_power, p_adjusted=p_holm, excess_lower=lower, alpha=alpha)
    failed = [part.name for part in one.parts if not part.holds]
    reason = {
        "reached": "every part holds, after the correction for all methods and aims",
        "missed": "more than the margin is left overall",
        "no power": NO_POWER,
        "not measured": one.unmeasured,
        "inconclusive": (
            f"not shown: {', '.join(failed)}" if failed else "holds alone, but not after the correction"
        ),
    }[decided]
    return Verdict(decided, reason, value, one.parts, one.p_value, p_holm)


def unjudged(reason: str) -> Verdict:
    """The verdict of a row that is no method."""
    return Verdict("not measured", reason, NotMeasured(reason))
