"""The nearest to each aim by budget: who it is, and whom it is not told apart from."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from unweave._types import Estimate, NotMeasured
from unweave.report import headline_result, markdown_table, print_result, render_page
from unweave.report.best import best_of, stages_of
from unweave.report.columns import ordered_rows


def at(row, kind: str, budget: float, left: tuple[float, float, float] | None = None, **changes):
    """A row as it is at a budget, with another share of the way to A(D∖B) left."""
    name = f"{row.name} @ {kind} {budget:g}"
    if left is not None:
        changes["residual_unlearning"] = Estimate(*left, 32)
    return replace(row, id=name, name=name, stage=f"equal_{kind}", budget=budget, note="3 epochs", **changes)


@pytest.fixture
def budgeted(trigger, row_factory):
    """A case with three methods at their own settings, at a rise and at a cost, in no order."""
    a, b, c = (row_factory(name, r=(None, left)) for name, left in (("one", 0.3), ("two", 0.5), ("three", 0.9)))
    worlds = [row for row in trigger.rows if row.kind != "method"]
    rows = [
        at(a, "rise", 0.05, (0.6, 0.55, 0.65)), at(b, "rise", 0.05, (0.4, 0.3, 0.5)),
        at(c, "rise", 0.05, (0.2, 0.1, 0.9), status="refused", reason="too dear"),
        a, b, c,
        at(a, "cost", 0.1, (0.5, 0.4, 0.6)), at(b, "cost", 0.1, (0.45, 0.35, 0.55)),
        at(c, "cost", 0.1, (0.9, 0.85, 0.95)),
    ]  # fmt: skip
    return replace(trigger, rows=(*worlds, *rows), headline="")


def test_the_nearest_at_each_budget_is_the_one_that_left_least(budgeted):
    found = {(one.budget, one.aim): one for one in best_of(budgeted)}
    assert [one.budget for one in best_of(budgeted)][::2] == [
        "at their own settings", "at most 0.1× the cost of retraining", "retain loss up by at most 0.05",
    ]  # fmt: skip
    unlearning = [one for (_, aim), one in found.items() if aim == "unlearning"]
    assert [one.name for one in unlearning] == ["one", "two", "two"]
    assert [one.compared for one in unlearning] == [3, 3, 2]  # what was refused is not compared
    assert [one.others for one in unlearning][1:] == ["one", ""]
    assert all(
        one.name == "" and one.outcome == "not measured" for (_, a), one in found.items() if a == "untraining"
    )


def test_an_unbounded_interval_overlaps_with_all(budgeted):
    rows = [
        replace(row, residual_unlearning=Estimate(0.1, None, None, 32)) if row.name == "three" else row
        for row in budgeted.rows
    ]
    default = [one for one in best_of(replace(budgeted, rows=tuple(rows))) if one.aim == "unlearning"][0]
    assert (default.name, default.others) == ("three", "one, two")


def test_many_that_are_not_told_apart_are_counted(budgeted, row_factory):
    more = tuple(row_factory(f"m{number}", r=(None, 0.3)) for number in range(6))
    default = [one for one in best_of(replace(budgeted, rows=budgeted.rows + more)) if one.aim == "unlearning"][0]
    assert default.others == "m0, m1, m2 and 3 more"


def test_without_budgets_there_is_no_table(budgeted, result_factory):
    plain = replace(budgeted, rows=tuple(row for row in budgeted.rows if row.stage == "default"))
    assert best_of(plain) == [] and stages_of(plain.rows) == [("default", "at their own settings")]
    page, table = render_page(result_factory(plain)), markdown_table(result_factory(plain))
    assert 'data-stages="' not in page and "Nearest to" not in page and "Nearest to" not in table


def test_rows_stand_by_budget_and_then_by_what_is_left(budgeted):
    names = [row.name for row in ordered_rows(budgeted.rows) if row.kind == "method"]
    assert names == [
        "one", "two", "three",
        "two @ cost 0.1", "one @ cost 0.1", "three @ cost 0.1",
        "two @ rise 0.05", "one @ rise 0.05", "three @ rise 0.05",
    ]  # fmt: skip


def test_terminal_table_and_page_name_them(budgeted, result_factory):
    result = result_factory(budgeted)
    console = Console(file=StringIO(), width=160)
    print_result(console, result)
    shown = console.file.getvalue()
    assert "Nearest to each aim, by budget" in shown and "retain loss up by at most 0.05" in shown
    assert "3 epochs." in shown  # the note of a row
    assert "| retain loss up by at most 0.05 | unlearning | two |" in markdown_table(result)
    page = render_page(result)
    assert page.count('data-stages="') == 4 and 'data-stage="equal_cost 0.1"' in page


def test_a_headline_counts_settings_and_not_methods(budgeted):
    assert "method setting" in headline_result((budgeted,))


def test_nothing_measured_is_said(budgeted):
    rows = [
        replace(row, residual_unlearning=NotMeasured("lost")) if row.stage == "equal_rise" else row
        for row in budgeted.rows
    ]
    last = best_of(replace(budgeted, rows=tuple(rows)))[-1]
    assert (last.name, last.residual, last.outcome) == ("", "", "not measured")
