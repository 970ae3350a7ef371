"""`unweave diagnose`: files, exit codes, and that it can be run again."""

import json
from pathlib import Path

import pytest

SMALL = (
    "--models",
    "20",
    "--set=learner.epochs=1",
    "--set=references.models=3",
    "--set=probes.limit=40",
    "--workers=1",
)


def test_it_writes_a_page_and_json_and_trains_nothing_twice(invoke):
    done = invoke(
        "diagnose", "--case", "digits-mislabel", *SMALL, "--use", "mislabelled", "--out", "out", "--json", "d.json"
    )
    assert done.exit_code == 0, done.output
    assert "mean memorization" in done.stdout and "Page: file://" in done.stdout
    tree = json.loads(Path("out/diagnosis.json").read_text())
    assert tree == json.loads(Path("d.json").read_text()) and tree["schema"] == "unweave.diagnosis/1"
    assert tree["cost"]["models_trained"] == 20 + 9 and tree["aim"] == "untraining"
    page = Path("out/diagnosis.html").read_text()
    assert page.startswith("<!doctype html>")
    drawn = invoke("report", "d.json", "--out", "again.html")
    assert drawn.exit_code == 0 and "mean memorization" in drawn.stdout
    assert Path("again.html").read_text() == page
    again = invoke("diagnose", "--case", "digits-mislabel", *SMALL, "--out", "out", "--quiet")
    assert (again.exit_code, again.stdout) == (0, "")
    assert json.loads(Path("out/diagnosis.json").read_text())["cost"]["models_trained"] == 0
    listed = invoke("store", "ls")
    assert "subset answers" in listed.output and invoke("store", "verify").exit_code == 0


def test_proxies_and_methods_are_in_the_terminal_the_page_and_the_file(invoke):
    asked = ("--proxies", "confidence,datainf", "--methods", "noop,gradient_ascent")
    done = invoke("diagnose", "--case", "digits-mislabel", *SMALL, *asked, "--out", "out")
    assert done.exit_code == 0, done.output
    assert "Cheap proxies of memorization" in done.stdout and "Methods tried on the originals" in done.stdout
    tree = json.loads(Path("out/diagnosis.json").read_text())
    assert [one["name"] for one in tree["proxies"]] == ["confidence", "datainf"]
    assert [one["method"] for one in tree["tried"]] == ["noop", "gradient_ascent"]
    assert [one["aim"] for one in tree["cheapest"]] == ["untraining", "unlearning"]
    page = Path("out/diagnosis.html").read_text()
    assert "datainf" in page and "gradient_ascent" in page and tree["cheapest"][0]["text"].split(" (")[0] in page
    assert "proxies" in invoke("store", "ls").output and invoke("store", "verify").exit_code == 0
    Path("ids.txt").write_text("3\n")
    assert invoke("store", "purge", "--forget-ids", "ids.txt").exit_code == 0
    assert "proxies" not in invoke("store", "ls").output


def test_who_is_forgotten_is_forgotten_here_too(invoke):
    assert invoke("diagnose", *SMALL, "--quiet", "--out", "out").exit_code == 0
    Path("ids.txt").write_text("3\n")
    done = invoke("store", "purge", "--forget-ids", "ids.txt")
    assert done.exit_code == 0, done.output
    assert "subset answers" not in invoke("store", "ls").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--use", "privcy"), "Unknown use `privcy`. Did you mean `privacy`"),
        (("--models", "2"), "`models` is 2; expected at least 20"),
        (("--share", "0"), "`share` is 0.0; expected a part of D"),
        (("--together", "groups.csv"), "`together` is 'groups.csv'; expected `copies`, or a file"),
        (("--case", "digits-mislable"), "Did you mean"),
        (("--json", "."), "it is a folder"),
        (("--seed", "1", "--set", "seed=2"), "Give --seed or --set seed=…, not both."),
        (("--proxies", "trac"), "Did you mean"),
        (("--proxies", ", "), "--proxies is empty"),
        (("--methods", "nop"), "Did you mean"),
        (("--methods", "noop", "--set", "methods=['noop']"), "Give --methods or --set methods=…, not both."),
        (("--workers", "1", "--set", "workers = 2"), "Give --workers or --set workers=…, not both."),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing_behind(invoke, options, message):
    done = invoke("diagnose", *options, "--out", "out")
    assert done.exit_code == 2 and message in done.stderr
    assert not Path(".unweave").exists() and not Path("runs").exists()
