"""28 bad inputs, by their numbers: one message and nothing trained or written, or a warning in the record."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.study.erasing import digests, save_model

from unweave.records import Result, read_record
from unweave.study.spec import read_spec

LEARNER = '[learner]\nname = "mlp"\nwidth = 4\nepochs = 30\nlr = 0.3\ncheckpoint = "model.safetensors"\n'
FEW = "[references]\nmodels = 3\n[probes]\nlimit = 30\n"
N = 120
PLAIN = ("--aim", "untraining", "--models", "0", "--out", "out", "--workers", "1")


def arrays(folder: Path, **changes) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + 60, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    own = {"x_train": x[:N], "y_train": y[:N], "x_test": x[N:], "y_test": y[N:], **changes}
    np.savez(folder / "d.npz", **{name: value for name, value in own.items() if value is not None})


def table(folder: Path, change=None, *, name: str = "d.csv", order=None) -> None:
    rng = np.random.default_rng(0)
    rows = [[f"p{k:03d}", f"{rng.normal():.4f}", str(k % 3), str(k % 2)] for k in range(N + 60)]
    if change is not None:
        change(rows)
    rows = rows if order is None else [rows[k] for k in order]
    text = "\n".join(",".join(row) for row in [["key", "a", "b", "label"], *rows]) + "\n"
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    arrays(folder)
    data = '[data]\nsource = "npz"\npath = "d.npz"\n[forget]\nids = [3, 5, 9]\n'
    (folder / "my.toml").write_text(data + LEARNER + FEW)
    rows = '[data]\nsource = "csv"\npath = "d.csv"\nlabel = "label"\nid_column = "key"\ntest = 60\n'
    (folder / "rows.toml").write_text(rows + "[forget]\nallow_unknown = true\nids = [{}]\n".format(
        ", ".join(f'"p{k:03d}"' for k in range(8))) + '[learner]\nname = "forest"\ntrees = 3\n' + FEW)  # fmt: skip
    table(folder)
    save_model(read_spec(folder / "my.toml").cases[0])
    return folder


@pytest.fixture(autouse=True)
def here(made, empty_folder):
    shutil.copytree(made, empty_folder, dirs_exist_ok=True)


def change_model(folder: Path, name: str, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = change(tensors[name])
    save_file(tensors, folder / "model.safetensors")


def poison(value: torch.Tensor) -> torch.Tensor:
    value = value.clone()
    value.view(-1)[0] = float("nan")
    return value


def nan(folder: Path) -> None:
    x = np.load(folder / "d.npz")["x_train"]
    x[4, 2] = np.inf
    arrays(folder, x_train=x)


def quantized(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    with warnings.catch_warnings():  # torch means to remove these
        warnings.simplefilter("ignore")
        tensors["0.weight"] = torch.quantize_per_tensor(tensors["0.weight"], 0.1, 0, torch.qint8)
    torch.save(tensors, folder / "model.pt")


def label(value: str):
    def change(rows) -> None:
        rows[7][3] = value

    return lambda folder: table(folder, change)


def empty(name: str):
    return lambda folder: (folder / name).write_bytes(b"")


def ids(*wanted: object) -> tuple[str, ...]:
    return ("my.toml", "--set", f"forget.ids={json.dumps(wanted)}")


def copies(folder: Path) -> None:
    held = np.load(folder / "d.npz")
    arrays(folder, x_test=held["x_train"][:50], y_test=held["y_train"][:50])


def shared_ids(folder: Path) -> None:
    arrays(folder, ids_train=np.arange(N), ids_test=np.arange(100, 160))


def narrow(folder: Path) -> None:
    held = np.load(folder / "d.npz")
    arrays(folder, x_train=held["x_train"][:, :5], x_test=held["x_test"][:, :5])


MY, ROWS = ("my.toml",), ("rows.toml",)
REFUSED = {
    "1 empty": (None, ids(), "The forget set has 0 examples; nothing to remove. Check `forget`"),
    "2 all": (None, ids(*range(N)), "all 120 training examples; no retain data remain. Delete the model instead"),
    "3 not in D": (None, ids(3, 999), r"1 of 2 forget ids are not in the training data \(first: 999\).*--allow-"),
    "4 twice": (None, ids(3, 3), r"`forget\.ids`: id 3 appears 2×.*List each example once"),
    "5 negative": (None, ids(-1), r"negative id -1; ids are 0 … 119, and −1 never means the last"),
    "5 float": (None, ids(3.0), r"`forget\.ids` holds 3\.0; expected a whole number"),
    "5 bool": (None, ids(True), r"`forget\.ids` holds True; expected a whole number"),
    "5 of the test part": (None, ids(N), r"1 of 1 forget ids are in the test part \(first: 120\)"),
    "5 out of range": (None, ids(10 * N), r"1 of 1 forget ids are not in the training data \(first: 1200\)"),
    "7 infinite": (nan, MY, r"1 features of the training part are NaN or infinite \(first: row 4, feature 2\)"),
    "8 the model": (
        lambda folder: change_model(folder, "0.weight", poison),
        MY,
        r"1 of 24 numbers of `0\.weight` are not finite",
    ),
    "9 missing": (label(""), ROWS, r"1 rows of the \w+ part have no label \(first: id p\d+\)"),
    "9 float": (label("0.5"), ROWS, "label holds 0.5; expected classes, not numbers to predict"),
    "9 negative": (
        lambda folder: arrays(folder, y_train=np.full(N, -1)), MY, r"-1.*expected|labels?.*-1",
    ),
    "10 one class": (
        lambda folder: arrays(folder, y_train=np.ones(N, dtype=np.int64)), MY, "All 120 training examples are of",
    ),
    "12 shapes": (narrow, MY, r"`0\.weight` has the shape \[4, 6\]; the learner of the spec expects \[4, 5\]"),
    "22 copies": (copies, MY, "All 50 test examples are exact copies of training examples"),
    "22 ids": (shared_ids, MY, r"20 ids stand in the training and in the test part \(first: 100\)"),
    "25 quantized": (
        quantized, (*MY, "--set", "learner.checkpoint=model.pt"), r"`0\.weight` holds qint8; expected float32",
    ),
    "26 no GPU": (None, (*MY, "--set", "device=cuda"), "`device` is cuda; `erase` edits one model on the CPU"),
    "27 key": (None, (*MY, "--set", "forgt.ids=[1]"), "Unknown key `forgt` .* Did you mean `forget`"),
    "28 empty data": (empty("d.csv"), ROWS, r"The table .*d\.csv has no rows"),
    "28 empty arrays": (empty("d.npz"), MY, r"d\.npz"),
    "28 empty model": (empty("model.safetensors"), MY, r"The checkpoint .*model\.safetensors is empty"),
    "28 empty spec": (empty("my.toml"), MY, "`forget.ids` is missing: the records to forget"),
    "28 long path": (None, ("x" * 300 + ".toml",), "File name too long"),
}  # fmt: skip


def assert_one_message(done, said: str) -> None:
    assert done.exit_code == 2, (done.output, done.exception)
    assert re.search(said, done.stderr), done.stderr
    assert done.stderr.startswith("Error: ") and len(done.stderr.strip().splitlines()) == 1
    assert len(done.stderr) < 800 and not done.stdout and "Traceback" not in done.output


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_trained(invoke, tmp_path, monkeypatch, case):
    prepare, arguments, said = REFUSED[case]
    if prepare is not None:
        prepare(tmp_path)

    def never(*given, **more):
        raise AssertionError("something was trained")

    monkeypatch.setattr("unweave.training.engine.many", never)
    monkeypatch.setattr("unweave.learners.opaque.fit_one", never)
    before = digests(tmp_path)
    assert_one_message(invoke("erase", *arguments, *PLAIN), said)
    assert digests(tmp_path) == before


def test_16_a_batch_of_one_and_26_a_gpu_that_is_not_there(invoke, tmp_path):
    before = digests(tmp_path)
    batch = ("--case", "digits-trigger", "--set", "learner.name=resnet9", "--set", "learner.batch_size=19")
    assert_one_message(invoke("compare", *batch), "leaves a batch of one example of the forget set S")
    if not torch.cuda.is_available():
        done = invoke("compare", "--case", "digits-trigger", "--device", "cuda")
        assert_one_message(done, "`device` is cuda, and torch .* sees no GPU here. Leave `device` out")
    assert digests(tmp_path) == before


def warnings_of(invoke, *arguments: str) -> str:
    done = invoke("erase", *PLAIN, *arguments, "--quiet", "--json", "record.json")
    assert done.exit_code == 0, (done.output, done.exception)
    return " ".join(json.loads(Path("record.json").read_text())["warnings"])


def test_6_copies_that_stay(invoke, tmp_path):
    x = np.load(tmp_path / "d.npz")["x_train"]
    x[40:45] = x[3]
    arrays(tmp_path, x_train=x)
    assert "5 copies of examples of S stay in the training data" in warnings_of(invoke, "my.toml")


def test_11_a_class_that_vanishes_and_21_most_of_the_data(invoke, tmp_path):
    y = np.load(tmp_path / "d.npz")["y_train"]
    gone = np.flatnonzero(y == 0).tolist()
    said = warnings_of(invoke, *ids(*gone), "--confirm")
    assert "No example of class 0 is left in D∖S: this is class unlearning" in said
    most = list(range(80))
    assert_one_message(
        invoke("erase", *ids(*most), *PLAIN[:-4], "--out", "b"), "67% of the training data.*--confirm"
    )
    said = warnings_of(invoke, *ids(*most), "--confirm", "--out", "b")
    assert "S is 67% of the training data: consider retraining" in said


def test_13_data_that_changed_and_14_their_order(invoke, tmp_path):
    def change(rows) -> None:
        for row in rows[100:]:
            row[1] = "0.25"

    forget, other = ("rows.toml",), ("rows.toml", "--set", 'forget.ids=["p020", "p021", "p022", "p023"]')
    assert warnings_of(invoke, *forget) is not None
    table(tmp_path, order=np.random.default_rng(0).permutation(N + 60))
    assert warnings_of(invoke, *other) is not None  # ids are stable: another order is the same data
    third = ("rows.toml", "--set", 'forget.ids=["p030", "p031", "p032"]')
    table(tmp_path, change)
    done = invoke("erase", *third, *PLAIN)
    assert_one_message(done, r"training data are not those that request 2 left \(digest \w{12}, there \w{12}\)")
    compare = ("compare", "rows.toml", "--methods", "noop", "--store", "store", "--quiet", "--workers", "1")
    table(tmp_path)
    assert invoke(*compare, "--out", "a").exit_code == 0
    table(tmp_path, change)
    done = invoke(*compare, "--out", "b")
    assert done.exit_code == 2
    assert re.search(r"have changed since .* \d+ of 120 training examples differ \(first id p\d+\)", done.stderr)


def test_14_the_order_of_examples_without_ids(invoke, tmp_path):
    assert warnings_of(invoke, "my.toml") is not None
    held, order = np.load(tmp_path / "d.npz"), np.random.default_rng(1).permutation(N)
    arrays(tmp_path, x_train=held["x_train"][order], y_train=held["y_train"][order])
    done = invoke("erase", *ids(20, 21), *PLAIN)
    assert_one_message(done, "numbered anew.* give them ids of their own")


def test_15_no_dropout_and_no_batch_norm(invoke):
    assert warnings_of(invoke, "my.toml") is not None  # works
    done = invoke("erase", *ids(20, 21), *PLAIN, "--method", "rem_etd")
    assert_one_message(done, "rem_etd needs models trained with example-tied dropout")


OWN = """
import os, torch
from torch import nn
from sklearn.dummy import DummyClassifier

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fixed, self.head = nn.Linear(6, 6), nn.Linear(6, 2)
        self.fixed.requires_grad_(False)
    def forward(self, x):
        return self.head(self.fixed(x)) + self.noise()
    def noise(self):
        return 0.0

