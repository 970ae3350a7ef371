"""What is paid for what: which rows have a place, which way is up, and what a picture of a few pixels holds."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import pytest

from unweave._types import Estimate, NotMeasured
from unweave.records import CaseResult
from unweave.report.png import png_address
from unweave.report.regions import class_colours, marks, panels
from unweave.report.trades import trade_charts


def places(chart, name: str) -> tuple[float, float]:
    point = next(point for point in chart["points"] if point["name"] == name)
    return point["x"]["value"], point["y"]["value"]


def test_damage_is_a_loss_in_points_and_behaviour_a_share_in_percent(trigger: CaseResult) -> None:
    chart = trade_charts(trigger)[0]
    assert chart["head"].startswith("The behaviour that stays") and "unseen" in chart["head"]
    lost, shown = places(chart, "gradient ascent")
    assert lost == pytest.approx(22.5) and shown == pytest.approx(40)
    point = next(point for point in chart["points"] if point["name"] == "gradient ascent")
    assert point["x"]["low"] < lost < point["x"]["high"]
    names = {point["name"] for point in chart["points"]}
    assert "SSD" not in names and {"original", "fresh A(D∖B)"} <= names


def test_cost_stands_against_what_is_left_of_one_aim(trigger: CaseResult, mislabel: CaseResult) -> None:
    charts = trade_charts(trigger)
    assert [chart["up"] for chart in charts] == ["↑ behaviour shown, %", "↑ r_B"]  # no r_S was measured there
    assert places(charts[1], "expansion + retrain") == (1.9, 0.03)
    both = trade_charts(mislabel)
    assert [chart["up"] for chart in both[1:]] == ["↑ r_B", "↑ r_S"] and both[1]["bent"]


def test_fresh_retrains_of_the_other_aim_are_left_out(trigger: CaseResult) -> None:
    ids = {"fresh A(D∖S)": "null_untrained", "fresh A(D∖B)": "null_unlearned"}
    rows = tuple(replace(row, id=ids.get(row.name, row.id)) for row in trigger.rows)
    names = {point["name"] for point in trade_charts(replace(trigger, rows=rows))[1]["points"]}
    assert "fresh A(D∖B)" in names and "fresh A(D∖S)" not in names and "original" not in names


def test_ends_that_are_unbounded_stay_so(trigger: CaseResult) -> None:
    open_ended = Estimate(0.4, None, None, 32)
    rows = tuple(replace(row, residual_unlearning=open_ended) for row in trigger.rows)
    points = trade_charts(replace(trigger, rows=rows))[1]["points"]
    assert all(point["y"] == {"value": 0.4, "low": None, "high": None} for point in points)


def test_the_charts_of_degenerate_cases_are_json(degenerate: CaseResult) -> None:
    json.dumps(trade_charts(degenerate), allow_nan=False)


def test_without_damage_there_is_no_chart_of_it(trigger: CaseResult) -> None:
    rows = tuple(replace(row, damage=None) for row in trigger.rows)
    assert not any("damage" in chart["head"] for chart in trade_charts(replace(trigger, rows=rows)))
    unknown = NotMeasured("not declared")
    rows = tuple(
        replace(row, groups={n: replace(g, behaviour_rate=unknown) for n, g in row.groups.items()})
        for row in trigger.rows
    )
    assert not any("damage" in chart["head"] for chart in trade_charts(replace(trigger, rows=rows)))


@pytest.mark.parametrize("colours", [True, False])
def test_a_png_holds_the_pixels(colours) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = bytes(range(18 if colours else 6))
    head, _, body = png_address(pixels, 3, 2, colours=colours).partition(",")
    found = image.open(io.BytesIO(base64.b64decode(body)))
    assert head == "data:image/png;base64" and found.size == (3, 2)
    assert found.mode == ("RGB" if colours else "L") and found.tobytes() == pixels


def test_regions_stand_on_their_feet_and_are_deeper_where_certain(mislabel: CaseResult) -> None:
    image = pytest.importorskip("PIL.Image")
    panel = panels(mislabel)[0]
    assert panel.kind == "original"
    picture = image.open(io.BytesIO(base64.b64decode(panel.image.partition(",")[2])))
    # The grid is 0 0 below and 1 1 above: the upper row of the picture is class 1.
    below_left, below_right, above = (picture.getpixel(place) for place in ((0, 1), (1, 1), (0, 0)))
    blue = class_colours(mislabel.plane)[0][1]
    assert blue == "#0072b2" and class_colours(mislabel.plane)[1][1] == "#e69f00"
    assert below_left[2] > below_left[0] and above[0] > above[2]
    assert below_right[0] < below_left[0]  # certainty 5 against 0


def test_points_of_s_are_drawn_last_and_upwards_is_up(mislabel: CaseResult) -> None:
    found = marks(mislabel.plane)
    assert [mark.part for mark in found] == ["ordinary", "undiscovered", "forget"]
    assert found[2].y < found[1].y < found[0].y
    assert len({mark.outline for mark in found}) == 3


def test_a_case_without_a_plane_has_no_panels(trigger: CaseResult) -> None:
    assert panels(trigger) == []
