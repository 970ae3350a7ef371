"""Tables of what was asked for by name: one per aim, a column for each metric or attack and probe group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from unweave._types import Estimate, NotMeasured
from unweave.records import Aim, MeasureValue, Row
from unweave.report.columns import Cell, Column, ordered_rows
from unweave.report.numbers import DASH, estimate_text, one_line
from unweave.report.words import UNLEARNED, UNTRAINED

_REFERENCE_ROWS: dict[Aim, tuple[str, str]] = {
    "untraining": ("untrained", "null_untrained"),
    "unlearning": ("unlearned", "null_unlearned"),
}
_GOOD = {
    "higher": "higher is better",
    "lower": "lower is better",
    "reference": "good is the value of the reference",
    "none": "shown, never judged",
}


class MeasureTable(NamedTuple):
    """What was asked for one aim.

    Attributes:
        title: With the aim and its reference.
        columns: One for each metric or attack and group.
        rows: The aim's reference, its fresh retrain, the original, then methods.
        notes: What was forced, and why it does not apply.
    """

    title: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str]


def measure_tables(rows: Sequence[Row]) -> list[MeasureTable]:
    """The tables of both aims; none for an aim of which nothing was asked."""
    aims: tuple[Aim, ...] = ("untraining", "unlearning")
    return [table for aim in aims if (table := _table(rows, aim)).columns]


def _table(rows: Sequence[Row], aim: Aim) -> MeasureTable:
    asked = {_head(one): one for row in rows for one in row.measures if one.aim == aim}
    columns = [Column(head, _meaning(one), partial(_cell, aim=aim, head=head)) for head, one in asked.items()]
    anchors = [row for name in _REFERENCE_ROWS[aim] for row in rows if row.id == name]
    others = [row for row in ordered_rows(rows) if row.kind in ("original", "method")]
    reference = UNTRAINED if aim == "untraining" else UNLEARNED
    notes = [
        f"forced: {one_line(one.name)} for {aim} on {one_line(one.group)}. {one_line(one.reason)}"
        for one in asked.values()
        if one.status == "forced"
    ]
    return MeasureTable(f"Other measures for {aim}, against {reference}", columns, [*anchors, *others], notes)


def _head(one: MeasureValue) -> str:
    forced = " (forced)" if one.status == "forced" else ""
    return f"{one_line(one.name)} @ {one_line(one.group)}{forced}"


def _meaning(one: MeasureValue) -> str:
    found = f"{one_line(one.name)} on {one_line(one.group)}, in {one_line(one.unit)}; {_GOOD[one.better]}"
    for name, value in (("the reference", one.reference), ("a fresh retrain", one.null)):
        if isinstance(value, Estimate):
            found += f"; {name} has {estimate_text(value)}"
    return found if one.status == "allowed" else f"{found}; forced: {one_line(one.reason)}"


def _cell(row: Row, *, aim: Aim, head: str) -> Cell:
    for one in row.measures:
        if one.aim == aim and _head(one) == head:
            if isinstance(one.value, NotMeasured):
                return Cell(DASH, one_line(one.value.not_measured))
            return Cell(estimate_text(one.value))
    return Cell(DASH, one_line(row.reason) or "not asked")
