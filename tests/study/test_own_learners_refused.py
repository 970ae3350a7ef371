"""What is refused of a user's own code before anything is trained, and what it may not do to others."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from unweave import LearnerChoice, UserError, compare
from unweave.references import Store
from unweave.references.ensure import ensure_outputs
from unweave.study import assemble, trusted_files
from unweave.study.tasks import train_world

_spec = spec_from_file_location("own_code", Path(__file__).with_name("own_code.py"))
own = module_from_spec(_spec)
_spec.loader.exec_module(own)
HEAD, LINEAR, TREES, assembled, case_of, write = (
    getattr(own, name) for name in ("HEAD", "LINEAR", "TREES", "assembled", "case_of", "write")
)


def test_nothing_is_run_untrusted(write, tmp_path):
    file = write(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + LINEAR)
    with pytest.raises(
        UserError, match=r"nothing of it has been run\. If you trust it, add --trust-code .*model\.py"
    ):
        compare(case_of(file), methods=["noop"], store=tmp_path / "s", workers=1)
    other = write(LINEAR, "other.py")
    with pytest.raises(UserError, match="nothing of it has been run"):
        compare(case_of(file), methods=["noop"], store=tmp_path / "s", workers=1, trust_code=[other])
    assert not (tmp_path / "ran").exists()
    assembled(file)
    assert (tmp_path / "ran").exists()


def test_a_worker_refuses_a_file_that_has_changed(write, tmp_path):
    file = write(LINEAR)
    trusted = trusted_files([file])
    file.write_text(LINEAR + "# other\n")
    from unweave.study import case_to_tree

    with pytest.raises(UserError, match=r"model\.py has changed since it was trusted \(SHA-256 .*Run again"):
        where = {"store": str(tmp_path / "s"), "data": "", "trusted": trusted, "device": "cpu", "shared": None}
        train_world(case_to_tree(case_of(file)), where, "original")


INIT_BY_TIME = f"""{HEAD}
import os

def make():
    linear = nn.Linear(64, 10)
    linear.bias.data[0] = int.from_bytes(os.urandom(4), "big")
    return nn.Sequential(nn.Flatten(), linear)
"""
PASS_BY_TIME = f"""{HEAD}
import os

class Net(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) + int.from_bytes(os.urandom(4), "big")

def make():
    return Net(64, 10)
"""
REPLACES = f"""{HEAD}
class Net(nn.Linear):
    def __init__(self):
        super().__init__(64, 10)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen = self.seen + 1
        return super().forward(x.flatten(1))

def make():
    return Net()
