"""All sentences of the report: labels, reasons, headlines, and how to read the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unweave._types import NO_OP, NOT_DECLARED, Estimate, Measured, NotMeasured
from unweave.records import Aim, CaseResult, Geometry, Label, Outcome, Part, Row, Verdict
from unweave.report.numbers import (
    DASH,
    estimate_text,
    interval_text,
    number_text,
    one_line,
    percents_text,
    share_text,
)

UNTRAINED = "A(D∖S)"
UNLEARNED = "A(D∖B)"
INDISTINGUISHABLE = "not distinguishable from 0"

LABEL_NAMES: dict[Label, str] = {
    "untrained": "untrained",
    "unlearned": "unlearned",
    "both": "both",
    "neither": "neither",
    "inconclusive": "inconclusive",
    "no power": "no power",
    "not applicable": DASH,
}

LABEL_MEANINGS: dict[Label, str] = {
    "untrained": f"reached {UNTRAINED}, the model trained without the forget set, within the margin",
    "unlearned": f"reached {UNLEARNED}, the model that never met the behaviour, within the margin",
    "both": "reached both references within the margin",
    "neither": "reached neither reference (where B is not declared: not the one that was measured)",
    "inconclusive": "the intervals do not decide at this number of models",
    "no power": "so few models do not tell the original from the reference: no method can be judged, and it is no "
    "proof that there is nothing to remove",
    "not applicable": "a reference or an original, not a method; or a method without a result",
}

OUTCOME_NAMES: dict[Outcome, str] = {
    "reached": "reached",
    "missed": "missed",
    "inconclusive": "undecided",
    "no power": "no power",
    "not measured": "not measured",
}

GROUP_MEANINGS: dict[str, str] = {
    "forget": "the forget set S, which the method was given",
    "undiscovered": "B∖S: training examples of the behaviour that the method was not told about",
    "unseen": "new instances of the behaviour, made from test data",
    "retain": "training data without the behaviour",
    "test": "test data without the behaviour",
}

HOW_TO_READ: tuple[str, ...] = (
    f"The map lays out mean predictions: on its baseline, 0 is {UNTRAINED} (as if the forget set had never "
    f"been trained on) and 1 is {UNLEARNED} (as if the whole behaviour had never been met).",
    "Height is the distance from that line in units of the distance between the references; a high point "
    "predicts like neither, which is not by itself damage.",
    "r_S and r_B are the shares of the way from the original to each reference that are still left: 0 is "
    "arrived, 1 is as the original, above 1 is worse than doing nothing; they are ratios of squared distances, "
    "so half of the models left at the original count as a quarter of the way.",
    "A method reached an aim only if that share is shown to lie below the margin overall and on the aim's "
    "own probes, with accuracy on ordinary data equivalent to the reference's.",
    "Brackets and ellipses hold 95% confidence over independently trained models, given these probes; "
    "the labels allow for the number of methods and aims judged, the brackets do not.",
)

PAST: dict[Aim, str] = {"untraining": "untrained", "unlearning": "unlearned"}
VERB: dict[Aim, str] = {"untraining": "untrain", "unlearning": "unlearn"}
_REFERENCE: dict[Aim, str] = {"untraining": UNTRAINED, "unlearning": UNLEARNED}
NO_POWER: dict[Aim, str] = {
    "untraining": "there is nothing to untrain that this many models can show",
    "unlearning": "there is nothing to unlearn that this many models can show",
}
"""What is said of an aim where the originals are not told from its reference."""
_STAGES = {
    "default": "",
    "tuned_untraining": " (tuned to untrain)",
    "tuned_unlearning": " (tuned to unlearn)",
    # The name of such a row says at which budget it is.
    "equal_cost": "",
    "equal_rise": "",
}


def row_name(row: Row) -> str:
    """The name of a row as it is shown: with the aim it was tuned for, if any."""
    return one_line(row.name) + _STAGES[row.stage]


def verdict_of(row: Row, aim: Aim) -> Verdict:
    """The verdict of a row on one aim."""
    return row.verdict_untraining if aim == "untraining" else row.verdict_unlearning


def residual_of(row: Row, aim: Aim) -> Measured:
    """The residual of a row on one aim: r_S or r_B."""
    return row.residual_untraining if aim == "untraining" else row.residual_unlearning


def off_line_text(off_line_squared: Measured) -> str:
    """Word the height over the line: a root with its interval, or that it cannot be told from 0.

    Args:
        off_line_squared: signed square of the height, in units of the gap between the references.

    Example:
        >>> off_line_text(Estimate(0.25, 0.16, 0.36, 32)), off_line_text(Estimate(0.01, -0.02, 0.04, 32))
        ('0.50 [0.40, 0.60]', 'not distinguishable from 0')
    """
    if not isinstance(off_line_squared, Estimate):
        return DASH
    if off_line_squared.low is None or off_line_squared.low <= 0 or off_line_squared.value <= 0:
        return INDISTINGUISHABLE
    high = None if off_line_squared.high is None else math.sqrt(max(off_line_squared.high, 0.0))
    interval = interval_text(math.sqrt(off_line_squared.low), high)
    return f"{number_text(math.sqrt(off_line_squared.value))} {interval}"


# Below it "1.0 times" would say nothing.
_CLEARLY_AWAY = 1.1


def _left(residual: Estimate) -> str:
    low = None if residual.low is None else 100 * residual.low
    high = None if residual.high is None else 100 * residual.high
    text = share_text(residual.value)
    return f"{text} of the way is left {percents_text(low, high, like=text)}"


def _missed(aim: Aim, residual: Measured) -> str:
    if not isinstance(residual, Estimate):
        return f"did not {VERB[aim]}"
    low, high = residual.low, residual.high
    if low is not None and low > 1:
        if residual.value < _CLEARLY_AWAY:
            more = interval_text(100 * (low - 1), None if high is None else 100 * (high - 1), 1)
            above = f"E² {share_text(residual.value - 1)} above the original's {more}"
            return f"moved slightly away from {_REFERENCE[aim]} ({above})"
        times = f"{number_text(residual.value, 1)} times the original's E² {interval_text(low, high, 1)}"
        return f"moved away from {_REFERENCE[aim]} ({times})"
    if residual.value >= 1 or high is None or high >= 1:
        return f"did not measurably {VERB[aim]} ({_left(residual)})"
    done = "next to none" if residual.value > 0.995 else share_text(1 - residual.value)
    return f"did {done} of the {aim} ({_left(residual)})"


def aim_reason(
    aim: Aim, outcome: Outcome, *, residual: Measured, parts: Sequence[Part] = (), reason: str = ""
) -> str:
    """Say in one clause how far a row came towards one aim.

    Args:
        aim: the aim judged.
        outcome: what the verdict says.
        residual: share of the way from the original still to go; below the margin is good.
        parts: the conditions of the verdict; named where only some of them hold.
        reason: why the aim was not measured, or why there is nothing to untrain by definition.

    Example:
        >>> aim_reason("unlearning", "missed", residual=Estimate(0.31, 0.27, 0.35, 32))
        'did 69% of the unlearning (31% of the way is left [27, 35])'
    """
    if outcome == "no power":
        return nothing_to_remove(aim, reason)
    if outcome == "not measured":
        return f"{aim} not measured" + (f": {one_line(reason)}" if reason else "")
    if outcome == "missed":
        return _missed(aim, residual)
    left = f" ({_left(residual)})" if isinstance(residual, Estimate) else ""
    if outcome == "reached":
        return f"{PAST[aim]}, within the margin{left}"
    open_parts = [one_line(part.name) for part in parts if not part.holds]
    if parts and not open_parts:
        lacking = ", not shown once all methods and aims are allowed for"
    else:
        lacking = f", not shown: {', '.join(open_parts)}" if 0 < len(open_parts) < len(parts) else ""
    return f"{aim} undecided{left}{lacking}"


def unmeasured_reason(verdict: Verdict) -> str:
    """Why a verdict was not measured, on one line."""
    excess = verdict.excess
    return one_line(excess.not_measured if isinstance(excess, NotMeasured) else verdict.reason)


def nothing_to_remove(aim: Aim, reason: str) -> str:
    """Why there is nothing to remove for an aim: by definition, or as far as this many models can show.

    Example:
        >>> nothing_to_remove("untraining", "nothing to remove")
        'there is nothing to untrain that this many models can show'
    """
    return NO_OP if reason == NO_OP else NO_POWER[aim]


def _verdict_clause(row: Row, aim: Aim) -> str:
    verdict, residual = verdict_of(row, aim), residual_of(row, aim)
    reason = unmeasured_reason(verdict)
    return aim_reason(aim, verdict.outcome, residual=residual, parts=verdict.parts, reason=reason)


def _behaviour(row: Row) -> str:
    for name, where in (
        ("unseen", "unseen instances"),
        ("undiscovered", "undiscovered instances"),
        ("forget", "the forget set"),
    ):
        rate = row.groups[name].behaviour_rate if name in row.groups else None
        if isinstance(rate, Estimate) and row.residual_unlearning == NotMeasured(NOT_DECLARED):
            # What S was trained on may be right: that it is still predicted is no failure.
            return f"the labels trained on are predicted on {share_text(rate.value)} of {where}"
        if isinstance(rate, Estimate):
            unlearned = row.kind != "method" or row.verdict_unlearning.outcome == "reached"
            still = "still " if rate.value >= 0.1 and not unlearned else ""
            return f"the behaviour {still}shows on {share_text(rate.value)} of {where}"
    return ""


def row_reason(row: Row) -> str:
    """Explain a row in plain words: what it did for each aim, and where the behaviour still shows.

    Takes everything from the row's numbers; `row.reason` is read only where the row has no result.
    """
    if row.status != "ok":
        return f"{row.status}" + (f": {one_line(row.reason)}" if row.reason else "")
    if row.kind == "original":
        clauses = ["the model as deployed"]
    elif row.kind == "reference":
        clauses = ["a reference: what an aim asks for"]
    elif row.kind == "null":
        clauses = ["fresh retrains, unused elsewhere: how close an ideal run comes"]
    else:
        outcomes = (row.verdict_untraining.outcome, row.verdict_unlearning.outcome)
        if outcomes == ("no power", "no power") and row.verdict_untraining.reason != NO_OP:
            clauses = ["nothing to remove that this many models can show"]
        elif outcomes == ("not measured", "not measured") and (
            reason := unmeasured_reason(row.verdict_untraining)
        ) == unmeasured_reason(row.verdict_unlearning):
            clauses = ["neither aim was measured" + (f": {reason}" if reason else "")]
        else:
            aims: list[Aim] = ["untraining", "unlearning"]
            aims.sort(key=lambda aim: verdict_of(row, aim).outcome in ("no power", "not measured"))
            clauses = [_verdict_clause(row, aim) for aim in aims]
    behaviour = _behaviour(row)
    return "; ".join([*clauses, behaviour] if behaviour else clauses)


def told_reason(row: Row) -> str:
    """The reason a row carries with its note, or one made from its numbers where it has none or no result."""
    said = one_line(row.reason) if row.status == "ok" and row.reason else row_reason(row)
    return f"{said}; {one_line(row.note)}" if row.note else said


def margin_words(margin: float) -> str:
    """Say what a margin tolerates.

    A mixture with a share q of its models at the original has E² = q²·E²(O,R); a share q of probes at
    the original, q·E²(O,R).

    Example:
        >>> margin_words(0.1)
        'A margin of 0.10 tolerates 10% of the probes, or 32% of the models, sitting wholly at the original.'
    """
    probes, models = share_text(margin), share_text(math.sqrt(margin))
    tolerated = f"{probes} of the probes, or {models} of the models, sitting wholly at the original"
    return f"A margin of {number_text(margin)} tolerates {tolerated}."


def attainable_words(geometry: Geometry, margin: float) -> str:
    """Say which margin a fresh retrain could be shown to keep at this number of models."""
    found: dict[Aim, float | None] = {
        "untraining": geometry.attainable_untraining,
        "unlearning": geometry.attainable_unlearning,
    }
    known = [(aim, value) for aim, value in found.items() if value is not None]
    if not known:
        return "The attainable margin was not measured."
    values = " and ".join(f"{number_text(value, 3)} for {aim}" for aim, value in known)
    text = (
        f"With this many models a fresh retrain is itself shown, overall and uncorrected, to lie within {values}"
    )
    beyond = [aim for aim, value in known if value > margin]
    if beyond:
        return (
            f"{text}: a margin of {number_text(margin)} is tighter than they reach for {' or '.join(beyond)}, and "
            "can be shown only for what varies less."
        )
    return f"{text}: a smaller margin can be shown only for what varies less."


def null_warning(case: CaseResult) -> str:
    """The warning on top of a case whose fresh retrains miss their anchors; empty where they do not."""
    if case.null_ok:
        return ""
    return "No verdict: fresh retrains of a reference do not sit at it, so no label below can be relied on."


def not_drawn_words(geometry: Geometry) -> str:
    """Say why there is no map; empty where there is one."""
    if geometry.drawn:
        return ""
    reason = one_line(geometry.why_not) or "the two aims are not distinguishable here"
    gap = f" (gap {estimate_text(geometry.gap, 4)})" if isinstance(geometry.gap, Estimate) else ""
    return f"No map: {reason}{gap}."
