"""A user's own module or classifier: nothing runs untrusted, all is tried first, models follow their keys."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from unweave import LearnerChoice, compare
from unweave.learners.nets import build
from unweave.learners.own_code import seeded
from unweave.study import assemble, read_spec, trusted_files
from unweave.training.engine import many, unstack
from unweave.training.loop import fit

DOCS = Path(__file__).parents[2] / "docs" / "learners.md"

_spec = spec_from_file_location("own_code", Path(__file__).with_name("own_code.py"))
own = module_from_spec(_spec)
_spec.loader.exec_module(own)
HEAD, LINEAR, TREES, assembled, case_of, write = (
    getattr(own, name) for name in ("HEAD", "LINEAR", "TREES", "assembled", "case_of", "write")
)


def example() -> str:
    return re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)[1]


def same(a, b) -> bool:
    return all(torch.equal(one[n], two[n]) for one, two in zip(a, b, strict=True) for n in one)


# ---- what works ----


def test_the_example_of_the_documentation_runs(write, tmp_path):
    file = write(example())
    study = compare(
        case_of(file), methods=["noop", "eu_k", "ssd"], store=tmp_path / "s", workers=1, trust_code=[file]
    )
    found = study.result.cases[0]
    assert {row.id: row.status for row in found.rows if row.kind == "method"} == {
        "noop": "ok",
        "eu_k": "ok",
        "ssd": "ok",
    }
    assert any("model.py:make are trained one by one" in one for one in found.warnings)
    assert len(example().splitlines()) <= 18


def test_that_models_are_trained_one_by_one_is_said_of_those_alone(write):
    from unweave.study.warnings import _about_learner

    said = [_about_learner(assembled(write(text, name))) for text, name in ((LINEAR, "a.py"), (example(), "b.py"))]
    assert said[0] == [] and "one by one" in said[1][0]


def test_all_methods_run_on_batch_norm_and_dropout(write):
    from unweave.methods import METHODS, Examples, run
    from unweave.training.replay import Training

    setting = assembled(write(example())).setting
    learner, x, y = build(setting.learner), torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    originals = many(learner, x[:40], y[:40], rows=[np.arange(40)] * 2, keys=[1, 2])
    sets = {"forget": Examples(x[:10], y[:10]), "retain": Examples(x[10:40], y[10:40])}
    sets["validation"] = Examples(x[40:60], y[40:60])
    sets["training"] = Training(x[:40], y[:40], np.arange(40), [1, 2], np.arange(10))
    for entry in METHODS:
        edited = run(entry.build(), learner, originals, **sets, keys=[3, 4])
        again = run(entry.build(), learner, originals, **sets, keys=[3, 4])
        assert same(edited.state, again.state), entry.name
        if entry.declared.identity or entry.name == "noop":
            kept = run(entry.build(**entry.declared.identity), learner, originals, **sets, keys=[3, 4])
            assert same(kept.state, originals), entry.name
    frozen = run(METHODS.get("cf_k").build(), learner, originals, **sets, keys=[3, 4]).state
    moved = {n.split(".")[0] for n in frozen.params if not torch.equal(frozen.params[n], originals.params[n])}
    assert moved == {"8"}, "the last layer alone, in the order of the module and not of the alphabet"


def test_models_follow_their_keys_and_no_global_generator_is_touched(write):
    setting = assembled(write(example()), epochs=2).setting
    learner, x, y = build(setting.learner), torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    rows = np.arange(100)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = fit(learner, x, y, rows=rows, key=1)
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])
    torch.manual_seed(99)
    assert same(first, fit(learner, x, y, rows=rows, key=1))
    assert not same(first, fit(learner, x, y, rows=rows, key=2))
    assert same(first, unstack(many(learner, x, y, rows=[rows, rows], keys=[2, 1]))[1])
    counted = [v for n, v in first.buffers.items() if n.endswith("num_batches_tracked")]
    assert [one.item() for one in counted] == [4] and counted[0].dtype == torch.int64


def test_seeded_code_draws_by_the_seed_and_leaves_the_generators_as_they_were():
    def draw():
        return random.random(), float(np.random.random()), float(torch.rand(()))

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    found = [draw()]
    with seeded(7):
        first = draw()
    with pytest.raises(KeyError), seeded(7):
        assert draw() == first != expected[1]
        raise KeyError
    assert [*found, draw()] == expected


def test_generators_of_gpus_are_seeded_and_put_back(monkeypatch):
    """On a machine without one: torch's functions for GPUs stand for a generator that is a number."""
    device = {"state": [3]}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(device["state"]))
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda states: device.update(state=states))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: device.update(state=[seed]))
    with pytest.raises(KeyError), seeded(7):
        assert device["state"] == [7]
        raise KeyError
    assert device["state"] == [3]


