"""The result as one self-contained HTML page, and as a fragment for notebooks."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple

import unweave.report.best as best
import unweave.report.columns as columns
import unweave.report.headlines as headlines
import unweave.report.measures as measures
import unweave.report.regions as regions
import unweave.report.words as words
from unweave.records import CaseResult, Result, Row
from unweave.report.charts import case_charts, shared_frame, symbol_of
from unweave.report.columns import Cell, Column
from unweave.report.numbers import clean, estimate_text, number_text, one_line, p_text, share_text
from unweave.report.packed import packed
from unweave.report.png import is_png_address
from unweave.report.toml import toml_text
from unweave.report.trades import trade_charts

_SYMBOL_WORDS = {
    "reference": ("reference", "what an aim asks for"),
    "null": ("fresh retrains", "never used to draw the map: where an ideal run lands"),
    "original": ("original", "the model as deployed"),
}


_PICTURES_MOST = 250_000  # characters of all pictures of a page, which is to stay below 2 MB


class _Section(NamedTuple):
    """One probe group of one aim in the details of a row."""

    group: str
    aim: str
    values: tuple[str, ...]


class _Line(NamedTuple):
    """One row with the cells of all its tables."""

    row: Row
    verdict: list[Cell]
    behaviour: list[Cell]
    accuracy: list[Cell]
    sections: list[_Section]


def page_file(name: str) -> str:
    """A file of this room that goes into a page, as text."""
    return resources.files("unweave.report").joinpath(name).read_text(encoding="utf-8")


def _finalize(value: object) -> object:
    # Markup is ours and stays; text from data loses the characters that could forge what is read.
    return clean(value) if type(value) is str else value


def _attribute(value: object) -> object:
    """A text that scripts read back as it is: marks that could forge what is read stand as references to them."""
    from markupsafe import Markup

    text = str(value).encode(errors="replace").decode()
    return Markup("".join(one if one.isascii() and one.isalnum() else f"&#{ord(one)};" for one in text))


def _param(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _indexed(text: str) -> str:
    from markupsafe import Markup, escape

    safe = str(escape(clean(text)))
    return Markup(safe.replace("r_S", "r<sub>S</sub>").replace("r_B", "r<sub>B</sub>"))


def page_template(name: str) -> Callable[..., str]:
    """A template of this room, ready to be filled; what it is given is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(page_file), autoescape=True, undefined=jinja2.StrictUndefined,
        finalize=_finalize, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["indexed"] = _indexed
    environment.filters["attribute"] = _attribute
    names: dict[str, Any] = {
        "estimate": estimate_text,
        "number": number_text,
        "p": p_text,
        "share": share_text,
        "row_name": words.row_name,
        "stage_of": best.stage_of,
        "symbol": symbol_of,
        "outcome": words.OUTCOME_NAMES,
        "reason": words.told_reason,
        "param": _param,
        "group_meanings": words.GROUP_MEANINGS,
    }
    return environment.get_template(name, globals=names).render


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page_policy(scripts: Sequence[str], style: str) -> str:
    """A content security policy that allows these scripts and this style, by their hashes, and nothing else."""
    allowed = " ".join(_source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _cells(row: Row, table: Sequence[Column]) -> list[Cell]:
    return [column.cell(row) for column in table]


def _legend(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    found: dict[str, tuple[str, str, str]] = {}
    for row in columns.ordered_rows(rows):
        key = symbol_of(row)
        if key in _SYMBOL_WORDS:
            found[key] = (key, *_SYMBOL_WORDS[key])
        elif row.status == "ok":
            name = "no label" if row.label == "not applicable" else words.LABEL_NAMES[row.label]
            found[key] = (key, name, words.LABEL_MEANINGS[row.label])
    return list(found.values())


def _off_map(case: CaseResult) -> list[tuple[str, str]]:
    if not case.geometry.drawn:
        return []
    missing = [row for row in columns.placed_rows(case.rows) if row.xy is None]
    return [(words.row_name(row), columns.place_reason(row)) for row in missing]


def _group_sections(row: Row) -> list[_Section]:
    sections: list[_Section] = []
    for name in columns.group_names([row]):
        group = row.groups[name]
        tails = row.tail
        for aim, residual, energy, stacked, of_aim in (
            ("untraining", group.residual_untraining, group.energy_untraining, group.stacked_untraining,
             tails and tails.untraining),
            ("unlearning", group.residual_unlearning, group.energy_unlearning, group.stacked_unlearning,
             tails and tails.unlearning),
        ):  # fmt: skip
            tail = of_aim.get(name) if of_aim else None
            worst = ("–", "–", "–")
            if tail is not None:
                null = "–" if tail.p95_null is None else number_text(tail.p95_null, 3)
                worst = (number_text(tail.p95, 3), null, share_text(tail.share_differing))
            texts = (estimate_text(residual), estimate_text(energy, 4), estimate_text(stacked, 4), *worst)
            sections.append(_Section(one_line(name), aim, texts))
    return sections


def _view(case: CaseResult, charts: dict[str, Any]) -> dict[str, Any]:
    table = columns.verdict_columns(case.rows)
    behaviour = columns.group_columns(case.rows, "behaviour")
    accuracy = columns.group_columns(case.rows, "accuracy")
    lines = [
        _Line(row, _cells(row, table), _cells(row, behaviour), _cells(row, accuracy), _group_sections(row))
        for row in columns.ordered_rows(case.rows)
    ]
    return {
        "case": case,
        "headline": one_line(case.headline) or headlines.headline(case),
        "lines": lines,
        "placed": [line for line in lines if line.row.kind != "reference"],
        "furthest": [line for line in lines if line.row.furthest],
        "judged": [line for line in lines if line.row.kind == "method"],
        "columns": table,
        "best": [best.best_cells(one) for one in best.best_of(case)],
        "best_heads": best.BEST_HEADS,
        "best_note": best.BEST_NOTE,
        # Each table has the groups of its own columns: what no row has a number for is left out of it.
        "behaviour": behaviour,
        "accuracy": accuracy,
        "grouped": bool(columns.group_heads(case.rows)),
        "measures": measures.measure_tables(case.rows),
        "small": any(not group.in_verdict for row in case.rows for group in row.groups.values()),
        "legend": _legend(case.rows),
        "map_legend": _legend([row for row in case.rows if row.xy is not None]),
        "off_map": _off_map(case),
        "charts": charts,
        "panels": regions.panels(case),
        "marks": [] if case.plane is None else regions.marks(case.plane),
        "class_colours": [] if case.plane is None else regions.class_colours(case.plane),
        "null_warning": words.null_warning(case),
        "not_drawn": words.not_drawn_words(case.geometry),
        "margin": words.margin_words(case.margin),
        "attainable": words.attainable_words(case.geometry, case.margin),
        "not_measured": columns.not_measured(case),
        "definition": toml_text(case.case),
    }


def _pictures(result: Result) -> list[dict[str, str]]:
    """Pictures of the examples of each case by their number, until their room on the page is spent."""
    room, pictures = _PICTURES_MOST, [{} for _ in result.cases]
    for held, case in zip(pictures, result.cases, strict=True):
        for number, example in enumerate(case.examples):
            if is_png_address(example.image) and len(example.image) <= room:
                room -= len(example.image)
                held[str(number)] = example.image
    return pictures


def _folded(views: Sequence[dict[str, Any]], pictures: Sequence[dict[str, str]]) -> dict[str, list[list[str]]]:
    """What stands behind a line that is opened, as HTML: it is most of a page, and few of its lines are opened."""
    inside, furthest = page_template("inside.html.j2"), page_template("furthest.html.j2")
    return {
        "inside": [[inside(row=line.row, line=line) for line in view["judged"]] for view in views],
        "furthest": [
            [furthest(lines=view["furthest"], examples=view["case"].examples, pictures={int(k) for k in held})]
            for view, held in zip(views, pictures, strict=True)
        ],
    }


def _specs(spec: dict[str, Any]) -> list[str]:
    """The spec of each case, as a file that `unweave compare` takes: it holds one case, beside what all share."""
    cases = spec.get("cases")
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        return [toml_text(spec)]
    shared = {key: value for key, value in spec.items() if key != "cases"}
    return [toml_text({**shared, **case}) for case in cases]


def render_page(result: Result) -> str:
    """Draw a result as one HTML page that makes no request of any kind.

    Styles, scripts and data stand in the page; its policy allows these blocks by their hashes and nothing
    else. Headline, verdicts and the tables of probe groups are there without JavaScript; the charts are drawn,
    and the tests behind a verdict unfolded, by it.

    Args:
        result: what was measured; headlines that are empty are made from the numbers.

    Returns:
        The whole page, to be written as UTF-8.
    """
    from markupsafe import Markup

    drawn = [case_charts(case) for case in result.cases]
    frame = shared_frame(drawn)
    charts = [
        {**one, "map": one["map"] and {**one["map"], "frame": frame}, "trades": trade_charts(case)}
        for one, case in zip(drawn, result.cases, strict=True)
    ]
    views = [_view(case, chart) for case, chart in zip(result.cases, charts, strict=True)]
    pictures = _pictures(result)
    scripts = [page_file(name) for name in ("vendor/d3.min.js", "vendor/plot.min.js", "charts.js", "page.js")]
    style = page_file("page.css")
    licences = "\n".join(page_file(f"vendor/LICENSE-{name}") for name in ("d3", "plot"))
    provenance = result.provenance
    return page_template("page.html.j2")(
        headline=one_line(result.headline) or headlines.headline_result(result.cases),
        views=views,
        provenance=provenance,
        schema=result.schema,
        stages=best.stages_of([row for case in result.cases for row in case.rows]),
        specs=_specs(provenance.spec),
        how_to_read=words.HOW_TO_READ,
        policy=Markup(page_policy(scripts, style)),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        data=Markup(packed({"charts": charts, "pictures": pictures, **_folded(views, pictures)})),
        licences=licences,
    )


def result_html(result: Result) -> str:
    """Draw a result as a compact HTML fragment: headline and verdict tables, without scripts.

    Args:
        result: what was measured.

    Returns:
        HTML for a notebook's output cell; all text from data is escaped.
    """
    views = [_view(case, {}) for case in result.cases]
    headline = one_line(result.headline) or headlines.headline_result(result.cases)
    return page_template("fragment.html.j2")(headline=headline, views=views)
