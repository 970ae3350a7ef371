"""A sweep in words, and as one page without scripts."""

from __future__ import annotations

from collections.abc import Sequence

from unweave._types import Estimate
from unweave.records import SweepResult
from unweave.report.numbers import one_line, shares_text
from unweave.report.page import page_file, page_policy, page_template
from unweave.report.sweep_advice import (
    advice_table,
    enough_table,
    expansion_table,
    selection_table,
    worth_table,
)
from unweave.report.sweep_charts import charts, heat_maps
from unweave.report.sweep_tables import (
    SweepTable,
    failed_table,
    gap_tables,
    price_table,
    rank_table,
    regularity_table,
    row_title,
    survival_table,
)
from unweave.report.toml import toml_text

_DRAWN = ("null_untrained", "null_unlearned")
_MOST_CURVES = 12


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
    counts, flips = found.rankings.counts, found.rankings.flips
    if counts is not None and counts.told_apart:
        share = shares_text(flips) if isinstance(flips, Estimate) else str(counts.flipped)
        text += (
            f"; of {counts.told_apart} pairs of methods that both aims tell apart, of {counts.pairs}, they order "
        )
        text += f"{share} differently"
    return one_line(text) + "."


def sweep_tables(found: SweepResult) -> list[SweepTable]:
    """The tables of a sweep, the pooled share of the gap first."""
    tables = [
        *gap_tables(found),
        advice_table(found),
        expansion_table(found),
        enough_table(found),
        worth_table(found),
        selection_table(found),
        survival_table(found),
        *(rank_table(found), price_table(found), regularity_table(found), failed_table(found)),
    ]
    return [one for one in tables if one.rows]


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
        tables=[one for one in sweep_tables(found) if one.shown != "terminal"],
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
        cells = f"{len(missed)} cell{'s' * (len(missed) != 1)}"
        said.append(f"In {cells} fresh retrains miss their anchors: no verdict there.")
    return said
