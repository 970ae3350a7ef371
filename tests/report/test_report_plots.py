"""The map by matplotlib: the same points at the same places as on the page."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from unweave._errors import UserError
from unweave.records import CaseResult, Result
from unweave.report.plots import plot_map

pytest.importorskip("matplotlib")


def test_every_row_with_a_place_is_drawn_where_it_lies(result: Result) -> None:
    figure = plot_map(result)
    for axes, case in zip(figure.axes, result.cases, strict=True):
        placed = [row for row in case.rows if row.xy is not None]
        dots = {tuple(line.get_xydata()[0]) for line in axes.lines if len(line.get_xydata()) == 1}
        (left, right), top = axes.get_xlim(), axes.get_ylim()[1]
        for row in placed:
            x = min(max(row.xy.x, left), right)
            y = min(max(row.xy.y, 0) ** 0.5, top)
            assert any(abs(x - a) < 1e-9 and abs(y - b) < 1e-9 for a, b in dots), row.name
        texts = " ".join(text.get_text() for text in axes.texts)
        assert all(row.name in texts for row in placed) and "A(D∖S)" in texts
    assert len({axes.get_xlim() for axes in figure.axes}) == 1  # one scale


def test_names_are_never_read_as_formulas(trigger: CaseResult, result_factory) -> None:
    rows = tuple(replace(row, name=r"a $\foo$ b") for row in trigger.rows)
    figure = plot_map(result_factory(replace(trigger, name=r"price $\foo$", rows=rows)))
    assert figure._repr_png_().startswith(b"\x89PNG")  # it would raise


def test_a_case_without_a_map_says_why(degenerate: CaseResult, result_factory) -> None:
    figure = plot_map(result_factory(degenerate))
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert ("No map:" in texts) == (not degenerate.geometry.drawn)


def test_cases_can_be_chosen_and_must_exist(result: Result) -> None:
    assert len(plot_map(result, cases=["digits-trigger"]).axes) == 1
    with pytest.raises(UserError, match="no case 'other'; it has digits-trigger"):
        plot_map(result, cases=["other"])


def test_without_matplotlib_the_message_says_what_to_install(result: Result, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"unweave\[plots\]"):
        plot_map(result)
