"""`unweave discover`: files, exit codes, and the next round from what was confirmed."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

SMALL = (
    *("--set", "data.limit=300", "--set", "behaviour.size=40", "--set", "learner.epochs=5"),
    *("--models", "2", "--workers", "1"),
)


def test_discover_writes_its_files_and_goes_on_from_what_was_confirmed(invoke):
    asked = ("discover", "--case", "digits-trigger", *SMALL, "--set", "forget.discovery=0.5")
    done = invoke(*asked, "--out", "out", "--json", "d.json")
    assert done.exit_code == 0, done.output
    found = json.loads(Path("d.json").read_text())
    assert found["schema"] == "unweave.discovery/1" and found["truth"]["members"] == 20
    assert "flagged" in done.output and "discovery.html" in done.output
    rows = list(csv.DictReader(StringIO(Path("out/candidates.csv").read_text())))
    assert len(rows) == 280 and Path("out/discovery.json").read_text() == Path("d.json").read_text()
    drawn = invoke("report", "out", "--out", "again.html")
    assert drawn.exit_code == 0 and found["headline"] in drawn.stdout
    assert Path("again.html").read_text() == Path("out/discovery.html").read_text()
    Path("confirmed.txt").write_text("".join(f"{row['id']}\n" for row in rows[:3]))
    again = invoke(*asked, "--confirmed", "confirmed.txt", "--out", "out2", "--quiet")
    assert again.exit_code == 0 and again.output == ""
    found = json.loads(Path("out2/discovery.json").read_text())
    assert len(found["confirmed"]) == 3 and found["promise"]["status"] == "void"
    told = ("--rejected", f"{rows[-1]['id']}, {rows[-2]['id']}", "--ask", "4")
    asked_again = invoke(*asked, *told, "--out", "out3")
    assert asked_again.exit_code == 0 and "Look at these next" in asked_again.output
    third = json.loads(Path("out3/discovery.json").read_text())
    assert len(third["rejected"]) == 2 and len(third["questions"]) == 4 and third["candidates"] == 278
    assert found["cost"]["models_trained"] == 0


def test_bad_options_are_refused_before_anything_is_written(invoke):
    for given, message in (
        (("--method", "kn"), "Did you mean `knn`"),
        (("--confidence", "90"), "expected mean or 95"),
        (("--target", "1.5"), "expected a recall"),
        (("--confirmed", ","), "holds no id"),
        (("--rejected", ","), "--rejected"),
    ):
        done = invoke("discover", *SMALL, *given, "--out", "bad")
        assert done.exit_code == 2 and message in done.output
    assert not Path("bad").exists()
