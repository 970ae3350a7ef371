"""What a sweep says of further examples, expansion and selections, on cells whose numbers are known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave import Estimate, NotMeasured
from unweave.records import SweepCell, SweepRow
from unweave.study import sweep_views as views
from unweave.study.sweep_advice import Bounds, Evidence, advise, rule
from unweave.study.sweep_worth import alone_of, curves_of, gains_of_expansion, selection_costs, worth_of_examples

K = 6
NO = NotMeasured("not of interest")
BOUNDS = Bounds(0.1, 0.05, None)
IDEAL, FLOOR = 0.9, 0.3


def around(mean, spread=0.01, shift=0.0):
    """K numbers with this mean: models that differ a little, in the same way wherever they occur."""
    steps = np.linspace(-1, 1, K)
    return tuple(float(one) for one in mean + spread * (steps if not shift else np.roll(steps, int(shift))))


def row(name, score, *, batch="o", residual=NO, cost=1.0, survival=None, kind="method"):
    per_model = {} if score is None else {"score": score}
    if survival is not None:
        per_model["survival"] = survival
    return SweepRow(
        *(name, name, kind, "ok", "", "neither", "missed", "missed"),
        *(NO, NO, residual, NO, NO, NO, NO),
        cost=cost,
        models=batch,
        per_model=per_model,
    )


def cell(share, rows, *, seed=0, selection="random", behaviour="trigger", size=None, ideal=IDEAL):
    worlds = [
        row("untrained", around(FLOOR), batch=f"u{seed}", kind="reference"),
        row("unlearned", around(ideal), batch=f"b{seed}", kind="reference"),
    ]
    return SweepCell(
        *(f"{behaviour} {share} {selection} {seed}", "digits", behaviour, share, selection, seed),
        *("", "ok", "", {"D": 1000, "B": 100, "S": size or round(100 * share)}, "", True, (), NO, NO),
        rows=(*worlds, *rows),
    )


def told(cells, **bounds):
    found = advise(cells, views.points(cells), BOUNDS._replace(**bounds))
    return found, {(one.row, one.discovery): one for one in found.advice}


def test_the_worth_of_an_example_is_the_slope_of_the_means_per_example():
    cells = [cell(0.1, [row("npo", around(0.4))]), cell(0.3, [row("npo", around(0.5, 0.02))])]
    (found,) = worth_of_examples(curves_of(cells))
    assert (found.discovery, found.until, found.examples, found.further) == (0.1, 0.3, 10.0, 20.0)
    assert found.score.value == pytest.approx(0.1 / 20)
    # The models are the same at both γ: what counts is how far they differ in the difference.
    each = (np.array(around(0.5, 0.02)) - np.array(around(0.4))) / 20
    half = 2.5706 * each.std(ddof=1) / K**0.5
    assert found.score.high == pytest.approx(found.score.value + half, rel=1e-4)
    assert found.survival == NotMeasured("not of interest")


def test_models_that_two_cells_share_are_not_taken_as_independent():
    same = [cell(0.1, [row("npo", around(0.4, 0.1))]), cell(0.3, [row("npo", around(0.5, 0.1))])]
    other = [cell(0.1, [row("npo", around(0.4, 0.1))]), cell(0.3, [row("npo", around(0.5, 0.1), batch="p")])]
    narrow, wide = (worth_of_examples(curves_of(one))[0].score for one in (same, other))
    assert narrow.high - narrow.low < 1e-9  # every model gains the same
    assert wide.low < 0 < wide.high


def test_seeds_are_averaged_each_by_its_own_number_of_examples():
    cells = [
        *(cell(0.1, [row("npo", around(0.4))]), cell(0.3, [row("npo", around(0.5))])),
        cell(0.1, [row("npo", around(0.4), batch="o1")], seed=1, size=20),
        cell(0.3, [row("npo", around(0.8), batch="o1")], seed=1, size=60),
        cell(0.3, [row("npo", around(0.0), batch="o2")], seed=2),  # at one γ only: no step
    ]
    (found,) = worth_of_examples(curves_of(cells))
    assert found.score.value == pytest.approx((0.1 / 20 + 0.4 / 40) / 2)
    assert found.further == 30.0


def test_of_residuals_the_halves_add_up_within_a_seed_and_in_quadrature_between():
    def at(share, value, seed):
        known = Estimate(value, value - 0.1, value + 0.2, K)
        return cell(share, [row("npo", around(0.4), residual=known, batch=f"o{seed}")], seed=seed)

    one = [at(0.1, 0.8, 0), at(0.3, 0.4, 0)]
    found = worth_of_examples(curves_of(one))[0].residual
    assert (found.value, found.low, found.high) == pytest.approx((-0.02, -0.02 - 0.3 / 20, -0.02 + 0.3 / 20))
    two = worth_of_examples(curves_of([*one, at(0.1, 0.8, 1), at(0.3, 0.4, 1)]))[0].residual
    assert two.high - two.value == pytest.approx(0.3 / 20 / 2**0.5)


@pytest.mark.parametrize(
    ("row_", "names", "alone"),
    [
        ("expand(npo)", {"npo"}, "npo"),
        ("expand(retrain)", {"null_untrained"}, "null_untrained"),
        ("expand(retrain)", {"null_untrained", "retrain"}, "retrain"),
        ("expand(rem_etd) (etd worlds)", {"rem_etd (etd worlds)"}, "rem_etd (etd worlds)"),
        ("expand(ssd then finetune)", {"ssd then finetune"}, "ssd then finetune"),
        ("expand(npo)(lr=0.1)", {"npo", "npo(lr=0.1)"}, "npo(lr=0.1)"),
        ("expand(npo)(lr=0.1)", {"npo"}, "npo"),
        ("expand(npo)", {"delete"}, None),
        ("boundary_expand", {"boundary_expand"}, None),
        ("npo", {"npo"}, None),
    ],
)
def test_which_row_an_expansion_belongs_to(row_, names, alone):
    assert alone_of(row_, names) == alone


def widened(scores, wide, cost=13.0):
    return [
        cell(share, [row("npo", around(s)), row("expand(npo)", around(w, 0.01, 2), cost=cost)])
        for share, s, w in zip((0.1, 0.3, 0.5), scores, wide, strict=True)
    ]


def test_expansion_is_worth_the_examples_that_the_method_alone_would_need():
    gains = gains_of_expansion(curves_of(widened((0.3, 0.4, 0.6), (0.5, 0.6, 0.8))))
    first = gains[0]
    assert (first.row, first.alone, first.extra_cost) == ("expand(npo)", "npo", 12.0)
    assert first.gain.value == pytest.approx(0.2)
    assert first.further_examples.value == pytest.approx(30.0)  # half of the way from |S| = 30 to 50, less 10
    assert first.further_examples.low < 30.0 < first.further_examples.high < 40.0
    assert gains[1].further_examples.value == pytest.approx(20.0)  # the last point itself
    assert gains[1].further_examples.high is None
    assert gains[2].further_examples == NotMeasured("no larger γ was swept")
    more = gains_of_expansion(curves_of(widened((0.3, 0.4, 0.6), (0.7, 0.7, 0.7))))
    assert more[0].further_examples == NotMeasured("more than the 40 further ones that were tried")


def test_an_expansion_that_gains_nothing_needs_no_examples():
    found = gains_of_expansion(curves_of(widened((0.5, 0.6, 0.7), (0.4, 0.4, 0.4))))[0]
    assert found.gain.high < 0
    assert found.further_examples == Estimate(0.0, 0.0, 0.0, K)


def test_where_nothing_can_be_healed_survival_counts_and_less_is_better():
    cells = [
        cell(
            share,
            [row("npo", None, survival=around(low)), row("expand(npo)", None, survival=around(low - 0.3))],
            behaviour="class",
        )
        for share, low in ((0.1, 0.8), (0.3, 0.6))
    ]
    for one in cells:
        for world in one.rows[:2]:
            world.per_model["survival"] = around(0.0)
    found, at = told(cells)
    assert found.expansions[0].merit == "survival"
    assert found.expansions[0].gain.value == pytest.approx(0.3)
    assert at["npo", 0.1].outcome == "expand"
    assert "points of survival" in at["npo", 0.1].reason


def test_advice_of_each_kind():
    steep, flat = (0.4, 0.6), (0.6, 0.6)
    _, at = told([cell(g, [row("npo", around(s))]) for g, s in zip((0.1, 0.3), steep, strict=True)])
    assert at["npo", 0.1].outcome == "search on"
    assert "worth 1.00 [1.00, 1.00] points" in at["npo", 0.1].reason
    assert (at["npo", 0.3].outcome, at["npo", 0.3].leading) == ("cannot be told", True)
    assert "no larger γ was swept" in at["npo", 0.3].reason
    _, at = told([cell(g, [row("npo", around(s))]) for g, s in zip((0.1, 0.3), flat, strict=True)])
    assert at["npo", 0.1].outcome == "cannot be told"
    assert "A(D∖B) is 0.30" in at["npo", 0.1].reason
    _, at = told([cell(g, [row("npo", around(s))], ideal=0.61) for g, s in zip((0.1, 0.3), flat, strict=True)])
    assert at["npo", 0.1].outcome == "rely on generalisation"
    reached = Estimate(0.05, 0.02, 0.1, K)
    _, at = told([cell(0.1, [row("npo", around(0.2), residual=reached)])])
    assert at["npo", 0.1].outcome == "rely on generalisation"


def test_advice_is_expansion_where_it_gains_and_a_price_may_turn_it():
    cells = widened((0.3, 0.4, 0.6), (0.5, 0.6, 0.8))
    _, at = told(cells)
    first = at["npo", 0.1]
    assert (first.outcome, first.expanded) == ("expand", "expand(npo)")
    assert "npo alone would need 30" in first.reason and "12.0 retrainings more" in first.reason
    # Expansion: 12 retrainings for 20 points; search: c for half a point.
    for cost, outcome, said in (
        (10.0, "expand", "expansion is cheaper"),
        (0.01, "search on", "search is cheaper"),
    ):
        _, at = told(cells, cost_per_example=cost)
        assert at["npo", 0.1].outcome == outcome
        assert said in at["npo", 0.1].reason
    _, at = told(cells, cost_per_example=0.3)
    assert "which is cheaper cannot be told" in at["npo", 0.1].reason
    assert "0.60 retrainings by expansion and 0.60 by search" in at["npo", 0.1].reason


def test_the_leading_row_may_be_relied_on_before_it_is_the_best():
    enough = Estimate(0.02, 0.0, 0.04, K)
    rows = [row("npo", around(0.5), residual=enough), row("delete", around(0.8))]
    found, _ = told([cell(0.1, rows), cell(0.3, [row("delete", around(0.8)), row("npo", around(0.5))])])
    leading = [(one.discovery, one.row) for one in found.advice if one.leading]
    assert leading == [(0.1, "npo"), (0.3, "delete")]


ends = st.tuples(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))


@settings(max_examples=200)
@given(st.lists(ends, min_size=3, max_size=3))
def test_words_follow_from_intervals_alone(values):
    residual, lacking, worth = (Estimate(v, v - a, v + b, K) for v, a, b in values)
    outcome, _ = rule(Evidence("npo", "score", residual, lacking, worth, None, None), BOUNDS)
    near = lacking.high <= 0.05 and worth.low <= 0 <= worth.high
    expected = "cannot be told"
    if residual.high <= 0.1 or near:
        expected = "rely on generalisation"
    elif worth.low > 0:
        expected = "search on"
    assert outcome == expected


def test_the_cost_of_a_selection_is_a_difference_of_shares_over_common_cells():
    cells = [cell(g, [row("npo", around(0.6))]) for g in (0.1, 0.3)]
    cells += [cell(g, [row("npo", around(0.45))], selection="clustered") for g in (0.1, 0.5)]
    (found,) = selection_costs(cells)
    assert (found.row, found.selection, found.cells) == ("npo", "clustered", 1)
    assert found.gap_closed.value == pytest.approx(0.25 - 0.5)
    assert found.score.value == pytest.approx(-0.15)
    assert found.gap_closed.high < 0
    assert selection_costs(cells[:2]) == ()
    assert selection_costs(cells[2:]) == ()


def test_points_and_sufficiency_are_given_in_examples_too():
    def reached(value):
        return Estimate(value, value - 0.05, value + 0.05, K)

    shares = (0.1, 0.3, 0.5)
    cells = [
        cell(g, [row("npo", around(0.5), residual=reached(r))], size=size)
        for g, r, size in zip(shares, (0.5, 0.3, 0.0), (8, 24, 40), strict=True)
    ]
    points = views.points(cells)
    own = [one for one in points if one.row == "npo"]
    assert [one.examples for one in own] == [8.0, 24.0, 40.0]
    assert all(a.discovery < b.discovery for a, b in pairwise(own))
    (found,) = views.enough(points, 0.15)
    assert found.discovery.value == pytest.approx(0.4)
    assert found.examples.value == pytest.approx(32.0)
    assert found.examples.low < 32.0 < found.examples.high


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [({"null_ok": False}, "missed", views.MISSED), ({}, "not measured", views.TOO_FEW)],
)
def test_nothing_rests_on_a_small_residual_where_there_is_no_verdict(change, verdict, reason):
    """Half of the cells have no verdict, then all: r_B is of the others, or of none, and is not relied on."""
    low = Estimate(0.01, 0.0, 0.02, K)

    def at(seed, residual, **given):
        method = replace(row("npo", around(0.3), residual=residual, batch=f"o{seed}"), unlearning=verdict)
        return replace(cell(0.5, [method], seed=seed), **given)

    whole = replace(at(1, Estimate(0.6, 0.5, 0.7, K)), null_ok=True)
    whole = replace(whole, rows=tuple(replace(one, unlearning="missed") for one in whole.rows))
    both = views.with_verdicts([at(0, low, **change), whole])
    (point,) = [one for one in views.points(both) if one.row == "npo"]
    assert point.residual_unlearning.value == pytest.approx(0.6) and point.measured["residual_unlearning"] == 1
    alone = views.with_verdicts([at(0, low, **change)])
    points = views.points(alone)
    assert [one.residual_unlearning for one in points if one.row == "npo"] == [NotMeasured(reason)]
    assert all(isinstance(one.discovery, NotMeasured) for one in views.enough(points, 0.1))
    assert advise(alone, points, BOUNDS).advice[0].outcome != "rely on generalisation"
    believed = [at(0, low, **change)]
    assert advise(believed, views.points(believed), BOUNDS).advice[0].outcome == "rely on generalisation"
