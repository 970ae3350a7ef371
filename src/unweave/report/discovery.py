"""A discovery in a terminal, and as a page on which a person confirms or rejects what was found."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from unweave._types import Estimate, Measured
from unweave.records.discovery import Discovery
from unweave.report.numbers import number_text, share_text
from unweave.report.page import page_file, page_policy, page_template
from unweave.report.terminal import plain
from unweave.report.toml import toml_text

_LISTED = 10


def print_discovery(console: Console, found: Discovery) -> None:
    """Print a discovery: what is flagged and promised, what that rests on, and the first of the list."""
    console.print(plain(console, found.headline, "bold"))
    for one in discovery_words(found):
        console.print(plain(console, f"· {one}"))
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.pad_edge = False
    for head in ("rank", "id", "label", "score", ""):
        table.add_column(plain(console, head), overflow="fold")
    for one in found.shown[:_LISTED]:
        cells = (str(one.rank), one.example.id, one.example.label, number_text(one.score, 3))
        table.add_row(*(plain(console, cell) for cell in (*cells, "flagged" if one.flagged else "")))
    console.print()
    console.print(table)
    for one in found.warnings:
        console.print(plain(console, one, "yellow"))


def discovery_words(found: Discovery) -> list[str]:
    """What is said of a discovery beside its headline, a sentence or two each."""
    promise = found.promise
    seeds = f"{found.seeds} of {found.forget} examples of S" + (
        f" and {len(found.confirmed)} confirmed ones" if found.confirmed else ""
    )
    left_out = f" {len(found.rejected)} rejected examples are no candidates." if found.rejected else ""
    above = f"the {promise.rank} highest stand above it"
    by_example = promise.unit == "example"
    kind, least = ("", "") if by_example else (f" {promise.unit}s", ", each by the least score of its members")
    where = "too few to cut anywhere" if promise.threshold is None else above
    said = [
        f"Ranked by `{found.method}` learnt from {seeds}. Of the other {promise.members}{kind}, which calibrate "
        f"the cut-off{least}, {where}.{left_out}",
        *promise.conditions,
        f"Members of B among all candidates, estimated: {_measured(found.size, 0)}; of the flagged that share is "
        f"{_measured(found.precision, 2)}. Too large where much else scores like S.",
    ]
    if found.questions:
        asked = ", ".join(one.example.id for one in found.questions)
        said.append(f"Look at these next, the last above the cut: {asked}.")
    if (truth := found.truth) is not None:
        said.append(
            f"B is known here: {truth.found} of its {truth.members} members among the candidates are flagged, "
            f"recall {_share(truth.recall)}, precision {_share(truth.precision)}."
        )
        if truth.units is not None:
            said[-1] += f" Of {truth.units} {promise.unit}s {truth.units_found} are flagged in full."
    cost = found.cost
    said.append(
        f"Cost of the ranking: {number_text(cost['retrainings'], 1)} retrainings on D; "
        f"{cost['models_trained']:.0f} of {cost['models']:.0f} models were trained for this."
    )
    return said


def _share(value: float | None) -> str:
    return "not defined, there are none" if value is None else share_text(value)


def _measured(found: Measured, digits: int) -> str:
    if not isinstance(found, Estimate):
        return str(found)
    low, high = (number_text(0.0 if one is None else one, digits) for one in (found.low, found.high))
    return f"{number_text(found.value, digits)} [{low}, {high}]"


def discovery_page(found: Discovery) -> str:
    """A discovery as one HTML page that makes no request; its one script collects what a person confirms."""
    from markupsafe import Markup

    style, script = page_file("page.css"), page_file("discovery.js")
    return page_template("discovery.html.j2")(
        found=found,
        said=discovery_words(found),
        definition=toml_text(found.case),
        policy=Markup(page_policy([script], style)),
        style=Markup(style),
        script=Markup(script),
    )
