"""The bench: it runs, its record is whole, and both sides do the same work."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from unweave.bench.nets import time_net
from unweave.bench.plain import module_of, weights_of
from unweave.bench.workloads import nets


@pytest.mark.slow
def test_the_record_of_a_quick_bench_is_whole(tmp_path):
    from typer.testing import CliRunner

    from unweave.cli.app import app

    done = CliRunner().invoke(app, ["bench", "--quick", "--json", str(tmp_path / "bench.json")])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "bench.json").read_text())
    assert set(record["workloads"]) == {"tiny", "mlp", "cnn", "linear", "linear_leave_20", "ridge", "ridge_many"}
    for name, one in record["workloads"].items():
        assert 0 < one["speedup"]["min"] <= one["speedup"]["median"] <= one["speedup"]["max"], name
        if name in ("tiny", "mlp", "cnn"):
            assert 0 < one["peak_share"]["median"] < 1.5 and one["memory_bytes"] > 0
            assert one["parity"]["same_predictions"] > 0.99
        else:
            assert one["error"] < 1e-6
        assert name in done.output
    assert record["parity_tolerance"] == {"weights": 3e-6, "logits": 3e-5, "same_predictions": 0.9998}
    assert len(record["methods"]["cost_over_one"]) >= 14
    assert record["workers"]["two_over_one"]["median"] > 0 and record["distances"]["seconds"] > 0
    assert 50e6 < record["distances"]["memory_bytes"] < 1e9
    scheduler = record["scheduler"]
    assert (scheduler["workers"], scheduler["tasks"], scheduler["task_seconds"]) == (2, 4, 0.1)
    assert scheduler["seconds"] > 0.2 and scheduler["over_best"] == pytest.approx(scheduler["seconds"] / 0.2)
    told = " ".join(done.output.split())  # lines break where the name of the processor is long
    assert "Scheduler: 4 tasks of 0.1 s on 2 workers take" in told
    assert "Quick: whether it works" in told


@pytest.mark.parametrize("name", ["tiny", "mlp", "cnn"])
def test_the_plain_module_is_the_same_net(name):
    work = nets()[name]
    learner, rows = work.learner, work.rows(1)[0]
    state = learner.start(work.keys(1)[0], work.x, rows)
    module = module_of(learner, state)
    with torch.no_grad():
        ours = learner.apply(state, work.x[:50], train=False, key=None)[0]
        torch.testing.assert_close(module(work.x[:50]), ours, atol=1e-5, rtol=1e-5)
    back = weights_of(learner, module)
    assert all(torch.equal(back[key], value) for key, value in state.params.items())


def test_parity_would_show_a_difference(monkeypatch):
    from dataclasses import replace

    from unweave.bench import nets as timing

    work = nets(quick=True)["tiny"]
    told = time_net(work, 1)["parity"]
    assert told["weights"] < 1e-5 and told["same_predictions"] > 0.999
    right = timing.epoch_orders
    monkeypatch.setattr(timing, "epoch_orders", lambda *given: right(*given)[:, ::-1].copy())
    wrong = time_net(replace(work), 1)["parity"]
    assert wrong["weights"] > 1e-3


def test_flops_are_those_of_the_layers():
    works = nets()
    dense = 2 * 64 * (2 * 64 * 64 + 3 * 64 * 10)
    assert works["tiny"].flops == dense and works["mlp"].flops == 2 * 128 * (2 * 784 * 256 + 3 * 256 * 10)
    assert all(math.isfinite(one.flops) and one.steps_per_epoch > 0 for one in works.values())
    assert np.unique([len(rows) for rows in works["mlp"].rows(3)]).tolist() == [980]
