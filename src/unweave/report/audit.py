"""An audit in a terminal and as a page: the verdicts first, then every check beside the references."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from unweave.records.audit import Audit, AuditCheck, Finding, Procedure, Quantiles
from unweave.report.numbers import DASH, estimate_text, number_text
from unweave.report.page import page_file, page_policy, page_template
from unweave.report.recipe import recipe_texts
from unweave.report.terminal import plain
from unweave.report.toml import toml_text

GROUPS = {
    "forget": "S",
    "undiscovered": "B∖S",
    "unseen": "unseen",
    "retain": "rest of D",
    "test": "test",
    "behaviour": "behaviour",
    "": "D",
}
REFERENCE = {"untraining": "A(D∖S)", "unlearning": "A(D∖B)"}
CHECK_HEADS = ("check", "on", "edited", "original", "references", "sd", "p", "")
UTILITY_HEADS = ("accuracy on", "examples", "original", "edited", "references")


def print_audit(console: Console, found: Audit) -> None:
    """Print an audit: verdicts, checks, utility, what the two versions give away."""
    console.print(plain(console, found.headline, "bold"))
    for one in found.findings:
        console.print(plain(console, f"· {finding_text(one)}"))
    for aim in REFERENCE:
        if rows := check_rows(found, aim):
            console.print()
            _print(console, f"Checks against {REFERENCE[aim]}", CHECK_HEADS, rows)
    if found.checks:
        console.print(plain(console, legend(found), "dim"))
    console.print()
    _print(console, "Utility", UTILITY_HEADS, utility_rows(found))
    console.print()
    if found.procedure is not None:
        console.print(plain(console, f"Procedure: {procedure_text(found.procedure)}"))
        console.print()
    for one in [*version_texts(found), *recipe_texts(found.provenance), *found.unanswered]:
        console.print(plain(console, f"· {one}"))
    for one in found.warnings:
        console.print(plain(console, f"⚠ {one}", "yellow"))


def legend(found: Audit) -> str:
    """What the columns of the checks are."""
    whole = " Behaviour: S, B∖S and unseen instances together." if found.behaviour is not None else ""
    return (
        "Edited, original: how far that model lies from the references; beside it how far these lie from each "
        "other, 5% to 95% of them. sd: how far out the edited model is, in robust standard deviations of all "
        f"of them and itself. p: adjusted for all checks of the aim.{whole} No power: the original does not stand "
        "out in this check either."
    )


def finding_text(one: Finding) -> str:
    """The verdict of an aim with its reason and what backs it."""
    said = f"{one.aim}: {one.verdict}; {one.reason}."
    if one.given:
        said += f" The {one.references} references are models that were given."
    if one.p is not None:
        said += f" p = {one.p:.3f} over all checks."
    if one.fresh_flagged is not None:
        said += f" Of {one.fresh} fresh retrains {one.fresh_flagged} are flagged."
    return said


def check_rows(found: Audit, aim: str) -> list[tuple[str, ...]]:
    """Cells of the checks of an aim, as `CHECK_HEADS` names them."""
    return [_check(one, known=found.behaviour is not None) for one in found.checks if one.aim == aim]


def _check(one: AuditCheck, *, known: bool) -> tuple[str, ...]:
    # Where B is not declared, all that is known of the behaviour is S.
    group = "forget" if one.group == "behaviour" and not known else one.group
    return (
        one.name,
        GROUPS.get(group, group),
        number_text(one.edited, 3),
        number_text(one.original, 3),
        _range(one.references),
        number_text(one.deviation, 1),
        f"{one.p:.3f}",
        "flagged" if one.flagged else "" if one.original_flagged else "no power",
    )


def _range(found: Quantiles) -> str:
    return f"{number_text(found.low, 3)} … {number_text(found.high, 3)}"


def utility_rows(found: Audit) -> list[tuple[str, ...]]:
    """Cells of the table of accuracies, as `UTILITY_HEADS` names them."""
    return [
        (
            GROUPS.get(one.name, one.name),
            str(one.examples),
            f"{one.original:.1%}",
            f"{one.edited:.1%}",
            "; ".join(f"{REFERENCE[aim]} {q.low:.1%} … {q.high:.1%}" for aim, q in one.references.items()) or DASH,
        )
        for one in found.utility
    ]


def version_texts(found: Audit) -> list[str]:
    """What the two versions give away, and what comes back of S."""
    seen, said = found.versions, []
    beside = "" if seen.references is None else f"; with a retrained model {_range(seen.references)}"
    said.append(f"Who holds both versions tells S from the rest of D with AUROC {number_text(seen.auc)}{beside}.")
    if seen.rest_worst is not None:
        beside = "" if seen.rest_references is None else f"; with a retrained model {_range(seen.rest_references)}"
        moved = number_text(seen.rest_worst, 3)
        said.append(f"The tenth of the rest of D that moved most, moved by {moved}{beside}.")
    if not found.relearned:
        return said
    names = {"original": "the original", "edited": "the edited model"}
    names |= {"untrained": "models of A(D∖S)", "unlearned": "models of A(D∖B)"}
    back = [f"{names[name]} {a:.1%} → {b:.1%}" for name, (a, b) in found.relearned.items()]
    rest = "D∖S" if found.behaviour is None else "D∖B"
    said.append(f"Accuracy on S by its labels before and after some training on {rest} alone: {', '.join(back)}.")
    return said


def procedure_text(found: Procedure) -> str:
    """What was found of the method, in one line."""
    return (
        f"{found.method} on {found.models} originals of this case: {found.label}; untraining "
        f"{found.verdict_untraining}, r_S {estimate_text(found.residual_untraining)}; unlearning "
        f"{found.verdict_unlearning}, r_B {estimate_text(found.residual_unlearning)}. r: what is left to go, 1 as "
        "the original, 0 as the references."
    )


def _print(console: Console, title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(
        title=plain(console, title, "bold"),
        title_justify="left",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.pad_edge = False
    for head in heads:
        table.add_column(plain(console, head), overflow="fold")
    for row in rows:
        table.add_row(*(plain(console, cell) for cell in row))
    console.print(table)


def audit_page(found: Audit) -> str:
    """An audit as one HTML page that makes no request and runs no script."""
    from markupsafe import Markup

    style = page_file("page.css")
    return page_template("audit.html.j2")(
        found=found,
        findings=[finding_text(one) for one in found.findings],
        tables=[(REFERENCE[aim], rows) for aim in REFERENCE if (rows := check_rows(found, aim))],
        check_heads=CHECK_HEADS,
        legend=legend(found),
        meanings=sorted({(one.name, one.what) for one in found.checks}),
        utility_heads=UTILITY_HEADS,
        utility=utility_rows(found),
        procedure=None if found.procedure is None else procedure_text(found.procedure),
        said=[*version_texts(found), *recipe_texts(found.provenance), *found.unanswered],
        definition=toml_text(found.case),
        policy=Markup(page_policy([], style)),
        style=Markup(style),
    )
