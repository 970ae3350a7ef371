"""What was asked for by name, on the page, in the terminal and in Markdown; what was forced is marked."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from unweave._types import Estimate, NotMeasured
from unweave.records import MeasureValue, Result, from_json, rows_csv, to_json
from unweave.report import markdown_table, print_result, render_page
from unweave.report.measures import measure_tables

WHY = "Membership inference on S says nothing about unlearning."


def said(name: str, value: float | str, *, aim: str = "untraining", group: str = "forget", forced: bool = False):
    found = NotMeasured(value) if isinstance(value, str) else Estimate(value, value - 0.02, value + 0.02, 32)
    status, reason = ("forced", WHY) if forced else ("allowed", "")
    reference, null = Estimate(0.51, 0.4, 0.6, 32), Estimate(0.52, 0.4, 0.6, 32)
    return MeasureValue(name, aim, group, status, reason, "AUC", "reference", found, reference, null)


@pytest.fixture
def asked(result):
    """The usual result, in which every row with a result was asked of three things."""
    measures = (
        said("tow", 0.731),
        said("tow", "too few members", group="undiscovered"),
        said("lira_offline", 0.642, aim="unlearning", forced=True),
    )
    cases = tuple(
        replace(case, rows=tuple(replace(r, measures=measures if r.status == "ok" else ()) for r in case.rows))
        for case in result.cases
    )
    return replace(result, cases=cases)


def printed(result, width: int = 140) -> str:
    buffer = io.StringIO()
    print_result(Console(file=buffer, width=width), result)
    return buffer.getvalue()


def test_a_table_per_aim_with_a_column_for_each_thing_and_group(asked):
    one, other = measure_tables(asked.cases[0].rows)
    assert [column.head for column in one.columns] == ["tow @ forget", "tow @ undiscovered"]
    assert [column.head for column in other.columns] == ["lira_offline @ forget (forced)"]
    assert one.notes == [] and other.notes == [f"forced: lira_offline for unlearning on forget. {WHY}"]
    cells = [column.cell(one.rows[-1] if one.rows[-1].status == "ok" else one.rows[0]) for column in one.columns]
    assert cells[0].text == "0.73 [0.71, 0.75]" and cells[1] == ("–", "too few members")
    assert "A(D∖S)" in one.title and "A(D∖B)" in other.title
    meaning = one.columns[0].meaning
    assert "the reference has 0.51" in meaning and "a fresh retrain has 0.52" in meaning


def test_nothing_asked_is_no_table(result):
    assert all(measure_tables(case.rows) == [] for case in result.cases)
    for text in (printed(result), markdown_table(result), render_page(result)):
        assert "Other measures" not in text


def test_every_output_shows_the_value_and_what_was_forced_with_the_reason(asked):
    for text in (printed(asked), markdown_table(asked), render_page(asked)):
        plain = text.replace("\\", "")
        for part in ("Other measures for untraining", "0.73", "0.64", "(forced)", WHY):
            assert part in plain, part
    line = rows_csv(asked).splitlines()
    assert "tow_untraining_forget_low" in line[0] and WHY in line[1]
    assert from_json(Result, to_json(asked)) == asked


def test_rows_without_a_result_have_a_dash_with_their_reason(asked):
    case = asked.cases[0]
    lost = next(row for row in case.rows if row.status != "ok")
    (table, _) = measure_tables(case.rows)
    cell = table.columns[0].cell(lost)
    assert cell.text == "–" and cell.why == (lost.reason or "not asked")


def test_the_reason_of_what_was_not_measured_is_told(asked):
    assert "not measured: too few members: tow for untraining on undiscovered" in " ".join(printed(asked).split())


def test_names_and_reasons_cannot_drive_the_page(asked, payloads):
    for payload in payloads[::7]:
        bad = replace(said(payload, 0.5, forced=True), group=payload, reason=payload, unit=payload)
        rows = tuple(replace(row, measures=(bad,)) for row in asked.cases[0].rows)
        result = replace(asked, cases=(replace(asked.cases[0], rows=rows),))
        page = render_page(result)
        assert payload not in page.partition("<main>")[2].partition("</main>")[0] or "<" not in payload
        assert not set("\x1b\x9b\x00") & set(printed(result))


def test_a_result_of_before_has_no_measures_and_is_read(result):
    import json

    tree = json.loads(to_json(result))
    for case in tree["cases"]:
        for row in case["rows"]:
            assert row.pop("measures") == []
    assert from_json(Result, json.dumps(tree)) == result


def test_columns_of_the_csv_are_those_of_all_cases(asked):
    other = replace(
        asked.cases[1], rows=tuple(replace(r, measures=(said("rmia", 0.4),)) for r in asked.cases[1].rows)
    )
    head, *lines = rows_csv(replace(asked, cases=(asked.cases[0], other))).splitlines()
    names = head.split(",")
    assert names.index("rmia_untraining_forget") > names.index("tow_untraining_forget")
    first = [line for line in lines if line.startswith(asked.cases[0].name)]
    assert all(line.count(",") >= len(names) - 1 for line in first)
    assert len(set(names)) == len(names)
