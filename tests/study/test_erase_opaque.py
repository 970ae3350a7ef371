"""`erase` where nothing but outputs is known of a learner: fitted anew, exactly, and never read from a file."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from tests.study.erasing import SCRUB, digests, erase, ids_of, tiny

from unweave._errors import ApplicabilityError, UserError
from unweave._random import derive
from unweave.learners.opaque import fit_one
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, LearnerChoice
from unweave.study.assemble import assemble
from unweave.study.choices import MethodChoice
from unweave.study.erase import EraseWanted, run_erase
from unweave.study.spec import Spec

FACTORY = """
from sklearn.ensemble import ExtraTreesClassifier

def make():
    return ExtraTreesClassifier(7)
"""


def forest(folder, **changes):
    return tiny(folder, **{"learner": LearnerChoice("forest", trees=8), **changes})


def outputs(folder, number=1):
    return np.load(folder / f"{number:04d}" / "outputs.npz", allow_pickle=False)


def test_a_forest_is_fitted_anew_without_s_to_the_bit(tmp_path):
    case = forest(tmp_path)
    found = erase(case, tmp_path / "out")
    setting, forget = assemble(case).setting, assemble(case).forget
    rest, x, y = np.setdiff1d(np.arange(200), forget), setting.x.copy(), setting.y.copy()
    x[forget], y[forget] = 0.0, 0  # whatever they hold has no part in it
    wanted = fit_one(setting.learner, x, y, rows=rest, key=derive(case.seed, "erase", "retrain"))
    made = outputs(tmp_path / "out")
    assert sorted(made.files) == ["test", "test_ids", "train", "train_ids"]
    np.testing.assert_array_equal(made["train_ids"], setting.ids)
    np.testing.assert_array_equal(made["train"], wanted.logits(setting.x))
    test = assemble(case).data.test
    np.testing.assert_array_equal(made["test_ids"], test.ids)
    np.testing.assert_array_equal(made["test"], wanted.logits(test.x))
    assert found.headline == "The model was trained anew without 3 of 200 examples (untraining)."
    assert found.model_before == {} and "fitted here" in " ".join(found.provenance["notes"])


def test_a_factory_of_ones_own_without_unweave(tmp_path):
    """An oracle that is scikit-learn alone."""
    file = tmp_path / "mine.py"
    file.write_text(FACTORY)
    case = tiny(tmp_path, learner=LearnerChoice(factory=f"{file}:make"))
    with pytest.raises(UserError, match=r"add --trust-code"):
        erase(case, tmp_path / "out")
    wanted = EraseWanted("untraining", tmp_path / "out", models=0)
    found = run_erase(Spec((case,), trust_code=(file,)), wanted)
    data = _data(case, file)
    seed = derive(derive(case.seed, "erase", "retrain"), "fit") % 2**32
    own = ExtraTreesClassifier(7, random_state=seed).fit(data["x"][data["rest"]], data["y"][data["rest"]])
    logs = np.zeros((len(data["x"]), 10))
    logs[:, own.classes_] = own.predict_proba(data["x"])
    made = outputs(tmp_path / "out")["train"]
    np.testing.assert_array_equal(made, np.log(logs.clip(1e-9)).astype(np.float32))
    assert list(found.provenance["trusted"]) == ["mine.py"]
    assert "--trust-code FILE" in (tmp_path / "out" / "0001" / "request.toml").read_text().splitlines()[0]


def _data(case, file):
    from unweave.study.own_code import trusted_files

    assembly = assemble(case, trusted=trusted_files([file]))
    x = assembly.setting.x.reshape(200, -1)
    return {"x": x, "y": assembly.setting.y, "rest": np.setdiff1d(np.arange(200), assembly.forget)}


def test_the_pickle_is_for_its_owner_and_holds_the_classifier(tmp_path):
    erase(forest(tmp_path), tmp_path / "out")
    held = pickle.loads((tmp_path / "out" / "0001" / "model.pkl").read_bytes())
    x = assemble(forest(tmp_path)).setting.x.reshape(200, -1)
    logs = np.zeros((200, 10))
    logs[:, held["classifier"].classes_] = held["classifier"].predict_proba(x)
    np.testing.assert_array_equal(outputs(tmp_path / "out")["train"], np.log(logs.clip(1e-9)).astype(np.float32))


def test_a_pickle_is_never_read(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    erase(forest(tmp_path), tmp_path / "out")

    class Sings:
        def __reduce__(self):
            return open, (str(canary), "w")

    (tmp_path / "out" / "0001" / "model.pkl").write_bytes(pickle.dumps(Sings()))

    def refuse(*given, **more):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    second = erase(forest(tmp_path, forget=ForgetChoice(ids=ids_of(2, 3))), tmp_path / "out")
    assert second.number == 2 and not canary.exists()
    named = replace(forest(tmp_path).learner, checkpoint=str(tmp_path / "out" / "0001" / "model.pkl"))
    with pytest.raises(ApplicabilityError, match="never read from files, which would run their code"):
        erase(forest(tmp_path, learner=named), tmp_path / "other")
    assert not canary.exists()


def test_the_same_request_gives_the_same_bytes(tmp_path):
    for one in ("one", "two"):
        erase(forest(tmp_path), tmp_path / one)
    first, second = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert all(first[f"0001/{name}"] == second[f"0001/{name}"] for name in ("model.pkl", "outputs.npz"))
    assert erase(forest(tmp_path), tmp_path / "three").model_after["outputs_sha256"] == first["0001/outputs.npz"]


def test_a_second_request_leaves_both_out(tmp_path):
    erase(forest(tmp_path), tmp_path / "out")
    erase(forest(tmp_path, forget=ForgetChoice(ids=ids_of(2, 3))), tmp_path / "out")
    at_once = erase(forest(tmp_path, forget=ForgetChoice(ids=ids_of(5))), tmp_path / "other")
    assert len(outputs(tmp_path / "out", 2)["train"]) == 197
    assert at_once.forget == 5
    one, other = outputs(tmp_path / "out", 2), outputs(tmp_path / "other")
    np.testing.assert_array_equal(one["test"], other["test"])  # the same data, the same key: the same forest
    with pytest.raises(UserError, match="taken out by an earlier request"):
        erase(forest(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("method", [SCRUB, MethodChoice("ssd", {}), MethodChoice("finetune then ssd", {})])
def test_other_methods_are_refused(tmp_path, method):
    with pytest.raises(ApplicabilityError, match="needs gradients, and of the learner forest only the outputs"):
        erase(forest(tmp_path), tmp_path / "out", method=method)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_of_models_from_files_or_of_models_fitted_here(tmp_path):
    from tests.study.erasing import save_model

    net = tiny(tmp_path)
    save_model(net)
    erase(net, tmp_path / "nets")
    erase(forest(tmp_path), tmp_path / "forests")
    second = {"forget": ForgetChoice(ids=ids_of(2, 3))}
    with pytest.raises(UserError, match=r"models of .*forests were fitted anew, that of the spec is from a file"):
        erase(replace(net, **second), tmp_path / "forests")
    with pytest.raises(UserError, match=r"models of .*nets were from a file, that of the spec is fitted anew"):
        erase(forest(tmp_path, **second), tmp_path / "nets")


def test_people_of_the_census(tmp_path, need_data):
    need_data("adult")
    case = forest(tmp_path, data=DataChoice("adult", limit=1500), behaviour=BehaviourChoice("mislabel"))
    whole = assemble(replace(case, forget=ForgetChoice(count=1)))
    case, x, y = replace(case, behaviour=BehaviourChoice("unknown")), whole.data.train.x, whole.data.train.y
    ids = tuple(whole.data.train.ids[[5, 50, 500]].tolist())
    found = erase(replace(case, forget=ForgetChoice(ids=ids)), tmp_path / "out")
    rest = np.setdiff1d(np.arange(1500), [5, 50, 500])
    key = derive(case.seed, "erase", "retrain")
    wanted = fit_one(whole.setting.learner, x, y, rows=rest, key=key)
    np.testing.assert_array_equal(outputs(tmp_path / "out")["train"], wanted.logits(x))
    assert found.forget == 3 and found.accuracy[0].name == "S"


def test_outputs_need_no_pickle(tmp_path):
    erase(forest(tmp_path), tmp_path / "out")
    content = (tmp_path / "out" / "0001" / "outputs.npz").read_bytes()
    held = np.load(io.BytesIO(content), allow_pickle=False)
    assert all(held[name].dtype.kind in "fiU" for name in held.files)
    assert held["train"].dtype == np.float32 and held["train"].shape == (200, 10)


def test_a_classifier_that_cannot_be_pickled_is_one_message(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(FACTORY.replace("return ExtraTreesClassifier(7)", "return own()") + OWN_CLASS)
    case = tiny(tmp_path, learner=LearnerChoice(factory=f"{file}:make"))
    with pytest.raises(UserError, match=r"mine\.py:make cannot be pickled, so nothing was written"):
        run_erase(Spec((case,), trust_code=(file,)), EraseWanted("untraining", tmp_path / "out", models=0))
    assert not (tmp_path / "out").exists()


OWN_CLASS = """

def own():
    made = ExtraTreesClassifier(7)
    made.note = lambda: 3
    return made
"""
