"""A sweep in words and tables: what is read of old files, what a hostile name may not do."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from unweave._types import Estimate, NotMeasured
from unweave.records import (
    Advice,
    Enough,
    ExpansionGain,
    FurtherExample,
    GapClosed,
    PairCounts,
    Provenance,
    Rankings,
    SelectionCost,
    SweepAdvice,
    SweepPoint,
    SweepResult,
    from_json,
    to_json,
)
from unweave.report.sweep import sweep_headline, sweep_page, sweep_tables
from unweave.report.sweep_charts import charts
from unweave.report.sweep_terminal import print_sweep

NO = NotMeasured("not of interest")


def est(value, half=0.05):
    return Estimate(value, value - half, value + half, 8)


def point(row, share, residual, survival=0.5):
    shares = (NO, NO, est(residual), NO, NO, NO, est(survival))
    return SweepPoint(row, "trigger", share, "random", 1, *shares, examples=100 * share)


@pytest.fixture
def found():
    closed = GapClosed(est(0.4), {"0.1": est(0.4)}, {"trigger": est(0.4)}, {"random": est(0.4)}, 2, 2)
    place = ("trigger", "random", 0.1)
    return SweepResult(
        schema="unweave.sweep/1",
        headline="2 of 2 cells ran.",
        gap_closed={"npo": closed},
        axes={},
        target=0.1,
        regularity={"trigger": est(0.9)},
        points=tuple(point(row, g, r) for row in ("npo", "ssd") for g, r in ((0.1, 0.5), (0.5, 0.05))),
        enough=(
            Enough("npo", "trigger", "random", Estimate(0.4, 0.3, None, 8), Estimate(40.0, 30.0, None, 8)),
            Enough("ssd", "trigger", "random", NotMeasured("r_B stays above 0.1 up to γ = 0.5")),
        ),
        prices=(),
        rankings=Rankings(NO, NO, 0, (), (("npo", 1.0),)),
        cells=(),
        provenance=Provenance("0", "3", "2", "2", "one core", 0, "now", 1.0, 0, 0, {}),
        advice=SweepAdvice(
            0.05,
            None,
            (FurtherExample("npo", "trigger", "random", 0.1, 0.5, 10.0, 40.0, est(0.002, 0.001), NO, NO),),
            (
                ExpansionGain(
                    *("expand(npo)", "npo", *place, "score", est(0.2)), NotMeasured("more than the 40"), 12.0
                ),
            ),
            (
                Advice("npo", "expand(npo)", *place, 10.0, True, "expand", "It is better."),
                Advice("ssd", "", *place, 10.0, False, "search on", "A further example is worth a lot."),
            ),
        ),
        selections=(SelectionCost("npo", "", "clustered", est(-0.3), est(-0.1), 4),),
    )


def cells_of(found, title):
    return next(one.rows for one in sweep_tables(found) if one.title.startswith(title))


def test_the_tables_say_what_the_record_holds(found):
    assert cells_of(found, "What to do next") == (
        ("trigger, S random", "0.1", "10", "expand", "expand(npo)", "It is better."),
    )
    assert cells_of(found, "Expansion beside") == (
        ("expand(npo)", "trigger, S random, γ 0.1", "0.20 [0.15, 0.25]", "more than the 40", "12.0"),
    )
    assert cells_of(found, "Worth of one more")[0][:5] == (
        *("npo", "trigger, S random", "0.1 → 0.5", "10 → 50", "0.20 [0.10, 0.30]"),
    )
    # A row that suffices nowhere is left out beside one that does.
    assert cells_of(found, "Smallest sufficient") == (("npo, S random", "0.40 [0.30, ∞] (40 [30, ∞])"),)
    assert cells_of(found, "What the choice of S costs") == (
        ("npo, S clustered", "−30 [−35, −25]", "−10 [−15, −5]"),
    )
    assert cells_of(found, "Survival") == (("trigger, S random: npo", "0.50 [0.45, 0.55]", "0.50 [0.45, 0.55]"),)


def test_what_suffices_nowhere_is_more_than_was_tried(found):
    only = replace(found, enough=found.enough[1:])
    assert cells_of(only, "Smallest sufficient") == (("ssd, S random", "> 0.5 (> 50)"),)
    early = Enough("npo", "trigger", "random", Estimate(0.1, None, 0.1, 8), Estimate(10.0, None, 10.0, 8))
    found = replace(found, enough=(early,))
    assert cells_of(found, "Smallest sufficient") == (("npo, S random", "≤ 0.10 [−∞, 0.10] (≤ 10 [−∞, 10])"),)


def test_bounds_of_a_curve_are_rounded_outwards(found):
    """≤ 0.12 would promise a γ below all that were tried, and > 14 more examples than there were."""
    points = tuple(
        replace(point(row, g, r), discovery=g, examples=k)
        for row in ("npo", "ssd")
        for g, r, k in ((0.125, 0.05, 12.5), (0.25, 0.05, 13.5))
    )
    early = Enough("npo", "trigger", "random", Estimate(0.125, None, 0.125, 8), Estimate(12.5, None, 12.5, 8))
    nowhere = Enough("ssd", "trigger", "random", NotMeasured("r_B stays above 0.1"))
    told = replace(found, points=points, enough=(early,))
    assert cells_of(told, "Smallest sufficient") == (("npo, S random", "≤ 0.125 [−∞, 0.125] (≤ 13 [−∞, 13])"),)
    told = replace(found, points=points, enough=(nowhere,))
    assert cells_of(told, "Smallest sufficient") == (("ssd, S random", "> 0.25 (> 13)"),)


def test_a_share_that_was_not_measured_stands_in_a_sentence(found):
    few = NotMeasured("2 seeds are too few for an interval, which needs 3")
    ranked = Rankings(few, few, 7, (("npo", 1.0),), (("npo", 1.0),), counts=PairCounts(21, 7, 6))
    (note,) = (one.note for one in sweep_tables(replace(found, rankings=ranked)) if "both aims" in one.title)
    assert "6 of these stand the other way round, a share not measured: 2 seeds" in note
    assert "a pair not told apart being a tie is not measured: 2 seeds" in note


def test_long_tables_are_folded_on_the_page_and_curves_are_a_table_in_the_terminal(found):
    page = sweep_page(found)
    assert "<summary>Worth of one more discovered example</summary>" in page
    assert page.count("Survival of the behaviour") == 1 and "<svg" in page
    console = Console(record=True, width=120, file=StringIO())
    print_sweep(console, found)
    text = console.export_text()
    assert "Worth of one more" not in text and "Survival of the behaviour against γ" in text


def test_files_of_before_the_advice_are_read_and_drawn(found):
    tree = json.loads(to_json(found))
    for key in ("advice", "selections"):
        del tree[key]
    for one in tree["points"]:
        del one["examples"]
    for one in tree["enough"]:
        del one["examples"]
    old = from_json(SweepResult, json.dumps(tree))
    assert old.advice is None and old.selections == ()
    assert cells_of(old, "Smallest sufficient") == (("npo, S random", "0.40 [0.30, ∞]"),)
    assert "What to do next" not in sweep_page(old)
    assert from_json(SweepResult, to_json(found)) == found


def test_a_name_cannot_add_elements_to_the_page(found):
    bad = "<img src=x onerror=alert(1)>\x1b[31m"
    advice = replace(found.advice, advice=(replace(found.advice.advice[0], reason=bad, behaviour=bad),))
    page = sweep_page(replace(found, headline=bad, advice=advice))
    assert "<img" not in page and "\x1b" not in page


def test_curves_use_the_whole_width_up_to_the_largest_discovery(found):
    (chart,) = charts(found.points, "residual_unlearning", ["npo"])
    places = [float(x) for x, _ in (pair.split(",") for pair in chart.curves[0].line.split())]
    assert places == [x for x, _ in chart.x_ticks]
    assert places[-1] == 306.0 and places[0] == pytest.approx(34 + 272 / 5, abs=0.1)


def test_a_sweep_is_drawn_again_without_torch(found, tmp_path):
    file = tmp_path / "sweep.json"
    file.write_text(to_json(found), encoding="utf-8")
    code = (
        "import sys; from unweave.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, "report", str(file), "--quiet"], check=True)
    assert re.search("What to do next", (tmp_path / "sweep.html").read_text(encoding="utf-8"))


def test_pairs_are_told_with_how_many_are_told_apart_and_with_the_noise(found):
    ranked = Rankings(NO, est(0.5), 4, (), (("npo", 1.0),), PairCounts(90, 40, 20), PairCounts(180, 30, 1))
    (note,) = (one.note for one in sweep_tables(replace(found, rankings=ranked)) if "both aims" in one.title)
    assert "40 of 90 pairs" in note and "20 of these stand the other way round: 50% [45, 55]" in note
    assert "between two halves of the models for one and the same aim 1 of the 30" in note
    headline = sweep_headline(replace(found, rankings=ranked))
    assert headline.endswith(
        "; of 40 pairs of methods that both aims tell apart, of 90, they order 50% [45, 55] differently."
    )
    few = replace(ranked, flips=NotMeasured("2 seeds are too few for an interval, which needs 3"))
    headline = sweep_headline(replace(found, rankings=few))
    assert headline.endswith("both aims tell apart, of 90, they order 20 differently.")
    assert "pairs of methods" not in sweep_headline(
        replace(found, rankings=replace(few, counts=PairCounts(9, 0, 0)))
    )


def test_the_order_of_an_earlier_version_is_told_as_what_it_was(found):
    ranked = Rankings(est(-0.2), est(0.6), 32, (), (("npo", 1.0),))
    (note,) = (one.note for one in sweep_tables(replace(found, rankings=ranked)) if "both aims" in one.title)
    assert "pairs that flip, told apart or not: 60% [55, 65]; over 32 cells" in note
    assert "pairs of methods" not in sweep_headline(replace(found, rankings=ranked))


def test_what_a_curve_is_not_of_is_said(found):
    early = replace(found.enough[0], cells=1, of=4, without=(0.05,))
    line = "0.40 [0.30, ∞] (40 [30, ∞]); 1 of 4 cells, without γ 0.05"
    assert cells_of(replace(found, enough=(early,)), "Smallest sufficient") == (("npo, S random", line),)
    points = tuple(replace(one, of=4, along_cells={"survival": 3}) for one in found.points)
    assert cells_of(replace(found, points=points), "Survival")[0][0] == "trigger, S random: npo (3 of 4 cells)"
