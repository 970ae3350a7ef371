"""A whole comparison of learners of which only the outputs are known, or which nothing can stack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave.learners import specify
from unweave.methods import METHODS
from unweave.problem import BehaviourChoice, ProbeChoice
from unweave.references import Store, ensure, key_of
from unweave.references.keys import opaque_fields
from unweave.report import print_result, render_page
from unweave.study import assemble
from unweave.study.methods import refusal

CASE = Case(
    name="trees",
    behaviour=BehaviourChoice("mislabel"),
    learner=LearnerChoice("forest", trees=3),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=40),
)
CONVOLUTION = replace(CASE, name="cnn", learner=LearnerChoice("cnn", channels=2, epochs=1))
LOGISTIC = replace(CASE, name="logistic", learner=LearnerChoice("logistic"))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return compare(CASE, methods=["noop", "ssd", "scrub"], store=store, workers=1).result


def test_noop_is_the_original_and_the_others_are_refused(result):
    rows = {row.id: row for row in result.cases[0].rows}
    assert rows["noop"].status == "ok" and rows["noop"].cost.gradient_ratio == 0
    assert rows["noop"].groups == rows["original"].groups
    for name in ("ssd", "scrub"):
        assert rows[name].status == "refused"
        assert rows[name].reason == "needs gradients, and of the learner forest only the outputs are known"
    assert rows["original"].groups["retain"].accuracy.value > 0.8
    assert result.headline.endswith("with 2 methods refused.")


def test_refused_rows_read_well(result, capsys):
    print_result(Console(width=120), result)
    text = " ".join(capsys.readouterr().out.split())
    assert "ssd: refused: needs gradients, and of the learner forest only the outputs are known." in text
    assert "everything of scrub, ssd" in text
    page = render_page(result)
    assert "ssd (refused: needs gradients" in page and "failed" not in page.split("Not on the map")[1][:300]


def test_what_needs_no_gradient_is_what_takes_no_step():
    opaque, plain, tied = (
        specify("forest", (4,), 2),
        specify("mlp", (4,), 2),
        specify("mlp", (4,), 2, config={"etd": 0.1}),
    )
    for entry in METHODS:
        method = entry.build()
        nothing = all(stage.step is None and stage.prepare is None and not stage.anew for stage in method.stages())
        assert (refusal(opaque, entry.name, validation=9) == "") == nothing
        net = plain if entry.declared.trains is None else tied
        assert refusal(net, entry.name, validation=9) == ""
        assert (refusal(plain, entry.name, validation=9) == "") == (net is plain)
        held_out = "validation" in entry.declared.needs
        assert ("held-out" in refusal(net, entry.name, validation=0)) == held_out


def test_nothing_but_outputs_is_stored_and_a_second_run_fits_nothing(tmp_path, monkeypatch):
    first = compare(CASE, methods=["noop"], store=tmp_path, workers=1)
    assert first.result.provenance.models_trained == 15
    assert {file.suffix for file in (tmp_path / "objects").rglob("*.*") if file.is_file()} == {
        ".json",
        ".safetensors",
    }
    assembly = assemble(CASE)
    for fields in opaque_fields(assembly.setting, assembly.worlds["original"]):
        arrays, _ = Store(tmp_path).read(key_of(fields))
        assert list(arrays) == ["logits"] and arrays["logits"].shape == (len(assembly.probes.x), 10)
        assert "torch" not in fields and "scikit-learn" in fields
    monkeypatch.setattr(ensure, "fit_logits", lambda *_, **__: pytest.fail("fitted twice"))
    second = compare(CASE, methods=["noop"], store=tmp_path, workers=1)
    assert second.result.provenance.models_trained == 0
    assert second.result.cases == first.result.cases


def test_a_run_that_was_stopped_loses_one_model(tmp_path, monkeypatch):
    assembly, fit = assemble(CASE), ensure.fit_logits
    world, whole = assembly.worlds["original"], Store(tmp_path / "whole")
    expected, count = ensure.ensure_outputs(whole, assembly.setting, world)
    assert count == 3
    keys: list[int] = []

    def until_the_third(*args, key, **kwargs):
        keys.append(key)
        if len(keys) == 3:
            raise KeyboardInterrupt
        return fit(*args, key=key, **kwargs)

    store = Store(tmp_path / "stopped")
    monkeypatch.setattr(ensure, "fit_logits", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        ensure.ensure_outputs(store, assembly.setting, world)
    outputs, count = ensure.ensure_outputs(store, assembly.setting, world)
    assert count == 1 and keys == [*world.keys, world.keys[2]]
    np.testing.assert_array_equal(outputs.logits, expected.logits)


@pytest.mark.slow
@pytest.mark.parametrize("case", [CASE, CONVOLUTION], ids=["forest", "cnn"])
def test_one_and_two_workers_say_the_same(tmp_path, case):
    written = []
    for workers in (1, 2):
        study = compare(case, methods=["noop", "ssd"], store=tmp_path / str(workers), workers=workers)
        written.append((study.save(tmp_path / f"out{workers}") / "rows.csv").read_bytes())
    assert written[0] == written[1]


def test_a_learner_without_chance_is_named(tmp_path):
    case = compare(LOGISTIC, methods=["noop"], store=tmp_path, workers=1).result.cases[0]
    assert any("nothing in this learner is random" in warning for warning in case.warnings)


def test_a_learner_with_chance_is_not(result):
    assert not any("random" in warning for warning in result.cases[0].warnings)
