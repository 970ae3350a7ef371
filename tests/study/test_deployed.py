"""A diagnosis of the model as it is deployed, with and without its recipe."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unweave._errors import ApplicabilityError, SpecError
from unweave._types import NotMeasured
from unweave.learners.nets import build
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice, ReferenceChoice
from unweave.records import from_json, to_json
from unweave.records.diagnosis import Diagnosis
from unweave.report.diagnosis import diagnosis_page
from unweave.study import assemble, compare
from unweave.study.diagnose import diagnose
from unweave.training.engine import many, unstack

CASE = Case(
    name="mine",
    data=DataChoice(limit=300),
    behaviour=BehaviourChoice("mislabel", size=60),
    forget=ForgetChoice(discovery=0.5),
    learner=LearnerChoice(epochs=12, lr=0.3),
    references=ReferenceChoice(models=20, null=3),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of the recipe, from a seed that is no reference's."""
    assembly = assemble(CASE)
    learner = build(assembly.setting.learner)
    x, y = torch.from_numpy(assembly.setting.x), torch.from_numpy(assembly.setting.y)
    one = unstack(many(learner, x, y, rows=[np.arange(len(y))], keys=[987]))[0]
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_file({**one.params, **one.buffers}, file)
    return file


def case_of(model, **learner):
    return replace(CASE, learner=replace(LearnerChoice(**learner), checkpoint=str(model)))


def test_with_its_recipe_the_model_is_held_against_models_of_it(model, store):
    found = diagnose(case_of(model, epochs=12, lr=0.3), models=20, store=store, workers=1)
    assert found.model is not None and found.model.recipe_known
    assert found.model.recipe_p > 0.05
    assert not any("not like those" in one for one in found.warnings)
    assert found.model.accuracy["retain"] > 0.9
    assert found.memorized.models == 20
    assert found.model.place < 0.5  # wrong labels are believed less than others
    assert from_json(Diagnosis, to_json(found)) == found
    plain = diagnose(CASE, models=20, store=store, workers=1)
    assert plain.groups == found.groups and plain.model is None  # the file changes nothing that is trained


def test_another_recipe_is_noticed(model, store):
    found = diagnose(case_of(model, epochs=2, lr=0.3), models=20, store=store, workers=1)
    assert found.model.recipe_p <= 0.05
    assert any("not like those" in one for one in found.warnings)


def test_without_a_recipe_nothing_is_made_up(model, store):
    found = diagnose(case_of(model), use="privacy", models=20, store=store, workers=1)
    assert found.cost["models"] == 0
    assert isinstance(found.memorized.mean, NotMeasured) and found.memorized.above is None
    assert found.regime == "undecided" and "not known how the model was trained" in found.headline
    assert all(isinstance(one.joint, NotMeasured) for one in found.groups)
    assert found.model.recipe_p is None and 0 <= found.model.accuracy["test"] <= 1
    assert found.aim == "untraining" and found.fitting
    assert from_json(Diagnosis, to_json(found)) == found
    page = diagnosis_page(found)
    assert "Your model" in page and '<svg class="plane"' not in page


def test_what_needs_trained_models_is_refused_without_a_recipe(model, store):
    with pytest.raises(SpecError, match="need models that are trained"):
        diagnose(case_of(model), proxies=["confidence"], store=store, workers=1)


def test_compare_takes_no_single_model(model, store):
    with pytest.raises(ApplicabilityError, match="leave it out"):
        compare(case_of(model, epochs=12, lr=0.3), methods=["noop"], store=store, workers=1)
