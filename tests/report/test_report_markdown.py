"""`table.md`: methods by cases, nothing lost, nothing that Markdown or HTML would run."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from unweave._types import Estimate, NotMeasured
from unweave.report import markdown_table
from unweave.report.words import row_name


def cells(text: str) -> list[list[str]]:
    # A bar that was escaped is text, not the end of a cell.
    hidden = text.replace(r"\|", "\0")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in hidden.splitlines()]


def test_a_line_per_method_and_a_column_per_case(trigger, mislabel, result_factory):
    result = result_factory(trigger, mislabel)
    head, rule, *lines = cells(markdown_table(result))
    assert head == ["method", *(case.name for case in result.cases)] and set(rule) == {"---"}
    methods = {row.id for case in result.cases for row in case.rows if row.kind == "method"}
    assert len(lines) == len(methods) and all(len(line) == 3 for line in lines)
    for line in lines:
        for case, cell in zip(result.cases, line[1:], strict=True):
            row = next((row for row in case.rows if row_name(row) == re.sub(r"\\(.)", r"\1", line[0])), None)
            if row is None:
                assert cell == "–"
            elif isinstance(row.residual_unlearning, Estimate):
                value = row.residual_unlearning
                shown = re.search(r"r_B (\S+) \[(\S+), (\S+)\]", cell.replace("−", "-"))
                assert shown and [float(one) for one in shown.groups()] == pytest.approx(
                    [value.value, value.low, value.high], abs=0.0051
                )
                assert f"**{row.label}**" in cell


def test_what_was_not_measured_is_a_dash_and_a_lost_method_says_why(trigger, result_factory):
    first = next(row for row in trigger.rows if row.kind == "method")
    blank = replace(first, residual_unlearning=NotMeasured("behaviour not declared"))
    lost = replace(first, status="refused", reason="needs gradients")
    for row, expected in ((blank, "r_B –"), (lost, "refused: needs gradients")):
        (line,) = cells(markdown_table(result_factory(replace(trigger, rows=(row,)))))[2:]
        assert expected in line[1]


def test_names_cannot_leave_their_cell(trigger, result_factory):
    evil = "a|b\n<script>alert(1)</script> [x](javascript:1) `c` \u202e"
    row = replace(next(row for row in trigger.rows if row.kind == "method"), name=evil)
    text = markdown_table(result_factory(replace(trigger, name=evil, rows=(row,))))
    assert [len(line) for line in cells(text)] == [2, 2, 2]
    assert (
        "<script" not in text.replace(r"\<", "") and "\u202e" not in text and "](" not in text.replace(r"\]", "")
    )
