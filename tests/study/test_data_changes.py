"""Data that change between two runs: noticed, named, and mixed into nothing."""

import csv
import re

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError, compare
from unweave.data import load
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice


def table(folder, change=None, *, order=None):
    rng = np.random.default_rng(0)
    rows = [[f"r{i:03}", f"{rng.normal():.4f}", "ab"[i % 2], str(i % 2)] for i in range(160)]
    if change is not None:
        change(rows)
    rows = rows if order is None else [rows[i] for i in order]
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "number", "letter", "label"], *rows])
    return str(folder / "table.csv")


def run(folder, path, **data):
    given = {"label": "label", "id_column": "id", "test": 60, **data}
    case = Case(
        data=DataChoice("csv", path=path, **given),
        behaviour=BehaviourChoice("mislabel", size=40),
        forget=ForgetChoice(count=20),
        learner=LearnerChoice("softmax", epochs=1),
        references=ReferenceChoice(models=3),
        probes=ProbeChoice(limit=20),
    )
    return compare(case, methods=["noop"], store=folder / "store", workers=1).result.provenance


def test_the_same_data_in_another_order_are_the_same_data(tmp_path):
    assert run(tmp_path, table(tmp_path)).models_trained == 15
    assert run(tmp_path, table(tmp_path, order=np.random.default_rng(1).permutation(160))).models_trained == 0


def test_a_changed_value_is_refused_with_its_id_until_it_is_said_to_be_meant(tmp_path):
    def change(rows):
        rows[changed][1] = "0.5"

    def none(rows):
        pass

    name = load("csv", path=table(tmp_path), label="label", id_column="id", test=60).train.ids[40]
    changed = int(name[1:])
    first = run(tmp_path, table(tmp_path))
    for _ in range(2):  # a refusal is no acceptance
        with pytest.raises(UserError, match="have changed since this store last saw them") as caught:
            run(tmp_path, table(tmp_path, change))
    assert f"1 of 100 training examples differ (first id {name}), 0 are new, 0 gone" in str(caught.value)
    pin = re.search(r"data\.fingerprint=([0-9a-f]{12})", str(caught.value))[1]
    accepted = run(tmp_path, table(tmp_path, change), fingerprint=pin)
    assert accepted.models_trained == 15 and accepted.fingerprints != first.fingerprints
    assert run(tmp_path, table(tmp_path, change)).models_trained == 0
    with pytest.raises(UserError, match="have changed"):
        run(tmp_path, table(tmp_path, none))


def test_rows_that_change_places_without_ids_are_told_so(tmp_path):
    run(tmp_path, table(tmp_path), id_column=None, split=None)
    order = np.arange(160)
    order[[0, 159]] = [159, 0]
    with pytest.raises(UserError, match="have changed"):
        run(tmp_path, table(tmp_path, order=order), id_column=None)


@pytest.mark.parametrize(("pin", "message"), [("abc", "is 'abc'; expected the first 8"), ("0" * 12, "other data")])
def test_a_fingerprint_that_the_data_do_not_have_is_refused(tmp_path, pin, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, table(tmp_path), fingerprint=pin)


def test_names_that_change_are_shown_as_they_are_now(tmp_path):
    path = table(tmp_path)

    def shown(*, column, labels):
        text = (tmp_path / "table.csv").read_text().replace("number", column, 1)
        lines = [line[:-1] + labels[int(line[-1])] if line[-1] in "01" else line for line in text.split()]
        (tmp_path / f"{column}.csv").write_text("\n".join(lines))
        case = Case(
            data=DataChoice("csv", path=str(tmp_path / f"{column}.csv"), label="label", id_column="id", test=60),
            behaviour=BehaviourChoice("mislabel", size=40),
            forget=ForgetChoice(count=20),
            learner=LearnerChoice("softmax", epochs=1),
            references=ReferenceChoice(models=3),
            probes=ProbeChoice(limit=20),
        )
        study = compare(case, methods=["finetune"], store=tmp_path / "store", workers=1).result
        return study.provenance.models_trained, study.cases[0].examples

    assert path.endswith("table.csv")
    _, before = shown(column="height", labels=["anna", "berta"])
    trained, after = shown(column="weight", labels=["clara", "dora"])
    assert trained == 0 and len(before) == len(after) > 0
    assert all("height" in one.values and one.label in ("anna", "berta") for one in before)
    assert all("weight" in one.values and one.label in ("clara", "dora") for one in after)
