"""The page of a discovery in a real browser: what a person answers is what the saved files hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.chromium import BROWSER, DRIVER, started

from unweave._types import NotMeasured
from unweave.records.diagnosis import Shown
from unweave.records.discovery import DISCOVERY_SCHEMA, Candidate, Discovery, Promise
from unweave.report.discovery import discovery_page
from unweave.report.png import png_address
from unweave.study.id_files import ids_of_option

WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
WEIRD = '"><img src=x onerror=alert(1)>'

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH"),
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver on PATH"),
]


def candidate(place: int, name: str) -> Candidate:
    picture = png_address(bytes([place * 20]), 1, 1, colours=False)
    return Candidate(Shown(name, "7", picture), 1 - place / 100, place, place <= 6)


def discovery() -> Discovery:
    names = [*(f"x{place}" for place in range(1, 9)), WEIRD]
    shown = tuple(candidate(place, name) for place, name in enumerate(names, 1))
    promise = Promise(0.9, "mean", 0.9, 9, 9, 0.5, "holds", ("S is a random part of B.",))
    none = NotMeasured("too few")
    cost = {"retrainings": 6.0, "models": 11.0, "models_trained": 0.0, "seconds": 1.0}
    return Discovery(
        DISCOVERY_SCHEMA, "a case", "6 of 9 are flagged", {"name": "a case"}, "expansion", 1, 18, 9, (), 9, 6,
        promise, none, none, None, shown, (), cost,
        {"unweave": "0"}, questions=shown[4:6],
    )  # fmt: skip


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[object]:
    page = tmp_path / "discovery.html"
    page.write_text(discovery_page(discovery()), encoding="utf-8")
    with started(tmp_path / "profile") as driver:
        saved = {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", saved)
        driver.get(page.as_uri())
        yield driver


def answer(browser, name: str, value: str) -> None:
    script = """for (const one of document.querySelectorAll("fieldset[data-id]"))
        if (one.dataset.id === arguments[0]) one.querySelector(`input[value=${arguments[1]}]`).click()"""
    browser.execute_script(script, name, value)


def saved(browser, folder: Path, name: str) -> str:
    browser.execute_script("document.querySelector(`[data-save=${arguments[0]}]`).click()", name)
    path = folder / f"{name}.txt"
    WebDriverWait(browser, 30, 0.05).until(lambda _: path.is_file() and path.stat().st_size)
    return path.read_text(encoding="utf-8")


def test_what_is_answered_is_what_is_saved_and_nothing_is_fetched(browser, tmp_path: Path) -> None:
    for name, value in (("x2", "yes"), ("x5", "no"), ("x3", "yes"), ("x8", "no"), (WEIRD, "yes"), ("x3", "no")):
        answer(browser, name, value)
    told = "return document.getElementById('count').textContent"
    assert browser.execute_script(told) == "2 confirmed, 3 rejected, 4 open"
    assert saved(browser, tmp_path / "saved", "confirmed").splitlines() == ["x2", WEIRD]
    # In the order of the page: the questions stand first.
    assert saved(browser, tmp_path / "saved", "rejected").splitlines() == ["x5", "x3", "x8"]
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [one for one in asked if not one.startswith(("data:", "blob:"))] == []
    assert browser.get_log("browser") == []


def test_ids_with_marks_of_direction_and_line_breaks_are_saved_as_they_are(tmp_path: Path) -> None:
    names = ["x\u200fy", "a\u202eb", 'of two\nlines, and "signs"']
    shown = tuple(candidate(place, name) for place, name in enumerate(names, 1))
    page = tmp_path / "discovery.html"
    text = discovery_page(replace(discovery(), shown=shown, questions=()))
    page.write_text(text, encoding="utf-8")
    assert not any(one in text for one in "\u200f\u202e")
    with started(tmp_path / "profile") as driver:
        behaviour = {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        driver.get(page.as_uri())
        for name, value in zip(names, ("yes", "yes", "no"), strict=True):
            answer(driver, name, value)
        files = {name: saved(driver, tmp_path / "saved", name) for name in ("confirmed", "rejected")}
    assert files["confirmed"] == "".join(f"{name}\n" for name in names[:2])
    for name, expected in (("confirmed", names[:2]), ("rejected", names[2:])):
        assert ids_of_option(str(tmp_path / "saved" / f"{name}.txt")) == expected


def test_every_candidate_is_asked_about_once_with_its_picture(browser) -> None:
    script = """return [...document.querySelectorAll("fieldset[data-id]")].map(
        f => [f.dataset.id, f.querySelector("img").naturalWidth, f.querySelectorAll("input").length])"""
    found = browser.execute_script(script)
    assert sorted(one[0] for one in found) == sorted(one.example.id for one in discovery().shown)
    assert [one[1:] for one in found] == [[1, 2]] * 9
    first = "return [...document.querySelectorAll('#questions fieldset')].map(f => f.dataset.id)"
    assert browser.execute_script(first) == ["x5", "x6"]
    below = (
        "return [...document.querySelectorAll('legend')].filter(l => /below the cut/.test(l.textContent)).length"
    )
    assert browser.execute_script(below) == 3
