"""What options such as `--json` may write over, and what goes to standard output."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.study.erasing import digests, ids_of, save_model, tiny

TABLE = "id,x,note,y\n" + "".join(f"r{k},{k % 7},n{k},{k % 2}\n" for k in range(400))
SPEC = """
[data]
source = "digits"
limit = 200
[forget]
ids = {ids}
[learner]
width = 8
epochs = 3
lr = 0.3
checkpoint = "model.safetensors"
[probes]
limit = 40
"""


@pytest.fixture
def folder(empty_folder):
    """A model, its spec, a table, and other files that nobody would want to lose."""
    save_model(tiny(empty_folder))
    (empty_folder / "my.toml").write_text(SPEC.format(ids=list(ids_of(3))))
    (empty_folder / "t.csv").write_text(TABLE)
    data = '[data]\nsource = "csv"\npath = "t.csv"\nlabel = "y"\nid_column = "id"\ntest = 0.5\n'
    (empty_folder / "t.toml").write_text(data)
    torch.save({"a": torch.ones(2)}, empty_folder / "other.pt")
    np.save(empty_folder / "numbers.npy", np.arange(3))
    (empty_folder / "link.json").symlink_to("model.safetensors")
    return empty_folder


ERASE = ("erase", "my.toml", "--aim", "untraining", "--models", "0", "--out", "out")


@pytest.mark.parametrize("file", ["model.safetensors", "other.pt", "numbers.npy", "t.csv", "my.toml", "link.json"])
@pytest.mark.parametrize(
    "command",
    [
        ERASE,
        ("cases", "t.toml", "--manifest"),
        ("cases",),
        ("list", "methods"),
        ("compare", "--case", "digits-trigger", "--out", "out", "--store", "out/s"),
        ("store", "ls", "--store", "nowhere"),
        ("store", "purge", "--forget-ids", "3", "--store", "nowhere"),
    ],
)
def test_json_replaces_nothing_but_json(invoke, folder, command, file):
    before = digests(folder)
    done = invoke(*command, "--json", file)
    assert done.exit_code == 2 and f"{file} exists and holds no JSON of unweave" in done.stderr, done.output
    left = digests(folder)
    assert {name: left[name] for name in before} == before and not (folder / "out" / "0001").exists()


def test_json_replaces_json_and_what_is_empty(invoke, folder):
    for content in ('{"old": 1}', "[1, 2]\n", ""):
        (folder / "a.json").write_text(content)
        assert invoke("cases", "t.toml", "--features", "--json", "a.json").exit_code == 0
        assert json.loads((folder / "a.json").read_text())["features"]
    (folder / "a.json").write_text('{"cut": ')
    assert invoke("cases", "t.toml", "--features", "--json", "a.json").exit_code == 2


def test_a_page_replaces_nothing_but_a_page(invoke, folder, finished):
    record = str(finished / "out")
    for name in ("model.safetensors", "t.csv"):
        before = digests(folder)
        done = invoke("report", record, "--out", name)
        assert done.exit_code == 2 and f"{name} exists and holds no page of unweave" in done.stderr
        assert digests(folder) == before
    (folder / "own.html").write_text("<!doctype html><title>mine</title>")
    assert invoke("report", record, "--out", "own.html").exit_code == 2
    for _ in range(2):
        assert invoke("report", record, "--out", "new.html", "--quiet").exit_code == 0


@pytest.mark.parametrize(
    "command",
    [
        ERASE,
        ("cases", "t.toml", "--manifest"),
        ("cases", "t.toml", "--features"),
        ("cases", "digits-trigger"),
        ("cases", "digits-trigger", "--members"),
        ("cases",),
        ("list", "learners"),
    ],
)
def test_standard_output_holds_json_alone(invoke, folder, command):
    done = invoke(*command, "--json", "-")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)
    assert not (folder / "-").exists()


def test_manifest_and_features_as_json(invoke, folder):
    text = invoke("cases", "t.toml", "--manifest", "--json", "m.json").stdout.splitlines()[1:]
    found = json.loads((folder / "m.json").read_text())
    assert [f"{one['id']},{one['sha256']}" for one in found] == text and len(text) == 200
    lines = invoke("cases", "t.toml", "--features", "--json", "f.json").stdout.splitlines()
    named = json.loads((folder / "f.json").read_text())
    said = [f"feature {place}: {name}" for place, name in enumerate(named["features"])]
    assert said == lines[: len(said)]
    assert named["classes"] == ["0", "1"] and list(named["left_out"]) == ["note"]


def test_a_log_that_is_none_of_ours_is_not_replaced(invoke, folder):
    (folder / "out").mkdir()
    for content in ("my own notes\n", '{"other": 1}\n', "[1]\n"):
        (folder / "out" / "requests.jsonl").write_text(content)
        done = invoke(*ERASE)
        assert done.exit_code == 2 and "requests.jsonl would be replaced, and it is no log" in done.stderr
        assert (folder / "out" / "requests.jsonl").read_text() == content
    (folder / "out" / "requests.jsonl").write_text("\n")
    assert invoke(*ERASE).exit_code == 0


def test_an_audit_is_not_put_in_the_place_of_another(invoke, folder):
    save_file({"0.weight": torch.zeros(1)}, folder / "unused.safetensors")
    assert invoke(*ERASE).exit_code == 0
    audit = ("audit", "my.toml", "--references", "0", "--fresh", "0", "--out", "a", "--quiet")
    assert invoke(*audit, "--edited", "out/0001/model.safetensors").exit_code == 0
    first = digests(folder / "a")
    done = invoke(*audit, "--edited", "model.safetensors")
    assert done.exit_code == 2 and "a holds the audit of model.safetensors (SHA-256 " in done.stderr, done.output
    assert digests(folder / "a") == first
    assert invoke(*audit, "--edited", "out/0001/model.safetensors").exit_code == 0


def test_a_diagnosis_without_its_model_leaves_no_folder(invoke, folder):
    (folder / "model.safetensors").unlink()
    done = invoke("diagnose", "my.toml", "--out", "d")
    assert done.exit_code == 2 and "model.safetensors" in done.stderr and not (folder / "d").exists()
