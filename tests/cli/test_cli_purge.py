"""`unweave store purge` after two requests, each erased and audited: two states of one file by two paths."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
from tests.study.erasing import save_model

from unweave.data import load
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice, ProbeChoice
from unweave.references import Store, data_sets, stored_objects
from unweave.references.membership import all_ids

STORE = Path(".unweave/store")
SPEC = """
[data]
source = "{source}"
path = "people.{source}"
test = 24
{more}
[learner]
name = "mlp"
width = 4
epochs = 2
lr = 0.3
checkpoint = "model.safetensors"
[probes]
limit = 20
"""
TABLE = {"label": "label", "id_column": "id"}


def write(source: str, rows: int = 120) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((rows, 3)).astype(np.float32), np.arange(rows) % 2
    ids = np.array([f"person-{i:03}" for i in range(rows)])
    if source == "npz":
        np.savez("people.npz", x=x, y=y, ids=ids)
        return
    with Path("people.csv").open("w", newline="") as file:
        body = [[who, *map(str, own), int(label)] for who, own, label in zip(ids, x, y, strict=True)]
        csv.writer(file).writerows([["id", "a", "b", "c", "label"], *body])


def audited(invoke, source: str) -> list[str]:
    """Two requests, erased and audited; returns the id of each."""
    write(source)
    known = TABLE if source == "csv" else {}
    data = DataChoice(source, path=f"people.{source}", test=24, **known)
    learner = LearnerChoice("mlp", width=4, epochs=2, lr=0.3, checkpoint="model.safetensors")
    asked = load(source, path=f"people.{source}", test=24, **known).train.ids[[3, 7]].tolist()
    unknown, forget, probes = BehaviourChoice("unknown"), ForgetChoice(ids=(asked[0],)), ProbeChoice(limit=20)
    save_model(Case(data=data, behaviour=unknown, forget=forget, learner=learner, probes=probes))
    more = "\n".join(f'{key} = "{value}"' for key, value in known.items())
    Path("my.toml").write_text(SPEC.format(source=source, more=more))
    for number, one in enumerate(asked, start=1):
        Path(f"r{number}.txt").write_text(f"{one}\n")
        given = ("--request", f"r{number}.txt", "--aim", "untraining", "--models", "0", "--quiet")
        done = invoke("erase", "my.toml", *given)
        assert done.exit_code == 0, done.output
    for number in (1, 2):
        folder = f"erased/{number:04}"
        given = (f"{folder}/request.toml", "--edited", f"{folder}/model.safetensors", "--out", f"a{number}")
        done = invoke("audit", *given, "--references", "4", "--fresh", "0", "--workers", "1", "--quiet")
        assert done.exit_code == 0, done.output
    return asked


def trained_on() -> list[set[str]]:
    """The ids that each model of the store was trained on."""
    store = Store(STORE)
    rows = stored_objects(store)
    sets = {row.training_ids: all_ids(store.read(row.key)[0]) for row in rows if row.kind == "training set"}
    return [set(sets[row.training_ids]) for row in rows if row.kind == "model"]


def files_with(one: str) -> list[Path]:
    return [file for file in STORE.rglob("*") if file.is_file() and one.encode() in file.read_bytes()]


def test_two_requests_for_one_file_are_purged_in_both_states(invoke):
    first, second = audited(invoke, "npz")
    assert len(data_sets(Store(STORE))) == 2 and len(trained_on()) == 16 and files_with(second)
    shutil.copytree(STORE, "before")

    done = invoke("store", "purge", "--forget-ids", "r2.txt", "--json", "p.json")
    assert done.exit_code == 0, done.output
    left = trained_on()
    assert len(left) == 4 and not any(second in own for own in left)
    assert "Models that stay (4) were trained without these examples." in done.output
    assert "folders of `erase`" in done.output
    assert files_with(second) == [] and files_with(first) != []
    tree = json.loads(Path("p.json").read_text())
    assert (tree["objects"]["model"], tree["models"], tree["unknown"], tree["elsewhere"]) == (12, 4, [], [])

    # The other request, with one that is gone and one that is mistyped: nothing is done before that is said.
    Path("both.txt").write_text(f"{first}\n{second}\nperson-1l7\n")
    done = invoke("store", "purge", "--forget-ids", "both.txt")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"2 of 3 ids are not known to the store {STORE.absolute()}: '{second}', 'person-1l7'." in done.stderr
    assert "Nothing was removed; known and still there: 1." in done.stderr and files_with(first) != []
    done = invoke("store", "purge", "--forget-ids", "both.txt", "--allow-unknown")
    assert done.exit_code == 0 and f"In no data of the store: '{second}', 'person-1l7'." in done.output
    assert files_with(first) == [] and not any(first in own for own in trained_on())

    # Any name of the file is a name of all its states.
    for name in ("people.npz", "erased/0001/../../people.npz"):
        shutil.rmtree(STORE)
        shutil.copytree("before", STORE)
        assert invoke("store", "purge", "--forget-ids", "r2.txt", "--data", name).exit_code == 0
        assert files_with(second) == [] and len(trained_on()) == 4


def test_of_a_table_no_model_stays_and_a_copy_that_changed_is_named(invoke):
    first, second = audited(invoke, "csv")
    Path("people.csv").rename("copy.csv")
    with Path("copy.csv").open("a") as file:
        file.write("somebody,0.5,0.5,0.5,1\n")
    spec = Path("my.toml").read_text().replace("people.csv", "copy.csv").replace("checkpoint", "# checkpoint")
    Path("copy.toml").write_text(f'{spec}\n[forget]\nids = ["{first}"]\n[behaviour]\nkind = "unknown"')
    given = ("--set=references.models=3", "--methods=noop", "--workers=1", "--quiet", "--out", "out")
    done = invoke("compare", "copy.toml", *given)
    assert done.exit_code == 0, done.output

    done = invoke("store", "purge", "--forget-ids", "r2.txt")
    assert done.exit_code == 2 and "not known to be of one file: copy.csv (" in done.stderr
    done = invoke("store", "purge", "--forget-ids", "r2.txt", "--data", "people.csv")
    assert done.exit_code == 0, done.output
    assert "Not purged: 1 of these ids are also in data that are not known to be of the same file" in done.output
    assert "trained without" not in done.output and files_with(second) != []
    told = done.output.split("--data ")[1].split(".")[0]
    done = invoke("store", "purge", "--forget-ids", "r2.txt", "--data", told)
    assert "No model stays." in done.output and files_with(second) == []
