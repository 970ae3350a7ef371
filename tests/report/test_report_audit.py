"""The page of an audit: what it says, that it runs nothing and asks for nothing, in both schemes of colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tests.report.chromium import BROWSER, DRIVER, started

from unweave._types import Estimate, NotMeasured
from unweave.records.audit import Audit, AuditCheck, Finding, Procedure, Quantiles, Utility, Version
from unweave.report.audit import audit_page, print_audit

NULL = Quantiles(0.07, 0.08, 0.09, 64)


def made(*, name: str = "by hand", edited: float = 0.5) -> Audit:
    """An audit by hand: distinguishable from A(D∖S), and B is not declared."""
    check = AuditCheck(
        "outputs", "untraining", "forget", "mean distance of the probabilities",
        edited, 0.52, NULL, 31.0, 1 / 65, 1 / 65, True, True, 1,
    )  # fmt: skip
    return Audit(
        schema="unweave.audit/1",
        name=name,
        headline="Untraining: distinguishable; unlearning: inconclusive.",
        case={"case": {"name": name}},
        alpha=0.05,
        forget=20,
        behaviour=None,
        verdicts={"untraining": "distinguishable", "unlearning": "inconclusive"},
        findings=(
            Finding("untraining", "distinguishable", "it lies farther", 1 / 65, 1 / 65, 64, 20, 1, False),
            Finding("unlearning", "inconclusive", f"{name} not declared", None, None, 0, 0, None, False),
        ),
        checks=(check,),
        utility=(Utility("test", 318, 0.94, 0.93, {"untraining": Quantiles(0.93, 0.94, 0.96, 64)}),),
        versions=Version(
            0.61, Quantiles(0.9, 0.95, 1.0, 64), {"forget": 0.02}, 0.03, Quantiles(0.1, 0.2, 0.3, 64)
        ),
        relearned={"original": (0.4, 0.15), "edited": (0.38, 0.15)},
        recipe_p=0.4,
        unanswered=("What is not known.",),
        warnings=(f"A warning of {name}.",),
        files={"original": "a" * 64, "edited": "b" * 64},
        retrained=(),
        procedure=Procedure(
            "scrub",
            "neither",
            "missed",
            "not measured",
            Estimate(0.66, 0.6, 0.7, 32),
            NotMeasured("B"),
            32,
            "p.html",
        ),
        cost={"models": 148.0, "models_trained": 0.0, "seconds": 5.0},
        provenance={"unweave": "0"},
    )


def test_the_page_says_verdicts_checks_and_what_the_method_was_found_to_do():
    page = audit_page(made())
    for said in ("untraining: distinguishable", "p = 0.015", "0.070 … 0.090", "scrub on 32 originals", "0.66"):
        assert said in page
    assert "<script" not in page and "training on D∖S alone" in page and "moved by 0.030" in page
    console = Console(width=80, record=True)
    print_audit(console, made())
    told = console.export_text()
    assert "flagged" in told and max(map(len, told.splitlines())) <= 80


def test_names_cannot_bring_code_along():
    bad = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    page = audit_page(made(name=bad))
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    pytest.importorskip("selenium.webdriver")
    with started(tmp_path_factory.mktemp("p")) as driver:
        yield driver


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="no chromium or chromedriver on PATH")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_browser_shows_it_without_a_script_or_a_request(browser, tmp_path: Path, scheme: str, width: int):
    (tmp_path / "audit.html").write_text(audit_page(made()), encoding="utf-8")
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get((tmp_path / "audit.html").as_uri())
    assert browser.get_log("browser") == []
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    assert browser.execute_script("return document.scripts.length") == 0
    scroll, client = browser.execute_script(
        "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
    )
    assert scroll <= client <= width
    ink, paper = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    assert ink != paper
