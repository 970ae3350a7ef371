"""`erase` of one request: what is written, what is refused, and that the old model is as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.study.erasing import SCRUB, digests, erase, ids_of, save_model, tiny

from unweave._errors import ApplicabilityError, DivergedError, SpecError, UserError
from unweave._random import derive
from unweave.learners.nets import build
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, LearnerChoice
from unweave.records import from_json
from unweave.records.erasure import Erasure
from unweave.study.assemble import assemble
from unweave.study.choices import Fair, MethodChoice
from unweave.study.erase import EraseWanted, prepare_erase, run_erase
from unweave.study.spec import Spec
from unweave.training.engine import many, unstack


@pytest.fixture
def case(tmp_path):
    found = tiny(tmp_path)
    save_model(found)
    return found


def test_accuracy_fell_where_five_answers_or_more_are_lost(tmp_path, case):
    case = replace(case, learner=replace(case.learner, epochs=20))
    save_model(case)
    found = erase(case, tmp_path / "out")
    fell = {one for one in found.accuracy if one.name != "S" and one.before > one.after}
    lost = {one.name: round((one.before - one.after) * one.examples) for one in fell}
    said = {name for name in lost if f"Accuracy on {name} fell from" in " ".join(found.warnings)}
    assert said and said == {name for name in lost if lost[name] >= 5} and len(said) < len(lost), lost


def test_a_new_model_beside_the_old_one_and_a_record(tmp_path, case):
    before = digests(tmp_path)
    found = erase(case, tmp_path / "out")
    after = digests(tmp_path)
    assert after["model.safetensors"] == before["model.safetensors"] == found.model_before["sha256"]
    assert set(after) - set(before) == {
        "out", "out/0001", "out/0001/model.safetensors", "out/0001/record.json", "out/0001/request.toml",
        "out/requests.jsonl",
    }  # fmt: skip
    assert found.model_after == {
        "file": "0001/model.safetensors",
        "sha256": after["out/0001/model.safetensors"],
    }
    assert after["out/0001/model.safetensors"] != before["model.safetensors"]
    written = from_json(Erasure, (tmp_path / "out" / "0001" / "record.json").read_text())
    assert written == found and found.status == "erased" and found.number == 1
    assert found.forget == 3 and found.share == 3 / 200
    assert {one.name for one in found.accuracy} >= {"S", "rest of D", "test", "test, class 0"}
    assert all(0 <= one.after <= 1 and one.examples > 0 for one in found.accuracy)
    (line,) = (tmp_path / "out" / "requests.jsonl").read_text().splitlines()
    assert json.loads(line)["model_after"] == found.model_after["sha256"]


def test_retraining_is_the_model_of_the_rest_of_the_data(tmp_path, case):
    """An oracle that never saw S: the recipe on the rest, by the key of the request."""
    erase(case, tmp_path / "out")
    assembly = assemble(replace(case, learner=replace(case.learner, checkpoint=None)))
    rest = np.setdiff1d(np.arange(200), assembly.forget)
    x, y = torch.from_numpy(assembly.setting.x.copy()), torch.from_numpy(assembly.setting.y.copy())
    x[assembly.forget] = 99.0  # whatever they hold has no part in it
    key = derive(case.seed, "erase", "retrain")
    wanted = unstack(many(build(assembly.setting.learner), x, y, rows=[rest], keys=[key]))[0]
    made = load_file(tmp_path / "out" / "0001" / "model.safetensors")
    assert made.keys() == {**wanted.params, **wanted.buffers}.keys()
    assert all(torch.equal(made[name], value) for name, value in wanted.params.items())


@pytest.mark.parametrize("method", [None, SCRUB, MethodChoice("ssd then finetune", {"ssd.alpha": 5})])
def test_the_same_request_in_another_folder_gives_the_same_bytes(tmp_path, case, method):
    erase(case, tmp_path / "one", method=method)
    erase(case, tmp_path / "two" / "below", method=method)
    models = [tmp_path / one / "0001" / "model.safetensors" for one in ("one", "two/below")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_nothing_is_ever_written_over(tmp_path, case):
    erase(case, tmp_path / "out")
    before = digests(tmp_path / "out")
    erase(replace(case, forget=ForgetChoice(ids=ids_of(2, 3))), tmp_path / "out", method=SCRUB)
    after = digests(tmp_path / "out")
    assert {name: after[name] for name in before if name != "requests.jsonl"} == {
        name: one for name, one in before.items() if name != "requests.jsonl"
    }


def test_what_stands_in_the_way_is_not_written_over(tmp_path, case):
    out = tmp_path / "out"
    out.mkdir()
    for kind in ("file", "link"):
        (out / "0001").write_text("precious") if kind == "file" else (out / "0001").symlink_to(tmp_path / "none")
        before = digests(tmp_path)
        with pytest.raises(UserError, match=r"Cannot write .*0001: .* is untouched"):
            erase(case, out)
        assert digests(tmp_path) == before
        (out / "0001").unlink()


def test_another_request_at_the_same_time_loses_nothing(tmp_path, case, monkeypatch):
    from unweave.study import erase as module

    real = module.edited

    def slow(prepared, on_progress):
        monkeypatch.setattr(module, "edited", real)
        erase(replace(case, forget=ForgetChoice(ids=ids_of(2, 3))), tmp_path / "out")
        return real(prepared, on_progress)

    monkeypatch.setattr(module, "edited", slow)
    with pytest.raises(UserError, match="another request was carried out in the meantime; run this one again"):
        erase(case, tmp_path / "out")
    assert (tmp_path / "out" / "0001" / "record.json").exists() and not (tmp_path / "out" / "0002").exists()
    assert erase(case, tmp_path / "out").number == 2


def test_copies_that_stay_are_listed(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    x[10:13] = x[0]
    y = (x[:, 0] > 0).astype(np.int64)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[20:] + 0.5, y_test=y[20:])
    data = DataChoice("npz", path=str(tmp_path / "d.npz"))
    case = tiny(tmp_path, data=data, forget=ForgetChoice(ids=(0, 1)))
    save_model(case)
    found = erase(case, tmp_path / "out")
    assert found.copies.exact == 3
    assert {(one.forget, one.left) for one in found.copies.pairs} >= {("0", "10"), ("0", "11"), ("0", "12")}
    assert any("3 copies of examples of S stay" in one for one in found.warnings)


def test_what_remains_to_be_deleted_is_said(tmp_path, case):
    found = erase(case, tmp_path / "out")
    assert any("backups" in one for one in found.still_to_delete)
    assert any("the model before this edit" in one for one in found.still_to_delete)


def test_a_recipe_that_is_not_known(tmp_path, case):
    unknown = replace(case, learner=replace(case.learner, epochs=None, lr=None))
    with pytest.raises(SpecError, match="--method is missing: the recipe of the model is not known"):
        erase(unknown, tmp_path / "out")
    with pytest.raises(ApplicabilityError, match="`retrain` cannot be done: it is not known how the model was"):
        erase(unknown, tmp_path / "out", method=MethodChoice("retrain", {}))
    assert not (tmp_path / "out").exists()
    found = erase(unknown, tmp_path / "out", method=SCRUB, models=100)
    assert found.diagnosis.startswith("No diagnosis: it is not known how the model was trained")
    assert not (tmp_path / "store").exists()  # nothing was trained for one


def test_a_method_that_diverges_writes_nothing(tmp_path, case):
    with pytest.raises(DivergedError, match="The method diverged: try a smaller `lr`"):
        erase(case, tmp_path / "out", method=MethodChoice("finetune", {"lr": 1e25}))
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_diverges_writes_nothing(tmp_path, case):
    wild = replace(case, learner=replace(case.learner, lr=1e6, depth=6))
    save_model(replace(wild, learner=replace(wild.learner, lr=0.1)))
    with pytest.raises(DivergedError, match="retrain led to a model that is not finite"):
        erase(wild, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_method_that_changes_nothing_is_no_erasure(tmp_path, case):
    with pytest.raises(ApplicabilityError, match="`noop` changes nothing"):
        erase(case, tmp_path / "out", method=MethodChoice("noop", {}))
    with pytest.raises(UserError, match=r"finetune\(lr=0\) changed nothing in the model"):
        erase(case, tmp_path / "out", method=MethodChoice("finetune", {"lr": 0.0}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (MethodChoice("amnesiac", {}), "needs the history of training"),
        (MethodChoice("amnesiac then finetune", {}), "needs the history of training"),
        (MethodChoice("noop / finetune by confidence", {}), "one method on all of S"),
        (MethodChoice("rem_etd", {}), "needs models trained with example-tied dropout"),
        (MethodChoice("retrain", {"epochs": 3}), "`retrain` takes no parameters"),
        (MethodChoice("all", {}), "Unknown method `all`"),
    ],
)
def test_methods_that_cannot_be_run_on_one_file(tmp_path, case, method, said):
    with pytest.raises(UserError, match=said):
        erase(case, tmp_path / "out", method=method)
    assert not (tmp_path / "out").exists()


def test_large_requests_have_to_be_confirmed(tmp_path, case):
    y = assemble(case).setting.y
    ids = assemble(case).setting.ids
    tenth = replace(case, forget=ForgetChoice(ids=ids_of(21)))
    with pytest.raises(UserError, match=r"for 10% of the training data: .* say --confirm"):
        erase(tenth, tmp_path / "out")
    erase(replace(case, forget=ForgetChoice(ids=ids_of(20))), tmp_path / "at the limit")
    most = tuple(ids[y == 4].tolist()[: int((y == 4).sum() // 2 + 1)])
    with pytest.raises(UserError, match=r"for 5\d% of class 4"):
        erase(replace(case, forget=ForgetChoice(ids=most)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = erase(tenth, tmp_path / "out", confirm=True)
    assert "The request was large: 10% of the training data." in found.warnings


def test_a_class_that_vanishes_is_said(tmp_path, case):
    whole = assemble(case).setting
    ids = tuple(whole.ids[whole.y == 4].tolist())
    found = erase(replace(case, forget=ForgetChoice(ids=ids)), tmp_path / "out", confirm=True)
    assert any("No example of class 4 is left" in one for one in found.warnings)
    assert "100% of class 4" in " ".join(found.warnings)


def test_retraining_does_not_unlearn_what_the_rest_teaches(tmp_path, case):
    known = replace(case, behaviour=BehaviourChoice("ids", ids=ids_of(10)))
    with pytest.raises(ApplicabilityError, match=r"without S does not unlearn: .* still taught by B∖S"):
        erase(known, tmp_path / "out", aim="unlearning")
    found = erase(known, tmp_path / "out", aim="unlearning", method=SCRUB)
    assert any("Only S was known to the method" in one for one in found.warnings)
    assert any("`unweave audit`" in one for one in found.warnings) and "edited by scrub" in found.headline


@pytest.mark.parametrize(
    ("forget", "said"),
    [
        ((), "forget set has 0 examples"),
        ((99999,), r"1 of 1 forget ids are not in the training data \(first: 99999\)"),
        ((-1,), "negative id -1"),
        (("a",), "ids of these data are whole numbers"),
    ],
)
def test_ids_that_are_none(tmp_path, case, forget, said):
    with pytest.raises(UserError, match=said):
        erase(replace(case, forget=ForgetChoice(ids=forget)), tmp_path / "out")
    twice = (*ids_of(2), *ids_of(1))
    with pytest.raises(UserError, match=r"appears 2×"):
        erase(replace(case, forget=ForgetChoice(ids=twice)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_unknown_ids_are_counted(tmp_path, case):
    some = replace(case, forget=ForgetChoice(ids=(99999, *ids_of(3), 88888)))
    with pytest.raises(SpecError, match=r"2 of 5 forget ids are not in the training data \(first: 99999\)"):
        erase(some, tmp_path / "out")
    dropping = replace(some, forget=replace(some.forget, allow_unknown=True))
    found = erase(dropping, tmp_path / "out", content={"99999": "0" * 64})
    assert any("dropped (2): 99999, 88888" in one for one in found.warnings)
    assert found.case["forget"]["ids"] == list(ids_of(3)) and found.forget == 3


def test_no_ids_no_case_no_model(tmp_path, case):
    with pytest.raises(SpecError, match="`forget.ids` is missing"):
        erase(replace(case, forget=ForgetChoice(count=3)), tmp_path / "out")
    with pytest.raises(SpecError, match="takes one case, got 2"):
        run_erase(Spec((case, case)), EraseWanted("untraining", tmp_path / "out"))
    with pytest.raises(SpecError, match="`learner.checkpoint` is missing"):
        erase(replace(case, learner=replace(case.learner, checkpoint=None)), tmp_path / "out")
    gone = replace(case, learner=replace(case.learner, checkpoint=str(tmp_path / "gone.pt")))
    with pytest.raises(SpecError, match=r"Cannot read the checkpoint .*gone\.pt: No such file"):
        erase(gone, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_run_cannot_do_is_refused_beforehand(tmp_path, case):
    wanted = EraseWanted("untraining", tmp_path / "out", models=0)
    with pytest.raises(SpecError, match="`device` is cuda"):
        prepare_erase(Spec((case,), device="cuda"), wanted)
    with pytest.raises(SpecError, match="`fair` compares methods"):
        prepare_erase(Spec((case,), fair=Fair(cost=0.1)), wanted)
    for models in (-1, 1, 19):
        with pytest.raises(SpecError, match=rf"--models is {models}; expected at least 20, or 0"):
            prepare_erase(Spec((case,)), wanted._replace(models=models))


def test_the_model_of_another_architecture(tmp_path, case):
    wide = replace(case, learner=replace(case.learner, width=9))
    with pytest.raises(SpecError, match=r"shape \[8, 64\].*expects \[9, 64\]"):
        erase(wide, tmp_path / "out")


def test_names_and_dtypes_of_the_file_are_kept(tmp_path, case):
    own = {f"module.{name}": value.half() for name, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(own, tmp_path / "model.safetensors")
    found = erase(case, tmp_path / "out")
    made = load_file(tmp_path / "out" / "0001" / "model.safetensors")
    assert made.keys() == own.keys() and {value.dtype for value in made.values()} == {torch.float16}
    assert "float16" in " ".join(found.provenance["notes"])


def test_data_that_are_pinned(tmp_path, case):
    pinned = replace(case, data=replace(case.data, fingerprint="0123456789ab"))
    with pytest.raises(SpecError, match=r"`data\.fingerprint` is 0123456789ab, but that of these data is"):
        erase(pinned, tmp_path / "out")


def test_learner_choice_defaults_are_a_recipe():
    assert LearnerChoice().recipe_known and not LearnerChoice(checkpoint="a").recipe_known
