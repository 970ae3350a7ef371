"""`unweave audit`: files, terminal, exit codes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unweave.learners.nets import build
from unweave.study import assemble, read_spec
from unweave.training.engine import many, unstack

CASE = (
    "--case",
    "digits-mislabel",
    "--set=data.limit=400",
    "--set=behaviour.size=60",
    "--set=forget.discovery=0.5",
    "--set=learner.epochs=30",
    "--set=learner.lr=0.3",
)
SMALL = ("--references", "19", "--fresh", "3", "--workers=1")


@pytest.fixture
def models(empty_folder: Path) -> Path:
    """`original` and `edited` in the folder of the test."""
    settings = [one.removeprefix("--set=") for one in CASE[2:]]
    assembly = assemble(read_spec(cases=["digits-mislabel"], settings=settings).cases[0])
    setting = assembly.setting
    x, y = (torch.from_numpy(one) for one in (setting.x, setting.y))
    for seed, (name, world) in enumerate([("original", "original"), ("edited", "untrained")]):
        rows = assembly.worlds[world].rows
        one = unstack(many(build(setting.learner), x, y, rows=[rows], keys=[seed]))[0]
        save_file({k: value.contiguous() for k, value in one.params.items()}, f"{name}.safetensors")
    return empty_folder


def test_it_writes_a_page_and_json_and_trains_nothing_twice(invoke, models):
    given = (*CASE, "--set=learner.checkpoint=original.safetensors", "--edited", "edited.safetensors")
    done = invoke("audit", *given, *SMALL, "--out", "out", "--json", "a.json")
    assert done.exit_code == 0, done.output
    assert "Untraining: not distinguishable; unlearning: distinguishable." in done.stdout
    for said in ("Checks against A(D∖S)", "Checks against A(D∖B)", "Utility", "Page: file://"):
        assert said in done.stdout
    assert "no p-value can be below 0.050" in done.stderr
    tree = json.loads(Path("out/audit.json").read_text())
    assert tree == json.loads(Path("a.json").read_text()) and tree["schema"] == "unweave.audit/1"
    assert tree["verdicts"] == {"untraining": "not distinguishable", "unlearning": "distinguishable"}
    assert tree["checks"] and tree["cost"]["models_trained"] == 63
    drawn = invoke("report", "out", "--out", "again.html")
    assert drawn.exit_code == 0 and "Checks against A(D∖S)" in drawn.stdout
    assert Path("again.html").read_text() == Path("out/audit.html").read_text()
    again = invoke("audit", *given, *SMALL, "--out", "out", "--quiet")
    assert (again.exit_code, again.stdout) == (0, "")
    second = json.loads(Path("out/audit.json").read_text())
    assert second.pop("cost")["models_trained"] == 0
    tree.pop("cost")
    assert second == tree
    more = invoke("audit", *given, *SMALL, "--set=references.models=3", "--procedure", "noop", "--out", "out")
    assert more.exit_code == 0, more.output
    assert "Procedure: noop on 3 originals" in more.stdout.replace("\n", " ")
    assert Path("out/procedure/report.html").exists()
    assert 'href="procedure/report.html"' in Path("out/audit.html").read_text()
    assert json.loads(Path("out/audit.json").read_text())["procedure"]["page"] == "procedure/report.html"


def test_without_a_recipe_there_is_no_verdict_and_the_two_models_are_compared(invoke, models):
    given = ("--case", "digits-mislabel", *CASE[2:5], "--set=learner.checkpoint=original.safetensors")
    done = invoke("audit", *given, "--edited", "edited.safetensors", "--retrained", "edited.safetensors")
    assert done.exit_code == 2 and "is the edited model once more" in done.stderr
    done = invoke("audit", *given, "--edited", "edited.safetensors", "--out", "out")
    assert done.exit_code == 0, done.output
    assert "No verdict will be given" in done.stderr
    assert "Untraining: inconclusive; unlearning: inconclusive." in done.stdout
    assert "Who holds both versions" in done.stdout
    assert not Path(".unweave").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "`learner.checkpoint` is missing"),
        (("--references", "2"), "--references is 2; expected 0, or 3 to 10,000."),
        (("--set=learner.checkpoint=none.safetensors",), "Cannot read the checkpoint none.safetensors"),
        (("--procedure", "scrubb"), "Did you mean"),
        (("--seed", "1", "--set", "seed=2"), "Give --seed or --set seed=…, not both."),
        (("--json", "."), "`learner.checkpoint` is missing"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing_behind(invoke, options, message):
    done = invoke("audit", *CASE, "--edited", "edited.safetensors", *options, "--out", "out")
    assert done.exit_code == 2 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not Path(".unweave").exists() and not Path("out").exists()
