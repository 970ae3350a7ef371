"""Test examples that are set aside for methods are none of the probes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError
from unweave._registry import Entry
from unweave.learners.contract import State
from unweave.methods import METHODS, History, Method
from unweave.problem import MIN_PROBES, hold_out
from unweave.study import CASES, assemble, read_spec
from unweave.study.methods import refusal
from unweave.study.spec import case_from_tree


def assembled(name: str, *settings: str):
    return assemble(read_spec(cases=[name], settings=list(settings)).cases[0])


def as_sets(made):
    aside = {row.tobytes() for row in made.data.test.x[made.validation]}
    return aside, {row.tobytes() for row in made.probes.x}


@pytest.mark.parametrize(
    "name", ["digits-trigger", "digits-class", "digits-subclass", "digits-confusion", "shapes"]
)
def test_no_probe_is_held_out(name):
    made = assembled(name)
    assert len(made.validation) == min(80, len(made.data.test) // 5)
    assert len(np.unique(made.validation)) == len(made.validation)
    rows = made.probes.rows[made.probes.groups["test"]]
    assert not set(rows.tolist()) & set(made.validation.tolist())
    aside, probes = as_sets(made)
    assert not aside & probes
    # Rows of the group are those of all test data.
    np.testing.assert_array_equal(made.probes.x[made.probes.groups["test"]], made.data.test.x[rows])
    unseen = made.planted.unseen
    if unseen is not None and unseen.rows is not None:
        assert not set(unseen.rows.tolist()) & set(made.validation.tolist())
        np.testing.assert_array_equal(unseen.x, made.data.test.x[unseen.rows])


def test_instances_with_a_mark_are_made_of_other_test_examples():
    """A trigger leaves most pixels: an instance made of a held-out image would give it away."""
    made = assembled("digits-trigger")
    marked = made.probes.x[made.probes.groups["unseen"]]
    apart = (marked[:, None] != made.data.test.x[made.validation][None]).sum(tuple(range(2, marked.ndim + 1)))
    assert apart.min() > 15


def test_few_instances_all_stay_probes():
    whole = assembled("digits-subclass", "probes.validation=0")
    some = assembled("digits-subclass")
    assert len(some.probes.groups["unseen"]) == len(whole.probes.groups["unseen"]) < 2 * MIN_PROBES
    assert len(some.probes.groups["test"]) < len(whole.probes.groups["test"])


def test_what_is_trained_on_does_not_hang_on_what_is_held_out():
    for name in ("digits-trigger", "digits-subclass"):
        whole, some = assembled(name, "probes.validation=0"), assembled(name)
        assert len(whole.validation) == 0
        np.testing.assert_array_equal(whole.setting.x, some.setting.x)
        np.testing.assert_array_equal(whole.setting.y, some.setting.y)
        np.testing.assert_array_equal(whole.forget, some.forget)
        assert whole.setting.fingerprint == some.setting.fingerprint


def test_the_key_decides_which():
    made = assembled("digits-mislabel")
    draws = [hold_out(100, made.planted, count=10, key=key).tolist() for key in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(hold_out(100, made.planted, count=90, key=1)) == 20


def test_without_held_out_data_methods_that_need_them_are_refused():
    made = assembled("digits-mislabel", "probes.validation=0")
    assert refusal(made.setting.learner, "npo", validation=0) == ""
    with pytest.raises(SpecError, match="validation"):
        assembled("digits-mislabel", "probes.validation=-1")
    assert all(case.probes.validation == 80 for case in CASES.values())


def test_instances_in_a_table_are_found_by_its_columns(tmp_path):
    """Conditions are asked of the columns of what is left, and rows are those of all test examples."""
    rng = np.random.default_rng(0)
    ages = rng.integers(20, 80, 600)
    lines = [f"{age},{rng.normal():.3f},{int(age > 50)}" for age in ages]
    (tmp_path / "people.csv").write_text("\n".join(["age,score,rich", *lines]) + "\n")
    tree = {
        "data": {"source": "csv", "path": str(tmp_path / "people.csv"), "label": "rich", "test": 0.5},
        "behaviour": {"kind": "predicate", "column": "age", "where": "> 60"},
    }
    made = assemble(case_from_tree(tree))
    unseen, of_test = made.planted.unseen, made.data.test.columns["age"].astype(int)
    assert len(made.validation) == 60
    assert (of_test[unseen.rows] > 60).all() and not set(unseen.rows.tolist()) & set(made.validation.tolist())
    others = np.setdiff1d(np.arange(300), np.union1d(unseen.rows, made.validation))
    assert (of_test[others] <= 60).all() and len(unseen.rows) > 40


def test_a_method_is_given_held_out_examples_and_its_history_if_it_asks(tmp_path, monkeypatch):
    """What it is given are the examples set aside, and the training of the very models it edits."""
    seen = []

    def watching():
        def prepare(net, given, key):
            seen.append(given.validation)
            first = given.history
            return State({name: value + 0 for name, value in first.items()}, net.buffers), ()

        history = History(begin=lambda params: params, follow=lambda carried, moment: carried)
        return Method(None, 0.0, 0.0, prepare=prepare, history=history)

    asks = replace(METHODS.get("ssd").declared, needs=frozenset({"original", "validation", "history"}))
    for name, declared in (("asks", asks), ("does_not", METHODS.get("ssd").declared)):
        monkeypatch.setitem(METHODS._entries, name, Entry(name, watching, declared))
    case = Case(name="tiny", learner=LearnerChoice(epochs=2), references=ReferenceChoice(models=3))
    rows = compare(case, methods=["asks", "does_not"], store=tmp_path, workers=1).result.cases[0].rows
    assert all(row.status == "ok" for row in rows if row.kind == "method"), [row.reason for row in rows]
    made = assemble(case)
    by_method = {one is None for one in seen}
    assert by_method == {True, False}
    for one in seen:
        if one is not None:
            np.testing.assert_array_equal(one.x, made.data.test.x[made.validation])
            np.testing.assert_array_equal(one.y, made.data.test.y[made.validation])
    # Models that are taken back to where they started know nothing.
    accuracy = {row.kind + row.name: row.groups["test"].accuracy.value for row in rows}
    assert accuracy["methodasks"] < 0.35 < min(v for name, v in accuracy.items() if name.startswith("original"))
