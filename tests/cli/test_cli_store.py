"""`unweave store`: what it prints, its exit codes, and that a run, damage, cleaning and purging fit together."""

import csv
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from unweave.records import Result, read_record
from unweave.references import Entry, Store

STORE = Path(".unweave/store")


@pytest.fixture
def ran(invoke, tiny):
    """A store as `compare` leaves it."""
    done = invoke("compare", "--case", "digits-mislabel", *tiny, "--out", "out", "--quiet")
    assert done.exit_code == 0, done.output
    return Store(STORE)


def kinds(folder=STORE):
    from unweave.references import stored_objects

    return [row.kind for row in stored_objects(Store(folder))]


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)


def test_ls_says_what_is_there(invoke, ran):
    done = invoke("store", "ls", "--json", "ls.json")
    assert done.exit_code == 0
    lines = {line.split("  ")[0]: line.split() for line in done.output.splitlines()}
    assert (lines["model"][1], lines["outputs"][1], lines["method outputs"][2]) == ("15", "5", "1")
    assert "data digits: 1797 examples, fingerprint" in done.output
    tree = json.loads(Path("ls.json").read_text())
    assert f"manifest {tree['manifest']}" in done.output and len(tree["objects"]) == len(kinds())
    every = invoke("store", "ls", "--all").output
    assert all(row["key"][:16] in every for row in tree["objects"])
    assert "training_version" in every


def test_verify_names_exactly_what_is_bad_and_a_run_makes_it_anew(invoke, tiny, ran):
    assert invoke("store", "verify").exit_code == 0
    rows = Path("out/rows.csv").read_bytes()
    from unweave.references import stored_objects

    outputs = next(row.key for row in stored_objects(ran) if row.kind == "outputs")
    models = [row.key for row in stored_objects(ran) if row.kind == "model"]
    for key in (outputs, models[3]):
        flip(ran.paths(key)[0])
    done = invoke("store", "verify", "--json", "v.json")
    assert done.exit_code == 1
    named = {line.split()[1] for line in done.output.splitlines() if line.startswith("bad: ")}
    assert named == {outputs, models[3]} == {key for key, _ in json.loads(Path("v.json").read_text())["bad"]}
    # Nothing is measured anew here, so the run does not meet what is bad; it does once it must.
    for row in stored_objects(ran):
        if row.kind == "analysis":
            ran.discard(row.key)
    done = invoke("compare", "--case", "digits-mislabel", *tiny, "--out", "out")
    assert done.exit_code == 0, done.output
    assert outputs in done.stderr and "made anew" in done.stderr
    assert Path("out/rows.csv").read_bytes() == rows
    assert outputs in read_record(Result, Path("out")).provenance.notes[0]
    assert "found damaged" in Path("out/report.html").read_text()


def test_gc_and_its_dry_run(invoke, ran):
    (STORE / "objects" / "aa").mkdir(exist_ok=True)
    (STORE / "objects" / "aa" / f".{'a' * 64}.json.12.tmp").write_bytes(b"half")
    ran.write([Entry({"kind": "method outputs", "code": "of yesterday"}, {}, {})])
    ran.write(
        [Entry({"kind": "model", "training_version": 1}, {}, {}), Entry({"kind": "model", "torch": "1"}, {}, {})]
    )
    for options, count, files in (
        (["--dry-run"], 0, 1),
        ([], 0, 1),
        ([], 0, 0),
        (["--stale", "--dry-run"], 3, 0),
        (["--stale"], 3, 0),
        (["--unused", "1"], 0, 0),
    ):
        done = invoke("store", "gc", *options, "--json", "gc.json")
        assert done.exit_code == 0, done.output
        tree = json.loads(Path("gc.json").read_text())
        assert (sum(tree["objects"].values()), tree["files"]) == (count, files), options
        assert done.output.startswith("Would remove" if "--dry-run" in options else "Removed")
    assert kinds().count("model") == 15 and invoke("store", "verify").exit_code == 0


@pytest.mark.parametrize("command", [["ls"], ["verify"], ["gc"], ["purge", "--forget-ids", "1"], ["migrate"]])
def test_without_a_store_there_is_one_message(invoke, command):
    done = invoke("store", *command, "--store", "nowhere")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: There is no store nowhere. Name its folder with --store.\n"
    assert not Path("nowhere").exists()


def test_purge_needs_ids_that_are_known(invoke, ran):
    for given, message in (
        (",", "holds no id"),
        ("never,seen", "2 of 2 ids are not known"),
        ("", "holds no id"),
    ):
        done = invoke("store", "purge", "--forget-ids", given)
        assert done.exit_code == 2 and message in done.stderr
    assert kinds().count("model") == 15


