"""Means and curves of a sweep where some cells have no number: what each is of, and over which cells."""

import pytest

from unweave import Estimate, NotMeasured
from unweave.records import SweepCell, SweepRow
from unweave.report.sweep_charts import charts, heat_maps
from unweave.study.sweep_views import enough, points

NO = NotMeasured("nothing to remove")


def row(residual, survival, status="ok"):
    return SweepRow(
        *("m", "m", "method", status, "", "", "", "", NO, NO, residual, NO, NO, NO, NO),
        cost=None,
        models="o",
        per_model={} if survival is None else {"survival": (survival,) * 4},
    )


def cell(share, seed, residual, survival=0.5, status="ok"):
    found = NO if residual is None else Estimate(residual, residual - 0.01, residual + 0.01, 4)
    sizes = {"D": 100, "B": 100, "S": round(100 * share)}
    place = ("name", "digits", "trigger", share, "random", seed)
    return SweepCell(*place, "", "ok", "", sizes, "", True, (), NO, NO, rows=(row(found, survival, status),))


# Of the first γ one seed alone has power, and there the method does well.
CELLS = [cell(0.1, seed, 0.2 if seed == 0 else None) for seed in range(4)]
CELLS += [cell(0.5, seed, 0.05 if seed == 0 else 0.5) for seed in range(4)]


def test_a_mean_says_of_how_many_cells_it_is():
    first, second = points(CELLS)
    assert first.residual_unlearning.value == pytest.approx(0.2) and first.measured["residual_unlearning"] == 1
    assert second.residual_unlearning.value == pytest.approx((0.05 + 3 * 0.5) / 4)
    assert (first.cells, first.of, second.measured["residual_unlearning"]) == (4, 4, 4)
    assert first.measured["survival"] == 4 and first.measured["score"] == 0
    one = heat_maps([first])[0].lines[0][1][0]
    assert one.text == "0.20 (1/4)" and one.told.endswith("1 of 4 cells")


def test_a_curve_is_of_the_same_cells_at_every_point():
    found = points(CELLS)
    assert [one.along["residual_unlearning"].value for one in found] == pytest.approx([0.2, 0.05])
    assert [one.along_cells for one in found] == [{"residual_unlearning": 1, "survival": 4}] * 2
    (one,) = enough(found, 0.1)
    # The means over what was measured go up, .20 to .39, and would never reach the target.
    assert one.discovery.value == pytest.approx(0.1 + 0.4 * (0.2 - 0.1) / (0.2 - 0.05))
    assert (one.cells, one.of, one.without) == (1, 4, ())
    (chart,) = charts(found, "residual_unlearning", ["m"])
    assert [curve.name for curve in chart.curves] == ["m (1 of 4 cells)"]
    assert [curve.name for curve in charts(found, "survival", ["m"])[0].curves] == ["m"]


def test_a_share_of_discovery_that_nothing_was_measured_at_leaves_the_rest():
    (one,) = enough(points([*CELLS, cell(0.05, 0, None), cell(0.05, 1, None)]), 0.1)
    assert (one.cells, one.without) == (1, (0.05,)) and isinstance(one.discovery, Estimate)


def test_no_common_cell_is_no_curve():
    found = points([cell(0.1, 0, 0.2), cell(0.1, 1, None), cell(0.5, 0, None), cell(0.5, 1, 0.05)])
    (one,) = enough(found, 0.1)
    assert "along the whole curve" in one.discovery.not_measured and one.cells == 0


def test_a_row_that_failed_is_missing_and_counted():
    found = points([*CELLS, cell(0.1, 4, None, None, status="failed"), cell(0.5, 4, 0.4)])
    assert [(one.cells, one.of) for one in found] == [(4, 5), (5, 5)]
    assert [one.along_cells["survival"] for one in found] == [4, 4]