"""
COUNTS = f"""{HEAD}
class Net(nn.Linear):
    passes = 0

    def forward(self, x):
        self.passes += self.training
        return super().forward(x.flatten(1)) / (1 + self.passes // 20)

def make():
    return Net(64, 10)
"""
COLLECTS = f"""{HEAD}
class Notes:
    def __init__(self):
        self.norms = []

class Net(nn.Linear):
    def __init__(self):
        super().__init__(64, 10)
        self.notes = Notes()

    def forward(self, x):
        if self.training:
            self.notes.norms.append(1)
        return super().forward(x.flatten(1))

def make():
    return nn.Sequential(nn.Identity(), Net())
"""
CACHES = f"""{HEAD}
class Net(nn.Linear):
    mask, last = None, None

    def forward(self, x):
        if self.mask is None:
            self.mask = torch.ones(64)
        self.last = super().forward(x.flatten(1) * self.mask)
        self.rounded, self.sparse = self.last.bfloat16(), self.last.to_sparse()
        return self.last

def make():
    return Net(64, 10)
"""
BAD = {
    "no module": (
        "def make():\n    return 3\n",
        r"model\.py:make returned an int; expected a torch\.nn\.Module, or",
    ),
    "missing": ("def mak():\n    pass\n", r"model\.py has no function `make`; its functions are mak"),
    "import error": (
        "import nothing_of_this_name\n",
        r"Running .*model\.py failed: ModuleNotFoundError: No module",
    ),
    "syntax": ("def make(:\n", r"Running .*model\.py failed: SyntaxError"),
    "exit": ("raise SystemExit(0)\n", r"Running .*model\.py failed: SystemExit: 0 \(model\.py, line 1\)"),
    "raises": (
        "def make():\n    return 1 / 0\n",
        r"make failed: ZeroDivisionError: division by zero \(model\.py, line 2\)",
    ),
    "arguments": (
        "def make(a, b, c):\n    pass\n",
        r"make` ?is|is `make\(a, b, c\)`; expected a function of \(shape, classes\)",
    ),
    "outputs": (
        LINEAR.replace("64, classes", "64, 7"),
        r"of shape \[2, 8, 8\] into \[2, 7\]; expected logits of shape \[2, 10\]",
    ),
    "inputs": (LINEAR.replace("64, c", "63, c"), r"model\.py:make failed: RuntimeError: mat1 and mat2"),
    "several outputs": (
        HEAD + "class N(nn.Linear):\n def forward(self, x):\n  return (x, x)\ndef make():\n return N(2, 2)",
        r"make returns a tuple; expected logits, a tensor",
    ),
    "no parameters": (HEAD + "def make():\n    return nn.Flatten()\n", "has no parameter that needs a gradient"),
    "init by time": (INIT_BY_TIME, r"gives two different `2\.1\.bias` for the same seed"),
    "pass by time": (PASS_BY_TIME, r"gives two results in use \(`eval`\) for the same model, examples and seed"),
    "buffer replaced": (REPLACES, "replaces its buffer `seen` in training, which would be lost"),
    "counts": (COUNTS, "changes its attribute `passes` with each pass in training; one module serves all models"),
    "collects": (COLLECTS, r"changes its attribute `1\.notes` with each pass in training"),
}


@pytest.mark.parametrize("code", ["{}", "def make():\n    {}\n"])
def test_a_signal_while_the_code_runs_is_no_error_of_it(code, write, tmp_path):
    """What the command line and many programs do at SIGTERM."""
    file = write(code.format("import sys; sys.exit(143)\n"))
    with pytest.raises(SystemExit, match="143"):
        compare(case_of(file), methods=["noop"], store=tmp_path / "s", workers=1, trust_code=[file])


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_trained_is_refused(name, write, tmp_path):
    text, message = BAD[name]
    file = write(text)
    with pytest.raises(UserError, match=message):
        compare(case_of(file), methods=["noop"], store=tmp_path / "s", workers=1, trust_code=[file])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_a_module_sets_up_once_or_keeps_to_be_looked_at_is_no_reason_to_refuse_it(write):
    assert assembled(write(CACHES)).setting.learner.label == "model.py:make"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"factory": "model.py"}, r"`learner\.factory` is 'model\.py'; expected a file and a function"),
        ({"factory": ":make"}, r"`learner\.factory` is ':make'; expected a file and a function"),
        ({"factory": "model.py:make", "width": 8}, r"`learner\.width` is 8, but `learner\.factory` is given"),
        (
            {"factory": "model.py:make", "name": "cnn"},
            r"`learner\.name` is 'cnn', but `learner\.factory` is given",
        ),
    ],
)
def test_choices_that_contradict_each_other(choice, message, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write(LINEAR)
    case = replace(case_of(file), learner=LearnerChoice(**choice))
    with pytest.raises(UserError, match=message):
        assemble(case, trusted=trusted_files([file]))


def test_a_classifier_has_no_recipe(write):
    with pytest.raises(
        UserError, match=r"`learner\.epochs` is a part of a recipe, and `model\.py:make` follows no"
    ):
        assembled(write(TREES))


def test_a_trusted_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read the code .*gone\.py: No such file"):
        trusted_files([tmp_path / "gone.py"])


NORMED = HEAD + "def make():\n    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))\n"


@pytest.mark.parametrize(
    ("batch_size", "where"), [(299, r"the training set D \(300"), (29, r"the forget set S \(30"), (1, "D")]
)
def test_a_last_batch_of_one_is_refused_where_it_would_fail(batch_size, where, write):
    message = (
        rf"`learner\.batch_size` is {batch_size}, which leaves a batch of one example of .*{where}.*Take another"
    )
    with pytest.raises(UserError, match=message) as raised:
        assembled(write(NORMED), batch_size=batch_size)
    good = int(re.search(r"such as (\d+)", str(raised.value))[1])
    assembled(write(NORMED), batch_size=good)
    assembled(write(LINEAR), batch_size=batch_size)


def test_so_it_is_for_the_residual_net():
    case = replace(case_of(Path("none")), learner=LearnerChoice("resnet9", batch_size=13))
    with pytest.raises(UserError, match=r"batch of one example of the training set D \(300 examples\); resnet9"):
        assemble(case)
    assemble(replace(case, learner=LearnerChoice("cnn", batch_size=13)))


IN_PLACE = f"""{HEAD}
class Greedy(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        return self.inner(x.flatten(1).clamp_(0, 0.5))

def make():
    return Greedy()
"""
IN_PLACE_TREES = """from sklearn import tree

class Greedy(tree.DecisionTreeClassifier):
    def predict_proba(self, x):
        x *= 0.5
        return super().predict_proba(x)

def make():
    return Greedy(max_depth=5)
"""


@pytest.mark.parametrize("text", [IN_PLACE, IN_PLACE_TREES])
def test_a_learner_that_writes_into_what_it_is_given_changes_nothing(write, tmp_path, text):
    file = write(text)
    case = case_of(file) if "nn" in text else case_of(file, epochs=None)
    made = assemble(case, trusted=trusted_files([file]))
    before = made.setting.x.copy(), made.setting.probes.copy()
    ensure_outputs(Store(tmp_path / "s"), made.setting, made.worlds["original"])
    assert np.array_equal(before[0], made.setting.x) and np.array_equal(before[1], made.setting.probes)
