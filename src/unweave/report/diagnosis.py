"""A diagnosis in a terminal and as a page: what untraining changes, how sure that is, and what to do."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from unweave._types import Estimate, Measured
from unweave.records.diagnosis import Diagnosis, Influential
from unweave.report.numbers import DASH, estimate_text, number_text, one_line
from unweave.report.page import page_file, page_policy, page_template
from unweave.report.terminal import plain
from unweave.report.toml import toml_text
from unweave.report.words import OUTCOME_NAMES

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
    for one in model_words(found):
        console.print(plain(console, f"· {one}"))
    if found.memorized.models:
        table = _table(console, "What a model knows of S")
        for name, value, meaning in memorized_rows(found):
            table.add_row(*(plain(console, cell) for cell in (name, value, meaning)))
        console.print(table)
        console.print()
        _print_table(console, "Accuracy by the labels trained on", GROUP_HEADS, group_rows(found))
    console.print()
    for title, listed in (
        ("Most memorized of S", found.most_memorized),
        ("Strongest influence of single examples of S on others", found.most_influential),
    ):
        if listed:
            console.print(plain(console, f"{title}: {'; '.join(influence_text(one) for one in listed[:5])}"))
    for title, heads, rows in (
        (PROXIES_TITLE, PROXY_HEADS, proxy_rows(found)),
        (TRIED_TITLE, TRIED_HEADS, tried_rows(found)),
    ):
        if rows:
            console.print()
            _print_table(console, title, heads, rows)
    console.print()
    for one in copies_words(found):
        console.print(plain(console, f"! {one}", "bold"))
    for one in found.advice:
        console.print(plain(console, f"· {one}"))
    if found.fitting:
        console.print(plain(console, f"· May be asked of {found.aim}: {', '.join(found.fitting)}."))
        console.print(plain(console, f"· May not: {', '.join(found.not_fitting)}; diagnosis.json says why."))
    for one in (*proxy_notes(found), *found.warnings):
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


PROXIES_TITLE = "Cheap proxies of memorization"
PROXY_HEADS = ("proxy", "rank correlation", "expected", "LDS", "models", "cost in trainings")


def proxy_rows(found: Diagnosis) -> list[tuple[str, ...]]:
    """Cells of the table of proxies, as `PROXY_HEADS` names them."""
    return [
        (
            one.name,
            _measured(one.correlation),
            "−" if one.expected < 0 else "+",
            estimate_text(one.lds),
            str(one.models) if one.models else DASH,
            DASH if one.cost is None else number_text(one.cost, 1),
        )
        for one in found.proxies
    ]


def proxy_notes(found: Diagnosis) -> list[str]:
    """How to read the table of proxies; nothing where there is none."""
    if not found.proxies:
        return []
    known = [one for one in found.proxies if one.cost is not None]
    overs = dict.fromkeys(one.over for one in known if one.over)
    said = [
        f"Spearman's correlation with memorization over {found.proxies[0].examples} examples of D; intervals over "
        f"{'; or over '.join(overs)}."
        if overs
        else "",
        *dict.fromkeys(f"LDS: intervals over {one.lds_over}." for one in known if one.lds_over),
        f"Memorization itself cost {number_text(found.memorized.models * found.memorized.share, 0)} trainings. "
        "Its own noise lowers every correlation.",
    ]
    wrong = [
        one.name
        for one in found.proxies
        if isinstance(one.correlation, Estimate) and one.correlation.value * one.expected < 0
    ]
    said += [f"Of the wrong sign here: {', '.join(wrong)}."] if wrong else []
    return [one for one in said if one]


TRIED_TITLE = "Methods tried on the originals"
TRIED_NOTES = [
    "Verdicts are those of unweave compare with these methods, Holm's correction over all of them and both aims; "
    "cost: examples whose gradient was taken, over those of one retraining; r_S and r_B: the share of the way to "
    "A(D∖S) and A(D∖B) that is left."
]
TRIED_HEADS = ("method", "cost", "untraining", "r_S", "unlearning", "r_B")


def tried_rows(found: Diagnosis) -> list[tuple[str, ...]]:
    """Cells of the table of methods, the cheapest first, as `TRIED_HEADS` names them."""
    ran = sorted((one for one in found.tried if one.cost is not None), key=lambda one: one.cost or 0.0)
    cells = [
        (
            one_line(one.method),
            f"{number_text(one.cost or 0.0, 3)}×",
            OUTCOME_NAMES[one.untraining],
            estimate_text(one.residual_untraining),
            OUTCOME_NAMES[one.unlearning],
            estimate_text(one.residual_unlearning),
        )
        for one in ran
    ]
    return cells + [
        (one_line(one.method), DASH, one_line(one.reason), DASH, DASH, DASH)
        for one in found.tried
        if one.cost is None
    ]


def _measured(value: Measured) -> str:
    return estimate_text(value) if isinstance(value, Estimate) else str(value)


def memorized_rows(found: Diagnosis) -> list[tuple[str, str, str]]:
    """Name, value and meaning of what is known of S."""
    m = found.memorized
    if m.models == 0:
        return []
    trained = f"{m.models} models, each trained on {m.share:.0%} of D"
    if m.together:
        trained += f"; {_count(m.together, 'group')} in or out as a whole"
    separated = [
        (f"finds B, {name}", _measured(value), "AUROC of memorization for B against the rest of D; 0.5 = chance")
        for name, value in found.separation.items()
    ]
    return [
        ("mean memorization", estimate_text(m.mean), f"0 = known without itself, 1 = by heart; {trained}"),
        ("with probabilities", estimate_text(m.soft), "the same with the probability of the label"),
        (
            "memorized examples",
            DASH if m.above is None else f"{m.above:.0%}",
            f"share of S with memorization of at least {m.threshold:g}",
        ),
        (
            "entanglement",
            estimate_text(found.entanglement),
            "low = S lies apart among features, high = among the rest",
        ),
        *separated,
    ]


def model_words(found: Diagnosis) -> list[str]:
    """What is known of the model itself, where one was given."""
    of = found.model
    if of is None:
        return []
    rates = ", ".join(f"{_NAMES.get(name, name)} {rate:.1%}" for name, rate in of.accuracy.items())
    said = [
        f"Your model ({of.sha256[:12]}…): accuracy by the labels trained on: {rates}.",
        f"Its confidence in the labels of S lies, at the median, above that of {of.place:.0%} of the rest "
        "of D; low confidence goes with memorization, but does not measure it.",
    ]
    if of.recipe_p is not None:
        said.append(f"That it is like the models its recipe trains on D: p = {of.recipe_p:.3f}.")
    return [*said, *of.notes]


def copies_words(found: Diagnosis) -> list[str]:
    """What copies of S change: those that stay teach what S taught, and S is less known by heart one by one."""
    of = found.copies
    if of is None:
        return []
    said: list[str] = []
    if of.exact or of.near:
        kinds = [(of.exact, "exact"), (of.near, "near")]
        counted = " and ".join(_count(number, f"{kind} cop", "y", "ies") for number, kind in kinds if number)
        first = ", ".join(f"{pair.left} like {pair.forget}" for pair in of.pairs[:3])
        other = f", {of.other_label} of them with another label" if of.other_label else ""
        said.append(
            f"{counted} of examples of S stay in D∖S{other} (first: {first}): their influence stays after S is "
            "removed. Those that are meant as well belong in S."
        )
    if (of.within or of.exact + of.near > of.other_label) and not found.memorized.together:
        who = (
            f"{_count(of.within, 'example')} of S {'has' if of.within == 1 else 'have'} copies in S"
            if of.within
            else "S has copies"
        )
        said.append(
            f"{who}: memorization of single examples is underestimated, since a copy teaches the same. "
            "--together copies leaves copies out together."
        )
    return said


def _count(number: int, name: str, one: str = "", many: str = "s") -> str:
    return f"{number} {name}{one if number == 1 else many}"


def aim_words(found: Diagnosis) -> str:
    """Which aim the stated use needs."""
    if found.aim is None:
        return "No use was stated; --use names one, and with it the aim."
    return f"Aim: {found.aim}, since {found.why}"


def influence_text(one: Influential) -> str:
    """An example or pair with its influence and standard error."""
    to = "" if one.probe is None else f" → {_NAMES.get(one.group, one.group)} {one.probe.id}"
    return f"{one.example.id}{to}: {number_text(one.influence)} ± {number_text(one.standard_error)}"


def _percent(value: Measured) -> str:
    if not isinstance(value, Estimate):
        return DASH
    low, high = (DASH if one is None else f"{100 * one:.1f}" for one in (value.low, value.high))
    return f"{100 * value.value:.1f}% [{low}, {high}]"


def _print_table(console: Console, title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = _table(console, title)
    table.show_header = True
    for head in heads:
        table.add_column(plain(console, head), overflow="fold")
    for row in rows:
        table.add_row(*(plain(console, cell) for cell in row))
    console.print(table)


def _table(console: Console, title: str) -> Table:
    heading = plain(console, title, "bold")
    table = Table(title=heading, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0))
    table.pad_edge = False
    table.show_header = False
    return table


# ---- the page ----

_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 820.0, 24.0, 400.0
_PARTS = (("ordinary", "rest of D (a part of it)"), ("undiscovered", "B∖S"), ("forget", "S"))


def diagnosis_page(found: Diagnosis) -> str:
    """A diagnosis as one HTML page that makes no request and runs no script."""
    from markupsafe import Markup

    style = page_file("page.css")
    return page_template("diagnosis.html.j2")(
        found=found,
        aim=aim_words(found),
        memorized=memorized_rows(found),
        model=model_words(found),
        copies=copies_words(found),
        heads=GROUP_HEADS,
        groups=group_rows(found),
        more=[
            (PROXIES_TITLE, PROXY_HEADS, proxy_rows(found), proxy_notes(found)),
            (TRIED_TITLE, TRIED_HEADS, tried_rows(found), TRIED_NOTES),
        ],
        names=_NAMES,
        plane=_plane(found),
        definition=toml_text(found.case),
        policy=Markup(page_policy([], style)),
        style=Markup(style),
    )


def _plane(found: Diagnosis) -> dict[str, Any]:
    """Where everything stands in the picture: ordinary examples first, so that S is drawn over them."""
    xs = [0.0, 1.0, *(dot.own for dot in found.plane)]
    ys = [0.0, 0.02, *(dot.others for dot in found.plane)]

    def x(value: float) -> float:
        return round(_LEFT + (value - min(xs)) / (max(xs) - min(xs)) * (_RIGHT - _LEFT), 1)

    def y(value: float) -> float:
        return round(_BOTTOM - value / max(ys) * (_BOTTOM - _TOP), 1)

    present = {dot.part for dot in found.plane}
    order = [part for part, _ in _PARTS]
    dots = sorted(found.plane, key=lambda dot: order.index(dot.part))
    step = next(one for one in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if max(ys) / one <= 6)
    ups = [step * k for k in range(int(max(ys) / step) + 1)]
    return {
        "width": _RIGHT + 20,
        "height": _BOTTOM + 42,
        "left": _LEFT,
        "right": _RIGHT,
        "top": _TOP,
        "bottom": _BOTTOM,
        "across": [{"at": x(value), "text": number_text(value)} for value in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "up": [{"at": y(value), "text": number_text(value, 3 if step < 0.01 else 2)} for value in ups],
        "dots": [{"x": x(dot.own), "y": y(dot.others), "part": dot.part} for dot in dots],
        "legend": [(part, name) for part, name in _PARTS if part in present],
    }
