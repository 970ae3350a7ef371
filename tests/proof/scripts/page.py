"""How long a headless chromium draws the largest page: sixty methods on six cases."""

import json
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from selenium.webdriver.support.ui import WebDriverWait
from tests.report.chromium import started
from tests.report.conftest import make_result, trigger_case
from tests.report.large import large_cases

from unweave.report import render_page

LOADS = 14
WATCH = """
window.seen = {};
new MutationObserver(() => { window.seen[document.documentElement.dataset.drawn] = performance.now(); })
  .observe(document, {subtree: true, attributes: true, attributeFilter: ["data-drawn"]});
"""


def main(target: str) -> None:
    """Load the page many times and write when its maps and all charts were drawn, in seconds from the request."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(render_page(make_result(*large_cases(trigger_case()))), encoding="utf-8")
        loads = []
        with started(Path(folder) / "profile") as driver:
            driver.set_window_size(1440, 900)
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
            for _ in range(LOADS):
                driver.get("about:blank")
                driver.get(page.as_uri())
                WebDriverWait(driver, 60, 0.1).until(lambda one: one.execute_script("return window.seen.all"))
                loads.append(driver.execute_script("return window.seen"))
        record = {
            name: {"median": median(times), "least": min(times), "most": max(times)}
            for name in ("maps", "all")
            for times in [[one[name] / 1000 for one in loads]]
        } | {"bytes": page.stat().st_size, "loads": LOADS}
    Path(target).write_text(json.dumps(record), encoding="utf-8")
    print(record)


if __name__ == "__main__":
    main(*sys.argv[1:])
