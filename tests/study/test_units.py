"""A model of a table and the units in which it takes numbers: in its file, in what is said, in an audit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.study.erasing import SCRUB, save_model

from unweave._errors import SpecError
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice
from unweave.report.audit import audit_page
from unweave.study.assemble import assemble
from unweave.study.audit import run_audit
from unweave.study.audit_prepared import AuditWanted
from unweave.study.erase import EraseWanted, run_erase
from unweave.study.given import given_model, outputs_of
from unweave.study.own_code import trusted_files
from unweave.study.spec import Spec
from unweave.study.units import UNITS, features_text

NET = """
from torch import nn


def make(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 8), nn.ReLU(), nn.Linear(8, classes))
"""
GONE = [f"p{row:03}" for row in range(0, 30, 2)]


def rows() -> list[list[str]]:
    """Ids, age, city, debt (a hundred times as large in what is to be forgotten, missing once) and a label."""
    rng = np.random.default_rng(0)
    found: list[list[str]] = []
    for row in range(200):
        age, debt, city = rng.normal(40, 10), rng.gamma(2, 10), rng.choice(["Rome", "Bern"])
        label = "yes" if (age - 40) / 10 - (debt - 20) / 15 > 0 else "no"
        own = f"p{row:03}"
        shown = "" if row == 99 else repr(float(debt * (100 if own in GONE else 1)))
        found.append([own, repr(float(age)), str(city), shown, label])
    return found


def write(folder: Path, lines: list[list[str]], name: str = "people.csv") -> None:
    text = "\n".join(",".join(line) for line in [["who", "age", "city", "debt", "paid"], *lines])
    (folder / name).write_text(text + "\n")


def case_in(folder: Path) -> Case:
    return Case(
        name="people",
        data=DataChoice(
            "csv", path=str(folder / "people.csv"), label="paid", id_column="who", test=str(folder / "held.csv")
        ),
        behaviour=BehaviourChoice("unknown"),
        forget=ForgetChoice(ids=tuple(GONE)),
        learner=LearnerChoice(
            factory=f"{folder / 'net.py'}:make",
            checkpoint=str(folder / "old.safetensors"),
            epochs=20,
            lr=0.1,
        ),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A table, a net of one's own that was trained on it, and the model retrained without S."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "net.py").write_text(NET)
    write(folder, rows()[:140])
    write(folder, rows()[140:], "held.csv")
    case = case_in(folder)
    save_model(case, trusted=trusted_files([folder / "net.py"]))
    return folder, case, run(case, folder / "out")


def run(case: Case, out: Path, **wanted):
    code = Path(str(case.learner.factory).rpartition(":")[0])
    spec = Spec((case,), store=out.parent / "store", workers=1, trust_code=(code,))
    return run_erase(
        spec, EraseWanted(**{"aim": "untraining", "out": out, "models": 0, "confirm": True, **wanted})
    )


def accuracy_by_hand(case: Case, file: Path, units: dict[str, list[float]]) -> float:
    """Accuracy on the test part of a model of plain torch, fed as the header of its file says."""
    net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    net.load_state_dict(load_file(file))
    test = assemble(case, trusted=trusted_files([file.parents[2] / "net.py"])).data.test
    age, debt = ((test.columns[one] - units[one][0]) / units[one][1] for one in ("age", "debt"))
    city = [(test.columns["city"] == one).astype(float) for one in ("Bern", "Rome")]
    x = np.stack([age, *city, np.nan_to_num(debt), np.isnan(debt).astype(float)], axis=1)
    said = net(torch.from_numpy(x.astype(np.float32))).argmax(1).numpy()
    return float((said == test.y).mean())


def test_the_file_of_a_retrained_model_states_the_units_of_the_rest_of_the_data(place):
    folder, case, found = place
    file = folder / "out" / "0001" / "model.safetensors"
    with safe_open(file, "pt") as content:
        told = json.loads(content.metadata()[UNITS])
    data = assemble(case, trusted=trusted_files([folder / "net.py"])).data.train
    rest = ~np.isin(data.ids, case.forget.ids)
    for name in ("age", "debt"):
        values = data.columns[name][rest]
        assert told["numbers"][name] == pytest.approx([np.nanmean(values), np.nanstd(values)], rel=1e-4)
    assert told["unseen"] == []
    stated = next(one.after for one in found.accuracy if one.name == "test")
    assert accuracy_by_hand(case, file, told["numbers"]) == stated
    whole = {one: [np.nanmean(data.columns[one]), np.nanstd(data.columns[one])] for one in ("age", "debt")}
    assert accuracy_by_hand(case, file, whole) < stated - 0.1  # why it has to be told
    assert any("(v − mean)/sd of D∖S" in one and "debt" in one for one in found.warnings)


def test_a_model_is_read_in_its_own_units_and_without_them_in_those_of_the_data(place, tmp_path):
    folder, case, found = place
    assembly = assemble(case, trusted=trusted_files([folder / "net.py"]))
    file = folder / "out" / "0001" / "model.safetensors"
    save_file(load_file(file), tmp_path / "bare.safetensors")
    test = assembly.data.test

    def right(one: Path) -> float:
        model = given_model(assembly, one)
        return float((outputs_of(model.learner, model.state, test.x)[0].argmax(1) == test.y).mean())

    assert right(file) == next(one.after for one in found.accuracy if one.name == "test")
    assert right(tmp_path / "bare.safetensors") < right(file) - 0.1


def test_units_hold_for_the_file_of_data_without_the_rows_that_are_gone(place, tmp_path):
    """Features of the shorter file are in other units, and the model says the same of the same people."""
    folder = place[0]
    file = folder / "out" / "0001" / "model.safetensors"
    for name in ("net.py", "old.safetensors"):
        shutil.copy(folder / name, tmp_path)
    left = [line for line in rows()[:140] if line[0] not in GONE]
    write(tmp_path, rows()[140:], "held.csv")
    own = replace(case_in(tmp_path), forget=ForgetChoice(ids=tuple(line[0] for line in left[:3])))
    said = []
    for kept in (rows()[:140], left):
        write(tmp_path, kept)
        assembly = assemble(own, trusted=trusted_files([tmp_path / "net.py"]))
        model = given_model(assembly, file)
        said.append(outputs_of(model.learner, model.state, assembly.data.test.x))
    assert np.abs(said[0] - said[1]).max() < 1e-3


def test_an_audit_of_a_model_that_erase_retrained_does_not_tell_it_apart(place, tmp_path):
    folder, case, _ = place
    file = folder / "out" / "0001" / "model.safetensors"
    save_file(load_file(file), tmp_path / "bare.safetensors")
    spec = Spec((case,), store=folder / "store", workers=1, trust_code=(folder / "net.py",))
    own, bare = (
        run_audit(spec, AuditWanted(one, references=30, fresh=0)) for one in (file, tmp_path / "bare.safetensors")
    )
    assert own.verdicts["untraining"] != "distinguishable" and not own.warnings
    assert bare.verdicts["untraining"] == "distinguishable"  # which is what the warning beside it is about
    assert any("of the edited model does not say by which mean and sd" in one for one in bare.warnings)
    assert "does not say by which mean" in audit_page(bare)


def test_methods_keep_the_units_of_the_model_and_a_model_of_other_features_is_noticed(place, tmp_path):
    folder, case, _ = place
    found = run(case, folder / "edited", method=SCRUB)
    with safe_open(folder / "edited" / "0001" / "model.safetensors", "pt") as content:
        told = json.loads(content.metadata()[UNITS])["numbers"]
    data = assemble(case, trusted=trusted_files([folder / "net.py"])).data.train
    assert told["debt"] == pytest.approx(
        [np.nanmean(data.columns["debt"]), np.nanstd(data.columns["debt"])], rel=1e-4
    )
    assert not any("D∖S and no longer" in one or "rose from" in one for one in found.warnings)
    tensors = load_file(folder / "old.safetensors")
    tensors["0.weight"] = tensors["0.weight"][:, [3, 4, 1, 2, 0]].contiguous()  # columns in another order
    save_file(tensors, tmp_path / "other.safetensors")
    other = replace(case, learner=replace(case.learner, checkpoint=str(tmp_path / "other.safetensors")))
    assert any("Accuracy on the rest of D rose from" in one for one in run(other, tmp_path / "out").warnings)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("{", "no readable `units`"),
        (
            '{"numbers": {"age": [0, 1]}, "unseen": []}',
            "units of the columns age; the table has the numbers age, debt",
        ),
        ('{"numbers": {"age": [0, 0], "debt": [0, 1]}, "unseen": []}', "no readable `units`"),
        ('{"numbers": {"age": [0, -1], "debt": [0, 1]}, "unseen": []}', "sds below 0"),
        ('{"numbers": {"age": [0, NaN], "debt": [0, 1]}, "unseen": []}', "are no numbers"),
        ('{"numbers": {"age": [0, 1], "debt": [0, 1]}, "unseen": [9]}', "no readable `units`"),
    ],
)
def test_headers_that_are_no_units_of_the_table(place, tmp_path, header, said):
    folder, case, _ = place
    file = tmp_path / "odd.safetensors"
    save_file(load_file(folder / "old.safetensors"), file, {UNITS: header})
    with pytest.raises(SpecError, match=said):
        given_model(assemble(case, trusted=trusted_files([folder / "net.py"])), file)


def test_features_are_listed_as_a_model_gets_them_and_named_where_a_model_does_not_fit(place, tmp_path):
    folder, case, _ = place
    assert features_text(case).splitlines() == [
        "feature 0: age, (v − mean)/sd", "feature 1: city = 'Bern'", "feature 2: city = 'Rome'",
        "feature 3: debt, (v − mean)/sd", "feature 4: debt is missing", "class 0: no", "class 1: yes",
    ]  # fmt: skip
    names = "".join(f"n{row},person {row},1,{'ab'[row % 2]}\n" for row in range(99))
    (tmp_path / "named.csv").write_text("id,who,n,y\n" + names)
    named = DataChoice("csv", path=str(tmp_path / "named.csv"), label="y", id_column="id", test=9)
    assert features_text(Case(data=named)).splitlines() == [
        "feature 0: n, (v − mean)/sd", "class 0: a", "class 1: b",
        "left out: who. The column who has 90 different texts in 90 rows: left out.",
    ]  # fmt: skip
    save_file(
        {**load_file(folder / "old.safetensors"), "0.weight": torch.zeros(8, 4)}, tmp_path / "four.safetensors"
    )
    with pytest.raises(SpecError, match="5 features here: `unweave cases SPEC.toml --features`"):
        given_model(assemble(case, trusted=trusted_files([folder / "net.py"])), tmp_path / "four.safetensors")
    with pytest.raises(SpecError, match=r"arrays of the shape \[8, 8\]"):
        features_text(Case(data=DataChoice("digits")))


def test_what_is_wrong_with_the_data_is_said_of_an_edit_and_of_an_audit_as_well(place, tmp_path):
    folder, case, _ = place
    write(tmp_path, [line for line in rows()[140:] if line[-1] == "no"], "held.csv")
    case = replace(case, data=replace(case.data, test=str(tmp_path / "held.csv")))
    found = run(case, tmp_path / "out", method=SCRUB)  # of so few test data none are set aside for methods
    spec = Spec((case,), store=tmp_path / "store", workers=1, trust_code=(folder / "net.py",))
    edited = tmp_path / "out" / "0001" / "model.safetensors"
    for one in (found, run_audit(spec, AuditWanted(edited, references=0, fresh=0))):
        assert any("No test example is of class yes (1 of 2 classes)" in said for said in one.warnings)
