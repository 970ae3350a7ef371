"""`rows.csv`: constant columns, numbers that stay numbers, and texts that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._types import Estimate
from unweave.records import Result, Row, from_json, rows_csv, to_json

TEXT_COLUMNS = [
    "case", "id", "name", "kind", "stage", "status", "label", "verdict_untraining", "verdict_unlearning", "reason",
]  # fmt: skip
ESTIMATES = [
    "generality", "off_line_squared", "residual_untraining", "residual_unlearning",
    "behaviour_rate_forget", "accuracy_forget", "behaviour_rate_undiscovered", "accuracy_undiscovered",
    "behaviour_rate_unseen", "accuracy_unseen", "behaviour_rate_retain", "accuracy_retain",
    "behaviour_rate_test", "accuracy_test",
    "damage_untraining_retain", "damage_untraining_test", "damage_unlearning_retain", "damage_unlearning_test",
    "accuracy_change_untraining_retain", "accuracy_change_untraining_test",
    "accuracy_change_unlearning_retain", "accuracy_change_unlearning_test",
    "excess_untraining", "excess_unlearning",
]  # fmt: skip
COLUMNS = [
    *TEXT_COLUMNS[:-1],
    *(f"{name}{part}" for name in ESTIMATES for part in ("", "_low", "_high")),
    "gradient_ratio", "n_models", "reason", "budget", "note",
]  # fmt: skip

DANGEROUS = [
    "=cmd|' /C calc'!A0", "=1+1", "=", "+x", "+1", "-x", "-1", "@SUM(A1)", "\t=1", "\r=1", "\0=1", "-2+3|'x'!A",
    '=HYPERLINK("http://example.org","x")', "=x,=y", "=x\n=y", "--", "@", "+", "=\ud800",
    "@'x'!A1", "\t@x", "-\0",
]  # fmt: skip


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def only(result: Result, row: Row, *, case: str = "case") -> Result:
    return replace(result, cases=(replace(result.cases[0], name=case, rows=(row,)),))


def test_columns_are_the_same_for_every_result(results: dict[str, Result]):
    for name, result in results.items():
        lines = list(csv.reader(io.StringIO(rows_csv(result), newline="")))
        assert lines[0] == COLUMNS, name
        assert {len(line) for line in lines} == {len(COLUMNS)}, name
        assert len(lines) - 1 == sum(len(case.rows) for case in result.cases), name


def test_cells_parse_back_to_what_the_result_holds(results: dict[str, Result]):
    for result in results.values():
        rows = [(case.name, row) for case in result.cases for row in case.rows]
        for line, (case, row) in zip(parsed(rows_csv(result)), rows, strict=True):
            outcomes = [row.verdict_untraining.outcome, row.verdict_unlearning.outcome]
            texts = [case, row.id, row.name, row.kind, row.stage, row.status, row.label, *outcomes, row.reason]
            assert [line[name] for name in TEXT_COLUMNS] == texts
            assert float(line["gradient_ratio"]) == row.cost.gradient_ratio
            assert int(line["n_models"]) == row.n_models
            expected = {name: getattr(row, name) for name in ESTIMATES[:4]}
            for group in ("forget", "undiscovered", "unseen", "retain", "test"):
                found = row.groups.get(group)
                expected[f"behaviour_rate_{group}"] = found and found.behaviour_rate
                expected[f"accuracy_{group}"] = found and found.accuracy
            if row.damage:
                for aim in ("untraining", "unlearning"):
                    expected[f"damage_{aim}_retain"] = getattr(row.damage, aim).energy_retain
                    expected[f"damage_{aim}_test"] = getattr(row.damage, aim).energy_test
                    expected[f"accuracy_change_{aim}_retain"] = getattr(row.damage, aim).accuracy_retain
                    expected[f"accuracy_change_{aim}_test"] = getattr(row.damage, aim).accuracy_test
            for aim in ("untraining", "unlearning"):
                expected[f"excess_{aim}"] = getattr(row, f"verdict_{aim}").excess
            for name in ESTIMATES:
                estimate = expected.get(name)
                for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                    number, cell = getattr(estimate, part, None), line[name + suffix]
                    assert bool(cell) == (number is not None)
                    assert number is None or float(cell) == pytest.approx(number, rel=1e-8)


def test_equal_results_give_equal_bytes(results: dict[str, Result]):
    for result in results.values():
        assert rows_csv(from_json(Result, to_json(result))) == rows_csv(result)


@pytest.mark.parametrize("field", ["id", "name", "reason", "note", "case"])
@pytest.mark.parametrize("text", DANGEROUS, ids=ascii)
def test_a_text_that_looks_like_a_formula_is_quoted(result: Result, field: str, text: str):
    row = result.cases[0].rows[0]
    changed = only(result, row, case=text) if field == "case" else only(result, replace(row, **{field: text}))
    (line,) = parsed(rows_csv(changed))
    assert line[field] == f"'{text}"


@settings(deadline=None)
@given(text=st.text(st.sampled_from("=+-@\t\r\n\0,;\"' aé0."), max_size=8))
def test_no_text_breaks_the_table_or_starts_a_formula(results: dict[str, Result], text: str):
    result = results["usual"]
    row = replace(result.cases[0].rows[0], name=text, reason=text)
    (line,) = parsed(rows_csv(only(result, row)))
    assert line["name"] == line["reason"]
    assert line["name"] in (text, f"'{text}")
    assert not line["name"].startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert line["id"] == row.id and line["case"] == "case"


@pytest.mark.parametrize(
    "text", ["digits", "D∖S", "a=b", "1-2", "", " ", "'quoted'", 'say "no"', "a,b", "a\nb", "a\rb"]
)
def test_a_harmless_text_stays_as_it_is(result: Result, text: str):
    (line,) = parsed(rows_csv(only(result, replace(result.cases[0].rows[0], name=text))))
    assert line["name"] == text


def test_negative_numbers_stay_numbers(result: Result):
    row = replace(result.cases[0].rows[0], generality=Estimate(-0.5, -1.25e-7, None, 3))
    (line,) = parsed(rows_csv(only(result, row)))
    assert [line[f"generality{part}"] for part in ("", "_low", "_high")] == ["-0.5", "-1.25e-07", ""]
