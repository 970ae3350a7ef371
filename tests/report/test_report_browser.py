"""The page in a real browser: charts, tooltips, widths, and payloads that must stay text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.chromium import BROWSER, DRIVER, started

from unweave.records import CaseResult, Result
from unweave.report import render_page
from unweave.report.trades import trade_charts

WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH"),
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver on PATH"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with started(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def show(browser, tmp_path: Path) -> Callable[..., None]:
    def open_page(result: Result, *, width: int = 1440, scheme: str = "light") -> None:
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page = tmp_path / "page.html"
        page.write_text(render_page(result), encoding="utf-8")
        browser.get_log("browser")
        browser.get(page.as_uri())
        drawn = "return document.documentElement.dataset.drawn"
        WebDriverWait(browser, 30, 0.02).until(lambda _: browser.execute_script(drawn) == "all")
        assert browser.get_log("browser") == []

    return open_page


def dots_of(browser, number: int) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(d => d.dataset.row)"
    return browser.execute_script(script, f'[data-chart="map"][data-case="{number}"] .dot')


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_map_has_one_mark_per_row_with_a_place(browser, show, result: Result, width: int, scheme: str) -> None:
    show(result, width=width, scheme=scheme)
    for number, case in enumerate(result.cases):
        assert sorted(dots_of(browser, number)) == sorted(row.id for row in case.rows if row.xy is not None)
    blank = "return [...document.querySelectorAll('.chart')].filter(c => !c.querySelector('svg')).length"
    assert browser.execute_script(blank) == 0
    size = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth, document.body.scrollWidth]"
    scroll, client, body = browser.execute_script(size)
    assert scroll <= client <= width and body <= client


def test_colours_of_marks_follow_the_label_in_both_schemes(browser, show, mislabel, result_factory) -> None:
    seen = []
    for scheme in ("light", "dark"):
        show(result_factory(mislabel), scheme=scheme)
        script = """return Object.fromEntries([...document.querySelectorAll('[data-chart="map"] .dot')].map(
            d => [d.dataset.row, getComputedStyle(d).fill]))"""
        fills = browser.execute_script(script)
        assert fills["fine-tuning-default"] != fills["DELETE-default"] != fills["relabel by hand-default"]
        seen.append(fills)
    assert seen[0]["fine-tuning-default"] == "rgb(0, 114, 178)"
    assert seen[0] != seen[1]


def test_hover_and_keyboard_show_the_row(browser, show, trigger: CaseResult, result_factory) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    show(result_factory(trigger))
    tip = browser.find_element("id", "tip")
    assert not tip.is_displayed()
    dot = browser.find_element("css selector", '.dot[data-row="DELETE-default"]')
    ActionChains(browser).move_to_element(dot).perform()
    assert tip.is_displayed()
    assert "DELETE" in tip.text and "0.35 [0.31, 0.39]" in tip.text and "31% of unseen instances" in tip.text
    ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
    assert not tip.is_displayed()
    browser.execute_script("arguments[0].focus()", dot)
    assert tip.is_displayed() and dot.get_attribute("tabindex") == "0"
    assert "DELETE" in dot.get_attribute("aria-label")
    browser.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert not tip.is_displayed()


def test_trades_have_a_mark_per_row_and_tell_it(browser, show, trigger: CaseResult, result_factory) -> None:
    show(result_factory(trigger))
    charts = trade_charts(trigger)
    for number, chart in enumerate(charts):
        dots = browser.find_elements("css selector", f'[data-trade="{number}"] .dot')
        assert len(dots) == len(chart["points"]) > 1
    browser.execute_script("arguments[0].focus()", dots[0])
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed() and chart["points"][0]["name"] in tip.text


def test_one_case_can_be_shown_alone(browser, show, result: Result) -> None:
    show(result)
    shown = "return [...document.querySelectorAll('section.case')].map(s => s.checkVisibility())"
    assert browser.execute_script(shown) == [True, True]
    second = browser.find_element("css selector", '[data-show="1"]')
    browser.execute_script("arguments[0].click()", second)
    assert browser.execute_script(shown) == [False, True] and second.get_attribute("aria-pressed") == "true"
    assert browser.execute_script("return document.querySelector('[data-case=\"1\"] svg').clientWidth") > 600
    browser.execute_script("document.querySelector('[data-show=all]').click()")
    assert browser.execute_script(shown) == [True, True]


def test_maps_of_all_cases_have_one_scale(browser, show, result: Result) -> None:
    show(result)
    script = """return [...document.querySelectorAll('[data-chart="map"]')].map(chart => {
      const at = t => [...chart.querySelectorAll('[aria-label="x-axis tick label"] text')].find(
        e => e.textContent === t).getBoundingClientRect().x;
      return Math.round(at('1') - at('0'));
    })"""
    one, other = browser.execute_script(script)
    assert one == other > 50


def test_planes_and_pictures_are_drawn(browser, show, result: Result) -> None:
    show(result)
    for line in browser.find_elements("css selector", "details:has([data-fill='furthest']) > summary"):
        line.click()
    loaded = "return [...document.querySelectorAll('.examples img')].map(i => i.complete && i.naturalWidth)"
    WebDriverWait(browser, 10).until(lambda _: set(browser.execute_script(loaded)) == {1})
    sizes = "return [...document.querySelectorAll('.plane image')].map(i => i.getBBox().width)"
    assert set(browser.execute_script(sizes)) == {100}


def test_a_line_unfolds_the_tests_behind_its_verdict(browser, show, result: Result) -> None:
    show(result)
    line = browser.find_element("css selector", "details:has([data-fill='inside'])")
    assert "Damage on ordinary data" not in line.get_attribute("textContent")
    line.find_element("css selector", "summary").click()
    WebDriverWait(browser, 10).until(lambda _: "Damage on ordinary data" in line.text)


def test_all_is_drawn_and_unfolded_before_it_is_printed(browser, show, result: Result) -> None:
    show(result)
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    empty = "return [...document.querySelectorAll('[data-fill], .chart')].filter(e => !e.childNodes.length).length"
    assert browser.execute_script(empty) == 0


def test_sixty_methods_on_six_cases_are_all_drawn(browser, show, trigger, result_factory) -> None:
    methods = [row for row in trigger.rows if row.kind == "method" and row.status == "ok"]
    many = tuple(
        replace(row, id=f"{row.name} {k}", name=f"{row.name} {k}")
        for k, row in enumerate([methods[i % len(methods)] for i in range(60)])
    )
    others = tuple(row for row in trigger.rows if row.kind != "method")
    cases = [replace(trigger, name=f"case {k}", rows=(*others, *many)) for k in range(6)]
    show(result_factory(*cases))
    assert len(browser.find_elements("css selector", '[data-chart="map"] .dot')) == 6 * sum(
        row.xy is not None for row in cases[0].rows
    )


def test_degenerate_cases_draw_without_errors(browser, show, degenerate: CaseResult, result_factory) -> None:
    show(result_factory(degenerate))
    maps = browser.find_elements("css selector", '[data-chart="map"] svg')
    assert len(maps) == int(degenerate.geometry.drawn)


def test_far_points_are_marked_inside_the_frame(browser, show, mislabel: CaseResult, result_factory) -> None:
    show(result_factory(mislabel))
    script = """const frame = document.querySelector('[data-chart="map"] svg').getBoundingClientRect();
        return [...document.querySelectorAll('[data-chart="map"] .dot')].every(d => {
          const b = d.getBoundingClientRect();
          return b.left >= frame.left && b.right <= frame.right && b.top >= frame.top && b.bottom <= frame.bottom;
        })"""
    assert browser.execute_script(script)
    texts = browser.execute_script("return document.querySelector('[data-chart=\"map\"] svg').textContent")
    assert "(0.90, 5.00)" in texts and "gradient ascent" in texts


def test_payloads_raise_no_dialog(browser, show, result: Result, payloads: list[str], poison) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    for payload in payloads:
        bad = poison(result, payload)
        show(bad)
        with pytest.raises(NoAlertPresentException):
            _ = browser.switch_to.alert.text
        assert browser.execute_script("return document.querySelectorAll('script').length") == 5
        assert len(dots_of(browser, 0)) == sum(row.xy is not None for row in bad.cases[0].rows)


def test_the_page_asks_for_nothing(browser, show, result: Result) -> None:
    show(result)
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def test_the_spec_can_be_copied(browser, show, result: Result) -> None:
    show(result)
    button = browser.find_element("css selector", "[data-copy]")
    assert button.is_displayed()
    assert "discovery = 0.2" in browser.find_element("id", "spec").text


def test_one_budget_at_a_time(show, browser, trigger, result_factory):
    """Rows, words and points of the other budgets are hidden; what is no method stays."""
    methods = [row for row in trigger.rows if row.kind == "method" and row.stage == "default"]
    worlds = [row for row in trigger.rows if row.kind != "method"]
    more = [
        replace(row, id=f"{row.name} @ rise 0.05", name=f"{row.name} @ rise 0.05", stage="equal_rise", budget=0.05)
        for row in methods
    ]
    show(result_factory(replace(trigger, rows=(*worlds, *methods, *more))))
    shown = "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).length"
    placed = len([row for row in worlds if row.kind != "reference"])

    def counts() -> list[int]:
        places = (".verdicts tbody tr", "section.case details[data-stage]", "[data-chart=map] .dot")
        return [browser.execute_script(shown, place) for place in places]

    dots = len([row for row in worlds if row.xy is not None and row.kind != "reference"])
    each = len([row for row in methods if row.xy is not None])
    one = [placed + len(methods), len(methods), dots + each]
    assert counts() == one
    first, second, both = browser.find_elements("css selector", "[data-stages]")
    second.click()
    assert counts() == one and second.get_attribute("aria-pressed") == "true"
    names = "return [...document.querySelectorAll('[data-chart=map] .dot')].map((dot) => dot.ariaLabel).join()"
    assert "@ rise 0.05" in browser.execute_script(names)
    both.click()
    assert counts() == [placed + 2 * len(methods), 2 * len(methods), dots + 2 * each]
    first.click()
    assert "@ rise 0.05" not in browser.execute_script(names)
