"""`unweave erase`: what it prints and writes, how a record is redone, and what stops it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.study.erasing import digests, ids_of, save_model, tiny

from unweave.records import from_json
from unweave.records.erasure import Erasure

SPEC = """
[data]
source = "digits"
limit = 200
[forget]
ids = {ids}
[learner]
name = "mlp"
width = 8
epochs = 3
lr = 0.3
checkpoint = "model.safetensors"
[probes]
limit = 40
"""
PLAIN = ("--aim", "untraining", "--models", "0", "--out", "out")


@pytest.fixture
def spec(empty_folder):
    save_model(tiny(empty_folder))
    file = empty_folder / "my.toml"
    file.write_text(SPEC.format(ids=list(ids_of(3))))
    return file


def refused(done, said, folder, left):
    assert done.exit_code == 2, (done.output, done.exception)
    assert re.search(said, done.stderr), done.stderr
    assert done.stderr.startswith("Error: ") and len(done.stderr.strip().splitlines()) == 1
    assert digests(folder) == left


def test_a_request(invoke, spec, tmp_path):
    before = digests(tmp_path)
    done = invoke("erase", "my.toml", *PLAIN, "--json", "record.json")
    assert done.exit_code == 0, done.output
    after = digests(tmp_path)
    assert {name: after[name] for name in before} == before
    assert done.stdout.startswith("The model was trained anew without 3 of 200 examples (untraining).\n")
    assert "Accuracy on S (3): " in done.stdout and "Still to be deleted" in done.stdout
    said = "· Recipe: learning rate 0.3, epochs 3, batch size 64, momentum 0.9, weight decay 0, schedule linear, "
    said += "optimiser sgd. Not given, so taken as usual: batch size, momentum, weight decay, schedule, optimiser"
    assert said in " ".join(done.stdout.split())
    assert "Model: out/0001/model.safetensors" in done.stdout
    assert "Record: out/0001/record.json" in done.stdout
    assert (tmp_path / "record.json").read_text() == (tmp_path / "out" / "0001" / "record.json").read_text()
    record = from_json(Erasure, (tmp_path / "record.json").read_text())
    assert record.status == "erased" and record.provenance["recipe"]["momentum"] == 0.9
    assert "lr" not in record.provenance["recipe_not_given"]


def test_the_first_line_of_a_spec_redoes_its_record(run, spec, tmp_path):
    assert run("erase", "my.toml", *PLAIN, "--quiet").returncode == 0
    request = tmp_path / "second.csv"
    request.write_text("id\n" + "".join(f"{one}\n" for one in ids_of(2, 3)))
    done = run("erase", "my.toml", *PLAIN, "--request", "second.csv", "--method", "scrub")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "0002"
    line = (folder / "request.toml").read_text().splitlines()[0]
    _, _, command = line.partition("again: ")
    words = shlex.split(command.replace("NEW_FOLDER", "../../again"))
    again = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    made = tmp_path / "again" / "0001" / "model.safetensors"
    assert made.read_bytes() == (folder / "model.safetensors").read_bytes()
    record = from_json(Erasure, (tmp_path / "again" / "0001" / "record.json").read_text())
    assert record.case["data"]["without"] == list(ids_of(3))


def test_ids_that_are_not_there_are_dropped_of_a_request(invoke, spec, tmp_path):
    spec.write_text(spec.read_text().replace("[forget]\n", "").replace(f"ids = {list(ids_of(3))}\n", ""))
    (tmp_path / "asked.txt").write_text("".join(f"{one}\n" for one in [*ids_of(3), 99999]))
    asked = ("erase", "my.toml", "--request", "asked.txt", *PLAIN)
    assert "--allow-unknown" in invoke(*asked).stderr
    done = invoke(*asked, "--allow-unknown")
    assert done.exit_code == 0, done.output
    record = from_json(Erasure, (tmp_path / "out" / "0001" / "record.json").read_text())
    assert record.case["forget"]["ids"] == list(ids_of(3)) and "99999" in done.output


def test_out_of_the_spec_and_by_default(invoke, spec, tmp_path):
    assert invoke("erase", "my.toml", *PLAIN[:-2], "--quiet").exit_code == 0
    assert (tmp_path / "erased" / "0001").is_dir()
    spec.write_text('out = "mine"\n' + spec.read_text())
    assert invoke("erase", "my.toml", *PLAIN[:-2], "--quiet").exit_code == 0
    assert (tmp_path / "mine" / "0001").is_dir()


def test_quiet_says_nothing(invoke, spec):
    done = invoke("erase", "my.toml", *PLAIN, "--quiet")
    assert done.exit_code == 0 and done.stdout == ""


def test_nothing_to_erase_is_said(invoke, tmp_path, monkeypatch):
    from unweave.study import erase

    monkeypatch.setattr(erase, "_consult", lambda *given: ("no-op", "Untraining is a no-op: nobody would tell."))
    save_model(tiny(tmp_path))
    (tmp_path / "my.toml").write_text(SPEC.format(ids=list(ids_of(3))))
    done = invoke("erase", "my.toml", "--aim", "untraining", "--out", "out")
    assert done.exit_code == 0 and "nothing to erase" in done.stdout and "Model:" not in done.stdout
    assert not list(tmp_path.rglob("out/*/model*"))
    assert invoke("erase", "my.toml", "--aim", "untraining", "--out", "out", "--anyway").exit_code == 0
    assert (tmp_path / "out" / "0002" / "model.safetensors").exists()


def test_the_aim_has_to_be_stated(run, spec, tmp_path):
    before = digests(tmp_path)
    done = run("erase", "my.toml", "--out", "out")
    assert done.returncode == 2 and "--aim" in done.stderr and "Traceback" not in done.stderr
    assert digests(tmp_path) == before


REFUSED = {
    "aim": (("--aim", "forgetting"), "--aim is 'forgetting'; expected untraining .* or unlearning"),
    "models": (("--models", "5"), "--models is 5; expected at least 20, or 0"),
    "unknown method": (("--method", "skrub"), "Unknown method `skrub`. Did you mean `scrub`"),
    "no request": (("--request", "gone.csv"), r"Cannot read the request gone\.csv: No such file"),
    "unknown ids": (("--set", "forget.ids=[99999]"), "1 of 1 forget ids are not in the training data"),
    "no ids": (("--set", "forget.ids=[]"), "forget set has 0 examples; nothing to remove"),
    "behaviour in a request of ids": (("--set", "forget.ids=[true]"), r"`forget\.ids` holds True"),
    "a method twice": (
        ("--method", "scrub", "--set", 'methods=["npo"]'),
        "--method or `methods` in the spec, not",
    ),
    "methods": (("--set", 'methods=["scrub", "npo"]'), "names 2 methods; `erase` runs one"),
    "device": (("--set", "device=cuda"), "`device` is cuda; `erase` edits one model on the CPU"),
    "budget": (("--set", "fair.cost=0.1"), "`fair` compares methods at budgets"),
    "checkpoint": (("--set", "learner.checkpoint=gone.pt"), r"Cannot read the checkpoint gone\.pt"),
    "architecture": (("--set", "learner.width=9"), r"shape \[8, 64\]; the learner of the spec expects \[9, 64\]"),
    "outside": (("--set", "forget.outside=true"), "forget.outside"),
    "json": (("--json", "."), r"Cannot write \.: it is a folder"),
    "long": (("--out", "x" * 300), "File name too long"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_writes_nothing(invoke, spec, tmp_path, what):
    options, said = REFUSED[what]
    before = digests(tmp_path)
    refused(invoke("erase", "my.toml", *PLAIN, *options), said, tmp_path, before)


def test_no_case_and_no_ids(invoke, tmp_path):
    refused(invoke("erase", *PLAIN), "No case: give a file SPEC.toml", tmp_path, {})
    refused(invoke("erase", "--case", "digits-trigger", *PLAIN), "`forget.ids` is missing", tmp_path, {})


def test_a_method_that_diverges(invoke, spec, tmp_path):
    before = digests(tmp_path)
    options = ("--set", 'methods=[{name="finetune", lr=1e25}]')
    done = invoke("erase", "my.toml", *PLAIN, *options)
    said, error = done.stderr.splitlines()
    assert done.exit_code == 2 and said.startswith("Request 1: 3 of 200 examples, by finetune(lr=1e+25)")
    assert error.startswith("Error: ") and "The method diverged" in error
    assert digests(tmp_path) == before


def test_a_large_request(invoke, spec, tmp_path):
    ids = ("--set", f"forget.ids={list(ids_of(30))}")
    before = digests(tmp_path)
    refused(
        invoke("erase", "my.toml", *PLAIN, *ids), "for 15% of the training data.* say --confirm", tmp_path, before
    )
    done = invoke("erase", "my.toml", *PLAIN, *ids, "--confirm")
    assert done.exit_code == 0 and "This is a large request: 15% of the training data." in done.stderr


def test_a_manifest_needs_no_behaviour(invoke, empty_folder):
    """It is what a request is written from, so nothing is named yet."""
    rows = "".join(f"r{k},{k % 7},{k % 2}\n" for k in range(60))
    (empty_folder / "t.csv").write_text("id,x,y\n" + rows)
    data = '[data]\nsource = "csv"\npath = "t.csv"\nlabel = "y"\nid_column = "id"\ntest = 0.5\n'
    (empty_folder / "t.toml").write_text(data)
    done = invoke("cases", "t.toml", "--manifest")
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 31, done.output
    refused = invoke("cases", "t.toml")
    assert (
        refused.exit_code == 2
        and "Give another `behaviour.kind`" in refused.stderr
        and "`forget.ids`" in refused.stderr
    )


def test_unknown_ids_of_a_request_are_dropped_where_that_is_allowed(invoke, spec, tmp_path):
    (tmp_path / "request.csv").write_text("kunden_id\n" + "".join(f"{one}\n" for one in (*ids_of(2), 99999)))
    before, ask = digests(tmp_path), ("--request", "request.csv")
    said = r"holds 'kunden_id', but the ids of these data are whole numbers.* looks like a line of names"
    refused(invoke("erase", "my.toml", *PLAIN, *ask), said, tmp_path, before)
    (tmp_path / "request.csv").write_text("".join(f"{one}\n" for one in (*ids_of(2), 99999)))
    done = invoke("erase", "my.toml", *PLAIN, *ask, "--allow-unknown")
    assert done.exit_code == 0, done.output
    assert "are not in the training data were dropped (1): 99999." in done.stdout.replace("\n", " ")


def test_a_manifest_becomes_a_request(invoke, spec, tmp_path):
    manifest = invoke("cases", "my.toml", "--manifest").stdout
    lines = manifest.splitlines()
    assert lines[0] == "id,sha256" and len(lines) == 201
    (tmp_path / "request.csv").write_text("\n".join([lines[0], *lines[11:14]]) + "\n")
    done = invoke("erase", "my.toml", *PLAIN, "--request", "request.csv", "--json", "record.json")
    assert done.exit_code == 0, done.output
    asked = [int(line.partition(",")[0]) for line in lines[11:14]]
    assert json.loads((tmp_path / "record.json").read_text())["case"]["forget"]["ids"] == asked
    (tmp_path / "request.csv").write_text(
        "\n".join([lines[0], lines[20].partition(",")[0] + "," + "0" * 64]) + "\n"
    )
    before = digests(tmp_path)
    done = invoke("erase", "my.toml", *PLAIN, "--request", "request.csv")
    refused(done, "1 of 1 records of the request have other content", tmp_path, before)


def test_a_killed_command_leaves_nothing_and_works_again(tmp_path, spec):
    hook = (
        "import os, signal, sys\n"
        "def hook(event, given):\n"
        "    if event == 'os.rename' and '.0001.' in str(given[0]) and not str(given[0]).endswith('}'):\n"
        "        seen.append(event)\n"
        "        if len(seen) == int(os.environ['AT']): os.kill(os.getpid(), signal.SIGKILL)\n"
        "seen = []\n"
        "sys.addaudithook(hook)\n"
        "from unweave.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", hook, "erase", "my.toml", *PLAIN, "--quiet"]
    for number in (1, 4):
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "AT": str(number)}, timeout=120)
        assert done.returncode == -signal.SIGKILL
        assert not (tmp_path / "out" / "0001").exists() and list((tmp_path / "out").iterdir())
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "AT": "0"}, timeout=120)
    assert done.returncode == 0
    assert sorted(one.name for one in (tmp_path / "out" / "0001").iterdir()) == [
        "model.safetensors", "record.json", "request.toml",
    ]  # fmt: skip


GUARD = """
import socket, sys
def refuse(self, address, real=socket.socket.connect):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        raise AssertionError(f"something called {address}")
    return real(self, address)
def nobody(*given, **more):
    raise AssertionError("something looked up a name")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = nobody
sys.addaudithook(lambda event, given: nobody() if event == "socket.getaddrinfo" or (
    event == "socket.connect" and getattr(given[0], "family", 0) in (socket.AF_INET, socket.AF_INET6)) else None)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["erase", "my.toml", "--aim", "untraining", "--models", "20", "--out", "out", "--store", "store"],
        ["compare", "--help"],
        ["erase", "--help"],
    ],
)
def test_nothing_is_asked_of_a_network(spec, tmp_path, arguments):
    """Workers too: the guard stands in what every process of Python reads when it begins."""
    folder = tmp_path / "guard"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(GUARD)
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[2] / "src")])
    command = [sys.executable, "-m", "unweave", *arguments]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    tried = "import socket; socket.create_connection(('127.0.0.1', 9))"
    control = subprocess.run([sys.executable, "-c", tried], env=environment, capture_output=True, text=True)
    assert "something" in control.stderr
