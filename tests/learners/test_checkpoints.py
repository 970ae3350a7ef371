"""Models from files: names are matched, nothing is run, and what does not fit is one message."""

import argparse
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.learners.malicious import malicious_files
from torch import nn

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.checkpoints import read_checkpoint, to_safetensors
from unweave.learners.imports import imports_of
from unweave.learners.nets import build
from unweave.learners.own_code import sha256
from unweave.learners.specs import specify_own

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 36, 3)
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)
    def forward(self, x):
        z = torch.relu(self.bn(self.conv(x[:, None] - self.mean)))
        return self.head(z.flatten(1))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(64, 64, bias=False)
        self.two = nn.Linear(64, 64, bias=False)
        self.two.weight = self.one.weight
        self.head = nn.Linear(64, 3)
    def forward(self, x):
        return self.head(torch.relu(self.two(torch.relu(self.one(x.flatten(1))))))

def make():
    return Net()

def tied():
    return Tied()
"""


@pytest.fixture
def code(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(OWN)
    return file


def learner_of(code, function="make"):
    return build(
        specify_own(
            code, function, (8, 8), 3, sha256=sha256(code), imports=imports_of(code.read_bytes()), opaque=False
        )
    )


@pytest.fixture
def mlp():
    return build(specify("mlp", (8, 8), 3, config={"width": 5}))


def equal(one, other):
    return all(torch.equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a)


def tensors(state):
    return {**state.params, **state.buffers}


def test_safetensors_and_torch_files_give_the_same_model(tmp_path, mlp):
    model = mlp.init(3)
    save_file(tensors(model), tmp_path / "a.safetensors")
    torch.save(tensors(model), tmp_path / "b.pt")
    torch.save(tensors(model), tmp_path / "c.th", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pt", "c.th"):
        assert equal(read_checkpoint(tmp_path / name, mlp, mlp.init(0)).state, model)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.net.", "_orig_mod.module."])
@pytest.mark.parametrize("under", [None, "state_dict", "model_state_dict", "model"])
def test_prefixes_and_keys_of_other_programs(tmp_path, mlp, prefix, under):
    model = mlp.init(3)
    named = {prefix + name: value for name, value in tensors(model).items()}
    torch.save(named if under is None else {under: named, "epoch": 7}, tmp_path / "m.pt")
    found = read_checkpoint(tmp_path / "m.pt", mlp, mlp.init(0))
    assert equal(found.state, model)
    assert set(found.names.values()) == set(named)


def test_a_module_of_ones_own_with_batch_norm(tmp_path, code):
    learner = learner_of(code)
    module = nn.Module.__new__(nn.Module)
    namespace = {}
    exec(OWN, namespace)
    module = namespace["Net"]()
    module.train()(torch.rand(6, 8, 8))  # statistics that are not those of a start
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, tmp_path / "m.th")
    found = read_checkpoint(tmp_path / "m.th", learner, learner.init(0))
    x = torch.rand(5, 8, 8)
    expected = module.eval()(x)
    assert torch.equal(learner.apply(found.state, x, train=False, key=None)[0], expected)
    assert found.notes == ()  # a buffer that is not saved is not missing


def test_what_is_written_is_what_was_read_with_its_names(tmp_path, code):
    learner = learner_of(code)
    start = learner.init(5)
    module = {"state_dict": {f"module.{name}": value for name, value in _theirs(learner, start).items()}}
    torch.save(module, tmp_path / "m.th")
    found = read_checkpoint(tmp_path / "m.th", learner, learner.init(0))
    changed = found.state._replace(params={name: value + 1 for name, value in found.state.params.items()})
    content = to_safetensors(changed, found, "x")
    assert content == to_safetensors(changed, found, "x")
    (tmp_path / "new.safetensors").write_bytes(content)
    again = read_checkpoint(tmp_path / "new.safetensors", learner, learner.init(0))
    assert equal(again.state, changed)
    assert again.names == found.names


def test_texts_of_the_header_stand_in_one_order(tmp_path, mlp):
    """The library writes them in any, and another one in each run of it: two equal requests would differ."""
    torch.save(tensors(mlp.init(3)), tmp_path / "m.pt")
    found = read_checkpoint(tmp_path / "m.pt", mlp, mlp.init(0))
    header = {"units": '{"größe": [1, 2]}', "about": "x", "zone": "y"}
    contents = {to_safetensors(found.state, found, "", header) for _ in range(24)}
    assert len(contents) == 1
    (tmp_path / "new.safetensors").write_bytes(*contents)
    again = read_checkpoint(tmp_path / "new.safetensors", mlp, mlp.init(0))
    assert equal(again.state, found.state) and again.header == header | {"unweave": ""}


def _theirs(learner, state):
    from unweave.learners.modules import tensor_names

    names, _ = tensor_names(learner, state)
    return {theirs: tensors(state)[ours] for ours, theirs in names.items()}


def test_half_precision_is_said_and_comes_back(tmp_path, mlp):
    model = mlp.init(3)
    torch.save({name: value.half() for name, value in tensors(model).items()}, tmp_path / "m.pt")
    found = read_checkpoint(tmp_path / "m.pt", mlp, mlp.init(0))
    assert "float16" in found.notes[0]
    assert all(value.dtype == torch.float32 for value in found.state.params.values())
    (tmp_path / "new.safetensors").write_bytes(to_safetensors(found.state, found, ""))
    again = read_checkpoint(tmp_path / "new.safetensors", mlp, mlp.init(0))
    assert set(again.dtypes.values()) == {torch.float16}


def test_tied_weights_stand_in_a_file_once_or_twice(tmp_path, code):
    learner = learner_of(code, "tied")
    start = learner.init(1)
    own = _theirs(learner, start)
    torch.save({**own, "two.weight": own["one.weight"]}, tmp_path / "twice.pt")
    other = {"two.weight": own["one.weight"], **{k: v for k, v in own.items() if k != "one.weight"}}
    torch.save(other, tmp_path / "second.pt")
    for name in ("twice.pt", "second.pt"):
        assert equal(read_checkpoint(tmp_path / name, learner, learner.init(0)).state, start)
    torch.save({**own, "two.weight": own["one.weight"] + 1}, tmp_path / "differ.pt")
    with pytest.raises(SpecError, match="are one tensor"):
        read_checkpoint(tmp_path / "differ.pt", learner, learner.init(0))


def test_sixty_files_that_would_run_code_run_none(tmp_path, mlp):
    canary = tmp_path / "canary"
    folder = tmp_path / "bad"
    folder.mkdir()
    files = malicious_files(folder, canary)
    assert len(files) >= 60
    for file in files:
        begin = time.perf_counter()
        with pytest.raises(SpecError):
            read_checkpoint(file, mlp, mlp.init(0))
        assert time.perf_counter() - begin < 5, file.name
        assert not canary.exists(), file.name
    assert not (folder.parent / "canary").exists()


def test_the_canary_would_sing(tmp_path):
    """What is guarded against does happen where a file is unpickled."""
    import pickle

    canary = tmp_path / "canary"
    (tmp_path / "bad").mkdir()
    file = next(one for one in malicious_files(tmp_path / "bad", canary) if one.name.endswith("open.pkl"))
    pickle.loads(file.read_bytes()).close()
    assert canary.exists()


def broken(kind, model):
    own = dict(tensors(model))
    if kind == "lacks":
        del own["0.weight"]
    if kind == "more":
        own["extra.weight"] = torch.zeros(1)
    if kind == "shape":
        own["0.weight"] = torch.zeros(7, 64)
    if kind == "integers":
        own["0.weight"] = own["0.weight"].to(torch.int64)
    if kind == "finite":
        own["0.weight"] = own["0.weight"].clone()
        own["0.weight"][0, 0] = float("nan")
    return own


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("lacks", "lacks `0.weight`"),
        ("more", "`extra.weight` the learner knows nothing"),
        ("shape", r"shape \[7, 64\].*expects \[5, 64\]"),
        ("integers", "holds int64; expected float32"),
        ("finite", "1 of 320 numbers of `0.weight` are not finite"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, mlp, kind, said):
    save_file(broken(kind, mlp.init(1)), tmp_path / "m.safetensors")
    with pytest.raises(SpecError, match=said):
        read_checkpoint(tmp_path / "m.safetensors", mlp, mlp.init(0))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"hello, I am a text", "without running code"),
        (b"PK\x03\x04 and then nothing", "without running code"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "no whole safetensors"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, mlp, content, said):
    file = tmp_path / "m.pt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        read_checkpoint(file, mlp, mlp.init(0))


def test_a_folder_and_a_file_without_tensors(tmp_path, mlp):
    with pytest.raises(SpecError, match="is a folder"):
        read_checkpoint(tmp_path, mlp, mlp.init(0))
    torch.save({"epoch": 3, "loss": 0.1}, tmp_path / "m.pt")
    with pytest.raises(SpecError, match="no tensors there"):
        read_checkpoint(tmp_path / "m.pt", mlp, mlp.init(0))
    torch.save([torch.zeros(1)], tmp_path / "l.pt")
    with pytest.raises(SpecError, match="no dictionary"):
        read_checkpoint(tmp_path / "l.pt", mlp, mlp.init(0))


def test_a_cut_file(tmp_path, mlp):
    save_file(tensors(mlp.init(1)), tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-10])
    with pytest.raises(SpecError, match="no whole safetensors"):
        read_checkpoint(tmp_path / "cut.safetensors", mlp, mlp.init(0))


def test_why_torch_refuses_a_file_is_said_without_the_advice_to_run_it(tmp_path, mlp):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    (tmp_path / "table.pt").write_bytes(b"a,b\n1,2\n" * 9)
    torch.save({"model": argparse.Namespace}, tmp_path / "other.pt")
    said = {}
    for name in ("whole", "table", "other"):
        with pytest.raises(SpecError) as refused:
            read_checkpoint(tmp_path / f"{name}.pt", mlp, mlp.init(0))
        said[name] = str(refused.value)
        assert "weights_only" not in said[name] and "\x1b" not in said[name], said[name]
        assert "Save `model.state_dict()`" in said[name]
    assert "an object of torch.nn.modules.linear.Linear" in said["whole"]
    assert "an object of argparse.Namespace" in said["other"]


def test_features_of_a_module_are_what_its_last_layer_reads(code):
    learner = learner_of(code)
    state = learner.init(2)
    x = torch.rand(4, 8, 8)
    features = learner.features(state, x)
    assert features.shape == (4, 4 * 36)
    names = {theirs: value for theirs, value in _theirs(learner, state).items()}
    logits = features @ names["head.weight"].T + names["head.bias"]
    assert torch.allclose(logits, learner.apply(state, x, train=False, key=None)[0], atol=1e-5)


def test_a_path_that_is_no_path(mlp):
    with pytest.raises(SpecError, match="Cannot read the checkpoint"):
        read_checkpoint(Path("a\0b"), mlp, mlp.init(0))