class Random(Net):
    def noise(self):
        return int.from_bytes(os.urandom(2), "big")

def net():
    return Net()

def random():
    return Random()

def constant():
    return DummyClassifier(strategy="prior")
"""


def test_17_results_that_differ_by_themselves_and_25_frozen_weights(invoke, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    text = (tmp_path / "my.toml").read_text().replace('name = "mlp"\nwidth = 4', 'factory = "own.py:net"')
    (tmp_path / "own.toml").write_text(text)
    spec = read_spec(tmp_path / "own.toml")
    from unweave.study.own_code import trusted_files

    save_model(spec.cases[0], trusted=trusted_files([tmp_path / "own.py"]))
    before = load_file(tmp_path / "model.safetensors")
    warnings_of(invoke, "own.toml", "--trust-code", "own.py", "--method", "finetune")
    after = load_file(tmp_path / "out" / "0001" / "model.safetensors")
    assert torch.equal(before["fixed.weight"], after["fixed.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])
    (tmp_path / "own.toml").write_text(text.replace("own.py:net", "own.py:random"))
    done = invoke("erase", "own.toml", *PLAIN[:-4], "--out", "b", "--trust-code", "own.py")
    assert_one_message(done, r"gives two results .* for the same model, examples and seed.*Draw from torch's own")


def test_18_nothing_known_by_heart(invoke, tmp_path):
    asked = ("erase", "my.toml", "--aim", "untraining", "--models", "100", "--out", "out", "--workers", "1")
    done = invoke(*asked, "--set", "references.models=32")
    assert done.exit_code == 0 and "nothing to erase" in done.stdout, done.output
    assert not list(tmp_path.rglob("out/*/model*"))


def compared(invoke, *arguments: str):
    done = invoke(
        "compare", *arguments, "--methods", "noop", "--workers", "1", "--out", "c", "--store", "s", "--quiet"
    )
    assert done.exit_code == 0, (done.output, done.exception)
    text = (Path("c") / "result.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    return read_record(Result, Path("c")).cases[0]


def test_19_one_example_to_forget(invoke, tmp_path):
    text = (tmp_path / "my.toml").read_text().replace('checkpoint = "model.safetensors"\n', "")
    (tmp_path / "one.toml").write_text(text.replace("[3, 5, 9]", "[3]"))
    found = compared(invoke, "one.toml")
    assert any("`forget` has only 1 probes: shown, not judged" in one for one in found.warnings)
    assert not {row.label for row in found.rows} & {"untrained", "unlearned", "both"}
    done = invoke("compare", "one.toml", "--set", "references.models=2")
    assert_one_message(done, "`references.models` is 2: an interval")


def test_20_a_model_that_says_the_same_of_everything(invoke, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    text = (
        (tmp_path / "rows.toml").read_text().replace('name = "forest"\ntrees = 3', 'factory = "own.py:constant"')
    )
    (tmp_path / "rows.toml").write_text(text)
    found = compared(invoke, "rows.toml", "--trust-code", "own.py")
    assert not {row.label for row in found.rows} & {"untrained", "unlearned", "both"}


def test_23_a_reference_that_was_trained_on_s(invoke, tmp_path):
    """No command takes references from outside; in a store a model under the key of another is found."""
    text = (tmp_path / "my.toml").read_text().replace('checkpoint = "model.safetensors"\n', "")
    (tmp_path / "net.toml").write_text(text)
    compared(invoke, "net.toml")
    models = {}
    for file in (tmp_path / "s" / "objects").rglob("*.json"):
        held = json.loads(file.read_text())
        if '"kind": "model"' in file.read_text() or '"model"' == json.dumps(held.get("fields", {}).get("kind")):
            models[file] = file.with_suffix(".safetensors")
    first, second, *_ = sorted(models)
    shutil.copy(models[first], models[second])
    assert invoke("store", "verify", "--store", "s").exit_code == 1


def test_24_the_model_of_other_data(invoke, tmp_path):
    change_model(tmp_path, "1.weight", lambda value: value.flip(0).contiguous())
    change_model(tmp_path, "1.bias", lambda value: value.flip(0).contiguous())
    assert "is it the model that was trained on these data" in warnings_of(
        invoke, "my.toml", "--method", "finetune"
    )


def test_28_names_and_files_as_people_have_them(invoke, tmp_path):
    folder = tmp_path / "наши данные, 数据 (1)"
    folder.mkdir()
    for name in ("d.npz", "model.safetensors"):
        shutil.copy(tmp_path / name, folder / name)
    text = (tmp_path / "my.toml").read_text().replace("\n", "\r\n")
    (folder / "spec ü.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (folder / "bitte.csv").write_bytes("\ufeffid\r\n3\r\n5\r\n".encode())
    name = str(folder / "spec ü.toml")
    warnings_of(invoke, name, "--request", str(folder / "bitte.csv"), "--out", str(folder / "out ø"))
    assert (folder / "out ø" / "0001" / "record.json").exists()
    table(tmp_path, name="d.csv.gz")
    text = (tmp_path / "rows.toml").read_text().replace('"d.csv"', '"d.csv.gz"')
    (tmp_path / "zipped.toml").write_text(text)
    warnings_of(invoke, "zipped.toml", "--out", "z")
