"""Write the documents that are made from the code: `python docs/build.py`; the tests hold them against it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from unweave.records import KINDS, SweepResult, json_schema

HERE = Path(__file__).parent


def methods_page() -> str:
    """`docs/methods.md`: every registered method with source, defaults, search space and its docstring."""
    from unweave.methods import METHODS

    lines = [
        "# Methods",
        "",
        "Made from the code by `python docs/build.py`. Rates and epochs are relative to the learner's recipe:",
        "`epochs` 1/3 of a recipe of 30 is 10 passes, `lr` 0.1 of a rate of 0.3 is 0.03. A method sees what",
        "it says it needs: the original, S, D∖S; some need test examples that no model was trained on",
        "(validation) or the training of the model itself (history), which is repeated to the bit. One that",
        "trains by an algorithm of its own (A′) is compared with models trained so; one that makes or moves",
        "inputs needs numbers, and no tokens. Defaults are those of the papers where there are any; nothing is",
        "tuned. Several in a row are named `ssd then finetune`; one on S and what is found of the rest of its",
        "behaviour, `expand(scrub)`: [expansion.md](expansion.md). Methods of your own:",
        "[plugins.md](plugins.md). What they did: [comparisons.md](comparisons.md).",
        "",
        "Answers: where documents have answers of several tokens (y [n, A], −100 where one has fewer), methods",
        "with `several` take the loss of a document as a mean over its own answer tokens, or as a sum where they",
        "say so; all others are refused on such data. Every method takes answers of one token, which are labels.",
        "",
        "| name | family | authors' aim | needs | answers | source |",
        "|---|---|---|---|---|---|",
    ]
    for entry in METHODS:
        declared = entry.declared
        needs = [*sorted(declared.needs), *([f"A′: {declared.trains}"] if declared.trains else [])]
        needs = ", ".join([*needs, *(["numbers"] if declared.alters else [])])
        source = f"{declared.cite}, {declared.equation}" if declared.cite else declared.equation
        aim, escaped = declared.authors_aim or "–", source.replace("|", "\\|")
        answers = "several" if declared.several else "one token"
        cells = [f"[{entry.name}](#{entry.name})", declared.family, aim, needs, answers, escaped]
        lines.append(f"| {' | '.join(cells)} |")
    for entry in METHODS:
        lines += ["", f"## {entry.name}", "", inspect.getdoc(entry.factory) or "", ""]
        defaults = ", ".join(f"`{name}` {value:.4g}" for name, value in entry.defaults().items())
        lines.append(f"Defaults: {defaults or 'none'}.")
        if entry.declared.space:
            space = ", ".join(f"`{name}` {low:g} … {high:g}" for name, (low, high) in entry.declared.space.items())
            lines.append(f"Search space: {space}.")
    return "\n".join(lines) + "\n"


def behaviours_page() -> str:
    """`docs/behaviours.md`: every kind of behaviour as it declares itself, and how S is chosen."""
    from unweave.problem import BEHAVIOURS, SELECTIONS

    lines = [
        "# Behaviours and forget sets",
        "",
        "Made from the code by `python docs/build.py`. A behaviour is what some examples of the training data D",
        "teach: its members B are planted, or declared where they are in the data already. The forget set S is",
        "the part of B that was discovered. Accuracy on a behaviour's groups is accuracy on the clean label;",
        "where the planted label is the clean one it is not measured, since it would be the behaviour rate under",
        "another name. Test examples that are new instances as they stand are left out of the group `test`.",
        "",
        "## Kinds",
        "",
        "| `behaviour.kind` | members B | planted label | clean label | an output that shows it "
        "| unseen instances | regularity | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in BEHAVIOURS:
        of = entry.declared
        cells = [of.members, of.label, of.clean, of.shows, of.unseen or "none", of.regularity, of.cite]
        lines.append(f"| [{entry.name}](#{entry.name}) | {' | '.join(cells)} |")
    lines += [
        "",
        "*Regularity* is how much of a behaviour is a rule: high, and what B∖S teaches is what S taught; low, and",
        "each member is memorised by itself; any, where it depends on the examples. `size` is the number of",
        "members.",
    ]
    for entry in BEHAVIOURS:
        lines += ["", f"### {entry.name}", "", inspect.getdoc(entry.factory) or "", ""]
        defaults = ", ".join(f"`{name}` {_default(value)}" for name, value in entry.defaults().items())
        lines.append(f"Parameters and defaults: {defaults or 'none'}.")
    lines += [
        "",
        "## The forget set",
        "",
        "S is a share of B (`forget.discovery`, default 0.2), a number of its members (`forget.count`) or named",
        "(`forget.ids`, within B). Where it is not named, `forget.selection` says how it was found:",
        "",
        "| `forget.selection` | S is |",
        "|---|---|",
    ]
    for name, selection in SELECTIONS.items():
        said = " ".join((inspect.getdoc(selection) or "").split()).replace("|", r"\|")
        lines.append(f"| `{name}` | {said} |")
    lines += [
        "",
        "`forget.outside = true`: S lies outside D, as a request to a pretrained model may. S are new instances",
        "of the behaviour with the planted label, `forget.count` of them or the share `forget.discovery`; the",
        "others stay the group `unseen`, and all of B is undiscovered. Untraining is a no-op then by definition,",
        "since A(D∖S) = A(D), and is judged `no power`; unlearning is judged as always.",
        "",
        "`forget.allow_unknown = true`, or `--allow-unknown`: ids in `forget.ids` that are not in D are dropped",
        "and listed in the result's warnings; without it they are refused.",
    ]
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    return "not given" if value is None or value in ("", ()) else str(value)


def metrics_page() -> str:
    """`docs/metrics.md`: every metric and attack, of which aim and where it may be asked, and its docstring."""
    from unweave._gate import AIMS, WHAT
    from unweave.attacks import ATTACKS
    from unweave.metrics import METRICS
    from unweave.study.catalogue import catalogue

    lines = [
        "# Metrics and attacks",
        "",
        "Made from the code by `python docs/build.py`. Every metric and every attack says of which aim it may be",
        "asked, and on which probe groups; `unweave.study.applicable(name, aim, on=group)` answers `allowed`, or",
        "`refused` with the reason, and `forced` where it is run all the same. Where nothing is said of the",
        "group, it is S, where the field asks. What is good is mostly the value of the aim's reference, A(D∖S)",
        "for untraining and A(D∖B) for unlearning, which has to be there: neither 0 nor chance is a goal on S,",
        "since a model that never saw S may still predict it. How values become verdicts with intervals:",
        "[measures.md](measures.md). Scores of attacks are higher where an example is more likely a member,",
        "always; what cannot be measured is NaN in arrays. In a comparison: `unweave compare --measure NAME`,",
        "[spec.md](spec.md), which also says what number of a model is made of an attack's scores. Measures of",
        "language models are asked the same way: [language-measures.md](language-measures.md).",
        "",
        "| needs | what that is |",
        "|---|---|",
        *(f"| {need} | {what} |" for need, what in WHAT.items()),
    ]
    for title, registry in (("Metrics", METRICS), ("Attacks", ATTACKS)):
        listed = {one["name"]: one for one in catalogue(registry.kind + "s")}
        lines += [
            "",
            f"## {title}",
            "",
            "| name | for untraining | for unlearning | needs | good | unit, bounds | source |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, one in listed.items():
            asked = [one[f"for {aim}"] for aim in AIMS]
            of = f"{one['unit']}, {one['bounds']}"
            cells = [*asked, ", ".join(one["needs"]), one["good"], of, one["source"]]
            lines.append(f"| [{name}](#{name}) | {' | '.join(cells)} |")
        for entry in registry:
            what = f"{entry.declared.what} " if entry.declared.what else ""
            lines += ["", f"### {entry.name}", "", f"{what}`{entry.factory.__module__}.{entry.factory.__name__}`:"]
            lines += ["", inspect.getdoc(entry.factory) or ""]
    return "\n".join(lines) + "\n"


def schema_page(kind: type) -> str:
    """`docs/schema/`: the JSON Schema of one kind of record."""
    return json.dumps(json_schema(kind), indent=1, ensure_ascii=False) + "\n"


def sweep_page() -> str:
    """`docs/sweep.md`: the text as it is, its tables made anew from the sweeps that are kept beside it."""
    import re

    from unweave.records import read_record
    from unweave.report.sweep import sweep_tables

    def block(match: re.Match[str]) -> str:
        opening, name, title = match[1], match[2], match[3]
        table = next(one for one in sweep_tables(read_record(SweepResult, HERE / name)) if one.title == title)
        lines = [table.heads, ("---",) * len(table.heads), *table.rows]
        rows = "\n".join("| " + " | ".join(one.replace("|", r"\|") for one in line) + " |" for line in lines)
        return f"{opening}\n{rows}\n<!-- end -->"

    text = (HERE / "sweep.md").read_text(encoding="utf-8")
    return re.sub(r"(<!-- made from (\S+): ([^\n]+) -->)\n.*?<!-- end -->", block, text, flags=re.S)


PAGES: dict[str, Callable[[], str]] = {
    "methods.md": methods_page,
    "metrics.md": metrics_page,
    "behaviours.md": behaviours_page,
    "sweep.md": sweep_page,
    **{f"schema/{known.file}": partial(schema_page, kind) for kind, known in KINDS.items()},
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