def test_dropout_differs_by_step_and_by_key(write):
    text = LINEAR.replace("nn.Linear", "nn.Dropout(), nn.Linear")
    learner = build(assembled(write(text)).setting.learner)
    state, x = learner.init(1), torch.ones(2, 8, 8)
    found = [learner.apply(state, x, train=True, key=torch.tensor(k))[0] for k in (1, 1, 2)]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    quiet = [learner.apply(state, x, train=False, key=None)[0] for _ in range(2)]
    assert torch.equal(*quiet)


def test_training_is_that_of_the_module_itself(write):
    """The functions of a state against the module with torch's optimiser."""
    setting = assembled(write(example().replace("nn.Dropout(0.1)", "nn.Identity()"))).setting
    learner, x, y = build(setting.learner), torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    space: dict = {}
    exec(example().replace("nn.Dropout(0.1)", "nn.Identity()"), space)
    module, start = space["make"]((8, 8), 10), learner.init(5)
    module.load_state_dict({n.partition(".")[2]: v for part in start for n, v in part.items()})
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    from unweave.training.batches import epoch_orders

    for batch in torch.from_numpy(epoch_orders(len(x), np.arange(100), 1, 5)[0]).split(64):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
        optimiser.step()
    found = fit(learner, x, y, rows=np.arange(100), key=5)
    for part in found:
        for n, v in part.items():
            torch.testing.assert_close(v, module.state_dict()[n.partition(".")[2]], atol=1e-6, rtol=1e-5)


def test_excluded_examples_change_no_weight_and_no_statistic(write):
    setting = assembled(write(example())).setting
    learner, x, y = build(setting.learner), torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    changed = x.clone()
    changed[100:] = torch.nan
    assert same(*(fit(learner, one, y, rows=np.arange(100), key=1) for one in (x, changed)))


def test_tied_and_frozen_parameters(write):
    text = HEAD + (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b, self.c = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)\n"
        "        self.b.weight = self.a.weight\n"
        "        self.c.bias.requires_grad_(False)\n"
        "    def forward(self, x):\n"
        "        return self.c(self.b(self.a(x.flatten(1))))\n"
        "make = Net\n"
    ).replace("make = Net", "def make():\n    return Net()")
    setting = assembled(write(text)).setting
    learner, x, y = build(setting.learner), torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    start = learner.init(1)
    assert set(start.params) == {"1.a.weight", "1.a.bias", "2.b.bias", "3.c.weight"}
    assert set(start.buffers) == {"3.c.bias"}
    state = fit(learner, x, y, rows=np.arange(100), key=1)
    assert torch.equal(state.buffers["3.c.bias"], start.buffers["3.c.bias"])
    assert not torch.equal(state.params["1.a.weight"], start.params["1.a.weight"])
    z = x[:3].flatten(1) @ state.params["1.a.weight"].T + state.params["1.a.bias"]
    z = z @ state.params["1.a.weight"].T + state.params["2.b.bias"]
    z = z @ state.params["3.c.weight"].T + state.buffers["3.c.bias"]
    torch.testing.assert_close(learner.apply(state, x[:3], train=False, key=None)[0], z, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_classifier_is_opaque_and_one_and_two_workers_agree(write, tmp_path):
    file, written = write(TREES), []
    case = case_of(file)
    case = replace(case, learner=LearnerChoice(factory=case.learner.factory))
    for workers in (1, 2):
        study = compare(
            case, methods=["noop", "ssd"], store=tmp_path / str(workers), workers=workers, trust_code=[file]
        )
        written.append((study.save(tmp_path / f"out{workers}") / "rows.csv").read_bytes())
    assert written[0] == written[1]
    rows = {row.id: row for row in study.result.cases[0].rows}
    assert rows["ssd"].status == "refused" and "model.py:make" in rows["ssd"].reason
    assert rows["original"].groups["retain"].accuracy.value > 0.5


def test_the_identity_is_the_code_and_not_its_place(write, tmp_path):
    (tmp_path / "other").mkdir()
    one, two = write(LINEAR), write(LINEAR, "other/copy.py")
    three = write(LINEAR + "# changed\n", "third.py")
    ids = [json.dumps(assembled(file).setting.learner.identity(), sort_keys=True) for file in (one, two, three)]
    assert ids[0] == ids[1] != ids[2] and str(tmp_path) not in ids[0]
    assert assembled(one, lr=0.1).setting.learner.identity() != json.loads(ids[0])


def test_a_path_in_a_spec_is_relative_to_it(write, tmp_path):
    write(LINEAR)
    (tmp_path / "case.toml").write_text('[learner]\nfactory = "model.py:make"\nlr = 0.1\n')
    spec = read_spec(tmp_path / "case.toml")
    learner = assemble(spec.cases[0], trusted=trusted_files([tmp_path / "model.py"])).setting.learner
    assert learner.recipe.lr == 0.1 and learner.recipe.epochs == 10 and learner.label == "model.py:make"
