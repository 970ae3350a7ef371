"""The tables of a sweep as text: shares of the gap closed, ranks, prices, regularity, survival, what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import GapClosed, Rankings, SweepPoint, SweepResult
from unweave.report.numbers import DASH, estimate_text, number_text, one_line, shares_text
from unweave.report.sweep_charts import of_all

_NAMES = {
    "original": "original A(D)",
    "untrained": "A(D∖S)",
    "unlearned": "A(D∖B)",
    "null_untrained": "retrain without S",
    "null_unlearned": "retrain without B",
}
_RETRAINED = "null_untrained"


class SweepTable(NamedTuple):
    """A table of a sweep as text; a long one is folded on the page and left out of the terminal.

    `shown`: on the page, in the terminal, in both; `folded` where the page hides it behind its title.
    """

    title: str
    note: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shown: Literal["both", "page", "terminal", "folded"] = "both"


def row_title(name: str) -> str:
    """A row in words; worlds of a panel are named behind it.

    Example:
        >>> row_title("null_untrained"), row_title("npo")
        ('retrain without S', 'npo')
    """
    first, gap, rest = name.partition(" ")
    return f"{_NAMES.get(first, first)}{gap}{rest}"


def gap_tables(found: SweepResult) -> list[SweepTable]:
    """The share of the gap closed in all and by γ, then by behaviour and by selection."""
    note = (
        "Σ(score − score of A(D∖S)) / Σ(score of A(D∖B) − score of A(D∖S)) over cells; score = accuracy on test × "
        "accuracy on all of B against the clean labels. 100%: as the ideal of unlearning; 0%: as retraining "
        f"without S. {DASH}: that gap is not shown to be above 0. Rows of other worlds have a gap of their own, "
        "and there scores compare."
    )
    shares = _keys(found, lambda one: one.by_discovery)
    lines = tuple(
        (
            row_title(name),
            shares_text(one.mean),
            shares_text(one.score),
            *(_at(one.by_discovery, key) for key in shares),
            f"{one.cells} of {one.of}",
        )
        for name, one in _best_first(found)
    )
    heads = ("row", "all", "mean score", *(f"γ {key}" for key in shares), "cells")
    tables = [SweepTable("Share of the gap closed", note, heads, lines)]
    for what, of in (
        ("behaviour", lambda one: one.by_behaviour),
        ("how S was found", lambda one: one.by_selection),
    ):
        keys = _keys(found, of)
        if len(keys) > 1:
            rows = tuple(
                (row_title(name), *(_at(of(one), key) for key in keys)) for name, one in _best_first(found)
            )
            tables.append(SweepTable(f"Share of the gap closed, by {what}", "", ("row", *keys), rows))
    return tables


def _keys(found: SweepResult, of: Callable[[GapClosed], dict[str, Measured]]) -> list[str]:
    return list(dict.fromkeys(key for one in found.gap_closed.values() for key in of(one)))


def _at(shares: dict[str, Measured], key: str) -> str:
    return shares_text(shares[key]) if key in shares else DASH


def _best_first(found: SweepResult) -> list[tuple[str, GapClosed]]:
    return sorted(found.gap_closed.items(), key=lambda item: _order(item[1].mean))


def _order(one: Measured) -> float:
    return -one.value if isinstance(one, Estimate) else float("inf")


def rank_table(found: SweepResult) -> SweepTable:
    """Methods in the order of both residuals."""
    ranked = found.rankings
    other = dict(ranked.unlearning)
    rows = [
        (name, f"{rank:.1f}", f"{other[name]:.1f}" if name in other else DASH) for name, rank in ranked.untraining
    ]
    rows += [
        (name, DASH, f"{rank:.1f}") for name, rank in ranked.unlearning if name not in dict(ranked.untraining)
    ]
    note = f"Mean rank over cells, 1 = best. {_agreement(ranked)}"
    return SweepTable("Methods under both aims", note, ("method", "by r_S", "by r_B"), tuple(rows))


def _agreement(ranked: Rankings) -> str:
    tau, flips = _told(ranked.tau), _told(ranked.flips, share=True)
    share = f", a share {flips}" if isinstance(ranked.flips, NotMeasured) else f": {flips}"
    agree = f" is {tau}" if isinstance(ranked.tau, NotMeasured) else f": {tau}"
    if (counts := ranked.counts) is None:  # a file of an earlier version
        return (
            f"Kendall's τ of the two orders: {tau}; pairs that flip, told apart or not: {flips}; over "
            f"{ranked.cells} cells where both residuals were measured."
        )
    said = (
        f"{counts.told_apart} of {counts.pairs} pairs of methods, over {ranked.cells} cells where both residuals "
        f"were measured, are told apart on both aims, and {counts.flipped} of these stand the other way "
        f"round{share}. Kendall's τ, a pair not told apart being a tie{agree}."
    )
    if (floor := ranked.floor) is not None:
        said += (
            f" Noise: between two halves of the models for one and the same aim {floor.flipped} of the "
            f"{floor.told_apart} pairs told apart by both halves do."
        )
    return said


def _told(one: Measured, *, share: bool = False) -> str:
    if isinstance(one, NotMeasured):
        return str(one)
    return shares_text(one) if share else estimate_text(one)


def price_table(found: SweepResult) -> SweepTable:
    """Gradients and accuracy on test that each row takes."""
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


def regularity_table(found: SweepResult) -> SweepTable:
    """How regular each behaviour is."""
    rows = tuple((name, _told(one, share=True)) for name, one in found.regularity.items())
    note = (
        "Of what A(D) shows on S beyond A(D∖B), the share that A(D∖S) shows too, at the smallest γ. 100%: the "
        "rest of B teaches S, a rule; 0%: learned one by one."
    )
    return SweepTable("Regularity of the behaviour", note, ("behaviour", "regularity"), rows)


def failed_table(found: SweepResult) -> SweepTable:
    """Cells and rows without numbers, and why."""
    rows = [
        (one_line(cell.name), cell.status, one_line(cell.reason)) for cell in found.cells if cell.status != "ok"
    ]
    for cell in found.cells:
        bad = [row for row in cell.rows if row.status != "ok"]
        rows += [(f"{one_line(cell.name)}: {row.name}", row.status, one_line(row.reason)) for row in bad]
    return SweepTable("What has no numbers", "", ("cell", "status", "reason"), tuple(rows))


def survival_table(found: SweepResult) -> SweepTable:
    """Survival against γ for a terminal, which draws no curves: retraining without S, and the lowest mean r_B."""
    ranked = found.rankings.unlearning
    wanted = [_RETRAINED, *([ranked[0][0]] if ranked else [])]
    shares = sorted({one.discovery for one in found.points})
    lines: dict[tuple[str, str, str], dict[float, str]] = {}
    curves: dict[tuple[str, str, str], list[SweepPoint]] = {}
    for one in found.points:
        key, survival = (one.behaviour, one.selection, one.row), one.on_curve("survival")
        if one.row in wanted and isinstance(survival, Estimate):
            lines.setdefault(key, {})[one.discovery] = estimate_text(survival)
            curves.setdefault(key, []).append(one)
    rows = tuple(
        (
            f"{one_line(kind)}, S {how}: {row_title(row)}{of_all(curves[kind, how, row], 'survival')}",
            *(own.get(share, DASH) for share in shares),
        )
        for (kind, how, row), own in sorted(lines.items(), key=lambda item: _first_seen(found, item[0]))
    )
    note = (
        "Share of B∖S and unseen instances that still show the behaviour, for retraining without S and the method "
        "with the lowest mean rank by r_B; curves of more rows are on the page."
    )
    heads = ("behaviour and row", *(f"γ {share:g}" for share in shares))
    return SweepTable("Survival of the behaviour against γ", note, heads, rows, "terminal")


def _first_seen(found: SweepResult, key: tuple[str, str, str]) -> tuple[int, bool]:
    places = list(dict.fromkeys((one.behaviour, one.selection) for one in found.points))
    return places.index(key[:2]), key[2] != _RETRAINED
