"""A real checkpoint of somebody else's: ResNet-20 with batch norm, names with `module.`, no recipe known."""

from pathlib import Path

import numpy as np
import pytest

from unweave._errors import SpecError
from unweave.data.named import find
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice
from unweave.study import assemble
from unweave.study.audit import audit
from unweave.study.erase import EraseWanted, run_erase
from unweave.study.given import accuracies, given_model, outputs_of
from unweave.study.own_code import trusted_files
from unweave.study.spec import MethodChoice, Spec

NET = Path(__file__).parents[2] / "examples" / "own_model" / "resnet20.py"


def published(name):
    try:
        return find(name)
    except SpecError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    whole_data, model = published("cifar10/cifar10_20k_4k.npz"), published("cifar10_resnets/resnet20-12fca82f.th")
    # A quarter of the test images, since every model of an audit answers all of them.
    data, few = tmp_path_factory.mktemp("data") / "cifar.npz", {"train": 4000, "test": 1000}
    with np.load(whole_data) as arrays:
        np.savez(data, **{name: arrays[name][: few[name.split("_")[-1]]] for name in arrays})
    source = DataChoice("npz", path=str(data), limit=400)
    learner = LearnerChoice(factory=f"{NET}:make", checkpoint=str(model), batch_size=50)
    whole = Case(name="cifar", data=source, behaviour=BehaviourChoice("unknown"), learner=learner)
    first = assemble(
        Case(name="cifar", data=source, behaviour=BehaviourChoice("mislabel", size=20)), trusted={}
    ).data.train.ids[:25]
    return Case(**{**vars(whole), "forget": ForgetChoice(ids=tuple(int(one) for one in first))})


def test_the_model_does_what_its_authors_say(case):
    assembly = assemble(case, trusted=trusted_files([NET]))
    model = given_model(assembly)
    assert all(name.startswith("module.") for name in model.checkpoint.names.values())
    test = assembly.data.test
    found = accuracies(outputs_of(model.learner, model.state, test.x[:1000]), test.y[:1000])
    assert 0.89 < found[0] < 0.94  # 91.7% on all test images


@pytest.mark.slow
def test_it_is_edited_and_audited_without_a_recipe(case, tmp_path):
    spec = Spec((case,), None, store=tmp_path / "store", workers=1, trust_code=(NET,))
    before = Path(str(case.learner.checkpoint)).read_bytes()
    said: list[str] = []
    wanted = EraseWanted("untraining", tmp_path / "out", MethodChoice("delete", {}))
    found = run_erase(spec, wanted, on_message=said.append)
    assert found.status == "erased" and "not known how the model was trained" in found.diagnosis
    assert Path(str(case.learner.checkpoint)).read_bytes() == before
    edited = tmp_path / "out" / found.model_after["file"]
    result = audit(case, edited, store=tmp_path / "store", workers=1, trust_code=[NET])
    assert set(result.verdicts.values()) == {"inconclusive"}
    assert result.cost["models"] == 0 and result.checks == ()
    assert {one.name for one in result.utility} > {"forget", "retain", "test"}
    assert any("not known how the model was trained" in one.reason for one in result.findings)
