from __future__ import annotations

import json
import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from unweave.records import CaseResult, MapPoint, Result
from unweave.report.charts import case_charts, confidence_radius, ellipse, height_of, map_frame, shared_frame
from unweave.report.columns import group_heads, not_measured, ordered_rows
from unweave.report.toml import toml_text


@pytest.mark.parametrize("n_models", [4, 5, 16, 32, 1000])
def test_radius_is_hotellings(n_models: int) -> None:
    radius = confidence_radius(n_models)
    assert radius is not None
    expected = 2 * (n_models - 1) / (n_models - 2) * stats.f.ppf(0.95, 2, n_models - 2)
    assert radius**2 == pytest.approx(expected, rel=1e-9)


def test_radius_needs_models() -> None:
    assert [confidence_radius(n) for n in (0, 1, 3)] == [None, None, None]
    assert confidence_radius(10**7) == pytest.approx(math.sqrt(stats.chi2.ppf(0.95, 2)), rel=1e-5)


def test_corners_lie_at_the_same_mahalanobis_distance_before_the_root() -> None:
    covariance = ((0.004, 0.001), (0.001, 0.002))
    corners = ellipse(MapPoint(0.4, 3.0, covariance), 32)
    assert corners is not None
    away = np.array([(x - 0.4, y**2 - 3.0) for x, y in corners])
    distance = np.einsum("ki,ij,kj->k", away, np.linalg.inv(np.array(covariance)), away)
    assert distance == pytest.approx(np.full(len(corners), confidence_radius(32) ** 2))


def test_ellipses_never_go_below_the_line() -> None:
    corners = ellipse(MapPoint(0.0, -0.01, ((0.01, 0.0), (0.0, 0.01))), 32)
    assert corners is not None and min(y for _, y in corners) == 0.0
    assert height_of(MapPoint(0.0, -0.01, ((0.01, 0.0), (0.0, 0.01)))) == 0.0


@pytest.mark.parametrize("covariance", [((0.0, 0.0), (0.0, 0.0)), ((0.01, 0.5), (0.5, 0.01))])
def test_no_ellipse_without_spread(covariance: tuple[tuple[float, float], tuple[float, float]]) -> None:
    assert ellipse(MapPoint(0.0, 0.1, covariance), 32) is None


def test_far_points_do_not_squash_the_map(mislabel: CaseResult) -> None:
    frame = map_frame(mislabel.rows)
    assert frame["y"][1] < 1.5 and frame["x"][0] > -0.8 and frame["x"][1] < 1.8
    lonely = [row for row in mislabel.rows if row.kind == "original"]
    high = [replace(row, xy=MapPoint(0.1, 64.0, ((0.01, 0.0), (0.0, 0.01)))) for row in lonely]
    assert map_frame(high)["y"][1] > 8
    assert map_frame([]) == {"x": [-0.12, 1.12], "y": [0.0, 0.42]}


def test_charts_are_json(result: Result) -> None:
    for case in result.cases:
        charts = json.loads(json.dumps(case_charts(case), allow_nan=False))
        assert len(charts["map"]["points"]) == sum(row.xy is not None for row in case.rows)
        assert len(charts["distances"]) == 3


def test_degenerate_charts(degenerate: CaseResult) -> None:
    charts = json.loads(json.dumps(case_charts(degenerate), allow_nan=False))
    assert (charts["map"] is None) == (not degenerate.geometry.drawn)


def test_not_measured_gathers_reasons(trigger: CaseResult) -> None:
    found = dict(not_measured(trigger))
    assert found["the method failed"] == "everything of SSD"
    assert found["ordinary data"].endswith("of all rows but reference A(D∖S) and SSD")


def test_group_heads_mark_small_groups(mislabel: CaseResult) -> None:
    heads = group_heads(mislabel.rows)
    assert heads["forget"] == "forget (19†)" and heads["test"] == "test (397)"


def test_ordering_loses_no_row(degenerate: CaseResult) -> None:
    ids = [row.id for row in ordered_rows(degenerate.rows)]
    assert sorted(ids) == sorted(row.id for row in degenerate.rows)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"seed": 1, "small": 1e-05, "big": 1e20, "flag": True},
        {"text": 'quote " back \\ line\n tab\t del\x7f \u2028'},
        {"list": [1, 2.5, "x"], "table": {"a": {"b": [1]}, "odd key": []}, "": 1},
        {"methods": ["a", {"name": "b", "steps": 3}]},
        {"cases": [{"name": "a", "data": {"limit": 5, "by": [{"x": 1}]}}, {"name": "b"}, {}], "seed": 0},
    ],
)
def test_toml_reads_back(spec: dict[str, object]) -> None:
    assert tomllib.loads(toml_text(spec)) == spec


def test_toml_leaves_out_what_has_no_value() -> None:
    assert tomllib.loads(toml_text({"a": None, "b": {"c": None, "d": [None, 1]}})) == {"b": {"d": [1]}}
    assert tomllib.loads(toml_text({"a": "\ud800"}))["a"] == "\ufffd"


def test_maps_share_a_frame_and_the_band_beyond_it(trigger: CaseResult, mislabel: CaseResult) -> None:
    near, far = case_charts(trigger), case_charts(mislabel)  # a point of the second lies far above
    frame = shared_frame([near, far])
    assert frame is not None and frame["beyond"] and not shared_frame([near])["beyond"]
    for one in (near, far):
        own = one["map"]["frame"]
        assert all(frame[side][0] <= own[side][0] and own[side][1] <= frame[side][1] for side in ("x", "y"))
    assert shared_frame([]) is None
