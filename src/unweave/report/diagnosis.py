"""A diagnosis in a terminal: what untraining changes, how sure that is, and what to do."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from unweave._types import Estimate, Measured
from unweave.records.diagnosis import Diagnosis, Influential
from unweave.report.numbers import DASH, estimate_text
from unweave.report.terminal import plain

_NAMES = {
    "forget": "S",
    "undiscovered": "B∖S",
    "unseen": "unseen instances",
    "retain": "rest of D",
    "test": "test",
}


def print_diagnosis(console: Console, found: Diagnosis) -> None:
    """Print a diagnosis: the regime first, then the numbers behind it."""
    console.print(plain(console, found.headline, "bold"))
    of = "" if found.behaviour is None else f" of {found.behaviour} of the behaviour"
    console.print(plain(console, f"S: {found.forget} examples{of}. {aim_words(found)}"))
    console.print()
    table = _table(console, "What a model knows of S")
    for name, value, meaning in memorized_rows(found):
        table.add_row(*(plain(console, cell) for cell in (name, value, meaning)))
    console.print(table)
    console.print()
    table = _table(console, "Accuracy by the labels trained on")
    for head in GROUP_HEADS:
        table.add_column(plain(console, head), overflow="fold")
    for row in group_rows(found):
        table.add_row(*(plain(console, cell) for cell in row))
    console.print(table)
    console.print()
    for title, listed in (
        ("Most memorized of S", found.most_memorized),
        ("Strongest influence of single examples of S on others", found.most_influential),
    ):
        if listed:
            console.print(plain(console, f"{title}: {'; '.join(influence_text(one) for one in listed[:5])}"))
    console.print()
    for one in found.advice:
        console.print(plain(console, f"· {one}"))
    for one in found.warnings:
        console.print(plain(console, one, "dim"))


GROUP_HEADS = ("group", "probes", "A(D)", "A(D∖S)", "A(D∖B)", "influence of S", "influence of B")


def group_rows(found: Diagnosis) -> list[tuple[str, ...]]:
    """Cells of the table of probe groups, as `GROUP_HEADS` names them."""
    return [
        (
            _NAMES.get(group.name, group.name),
            str(group.probes),
            *(_percent(one) for one in (group.original, group.untrained, group.unlearned)),
            estimate_text(group.joint),
            estimate_text(group.behaviour),
        )
        for group in found.groups
    ]


def memorized_rows(found: Diagnosis) -> list[tuple[str, str, str]]:
    """Name, value and meaning of what is known of S."""
    m = found.memorized
    trained = f"{m.models} models, each trained on {m.share:.0%} of D"
    return [
        ("mean memorization", estimate_text(m.mean), f"0 = known without itself, 1 = by heart; {trained}"),
        ("with probabilities", estimate_text(m.soft), "the same with the probability of the label"),
        ("memorized examples", f"{m.above:.0%}", f"share of S with memorization of at least {m.threshold:g}"),
        (
            "entanglement",
            estimate_text(found.entanglement),
            "low = S lies apart among features, high = among the rest",
        ),
    ]


def aim_words(found: Diagnosis) -> str:
    """Which aim the stated use needs."""
    if found.aim is None:
        return "No use was stated; --use names one, and with it the aim."
    return f"Aim: {found.aim}, since {found.why}"


def influence_text(one: Influential) -> str:
    """An example or pair with its influence and standard error."""
    to = "" if one.probe == "itself" else f" → {one.probe}"
    return f"{one.example}{to} {one.influence:.2f} ± {one.standard_error:.2f}"


def _percent(value: Measured) -> str:
    if not isinstance(value, Estimate):
        return DASH
    low, high = (DASH if one is None else f"{100 * one:.1f}" for one in (value.low, value.high))
    return f"{100 * value.value:.1f}% [{low}, {high}]"


def _table(console: Console, title: str) -> Table:
    heading = plain(console, title, "bold")
    table = Table(title=heading, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0))
    table.pad_edge = False
    table.show_header = title.startswith("Accuracy")
    return table
