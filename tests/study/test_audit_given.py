"""`audit` of what a user brings: models retrained without S, outputs of a classifier, the method that was used."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from unweave._errors import UserError
from unweave.learners.opaque import fit_one
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice, ReferenceChoice
from unweave.records import from_json, to_json
from unweave.records.audit import Audit
from unweave.report.audit import audit_page
from unweave.study.assemble import Assembly, assemble
from unweave.study.audit import audit


@pytest.fixture(scope="module")
def retrained(audited) -> Path:
    """A folder of 19 models that were trained without S."""
    folder = audited.folder / "retrained"
    folder.mkdir()
    for seed in range(19):
        audited.train("untrained", f"retrained/{seed:02d}", 100 + seed)
    (folder / "notes.txt").write_text("not a model")
    return folder


def test_models_of_the_user_are_references_where_no_recipe_is_known(audited, variant, retrained):
    case = variant(learner=LearnerChoice(checkpoint=str(audited.file("original"))))
    said: list[str] = []
    found = audited.audit(case=case, retrained=(retrained,), on_message=said.append)
    assert found.verdicts == {"untraining": "not distinguishable", "unlearning": "inconclusive"}
    first, second = found.findings
    assert first.given and first.references == 19 and first.fresh_flagged is None and not second.given
    assert len(set(found.retrained)) == 19 and found.cost["models"] == 0
    assert said[0].startswith("19 references of yours: no p-value can be below 0.050")
    assert any("is not known here" in one for one in found.unanswered)
    assert audited.audit("original", case, retrained=(retrained,)).verdicts["untraining"] == "distinguishable"


def test_the_recipe_trains_what_was_not_given(audited, retrained):
    files = tuple(sorted(retrained.glob("*.safetensors")))[:5]
    found = audited.audit(retrained=files)
    assert found.findings[0].verdict == "inconclusive" and "at least 19 are needed" in found.findings[0].reason
    assert found.verdicts["unlearning"] == "distinguishable" and found.recipe_p is not None
    assert found.cost["models"] == 19 + 19 + 3  # of D, D∖B, and fresh ones of D∖B


def test_a_reference_that_is_no_reference_is_refused(audited, tmp_path):
    def refused(*files: Path) -> str:
        with pytest.raises(UserError) as raised:
            audited.audit(retrained=files, store=tmp_path / "store")
        return str(raised.value)

    assert "is the original once more" in refused(audited.file("original"))
    assert "is the edited model once more" in refused(audited.file("untrained"))
    other = audited.train("untrained", "another", 50)
    assert "once more" in refused(other, other)
    saved_again = tmp_path / "again.safetensors"
    save_file(load_file(audited.file("original")), saved_again, {"about": "the same numbers in another file"})
    assert "is the original once more" in refused(saved_again)
    (tmp_path / "empty").mkdir()
    assert "holds no model" in refused(tmp_path / "empty")
    assert not (tmp_path / "store").exists()


def _outputs(assembly: Assembly, world: str, file: Path, seed: int) -> Path:
    """What a classifier of a world says of all of D and of the test data."""
    setting, test = assembly.setting, assembly.data.test
    one = fit_one(setting.learner, setting.x, setting.y, rows=assembly.worlds[world].rows, key=seed)
    np.savez(file, train_ids=setting.ids, train=one.logits(setting.x), test_ids=test.ids, test=one.logits(test.x))
    return file


@pytest.fixture(scope="module")
def forest() -> Case:
    return Case(
        name="forest",
        data=DataChoice(limit=400),
        behaviour=BehaviourChoice("mislabel", size=40),
        forget=ForgetChoice(discovery=0.5),
        learner=LearnerChoice("forest", trees=10),
    )


def test_outputs_stand_in_for_models_of_which_nothing_else_is_known(forest, tmp_path):
    assembly, options = assemble(forest), {"references": 19, "fresh": 3, "workers": 1, "store": tmp_path / "store"}
    edited = _outputs(assembly, "untrained", tmp_path / "edited.npz", 11)
    found = audit(forest, edited, **options)
    assert found.verdicts == {"untraining": "not distinguishable", "unlearning": "distinguishable"}
    assert {one.name for one in found.checks} == {"outputs", "margins", "worst decile", "classes"}
    assert any("only outputs are known" in one for one in found.unanswered)
    assert found.files.keys() == {"edited"} and found.relearned == {} and found.recipe_p is None
    assert "SHA-256 of the outputs" in audit_page(found) and from_json(Audit, to_json(found)) == found
    cheat = _outputs(assembly, "original", tmp_path / "cheat.npz", 12)
    again = audit(forest, cheat, **options)
    assert again.verdicts == {"untraining": "distinguishable", "unlearning": "distinguishable"}
    assert again.cost["models_trained"] == 0


def test_instances_that_are_no_examples_of_the_data_are_not_asked(forest, tmp_path):
    case = replace(forest, behaviour=BehaviourChoice("trigger", size=40))
    edited = _outputs(assemble(case), "untrained", tmp_path / "edited.npz", 11)
    found = audit(case, edited, references=3, fresh=0, workers=1, store=tmp_path / "store")
    assert "unseen" not in {one.group for one in found.checks}
    assert any("The probes `unseen`" in one for one in found.unanswered)


def test_outputs_that_do_not_fit_are_refused(forest, tmp_path):
    assembly = assemble(forest)
    whole = dict(np.load(_outputs(assembly, "untrained", tmp_path / "whole.npz", 1)))

    def refused(message: str, file: Path | None = None, case: Case = forest, **changed: object) -> None:
        if file is None:
            file = tmp_path / "bad.npz"
            np.savez(file, **{name: one for name, one in (whole | changed).items() if one is not None})
        with pytest.raises(UserError, match=message):
            audit(case, file, references=3, fresh=0, workers=1, store=tmp_path / "store")

    refused("expected outputs of the edited model", test=None)
    refused("has the shape", train=whole["train"][:, :3])
    refused("has the shape", train=whole["train"][:7])
    refused("no outputs for", train=whole["train"][:7], train_ids=whole["train_ids"][:7])
    refused("not all finite", test=np.full_like(whole["test"], -np.inf))
    refused("cannot be read without running code", test_ids=np.array([object()] * len(whole["test_ids"])))
    refused("Cannot read", tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    refused("cannot be read without running code", tmp_path / "text.npz")
    (tmp_path / "model.pkl").write_bytes(b"")
    refused("only outputs are known: --edited takes what the edited", tmp_path / "model.pkl")
    own = replace(forest, learner=replace(forest.learner, checkpoint=str(tmp_path / "model.pkl")))
    refused("never read from files", tmp_path / "whole.npz", own)
    with pytest.raises(UserError, match="--retrained takes models"):
        audit(forest, tmp_path / "whole.npz", retrained=[tmp_path / "model.pkl"])
    assert not (tmp_path / "store").exists()


def test_a_factory_of_scikit_learn(forest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from sklearn.tree import DecisionTreeClassifier\n\ndef tree():\n"
        "    return DecisionTreeClassifier(max_features=8)\n"
    )
    from unweave.study.own_code import trusted_files

    case = replace(forest, learner=LearnerChoice(factory="own.py:tree"))
    assembly = assemble(case, trusted=trusted_files((Path("own.py"),)))
    edited = _outputs(assembly, "untrained", tmp_path / "edited.npz", 11)
    found = audit(case, edited, references=19, fresh=3, workers=1, store="store", trust_code=["own.py"])
    assert found.verdicts["untraining"] == "not distinguishable" and found.checks


@pytest.mark.parametrize(
    ("world", "verdict"), [("untrained", "not distinguishable"), ("original", "distinguishable")]
)
def test_references_that_are_all_one_model_are_called_so(forest, tmp_path, monkeypatch, world, verdict):
    """Nothing is random where neighbours are asked: twenty references are one, and have no spread."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n\ndef near():\n    return KNeighborsClassifier(1)\n"
    )
    from unweave.study.own_code import trusted_files

    case = replace(forest, learner=LearnerChoice(factory="own.py:near"))
    assembly = assemble(case, trusted=trusted_files((Path("own.py"),)))
    edited = _outputs(assembly, world, tmp_path / "edited.npz", 11)
    found = audit(case, edited, references=19, fresh=0, workers=1, store="store", trust_code=["own.py"])
    own = next(one for one in found.findings if one.aim == "untraining")
    assert own.verdict == verdict and "19 references are one and the same model" in own.reason


