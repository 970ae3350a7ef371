"""The headline of a case and of a result: one sentence that claims no more than the verdicts do."""

from __future__ import annotations

from collections.abc import Sequence

from unweave._types import Estimate
from unweave.records import Aim, CaseResult, Geometry, Row
from unweave.report.numbers import number_text, one_line, share_text
from unweave.report.words import (
    PAST,
    VERB,
    nothing_to_remove,
    residual_of,
    row_name,
    unmeasured_reason,
    verdict_of,
)

_NO_VERDICT = "the fresh retrains miss their anchors, so there is no verdict"


def _names(rows: Sequence[Row]) -> str:
    shown = [row_name(row) for row in rows[:3]]
    rest = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _closest(rows: Sequence[Row], aim: Aim) -> str:
    found: list[tuple[Estimate, Row]] = []
    for row in rows:
        residual = residual_of(row, aim)
        if isinstance(residual, Estimate):
            found.append((residual, row))
    if not found:
        return ""
    # Nearest by its estimate is not nearest where its interval holds the original.
    shown = [(one.value, row) for one, row in found if one.high is not None and one.high < 1]
    value, row = min(shown or [(one.value, row) for one, row in found], key=lambda pair: pair[0])
    if row.id == "noop":  # which does nothing, and is a measure of nothing but that
        return "none of them closer than the original is"
    if not shown and value > 1.005:
        return f"{row_name(row)} closest at {number_text(value, 1)} times the original's E²"
    if not shown:
        return "none of them shown to be closer than the original is"
    return f"{row_name(row)} closest with {share_text(value)} of the way left"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _noun(rows: Sequence[Row]) -> str:
    settings = any(row.budget is not None for row in rows) or len({row.name for row in rows}) < len(rows)
    return "method setting" if settings else "method"


def _aim_clause(rows: Sequence[Row], aim: Aim) -> str:
    outcomes = [verdict_of(row, aim).outcome for row in rows]
    past = PAST[aim]
    if all(outcome == "not measured" for outcome in outcomes):
        reason = unmeasured_reason(verdict_of(rows[0], aim))
        return f"{aim} was not measured" + (f" ({reason})" if reason else "")
    if "no power" in outcomes and all(outcome in ("no power", "not measured") for outcome in outcomes):
        reasons = {verdict_of(row, aim).reason for row in rows}
        return nothing_to_remove(aim, reasons.pop() if len(reasons) == 1 else "")
    count, noun = len(rows), _noun(rows)
    reached = [row for row, outcome in zip(rows, outcomes, strict=True) if outcome == "reached"]
    if reached and len(reached) == count:
        return f"all {count} {noun}s {past}" if count > 1 else f"{row_name(reached[0])} {past}"
    if reached:
        return f"{len(reached)} of {count} {noun}s {past} ({_names(reached)})"
    undecided, unmeasured = (
        [row for row, found in zip(rows, outcomes, strict=True) if found == outcome]
        for outcome in ("inconclusive", "not measured")
    )
    open_rows = len(undecided) + len(unmeasured)
    if count == 1:
        residual = residual_of(rows[0], aim)
        left = f" ({share_text(residual.value)} of the way left)" if isinstance(residual, Estimate) else ""
        shown = f"is not shown to have {past}" if open_rows else f"did not {VERB[aim]}"
        return f"{row_name(rows[0])} {shown}{left}"
    shown = f"is shown to have {past}" if open_rows else past
    shown += f", {len(undecided)} undecided ({_names(undecided)})" if undecided else ""
    shown += f", {len(unmeasured)} not measured ({_names(unmeasured)})" if unmeasured else ""
    closest = _closest(rows, aim)
    return f"none of {count} {noun}s {shown}" + (f", {closest}" if closest else "")


def _case_clause(name: str, rows: Sequence[Row], geometry: Geometry, null_ok: bool) -> str:
    start = f"on {one_line(name)}, "
    if not null_ok:
        return start + _NO_VERDICT
    methods = [row for row in rows if row.kind == "method"]
    usable = [row for row in methods if row.status == "ok"]
    if not methods:
        text = "no method was compared"
    elif not usable:
        reasons = {f"{row.status}: {one_line(row.reason)}" for row in methods}
        why = f" ({reasons.pop()})" if len(reasons) == 1 else ""
        text = f"{_plural(len(methods), 'method')} compared, none with a result{why}"
    else:
        clauses = [_aim_clause(usable, aim) for aim in ("unlearning", "untraining")]
        text = ", and ".join(clauses)
        if clauses[1] == clauses[0].replace("unlearning was", "untraining was"):
            text = clauses[0].replace("unlearning was not", "neither aim was")
        refused = [row.status for row in methods].count("refused")
        failed = len(methods) - len(usable) - refused
        lost = [f"{_plural(refused, 'method')} refused"] if refused else []
        lost += [f"{_plural(failed, 'method')} giving no result"] if failed else []
        text += f", with {' and '.join(lost)}" if lost else ""
    if not geometry.drawn and isinstance(geometry.gap, Estimate):
        text += ", and the two aims are not distinguishable"
    return start + text


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def case_headline(*, name: str, rows: Sequence[Row], geometry: Geometry, null_ok: bool) -> str:
    """Say in one sentence what happened on a case.

    Args:
        name: name of the case.
        rows: all its rows; only methods are counted.
        geometry: distances between its worlds.
        null_ok: whether fresh retrains sit at their anchors; if not there is no verdict to report.
    """
    return _sentence(_case_clause(name, rows, geometry, null_ok))


def headline(case: CaseResult) -> str:
    """Say in one sentence what happened on a case."""
    return case_headline(name=case.name, rows=case.rows, geometry=case.geometry, null_ok=case.null_ok)


def headline_result(cases: Sequence[CaseResult]) -> str:
    """Say in one sentence what happened on all cases: each in turn up to two, then counts."""
    if not cases:
        return "No case was compared."
    if len(cases) <= 2:
        clauses = [_case_clause(case.name, case.rows, case.geometry, case.null_ok) for case in cases]
        return _sentence("; ".join(clauses))
    judged = [case for case in cases if case.null_ok]
    rows = [row for case in judged for row in case.rows if row.kind == "method"]
    counts: list[str] = []
    for aim in ("unlearning", "untraining"):
        outcomes = [verdict_of(row, aim).outcome for row in rows]
        tested = [outcome for outcome in outcomes if outcome not in ("no power", "not measured")]
        reached = f"{tested.count('reached')} of {_plural(len(tested), 'tested run')} {PAST[aim]}"
        counts.append(reached if tested else f"no run could be tested for {aim}")
    text = f"across {len(cases)} cases, {counts[0]} and {counts[1]} ({_plural(len(rows), 'method run')} in all)"
    if len(judged) < len(cases):
        text += f"; in {_plural(len(cases) - len(judged), 'case')} {_NO_VERDICT}"
    return _sentence(text)
