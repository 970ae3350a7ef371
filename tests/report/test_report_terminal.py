from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from unweave.records import CaseResult, Result
from unweave.report import print_case, print_result
from unweave.report.columns import ordered_rows


def printed(result: Result | CaseResult, width: int) -> str:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width)
    (print_result if isinstance(result, Result) else print_case)(console, result)
    return buffer.getvalue()


@pytest.mark.parametrize("width", [40, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(result: Result, width: int) -> None:
    for line in printed(result, width).splitlines():
        assert cell_len(line) <= width, line


@pytest.mark.parametrize("width", [80, 140])
def test_every_number_arrives_whole(result: Result, width: int) -> None:
    text = printed(result, width)
    assert "0.35 [0.31, 0.39]" in text
    assert "99% [98, 100]" in text
    assert "−22.5 [−23.1, −21.9]" in text
    assert "\x1b" not in text
    for case in result.cases:
        for row in case.rows:
            assert row.name in text


@pytest.mark.parametrize("width", [80, 140])
def test_degenerate_cases_print(degenerate: CaseResult, width: int) -> None:
    text = printed(degenerate, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert ("No verdict" in text) == (not degenerate.null_ok)
    assert ("No map" in text) == (not degenerate.geometry.drawn)


def test_notes(result: Result) -> None:
    text = " ".join(printed(result, 80).split())
    assert "32% of the models, sitting wholly at the original" in text
    assert "shown, overall and uncorrected, to lie within 0.030 for untraining" in text
    assert "† A group this small" in text
    assert "– not measured: the method failed: everything of SSD." in text
    assert "≈ 0 not distinguishable from 0." in text


def test_warnings_come_before_the_tables(mislabel: CaseResult) -> None:
    text = printed(mislabel, 80)
    assert text.index("! group `forget` has 19 probes") < text.index("Verdicts")


def test_order_of_rows(trigger: CaseResult) -> None:
    names = [row.name for row in ordered_rows(trigger.rows)]
    assert names[:4] == ["reference A(D∖S)", "fresh A(D∖S)", "fresh A(D∖B)", "original"]
    assert names[4:7] == ["expansion + retrain", "DELETE", "DELETE"]
    assert names[-1] == "SSD"


def test_data_cannot_drive_the_terminal(row_factory, case_factory) -> None:
    attacks = ["\x1b[2J", "\x9b31m", "\u202egnp.exe", "[bold red]x[/]", "a\rb", "\x07", "[link=x]y[/link]"]
    rows = tuple(row_factory(attack, reason=attack) for attack in attacks)
    text = printed(case_factory("\x1b]0;title\x07", rows, warnings=("\x1b[5m",)), 80)
    assert not set("\x1b\x9b\x07\u202e\r") & set(text)
    assert "[bold red]x[/]" in text


def test_a_terminal_without_unicode_gets_ascii(result: Result) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors="strict", write_through=True) as stream:
        print_result(Console(file=stream, width=80), result)
        text = raw.getvalue().decode("ascii")
    assert "fresh A(D\\B)" in text
