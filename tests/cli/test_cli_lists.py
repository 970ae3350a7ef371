"""`unweave list` and `unweave cases`: what there is, on the screen and as JSON."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

from unweave.language.corpora.behaviours import BEHAVIOURS
from unweave.study import CASES, assemble, case_to_tree, read_spec
from unweave.study.corpora import CORPORA

WHOLE = [name for name in CASES if name != "tofu"]
"""Cases that are there as they stand; that on TOFU needs a checkpoint, and has tests of its own."""
MEASUREMENT = {"for untraining", "for unlearning", "needs", "good", "unit", "bounds", "source"}
KINDS = {
    "methods": {"family", "authors' aim", "needs", "defaults", "source"},
    "metrics": MEASUREMENT,
    "attacks": MEASUREMENT,
    "behaviours": {
        "members",
        "planted label",
        "clean label",
        "unseen instances",
        "regularity",
        "parameters",
        "source",
    },
    "learners": {"parameters", "recipe", "takes"},
    "data": {"shape", "source"},
}


def _registry(kind):
    from unweave.attacks import ATTACKS
    from unweave.data import SOURCES
    from unweave.learners import LEARNERS
    from unweave.methods import METHODS
    from unweave.metrics import METRICS
    from unweave.problem import BEHAVIOURS

    return {
        "methods": METHODS,
        "metrics": METRICS,
        "attacks": ATTACKS,
        "behaviours": BEHAVIOURS,
        "learners": LEARNERS,
        "data": SOURCES,
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_thing_is_listed_with_what_it_declares(invoke, tmp_path, kind):
    done = invoke("list", kind, "--json", "list.json")
    assert done.exit_code == 0 and not done.stderr
    entries = json.loads((tmp_path / "list.json").read_text())
    corpora = list(CORPORA) if kind == "data" else []
    assert [one["name"] for one in entries] == [*_registry(kind).names(), *corpora]
    for one in entries:
        assert KINDS[kind] <= set(one) and one["what"].strip() and one["name"] in done.stdout
        assert one["what"].split()[0] in done.stdout


def test_behaviours_of_corpora_are_listed_and_each_makes_a_case(invoke, tmp_path):
    done = invoke("list", "corpora", "--json", "list.json")
    entries = json.loads((tmp_path / "list.json").read_text())
    assert done.exit_code == 0 and {one["data"] for one in entries} == set(CORPORA)
    names = [one["name"] for one in entries if one["data"] == "biographies"]
    assert names == BEHAVIOURS.names() and all(one["what"].strip() for one in entries)


def test_scores_of_rum_are_listed_as_a_name_takes_them(invoke, tmp_path):
    from unweave.methods import METHODS

    done = invoke("list", "scores", "--json", "list.json")
    entries = json.loads((tmp_path / "list.json").read_text())
    assert done.exit_code == 0 and {"memorization", "learning", "shuffled"} <= {one["name"] for one in entries}
    for one in entries:
        assert METHODS.get(f"noop / npo by {one['name']}").by == one["name"] and one["name"] in done.stdout


def test_a_refusal_is_listed_with_its_reason(invoke):
    shown = " ".join(invoke("list", "attacks").stdout.split())
    assert "Membership inference on S says nothing about unlearning" in shown
    shown = " ".join(invoke("list", "metrics").stdout.split())
    assert "refused: A(D∖S) is the reference of untraining and only a competitor for unlearning" in shown


def test_equations_are_printed_as_they_are(invoke):
    shown = invoke("list", "methods").stdout.replace("\n", " ")
    for entry in _registry("methods"):
        assert entry.declared.equation.split()[0] in shown


def test_cases_are_listed_with_their_notes(invoke, tmp_path):
    done = invoke("cases", "--json", "cases.json")
    assert done.exit_code == 0
    trees = json.loads((tmp_path / "cases.json").read_text())
    assert list(trees) == list(CASES)
    for name, case in CASES.items():
        assert trees[name] == case_to_tree(case) and name in done.stdout and case.behaviour.kind in done.stdout


@pytest.mark.parametrize("name", WHOLE)
def test_a_printed_case_is_a_spec_of_the_same_case(invoke, tmp_path, need_data, name):
    need_data(CASES[name].data.source)
    done = invoke("cases", name, "--json", "case.json")
    assert done.exit_code == 0
    (tmp_path / "any.toml").write_text(done.stdout, encoding="utf-8")
    assert read_spec(tmp_path / "any.toml").cases == (CASES[name],)
    assert tomllib.loads(done.stdout)["version"] == 1
    assert json.loads((tmp_path / "case.json").read_text()) == case_to_tree(CASES[name])


@pytest.mark.parametrize(
    "setting",
    [
        """name='it is "so" \\ 猫'""",
        "forget.ids=[22, 24]",
        "learner.lr=1e-5",
        "learner.schedule=cosine",
        "privacy=true",
        "data.test=0.25",
    ],
)
def test_a_changed_case_is_printed_with_its_changes(invoke, tmp_path, setting):
    done = invoke("cases", "digits-trigger", "--set", setting)
    assert done.exit_code == 0, done.output
    (tmp_path / "any.toml").write_text(done.stdout, encoding="utf-8")
    wanted = read_spec(cases=["digits-trigger"], settings=[setting]).cases
    assert read_spec(tmp_path / "any.toml").cases == wanted != (CASES["digits-trigger"],)


@pytest.mark.parametrize("name", WHOLE)
def test_members_are_the_ids_of_b(invoke, tmp_path, need_data, name):
    need_data(CASES[name].data.source)
    done = invoke("cases", name, "--members", "--json", "ids.json")
    assembly = assemble(CASES[name])
    ids = assembly.setting.ids[assembly.planted.members].tolist()
    assert json.loads((tmp_path / "ids.json").read_text()) == ids
    assert done.stdout.splitlines() == [str(one) for one in ids]
    assert len(ids) == (CASES[name].behaviour.size or len(ids))
    assert len(assembly.forget) < len(ids) or name == "shapes-all"  # there S is all of B


def test_members_follow_the_settings(invoke):
    done = invoke("cases", "digits-trigger", "--members", "--set", "behaviour.size=7", "--set", "forget.count=2")
    assert len(done.stdout.split()) == 7


def test_a_reader_who_has_seen_enough_is_no_bug(tmp_path):
    # `unweave list methods | head -1`: the pipe is closed while there is more to say.
    command = [sys.executable, "-m", "unweave", "list", "methods"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1 and said == b""


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
@pytest.mark.parametrize(
    "command", [["cases"], ["list", "methods"], ["compare", "--help"], ["list", "methods", "--json", "-"]]
)
def test_a_terminal_that_takes_few_letters_ends_nothing(tmp_path, encoding, command):
    """Letters it has not are escaped; what is JSON is the same as anywhere else."""
    done = subprocess.run(
        [sys.executable, "-m", "unweave", *command],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if "--json" in command:
        assert "γ" in done.stdout.decode() and json.loads(done.stdout)
    else:
        assert done.stdout and (b"\\u" in done.stdout or command != ["list", "methods"])