@pytest.mark.skipif("UNWEAVE_DATA" not in os.environ, reason="no Adult data (UNWEAVE_DATA)")
def test_a_forest_on_adult(tmp_path):
    case = Case(
        name="adult",
        data=DataChoice("adult", limit=600),
        behaviour=BehaviourChoice("mislabel", size=60),
        forget=ForgetChoice(discovery=0.5),
        learner=LearnerChoice("forest", trees=10),
    )
    options = {"references": 19, "fresh": 0, "workers": 1, "store": tmp_path / "store"}
    for world, verdict in (("untrained", "not distinguishable"), ("original", "distinguishable")):
        edited = _outputs(assemble(case), world, tmp_path / f"{world}.npz", 11)
        assert audit(case, edited, **options).verdicts["untraining"] == verdict


def test_the_method_is_compared_beside_the_model(audited, tmp_path):
    case = replace(audited.case, references=ReferenceChoice(models=3))
    found = audited.audit(case=case, procedure="noop", store=tmp_path)
    asked = found.procedure
    assert (asked.method, asked.models, asked.page) == ("noop", 3, "")
    assert asked.residual_untraining.value == pytest.approx(1) and asked.label != "untrained"
    assert not any("in general" in one for one in found.unanswered)
    assert "noop on 3 originals of this case" in audit_page(found)
    assert from_json(Audit, to_json(found)) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [({"procedure": "nop"}, "Did you mean"), ({"procedure": "rem_etd"}, "needs models trained with example-tied")],
)
def test_a_method_that_cannot_be_compared_is_refused(audited, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        audited.audit(store=tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


def test_without_a_recipe_no_method_can_be_compared(audited, variant):
    case = variant(learner=LearnerChoice(checkpoint=str(audited.file("original"))))
    with pytest.raises(UserError, match="--procedure cannot be asked: it is not known how"):
        audited.audit(case=case, procedure="scrub")
