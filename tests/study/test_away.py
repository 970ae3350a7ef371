"""Tasks away from the driver's disk: what is sent, what is not, and that the same comes back."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError
from unweave.execute import Away
from unweave.learners import own_code
from unweave.problem import DataChoice, ForgetChoice, ProbeChoice
from unweave.references import Packed, Store, key_of, model_fields, outputs_fields
from unweave.references.keys import opaque_fields
from unweave.study import assemble, trusted_files
from unweave.study.away import code_here, names_sent, sender
from unweave.study.spec import MethodChoice, case_to_tree
from unweave.study.tasks import run_method, train_world

TINY = Case(
    name="tiny",
    data=DataChoice(limit=300),
    forget=ForgetChoice(count=10),
    learner=LearnerChoice(epochs=1),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=20),
)
OWN = """from torch import nn
def make(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.check_writable()
    return made


def sent(give, names) -> dict:
    """What arrives: read from bytes, as on another machine."""
    found = {name: pickle.loads(pickle.dumps(give(name))) for name in names}
    return {name.partition(" ")[0]: value for name, value in found.items() if value is not None}


def where(store: Store, assembly) -> dict:
    setting = assembly.setting
    return {
        "store": str(store.root),
        "data": setting.fingerprint,
        "trusted": {},
        "device": "cpu",
        "shared": None,
    }


def contents(store: Store) -> dict[str, bytes]:
    return {key: store.read_packed(key).content for key in store.keys()}


@pytest.mark.parametrize("learner", ["mlp", "forest"])
def test_the_same_objects_come_back_as_are_stored_here(store, tmp_path, learner):
    case = Case(
        **{**vars(TINY), "learner": LearnerChoice(learner, **({"trees": 3} if learner == "forest" else {}))}
    )
    here, there = assemble(case), Store(tmp_path / "there")
    there.check_writable()
    for world in here.worlds:
        train_world(case_to_tree(case), where(there, here), world)
        of_each = opaque_fields if learner == "forest" else model_fields
        keys = [key_of(fields) for fields in of_each(here.setting, here.worlds[world])]
        away = Away(sent(sender(store, [here]), names_sent(here, keys)))
        assert train_world(case_to_tree(case), where(store, here), world, away=away) == 3
        store.commit(away.made)
    assert contents(store) == contents(there) and len(contents(store)) > 10


def test_a_task_that_runs_twice_makes_one_object(store):
    here = assemble(TINY)
    first, second = (Away(sent(sender(store, [here]), names_sent(here, []))) for _ in range(2))
    for away in (first, second):
        assert train_world(case_to_tree(TINY), where(store, here), "original", away=away) == 3
    store.commit(first.made)
    before = contents(store)
    store.commit(second.made)
    assert contents(store) == before
    assert {one.key: one.content for one in first.made} == {one.key: one.content for one in second.made}


def test_objects_are_sent_whole_or_not_at_all(store):
    here = assemble(TINY)
    train_world(case_to_tree(TINY), where(store, here), "original")
    keys = [key_of(fields) for fields in model_fields(here.setting, here.worlds["original"])]
    path = store.paths(keys[0])[0]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    give = sender(store, [here])
    assert give(keys[0]) is None and not store.has(keys[0]) and store.quarantined()
    assert give("0" * 64) is None
    assert isinstance(give(keys[1]), Packed)
    # The one that was not sent is made anew where it is needed, and the same.
    outputs = key_of(outputs_fields(here.setting, here.worlds["original"]))
    away = Away(sent(give, names_sent(here, [*keys, outputs])))
    assert run_method(case_to_tree(TINY), where(store, here), MethodChoice("noop", {}).to_json(), away=away) == ""
    assert keys[0] in {one.key for one in away.made}
    store.commit(away.made)
    assert store.read(keys[0])


def test_own_code_travels_as_content_and_is_run_without_its_file(store, tmp_path, monkeypatch):
    file = tmp_path / "model.py"
    file.write_text(OWN)
    case = Case(**{**vars(TINY), "learner": LearnerChoice(factory=f"{file}:make", epochs=1)})
    here = assemble(case, trusted=trusted_files([file]))
    digest = here.setting.learner.config["sha256"]
    assert names_sent(here, ["k"]) == ("case tiny", f"code {digest}", "k")
    inputs = sent(sender(store, [here]), names_sent(here, []))
    assert inputs["code"] == OWN.encode()
    # From here on this is another machine.
    file.unlink()
    own_code._function.cache_clear()
    monkeypatch.setattr(own_code, "_CARRIED", {})
    given = case_to_tree(case), where(store, here), "original"
    with pytest.raises(UserError, match="Cannot read the code"):
        train_world(*given, away=Away({name: one for name, one in inputs.items() if name != "code"}))
    with pytest.raises(UserError, match="Cannot read the code"):
        train_world(*given, away=Away({**inputs, "code": OWN.encode() + b"# other"}))
    away = Away(inputs)
    assert train_world(*given, away=away) == 3
    store.commit(away.made)


def test_own_code_that_changed_since_it_was_trusted_is_not_sent(store, tmp_path):
    file = tmp_path / "model.py"
    file.write_text(OWN)
    case = Case(**{**vars(TINY), "learner": LearnerChoice(factory=f"{file}:make", epochs=1)})
    here = assemble(case, trusted=trusted_files([file]))
    file.write_text(OWN + "# changed\n")
    with pytest.raises(UserError, match="has changed since it was trusted"):
        sender(store, [here])


def test_what_code_this_is_names_all_that_models_depend_on():
    assert list(code_here()) == ["unweave", "torch", "numpy", "scikit-learn"]
    assert code_here() == code_here()
