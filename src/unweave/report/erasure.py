"""The record of a request in a terminal."""

from __future__ import annotations

from rich.console import Console

from unweave.records.erasure import Erasure
from unweave.report.recipe import recipe_texts
from unweave.report.terminal import plain


def print_erasure(console: Console, found: Erasure) -> None:
    """Print what was done, what the model does now, and what is still to be done."""
    console.print(plain(console, found.headline, "bold"))
    if found.diagnosis:
        console.print(plain(console, f"· Diagnosis: {found.diagnosis}"))
    for one in recipe_texts(found.provenance):
        console.print(plain(console, f"· {one}"))
    for one in found.accuracy:
        if not one.name.startswith("test, class"):
            said = f"· Accuracy on {one.name} ({one.examples}): {one.before:.1%} → {one.after:.1%}"
            console.print(plain(console, said))
    for one in found.warnings:
        console.print(plain(console, f"⚠ {one}", "yellow"))
    if found.status == "erased":
        cost = f"{found.gradient_ratio:.3g} of one retraining, {found.seconds:.1f} s"
        console.print(plain(console, f"· Cost: {cost}"))
        console.print(plain(console, "Still to be deleted, which no edit of a model does:"))
        for one in found.still_to_delete:
            console.print(plain(console, f"· {one}"))
