"""Write the documents that are made from the code: `python docs/build.py`; the tests hold them against it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

HERE = Path(__file__).parent


def methods_page() -> str:
    """`docs/methods.md`: every registered method with source, defaults, search space and its docstring."""
    from unweave.methods import METHODS

    lines = [
        "# Methods",
        "",
        "Made from the code by `python docs/build.py`. Rates and epochs are relative to the learner's recipe:",
        "`epochs` 1/3 of a recipe of 30 is 10 passes, `lr` 0.1 of a rate of 0.3 is 0.03. Every method sees the",
        "original, S and D∖S, and nothing else. Defaults are those of the papers; nothing is tuned.",
        "",
        "| name | family | authors' aim | needs | source |",
        "|---|---|---|---|---|",
    ]
    for entry in METHODS:
        declared = entry.declared
        needs = ", ".join(sorted(declared.needs))
        source = f"{declared.cite}, {declared.equation}" if declared.cite else declared.equation
        aim = declared.authors_aim or "–"
        lines.append(f"| [{entry.name}](#{entry.name}) | {declared.family} | {aim} | {needs} | {source} |")
    for entry in METHODS:
        lines += ["", f"## {entry.name}", "", inspect.getdoc(entry.factory) or "", ""]
        defaults = ", ".join(f"`{name}` {value:.4g}" for name, value in entry.defaults().items())
        lines.append(f"Defaults: {defaults or 'none'}.")
        if entry.declared.space:
            space = ", ".join(f"`{name}` {low:g} … {high:g}" for name, (low, high) in entry.declared.space.items())
            lines.append(f"Search space: {space}.")
    return "\n".join(lines) + "\n"


def behaviours_page() -> str:
    """`docs/behaviours.md`: what each kind of behaviour is, as it declares itself, and how S is found."""
    from unweave.problem import BEHAVIOURS, SELECTIONS

    lines = [
        "# Behaviours and forget sets",
        "",
        "Made from the code by `python docs/build.py`. A behaviour B is the set of training examples that carry",
        "it. An output shows it where the predicted class is the label in the third column. The clean label is",
        "the one that was there before.",
        "",
        "| kind | members B | label that shows it | unseen instances | regularity | source |",
        "|---|---|---|---|---|---|",
    ]
    for entry in BEHAVIOURS:
        one = entry.declared
        lines.append(
            f"| [{entry.name}](#{entry.name}) | {one.members} | {one.label} | {one.unseen or 'none'} "
            f"| {one.regularity} | {one.cite} |"
        )
    for entry in BEHAVIOURS:
        lines += ["", f"## {entry.name}", "", inspect.getdoc(entry.factory) or "", ""]
        defaults = ", ".join(f"`{name}` {value!r}" for name, value in entry.defaults().items())
        lines.append(f"Parameters: {defaults or 'none'}.")
    lines += [
        "",
        "## How S is found",
        "",
        f"`forget.selection` is {', '.join(SELECTIONS)}; [spec.md](spec.md) says more.",
    ]
    return "\n".join(lines) + "\n"


def schema_page() -> str:
    """`docs/result.schema.json`."""
    from unweave.records import json_schema

    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


PAGES = {"methods.md": methods_page, "behaviours.md": behaviours_page, "result.schema.json": schema_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
