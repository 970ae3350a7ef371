"""A sweep in words, as tables and as one page without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import SweepResult
from unweave.report.numbers import DASH, estimate_text, number_text, one_line, shares_text
from unweave.report.page import page_file, page_policy, page_template
from unweave.report.sweep_charts import charts, heat_maps
from unweave.report.toml import toml_text

_DRAWN = ("null_untrained", "null_unlearned")
_NAMES = {
    "original": "original A(D)",
    "untrained": "A(D∖S)",
    "unlearned": "A(D∖B)",
    "null_untrained": "retrain without S",
    "null_unlearned": "retrain without B",
}
_MOST_CURVES = 12


class SweepTable(NamedTuple):
    """A table of a sweep as text."""

    title: str
    note: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sweep_headline(found: SweepResult) -> str:
    """What a sweep says in one sentence."""
    ran = sum(cell.status == "ok" for cell in found.cells)
    text = f"{ran} of {len(found.cells)} cells ran"
    methods = {row.id for cell in found.cells for row in cell.rows if row.kind == "method"}
    shares = {
        name: one.mean
        for name, one in found.gap_closed.items()
        if name in methods and isinstance(one.mean, Estimate)
    }
    if shares:
        name, best = max(shares.items(), key=lambda item: item[1].value)
        text += f"; {name} closed most of the gap from A(D∖S) to A(D∖B): {shares_text(best)}"
    if isinstance(found.rankings.flips, Estimate):
        text += f"; the two aims order {shares_text(found.rankings.flips)} of the pairs of methods differently"
    return one_line(text) + "."


def row_title(name: str) -> str:
    """A row in words."""
    return _NAMES.get(name, name)


def sweep_tables(found: SweepResult) -> list[SweepTable]:
    """The tables of a sweep, the pooled share of the gap first."""
    tables = [_gap_table(found), _rank_table(found), _enough_table(found), _price_table(found)]
    tables += [_regularity_table(found), _failed_table(found)]
    return [one for one in tables if one.rows]


def _gap_table(found: SweepResult) -> SweepTable:
    shares = list(dict.fromkeys(key for one in found.gap_closed.values() for key in one.by_discovery))
    kinds = list(dict.fromkeys(key for one in found.gap_closed.values() for key in one.by_behaviour))
    rows = [
        (
            row_title(name),
            shares_text(one.mean),
            shares_text(one.score),
            *(shares_text(one.by_discovery.get(key, NotMeasured(""))) for key in shares),
            *(shares_text(one.by_behaviour.get(key, NotMeasured(""))) for key in kinds),
            f"{one.cells} of {one.of}",
        )
        for name, one in sorted(found.gap_closed.items(), key=lambda item: _order(item[1].mean))
    ]
    heads = ("row", "all", "mean score", *(f"γ {key}" for key in shares), *kinds, "cells")
    note = (
        "Σ(score − score of A(D∖S)) / Σ(score of A(D∖B) − score of A(D∖S)) over cells; score = accuracy on test × "
        "accuracy on B∖S and unseen instances. 100%: as the ideal of unlearning; 0%: as retraining without S. "
        f"{DASH}: that gap is not shown to be above 0. Rows of other worlds have a gap of their own, and there "
        "scores compare."
    )
    return SweepTable("Share of the gap closed", note, heads, tuple(rows))


def _order(one: Measured) -> float:
    return -one.value if isinstance(one, Estimate) else float("inf")


def _rank_table(found: SweepResult) -> SweepTable:
    ranked = found.rankings
    other = dict(ranked.unlearning)
    rows = [
        (name, f"{rank:.1f}", f"{other[name]:.1f}" if name in other else DASH) for name, rank in ranked.untraining
    ]
    rows += [
        (name, DASH, f"{rank:.1f}") for name, rank in ranked.unlearning if name not in dict(ranked.untraining)
    ]
    note = (
        f"Mean rank over cells, 1 = best. Kendall's τ of the two orders: {_told(ranked.tau)}; pairs that flip: "
        f"{_told(ranked.flips, share=True)}; over {ranked.cells} cells where both residuals were measured."
    )
    return SweepTable("Methods under both aims", note, ("method", "by r_S", "by r_B"), tuple(rows))


def _told(one: Measured, *, share: bool = False) -> str:
    if isinstance(one, NotMeasured):
        return str(one)
    return shares_text(one) if share else estimate_text(one)


def _enough_table(found: SweepResult) -> SweepTable:
    columns = list(dict.fromkeys((one.behaviour, one.selection) for one in found.enough))
    rows: dict[str, dict[tuple[str, str], Measured]] = {}
    for one in found.enough:
        rows.setdefault(one.row, {})[one.behaviour, one.selection] = one.discovery
    lines = tuple(
        (row_title(name), *(_told(own[key]) if key in own else DASH for key in columns))
        for name, own in rows.items()
    )
    note = f"The smallest γ with r_B ≤ {found.target:g}, by straight lines between the points of the curve."
    heads = ("row", *(f"{kind}, S {how}" for kind, how in columns))
    return SweepTable("Smallest sufficient discovery", note, heads, lines)


def _price_table(found: SweepResult) -> SweepTable:
    rows = [
        (
            row_title(one.row),
            DASH if one.gradient_ratio is None else number_text(one.gradient_ratio),
            estimate_text(one.utility_lost, 3),
        )
        for one in found.prices
    ]
    note = "Gradients: as a multiple of one retraining. Utility lost: accuracy on test less than that of A(D∖B)."
    return SweepTable("What it takes", note, ("row", "gradients", "utility lost"), tuple(rows))


def _regularity_table(found: SweepResult) -> SweepTable:
    rows = tuple((name, _told(one, share=True)) for name, one in found.regularity.items())
    note = (
        "Of what A(D) shows on S beyond A(D∖B), the share that A(D∖S) shows too, at the smallest γ. 100%: the "
        "rest of B teaches S, a rule; 0%: learned one by one."
    )
    return SweepTable("Regularity of the behaviour", note, ("behaviour", "regularity"), rows)


def _failed_table(found: SweepResult) -> SweepTable:
    rows = [
        (one_line(cell.name), cell.status, one_line(cell.reason)) for cell in found.cells if cell.status != "ok"
    ]
    for cell in found.cells:
        bad = [row for row in cell.rows if row.status != "ok"]
        rows += [(f"{one_line(cell.name)}: {row.name}", row.status, one_line(row.reason)) for row in bad]
    return SweepTable("What has no numbers", "", ("cell", "status", "reason"), tuple(rows))


def drawn_rows(found: SweepResult) -> list[str]:
    """The rows whose curves are drawn: retraining without S and without B, and the methods with the lowest r_B."""
    best = [name for name, _ in found.rankings.unlearning] or list(found.gap_closed)
    present = {one.row for one in found.points}
    return [name for name in dict.fromkeys([*_DRAWN, *best]) if name in present][:_MOST_CURVES]


def sweep_page(found: SweepResult) -> str:
    """A sweep as one HTML page that makes no request and runs no script."""
    from markupsafe import Markup

    style = page_file("page.css") + page_file("sweep.css")
    rows = drawn_rows(found)
    maps = heat_maps(found.points)
    return page_template("sweep.html.j2")(
        found=found,
        tables=sweep_tables(found),
        maps=[one._replace(lines=tuple((row_title(name), line) for name, line in one.lines)) for one in maps],
        charts=[(key, charts(found.points, key, rows)) for key in ("survival", "residual_unlearning")],
        title=row_title,
        warnings=_warnings(found),
        definition=toml_text(found.provenance.spec),
        policy=Markup(page_policy([], style)),
        style=Markup(style),
    )


def _warnings(found: SweepResult) -> Sequence[str]:
    missed = [cell for cell in found.cells if cell.status == "ok" and not cell.null_ok]
    said = [one_line(one) for one in found.provenance.notes]
    if missed:
        said.append(f"In {len(missed)} cells fresh retrains miss their anchors: no verdict there.")
    return said
