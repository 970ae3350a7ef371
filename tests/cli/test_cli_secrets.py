"""What the records to forget hold is nowhere in what `erase` and `audit` write and say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.study.erasing import save_model

from unweave.study.spec import read_spec

COUNT, OTHERS = 1000, 1400
LEARNER = '[learner]\nname = "mlp"\nwidth = 4\nepochs = 1\nlr = 0.1\ncheckpoint = "model.safetensors"\n'
FEW = "[references]\nmodels = 3\n[probes]\nlimit = 40\n"


def secrets_of_a_table(folder: Path) -> list[str]:
    """1000 markers and 1000 numbers that stand in records to forget alone; two columns are features."""
    rng = np.random.default_rng(0)
    numbers = [f"{one:.9f}" for one in rng.uniform(1, 9, COUNT)]
    shared = [f"SECRET{k // 2:04d}Q" for k in range(COUNT)]
    alone = [f"HUSHED{k:04d}Q" for k in range(500)]
    rows = ["key,amount,city,note,plain,label"]
    for k in range(COUNT):
        note = alone[k] if k < len(alone) else f"free {k}"
        rows.append(f"s{k:04d},{numbers[k]},{shared[k]},{note},{k % 7},{k % 2}")
    for k in range(OTHERS):
        rows.append(f"o{k:04d},{k % 9},town{k % 5},other {k},{k % 7},{(k // 2) % 2}")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    assert len(set(shared)) + len(alone) == COUNT
    return [*set(shared), *alone, *numbers]


@pytest.fixture
def table(tmp_path):
    secrets = secrets_of_a_table(tmp_path)
    data = '[data]\nsource = "csv"\npath = "people.csv"\nlabel = "label"\nid_column = "key"\ntest = 200\n'
    forget = '[forget]\nallow_unknown = true\nids = "forget.txt"\n'
    (tmp_path / "forget.txt").write_text("".join(f"s{k:04d}\n" for k in range(COUNT)))
    (tmp_path / "net.toml").write_text(data + forget + LEARNER + FEW)
    (tmp_path / "forest.toml").write_text(data + forget + '[learner]\nname = "forest"\ntrees = 2\n' + FEW)
    save_model(read_spec(tmp_path / "net.toml").cases[0])
    return secrets


def told(done, tmp_path: Path, *folders: str) -> dict[str, str]:
    """All text that a command wrote and said; the models and outputs themselves are arrays."""
    assert done.exit_code == 0, (done.output, done.exception)
    texts = {"stdout": done.stdout, "stderr": done.stderr}
    for folder in folders:
        for file in (tmp_path / folder).rglob("*"):
            if file.is_file() and file.suffix in (".json", ".jsonl", ".toml", ".html", ".md", ".csv"):
                texts[str(file.relative_to(tmp_path))] = file.read_text()
    return texts


def found(texts: dict[str, str], secrets: list[str]) -> list[tuple[str, str]]:
    return [(name, one) for name, text in texts.items() for one in secrets if one in text]


@pytest.mark.parametrize("learner", ["net", "forest"])
def test_nothing_of_a_table(invoke, table, tmp_path, learner):
    options = (
        "--aim",
        "untraining",
        "--confirm",
        "--anyway",
        "--out",
        "out",
        "--store",
        "store",
        "--workers",
        "1",
    )
    done = invoke("erase", f"{learner}.toml", *options, "--models", "20", "--debug", "--json", "copy.json")
    texts = told(done, tmp_path, "out", "store")
    texts["copy.json"] = (tmp_path / "copy.json").read_text()
    assert {"out/0001/record.json", "out/0001/request.toml", "out/requests.jsonl", "copy.json"} <= set(texts)
    assert any(name.startswith("store") for name in texts)
    assert "s0500" in texts["out/0001/record.json"] or "s0501" in texts["out/0001/record.json"]
    assert not found(texts, table)
    assert not [name for name in texts if "diagnosis" in name]


def test_the_search_would_find_one(table, tmp_path):
    texts = {"people.csv": (tmp_path / "people.csv").read_text()}
    assert len({one for _, one in found(texts, table)}) == len(table) == 2000


def test_nothing_of_an_audit(invoke, table, tmp_path):
    options = ("--aim", "untraining", "--confirm", "--models", "0", "--out", "out", "--quiet")
    assert invoke("erase", "net.toml", *options).exit_code == 0
    edited = ("--edited", "out/0001/model.safetensors", "--references", "0", "--fresh", "0")
    texts = told(invoke("audit", "net.toml", *edited, "--out", "audit", "--store", "store"), tmp_path, "audit")
    assert any("audit" in name for name in texts) and not found(texts, table)


def test_refusals_name_ids_and_no_content(invoke, table, tmp_path):
    lines = ["id,sha256", *(f"s{k:04d},{'0' * 64}" for k in range(COUNT))]
    (tmp_path / "request.csv").write_text("\n".join(lines) + "\n")
    for more in (("--request", "request.csv", "--allow-unknown"), ()):
        done = invoke("erase", "net.toml", "--aim", "untraining", "--models", "0", *more)
        assert done.exit_code == 2 and not found({"": done.output}, table)


def test_nothing_of_pixels(invoke, tmp_path):
    """Each image to forget holds numbers of its own: neither these nor their bytes are told."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(COUNT + OTHERS, 4, 4)).astype(np.float32)
    y = np.arange(len(x)) % 2
    np.savez(tmp_path / "d.npz", x_train=x[:-200], y_train=y[:-200], x_test=x[-200:], y_test=y[-200:])
    data = f'[data]\nsource = "npz"\npath = "d.npz"\n[forget]\nids = {list(range(COUNT))}\n'
    (tmp_path / "net.toml").write_text(data + LEARNER + FEW)
    save_model(read_spec(tmp_path / "net.toml").cases[0])
    options = (
        "--aim",
        "untraining",
        "--confirm",
        "--anyway",
        "--out",
        "out",
        "--store",
        "store",
        "--workers",
        "1",
    )
    texts = told(invoke("erase", "net.toml", *options, "--models", "20"), tmp_path, "out", "store")
    numbers = {f"{one:.6g}" for one in x[:COUNT, 0, 0].tolist()}
    said = set(re.findall(r"-?\d+\.\d{4,}", " ".join(texts.values())))
    assert not {f"{float(one):.6g}" for one in said} & numbers
    bytes_of = {image[0, :2].tobytes() for image in x[:COUNT]}  # eight bytes that nothing else has by chance
    for file in (tmp_path / "out").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not any(one in content for one in bytes_of), file
