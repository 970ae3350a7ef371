"""The device is the caller's: a GPU that is not there is one clear message, before anything is trained."""

from __future__ import annotations

import pytest
import torch

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError, UserError
from unweave.references import model_fields
from unweave.study import assemble, read_spec
from unweave.study.device import check_device, name_of_device

TINY = Case(learner=LearnerChoice(epochs=1), references=ReferenceChoice(models=3))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", 3, None, "cuda:0 "])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(SpecError, match="expected cpu, cuda, or one of several"):
        check_device(device)


def test_a_gpu_that_is_not_there_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"`device` is cuda, and torch .* sees no GPU here. Leave `device` out"):
        compare(TINY, methods=["noop"], store=tmp_path / "store", device="cuda")
    assert not (tmp_path / "store").exists()


def test_one_gpu_too_many(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the one at {device}")
    check_device("cuda:1")
    assert name_of_device("cuda:1") == ", the one at cuda:1"
    with pytest.raises(UserError, match="sees 2 GPUs here, from cuda:0"):
        check_device("cuda:2")


def test_models_of_a_gpu_are_models_of_their_own():
    on = {device: assemble(TINY, device=device) for device in ("cpu", "cuda", "cuda:1")}
    fields = {device: model_fields(one.setting, one.worlds["original"])[0] for device, one in on.items()}
    assert "device" not in fields["cpu"]
    assert fields["cuda"] == fields["cuda:1"] == {**fields["cpu"], "device": "cuda"}


def test_what_follows_no_gradient_is_the_same_wherever():
    case = Case(learner=LearnerChoice("forest"))
    fields = [
        model_fields(one.setting, one.worlds["original"])
        for one in (assemble(case, device=device) for device in ("cpu", "cuda"))
    ]
    assert fields[0] == fields[1]


def test_a_spec_may_name_it(tmp_path):
    assert read_spec(settings=['device="cuda:1"']).device == "cuda:1"
    assert read_spec().device == "cpu"
    study = compare(TINY, methods=["noop"], store=tmp_path, workers=1, device="cpu")
    assert "cores" in study.result.provenance.hardware


def test_bfloat16_from_a_spec(tmp_path):
    case = Case(learner=LearnerChoice(epochs=2, width=8, dtype="bfloat16"), references=ReferenceChoice(models=3))
    study = compare(case, methods=["finetune"], store=tmp_path, workers=1)
    assert study.result.cases[0].rows
    assert read_spec(settings=['learner.dtype="bfloat16"']).cases[0].learner.dtype == "bfloat16"
    with pytest.raises(SpecError, match="dtype"):
        read_spec(settings=['learner.dtype="half"'])
