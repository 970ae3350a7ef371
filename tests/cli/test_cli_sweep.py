"""`unweave sweep`: files, exit codes, and bad input before anything is trained."""

import json
import re
from pathlib import Path

import pytest

SMALL = (
    *("--models", "3", "--workers", "1", "--methods", "noop", "--discovery", ".3,.6"),
    *("--set=learner.epochs=1", "--set=probes.limit=40"),
)


def test_it_writes_a_page_a_table_and_json_and_trains_nothing_twice(invoke):
    asked = ("sweep", "--behaviour", "mislabel,trigger", *SMALL, "--out", "out")
    done = invoke(*asked, "--json", "s.json")
    assert done.exit_code == 0, done.output
    assert "Share of the gap closed" in done.stdout and "Page: file://" in done.stdout
    tree = json.loads(Path("s.json").read_text())
    assert tree == json.loads(Path("out/sweep.json").read_text()) and tree["schema"] == "unweave.sweep/1"
    assert [cell["behaviour"] for cell in tree["cells"]] == ["mislabel"] * 2 + ["trigger"] * 2
    assert {"mean", "by_discovery", "by_behaviour"} <= set(tree["gap_closed"]["noop"])
    assert len(Path("out/cells.csv").read_text().splitlines()) == 1 + 4 * 6
    drawn = invoke("report", "s.json", "--out", "again.html")
    assert drawn.exit_code == 0 and "Share of the gap closed" in drawn.stdout
    assert Path("again.html").read_text() == Path("out/sweep.html").read_text()
    again = invoke(*asked, "--quiet")
    assert (again.exit_code, again.stdout) == (0, "")
    assert json.loads(Path("out/sweep.json").read_text())["provenance"]["models_trained"] == 0


def test_selections_are_told_apart_and_advice_takes_a_price(invoke):
    asked = ("--behaviour", "mislabel", "--selection", "random,easiest", "--cost-per-example", "0.5")
    done = invoke("sweep", *asked, *SMALL, "--out", "out")
    assert done.exit_code == 0, done.output
    tree = json.loads(Path("out/sweep.json").read_text())
    assert tree["advice"]["cost_per_example"] == 0.5 == tree["axes"]["cost_per_example"]
    assert tree["advice"]["margin"] == 0.05
    places = {(one["selection"], one["discovery"]) for one in tree["advice"]["advice"] if one["leading"]}
    assert places == {("random", 0.3), ("random", 0.6), ("easiest", 0.3), ("easiest", 0.6)}
    assert {one["selection"] for one in tree["selections"]} == {"easiest"}
    page = Path("out/sweep.html").read_text()
    for said in ("What to do next", "What the choice of S costs", "by how S was found"):
        assert said in done.stdout and said in page
    assert "Survival of the behaviour against γ" in done.stdout
    assert "Worth of one more discovered example" in page


def test_the_page_has_heat_maps_and_curves_and_no_script(invoke):
    done = invoke("sweep", "--case", "digits-trigger", *SMALL, "--out", "out", "--quiet")
    assert done.exit_code == 0, done.output
    page = Path("out/sweep.html").read_text()
    assert page.startswith("<!doctype html>") and "<script" not in page
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page
    assert "r_B, S random" in page and "Survival of the behaviour against γ" in page
    assert not re.search(r"https?://", page.replace("http://www.w3.org", ""))


def test_a_preset_takes_its_cases_and_the_axes_as_given(invoke):
    done = invoke(
        "sweep", "--preset", "discovery", "--quick", "--behaviour", "trigger", *SMALL, "--json", "s.json"
    )
    assert done.exit_code == 0, done.output
    cells = json.loads(Path("s.json").read_text())["cells"]
    assert [(cell["case"], cell["discovery"]) for cell in cells] == [
        ("digits-trigger", 0.3),
        ("digits-trigger", 0.6),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--behaviour", "mislable"), "Did you mean `mislabel`"),
        (("--discovery", "a"), "--discovery holds 'a'"),
        (("--discovery", "2"), "expected shares"),
        (("--selection", "randon"), "Did you mean `random`"),
        (("--models", "2"), "`sweep.models` is 2"),
        (("--methods", "nop"), "Did you mean `noop`"),
        (("--preset", "discovry"), "Did you mean `discovery`"),
        (("--quick",), "--quick belongs to --preset"),
        (("--preset", "discovery", "--case", "digits-trigger"), "A preset has cases of its own"),
        (("--models", "4", "--set", "sweep.models=5"), "not both"),
        (("--case", "shapes"), "`forget.ids`"),
        (("--set", "sweep.discovry=[0.1]"), "Did you mean `discovery`"),
        (("--cost-per-example", "0"), "`sweep.cost_per_example` is 0.0; expected a number of retrainings above 0"),
        (("--cost-per-example", "1", "--set", "sweep.cost_per_example=2"), "not both"),
        (("--set", "sweep.margin=1.5"), "`sweep.margin` is 1.5; expected a difference of scores"),
        (("--set", "fair.cost=0.1"), "leave out `fair`"),
        (("--set", 'measures=["tow"]'), "leave out `measures`"),
        (("--set", "data.source=nowhere"), "Unknown data source"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_trained(invoke, arguments, said):
    done = invoke("sweep", *arguments)
    assert done.exit_code == 2
    assert said in done.output and done.output.count("Error: ") == 1
    assert not list(Path().rglob("*.safetensors"))