def test_a_store_of_another_format_is_refused(invoke, ran):
    (STORE / "format").write_text("99\n")
    for command in (
        "store ls",
        "store gc",
        "store purge --forget-ids 1",
        "store migrate",
        "compare",
        "store verify",
    ):
        done = invoke(*command.split())
        assert done.exit_code == (4 if "verify" in command else 2) and "made by a newer unweave" in done.stderr


PEOPLE, FORGOTTEN = 1200, 500


def people(folder):
    """A table of people with texts and numbers that are found again in any file that holds them."""
    rng = np.random.default_rng(0)
    rows = [
        [f"person-{i:04}-{rng.integers(10**9):09}", f"{rng.normal():.6f}", f"{rng.normal():.6f}", int(i % 2)]
        for i in range(PEOPLE)
    ]
    with (folder / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "a", "b", "label"], *rows])
    return rows


def markers(rows):
    """What nobody's file may hold by chance: ids, and pairs of numbers as floats side by side and as texts."""
    found = []
    for name, a, b, _ in rows:
        found += [
            name.encode(),
            struct.pack("<ff", float(np.float32(a)), float(np.float32(b))),
            f"{a},{b}".encode(),
        ]
    return found


SPEC = """
[data]
source = "csv"
path = "people.csv"
label = "label"
id_column = "id"
test = 300
[behaviour]
kind = "unknown"
[forget]
ids = "forget.txt"
[learner]
name = "softmax"
epochs = 1
[references]
models = 3
[probes]
limit = 60
"""


def test_after_a_purge_no_byte_of_the_forgotten_is_in_the_store(invoke, tmp_path):
    rows = people(tmp_path)
    Path("spec.toml").write_text(SPEC)
    # Those of the test part are not in D: S is taken from what `assemble` says is in it.
    from unweave.data import load

    inside = set(load("csv", path="people.csv", label="label", id_column="id", test=300).train.ids.tolist())
    forgotten = [row for row in rows if row[0] in inside][:FORGOTTEN]
    Path("forget.txt").write_text("\n".join(row[0] for row in forgotten))
    command = ("compare", "spec.toml", "--methods", "noop,finetune", "--quiet", "--out", "out", "--workers", "1")
    assert invoke(*command).exit_code == 0
    store = Store(STORE)
    # What a killed run and a damaged object leave behind holds people as well.
    (STORE / "mapped").mkdir()
    x = np.array([[row[1], row[2]] for row in forgotten], np.float32)
    np.save(STORE / "mapped" / "shared.npy", x)
    (STORE / "objects" / ".x.safetensors.12.tmp").write_bytes(x.tobytes())
    from unweave.references import stored_objects

    flip(store.paths(bad := next(row.key for row in stored_objects(store) if row.kind == "data"))[1])
    assert store.set_aside(bad) is not None
    invoke(*command)  # which makes it anew
    wanted = markers(forgotten)
    assert len(wanted) == 3 * FORGOTTEN and held(wanted) > FORGOTTEN

    would = invoke("store", "purge", "--forget-ids", "forget.txt", "--dry-run")
    assert would.output.startswith("Would remove") and held(wanted) > FORGOTTEN
    done = invoke("store", "purge", "--forget-ids", "forget.txt", "--json", "p.json")
    assert done.exit_code == 0, done.output
    assert "results (runs/…)" in done.output
    assert held(wanted) == 0
    # Of A(D) and what was made of it nothing stays; nor does A(D∖S), whose units tell of who is missing.
    tree = json.loads(Path("p.json").read_text())
    assert tree["objects"]["model"] == 9
    assert not {"model", "outputs", "method outputs", "analysis"} & set(kinds())
    others = markers([row for row in rows if row not in forgotten])
    assert held(others) > 0, "the harness finds nobody, whoever is there"
    assert invoke("store", "verify").exit_code == 0


def held(wanted):
    """How many of the markers are in any file of the store, or in the name of one."""
    files = [path for path in STORE.rglob("*") if path.is_file()]
    everything = b"\0".join([*(path.read_bytes() for path in files), os.fsencode("\0".join(map(str, files)))])
    return sum(one in everything for one in wanted)


def test_the_fixture_of_the_first_format_is_migrated(invoke, tmp_path):
    import tarfile

    fixture = Path(__file__).parents[1] / "references" / "format_1.tar.xz"
    with tarfile.open(fixture) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    done = invoke("store", "verify", "--store", "old")
    assert done.exit_code == 4 and "unweave store migrate --store" in done.stderr
    assert invoke("store", "migrate", "--store", "old").exit_code == 0
    assert invoke("store", "verify", "--store", "old").exit_code == 0
