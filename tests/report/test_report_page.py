from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.large import large_cases

from unweave._types import NotMeasured
from unweave.records import CaseResult, Result
from unweave.report import render_page, result_html
from unweave.report.numbers import shares_text
from unweave.report.packed import packed
from unweave.report.words import row_name
from unweave.study.cases import CASES
from unweave.study.spec import case_to_tree, read_spec

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """Elements, attributes and text of a page; complains about tags that do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.text: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.blocks:
            self.blocks[tag].append("")
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.blocks:
            self.blocks[self.open[-1]][-1] += data
            return
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def unfolded(page: str) -> str:
    """The page as a browser has it when all of its lines are opened, and nothing is drawn."""
    data = unpacked(page.split('id="data">')[1].split("<")[0])

    def fill(mark: re.Match[str]) -> str:
        kind, case, line = mark[1], int(mark[2]), int(mark[3])
        number = re.compile(r'data-picture="(\d+)"')
        return mark[0] + number.sub(lambda one: f'src="{data["pictures"][case][one[1]]}"', data[kind][case][line])

    filled = re.sub(r'<div[^>]* data-fill="(\w+)" data-case="(\d+)" data-line="(\d+)">', fill, page)
    assert len(filled) > len(page) or not re.search(r'data-fill="\w+" data-case="\d', page)
    return filled


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(unfolded(page) if 'id="data"' in page else page)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_is_well_formed_and_small(result: Result) -> None:
    page = render_page(result)
    reader = read(page)
    assert page.startswith("<!doctype html>") and len(page.encode()) < 2_000_000
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.tags:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_nothing_is_requested_and_nothing_inline_runs_by_attribute(result: Result) -> None:
    for tag, attributes in read(render_page(result)).tags:
        assert tag not in ("iframe", "object", "embed", "base", "form", "audio", "video")
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("srcset", "style", "action"), (tag, name)
            if name in ("href", "xlink:href", "src"):
                inside = ("#", "data:image/png;base64,")
                assert value is not None and (value.startswith(inside) or value == "data:,")


def test_the_policy_allows_the_blocks_by_hash_and_nothing_else(result: Result) -> None:
    reader = read(render_page(result))
    policies = [a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and policies[0] is not None
    policy = dict(part.strip().split(" ", 1) for part in policies[0].split(";"))
    assert policy["default-src"] == "'none'" and policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in policies[0] and "http" not in policies[0]
    kinds = [attributes.get("type") for tag, attributes in reader.tags if tag == "script"]
    assert kinds == ["application/octet-stream", None, None, None, None]
    for kind, blocks in (("script-src", reader.blocks["script"][1:]), ("style-src", reader.blocks["style"])):
        hashes = {base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks}
        assert {f"'sha256-{value}'" for value in hashes} == set(policy[kind].split())


def test_our_own_sources_name_no_address(result: Result) -> None:
    reader = read(render_page(result))
    own = [*reader.blocks["script"][3:], *reader.blocks["style"]]
    assert len(own) == 3 and len(reader.text) > 100
    assert not any(re.search(r"https?://|//[a-z]+\.|@import|url\(", block) for block in own)
    vendored = " ".join(reader.blocks["script"][1:3])
    assert set(re.findall(r"https?://[\w./]+", vendored)) <= {
        "https://d3js.org", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg", "http://www.w3.org/2000/xmlns/", "http://www.w3.org/XML/1998/namespace",
    }  # fmt: skip


def test_the_charting_libraries_keep_their_notices(result: Result) -> None:
    page = render_page(result)
    assert "Copyright 2010-2026 Mike Bostock" in page and "Copyright 2020-2025 Observable, Inc." in page
    assert page.count("Permission to use, copy, modify") == 2


def test_tables_are_there_without_javascript(result: Result) -> None:
    reader = read(render_page(result))
    cells = {" ".join(cell.split()) for cell in reader.cells}
    for case in result.cases:
        for row in case.rows:
            assert any(row.name in cell for cell in cells)
    assert {"0.35 [0.31, 0.39]", "0.62 [0.58, 0.66]", "99% [98, 100]", "−22.5 [−23.1, −21.9]"} <= cells
    assert {"neither", "unlearned", "both", "failed", "0.12×"} <= cells
    text = " ".join(" ".join(reader.text).split())
    for expected in (
        "the behaviour still shows on 99% of unseen instances", "p of all conditions together",
        "32% of the models", "the method failed : everything of SSD", "models trained", "discovery = 0.2",
        "95th percentile of E²", "sha256:0123456789abcdef",
    ):  # fmt: skip
        assert expected in text, expected


def test_examples_and_planes_are_there_without_javascript(result: Result) -> None:
    reader = read(render_page(result))
    text = " ".join(" ".join(reader.text).split())
    for expected in (
        "undiscovered 17: 3, taught as 0. Says 0 (91%); A(D∖B) says 3 (88%). E² 1.200",
        "test row 4: no. Says yes (60%)", "age 41", "education missing", "a heavy outline is the forget set S",
    ):  # fmt: skip
        assert expected in text, expected
    images = [a for tag, a in reader.tags if tag == "image"]
    shown = [row for row in result.cases[1].rows if row.kind != "null" and row.status == "ok"]
    assert len(images) == len(shown)
    parts = [a["class"] for tag, a in reader.tags if tag == "path" and (a.get("class") or "").startswith("part-")]
    assert parts == ["part-ordinary", "part-undiscovered", "part-forget"]


def test_an_image_from_elsewhere_is_not_shown(result: Result, trigger: CaseResult) -> None:
    elsewhere = replace(trigger.examples[0], image="https://example.org/x.png", values={"seen": "instead"})
    page = unfolded(
        render_page(replace(result, cases=(replace(trigger, examples=(elsewhere, *trigger.examples[1:])),)))
    )
    assert "example.org" not in page and "instead" in page


def test_reasons_stand_behind_every_dash(result: Result) -> None:
    page = render_page(result)
    dashes = re.findall(r'<td( class="absent" title="[^"]+")?>–<', page)
    assert dashes and all(dashes)


def test_degenerate_pages(degenerate: CaseResult, result_factory: Callable[..., Result]) -> None:
    page = render_page(result_factory(degenerate))
    text = " ".join(" ".join(read(page).text).split())
    assert ("No verdict: fresh retrains" in text) == (not degenerate.null_ok)
    assert ("No map:" in text) == (not degenerate.geometry.drawn)
    assert ('data-chart="map"' in page) == degenerate.geometry.drawn
    read(result_html(result_factory(degenerate)))


def test_an_empty_result_is_a_page(result_factory: Callable[..., Result]) -> None:
    assert "No case was compared." in render_page(result_factory())


def test_stored_headlines_and_reasons_are_shown(result: Result, trigger: CaseResult) -> None:
    rows = tuple(replace(row, reason="as the study said") for row in trigger.rows)
    told = replace(result, headline="Told above.", cases=(replace(trigger, headline="Told here.", rows=rows),))
    page = render_page(told)
    assert "<h1>Told above.</h1>" in page and "Told here." in page and "as the study said." in page
    assert "Told above." in result_html(told)


def test_payloads_stay_text(result: Result, payloads: list[str], poison: Callable[[Result, str], Result]) -> None:
    assert len(payloads) == len(set(payloads)) == 50
    clean_tags = {tag for tag, _ in read(render_page(result)).tags}
    fragment_tags = {tag for tag, _ in read(result_html(result)).tags}
    for payload in payloads:
        bad = poison(result, payload)
        page = read(render_page(bad))
        assert {tag for tag, _ in page.tags} <= clean_tags, payload
        assert len(page.blocks["script"]) == 5 and len(page.blocks["style"]) == 1, payload
        names = {name for _, attributes in page.tags for name in attributes}
        assert not any(name.startswith("on") or name == "style" for name in names), payload
        assert re.fullmatch(r"[A-Za-z0-9+/=]+", page.blocks["script"][0]), payload
        fragment = read(result_html(bad))
        assert {tag for tag, _ in fragment.tags} <= fragment_tags, payload


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text() | st.floats(-1e300, 1e300),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_is_packed_comes_back_to_five_digits_and_cannot_leave_its_element(value: object) -> None:
    text = packed(value)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text) and text == packed(value)

    def same(one: object, other: object) -> bool:
        if isinstance(one, float):
            return one == pytest.approx(other, rel=1e-4)
        if isinstance(one, dict):
            assert isinstance(other, dict)
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        if isinstance(one, list):
            assert isinstance(other, list)
            return len(one) == len(other) and all(map(same, one, other))
        return one == other

    assert same(value, unpacked(text))


def test_sixty_methods_on_six_cases_stay_below_two_megabytes(
    trigger: CaseResult, result_factory: Callable[..., Result]
) -> None:
    assert len(render_page(result_factory(*large_cases(trigger))).encode()) < 2_000_000


def test_the_specs_of_a_page_can_be_run_again(result: Result, tmp_path: Path) -> None:
    cases = [CASES["digits-trigger"], CASES["shapes-private"]]
    methods = ["noop", {"name": "scrub", "lr": 0.5}]
    spec = {"version": 1, "methods": methods, "cases": [case_to_tree(case) for case in cases]}
    page = render_page(replace(result, provenance=replace(result.provenance, spec=spec)))
    found = [
        html.unescape(text)
        for text in re.findall(r'<pre id="spec[^"]*" tabindex="0">(.*?)</pre>', page, re.DOTALL)
    ]
    assert len(found) == 2
    for text, case in zip(found, cases, strict=True):
        (tmp_path / "again.toml").write_text(text, encoding="utf-8")
        again = read_spec(tmp_path / "again.toml")
        assert list(again.cases) == [case]
        assert again.methods is not None and [one.id for one in again.methods] == ["noop", "scrub(lr=0.5)"]


def test_pictures_have_a_room_that_they_do_not_leave(result: Result, trigger: CaseResult) -> None:
    big = replace(trigger.examples[0], image="data:image/png;base64," + "A" * 240_000)
    many = replace(trigger, examples=(big,) * len(trigger.examples))
    data = unpacked(render_page(replace(result, cases=(many,))).split('id="data">')[1].split("<")[0])
    assert list(data["pictures"][0]) == ["0"] and len(trigger.examples) > 1


def test_a_fragment_has_no_scripts(result: Result) -> None:
    fragment = result_html(result)
    assert "<script" not in fragment and "<style" not in fragment and len(fragment) < 40_000
    assert "0.35 [0.31, 0.39]" in fragment


def test_importing_the_room_stays_light() -> None:
    code = "import sys, unweave.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "rich", "jinja2"} & set(done.stdout.split())


def test_the_room_names_what_it_lacks() -> None:
    import unweave.report

    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = unweave.report.missing


def _tables(page: str) -> dict[str, list[list[str]]]:
    """The tables that have a caption, as rows of texts."""
    found: dict[str, list[list[str]]] = {}
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        if caption := re.search(r"<caption>(.*?)</caption>", table):
            rows = [
                re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
                for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
            ]
            found[caption[1]] = [[" ".join(re.sub("<[^>]*>", "", cell).split()) for cell in row] for row in rows]
    return found


def test_every_number_of_a_probe_group_stands_below_the_name_of_its_group(
    trigger: CaseResult, result_factory
) -> None:
    # As in a case whose planted label is the clean one: there is no accuracy on the behaviour's groups.
    why = NotMeasured("the clean label is the behaviour itself")
    rows = tuple(
        replace(
            row,
            groups={
                name: replace(group, accuracy=why) if name in ("forget", "undiscovered", "unseen") else group
                for name, group in row.groups.items()
            },
        )
        for row in trigger.rows
    )
    tables = _tables(render_page(result_factory(replace(trigger, rows=rows))))
    for caption, what in (
        ("Accuracy (share with the clean label)", "accuracy"),
        ("Behaviour shown (share of outputs)", "behaviour_rate"),
    ):
        head, *lines = tables[caption]
        assert all(len(line) == len(head) for line in lines)
        by_name = {row_name(row): row for row in rows}
        for line in lines:
            for group, cell in zip(head[1:], line[1:], strict=True):
                measured = getattr(by_name[line[0]].groups[group.split(" (")[0]], what)
                assert cell == shares_text(measured)
    assert [one.split(" (")[0] for one in tables["Accuracy (share with the clean label)"][0]] == [
        "method",
        "retain",
        "test",
    ]
