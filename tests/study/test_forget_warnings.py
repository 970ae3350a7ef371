"""What a reader is told about a forget set: ids that are not there, copies that stay, classes that vanish."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError
from unweave.data import Examples
from unweave.problem import BehaviourChoice, ForgetChoice, ProbeChoice, known_ids
from unweave.references import Outputs
from unweave.study import assemble, case_from_tree
from unweave.study.rows import judge_case

CASE = Case(
    name="warned",
    behaviour=BehaviourChoice("unknown"),
    learner=LearnerChoice(epochs=1),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=20),
)
DIGITS = assemble(Case()).data
NOTES = {"params": {}, "gradient_ratio": 0.1, "seconds": 0.0, "peak_memory_bytes": 0, "cite": ""}


def _warnings(case: Case) -> list[str]:
    """The warnings of a case whose models are noise: nothing is trained."""
    assembly = assemble(case)
    rng = np.random.default_rng(0)
    size = (3, len(assembly.probes.clean), assembly.data.classes)
    worlds = {name: Outputs(rng.normal(0, 1, size).astype(np.float32), NOTES) for name in assembly.worlds}
    return list(judge_case(assembly, worlds, []).warnings)


def _ids(rows) -> tuple[int, ...]:
    return tuple(int(one) for one in DIGITS.train.ids[rows])


def _with_data(monkeypatch, train: Examples) -> None:
    """Put other training data in the place of the digits."""
    module = import_module("unweave.study.assemble")
    data = replace(DIGITS, train=train)
    monkeypatch.setattr(module, "load", lambda *args, **given: data)
    monkeypatch.setattr(module, "_assemble", module._assemble.__wrapped__)


class TestUnknownIds:
    def test_they_are_refused_with_the_remedy(self):
        wanted = (*_ids(slice(30)), 10**6, 10**6 + 1)
        with pytest.raises(SpecError) as error:
            assemble(replace(CASE, forget=ForgetChoice(ids=wanted)))
        message = str(error.value)
        assert message.startswith("2 of 32 forget ids are not in the training data (first: 1000000). Removing")
        assert "--allow-unknown (`forget.allow_unknown`) drops these ids and lists them" in message

    def test_where_allowed_they_are_dropped_and_listed(self):
        wanted = (*_ids(slice(30)), 10**6, 10**6 + 1)
        case = replace(CASE, forget=ForgetChoice(ids=wanted, allow_unknown=True))
        assembly = assemble(case)
        assert assembly.forget.tolist() == list(range(30)) and assembly.dropped == (10**6, 10**6 + 1)
        expected = "Forget ids that are not in the training data were dropped (2): 1000000, 1000001."
        assert expected in _warnings(case)

    def test_those_of_the_test_part_are_told_apart_from_those_that_nothing_has(self):
        aside = int(DIGITS.test.ids[0])
        wanted = (*_ids(slice(30)), aside, 10**6)
        with pytest.raises(SpecError, match=rf"1 of 32 forget ids are in the test part \(first: {aside}\)"):
            assemble(replace(CASE, forget=ForgetChoice(ids=wanted)))
        found = _warnings(replace(CASE, forget=ForgetChoice(ids=wanted, allow_unknown=True)))
        assert "Forget ids that are not in the training data were dropped (1): 1000000." in found
        told = f"Forget ids that are in the test part, which no model is trained on, were dropped (1): {aside}."
        assert told in found

    def test_a_long_list_is_cut_in_the_warning_and_whole_in_the_case(self, tmp_path):
        beyond = tuple(range(10**6, 10**6 + 50))
        case = replace(CASE, forget=ForgetChoice(ids=(*_ids(slice(30)), *beyond), allow_unknown=True))
        found = compare(case, methods=["noop"], store=tmp_path, workers=1).result.cases[0]
        warning = next(one for one in found.warnings if "were dropped" in one)
        assert "dropped (50): 1000000," in warning and warning.endswith("1000019, ….")
        assert found.case["dropped_forget_ids"] == list(beyond)

    def test_the_same_models_and_worlds_as_without_them(self):
        dropped = assemble(replace(CASE, forget=ForgetChoice(ids=(*_ids(slice(30)), 10**6), allow_unknown=True)))
        plain = assemble(replace(CASE, forget=ForgetChoice(ids=_ids(slice(30)))))
        assert dropped.setting.fingerprint == plain.setting.fingerprint
        for name, world in plain.worlds.items():
            np.testing.assert_array_equal(world.rows, dropped.worlds[name].rows)

    def test_where_none_is_left_there_is_nothing_to_remove(self):
        case = replace(CASE, forget=ForgetChoice(ids=(10**6,), allow_unknown=True))
        with pytest.raises(SpecError, match="0 examples; nothing to remove"):
            assemble(case)

    def test_an_id_twice_is_refused_all_the_same(self):
        one = _ids(slice(1))[0]
        with pytest.raises(SpecError, match=f"id {one} appears 2×"):
            assemble(replace(CASE, forget=ForgetChoice(ids=(one, one, 10**6), allow_unknown=True)))

    def test_texts_and_numbers_are_told_apart_as_the_ids_of_the_data_are(self):
        assert known_ids(np.array([7, 8]), [8, "8", 9]) == ((8,), ("8", 9))
        assert known_ids(np.array(["7", "x"]), [7, "x", "y"]) == ((7, "x"), ("y",))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, r"`forget\.ids` holds True; expected"),
        (1.5, r"`forget\.ids` holds 1\.5; expected"),
        (22.0, r"`forget\.ids` holds 22\.0; expected"),
        (-1, r"negative id -1; ids are 0 … 1796, and −1 never means the last"),
        (float("nan"), r"`forget\.ids` holds nan; expected"),
        (None, r"`forget\.ids` holds None; expected"),
    ],
)
def test_what_is_no_id_is_refused_with_the_value(value, message):
    with pytest.raises(SpecError, match=message):
        assemble(case_from_tree({"behaviour": {"kind": "unknown"}, "forget": {"ids": [0, value]}}))


def test_copies_that_stay_are_counted(monkeypatch):
    x, y = DIGITS.train.x.copy(), DIGITS.train.y.copy()
    for row in (100, 200, 300):
        x[row], y[row] = x[5], y[5]
    y[400] = (y[6] + 1) % 10  # the features alone are no copy: another label teaches something else
    x[400] = x[6]
    _with_data(monkeypatch, replace(DIGITS.train, x=x, y=y))
    case = replace(CASE, forget=ForgetChoice(ids=_ids(slice(30))))
    expected = "3 retained examples are exact copies of forgotten ones; their influence stays."
    assert expected in _warnings(case)
    one_left = replace(CASE, forget=ForgetChoice(ids=_ids([*range(30), 100, 200])))
    assert "1 retained example is an exact copy of forgotten ones; their influence stays." in _warnings(one_left)
    whole = replace(CASE, forget=ForgetChoice(ids=_ids([*range(30), 100, 200, 300])))
    assert not any("exact copies" in one for one in _warnings(whole))


def test_no_copies_no_warning():
    assert not any(
        "exact copies" in one for one in _warnings(replace(CASE, forget=ForgetChoice(ids=_ids(slice(30)))))
    )


def test_a_class_that_vanishes_is_named_per_world():
    rows = np.flatnonzero(DIGITS.train.y == 4)
    found = _warnings(replace(CASE, forget=ForgetChoice(ids=_ids(rows))))
    assert [one for one in found if "class" in one and "left in" in one] == [
        "No example of class 4 is left in D∖S: this is class unlearning, and its models never learn to predict it."
    ]
    found = _warnings(replace(CASE, behaviour=BehaviourChoice("class", target=4), forget=ForgetChoice()))
    assert [one.partition(":")[0] for one in found if "left in" in one] == ["No example of class 4 is left in D∖B"]
    found = _warnings(replace(CASE, forget=ForgetChoice(ids=_ids(rows[1:]))))
    assert not any("left in" in one for one in found)


@pytest.mark.parametrize(("count", "told"), [(700, False), (701, True)])
def test_more_than_half_of_d_is_told(count, told):
    found = _warnings(replace(CASE, forget=ForgetChoice(ids=_ids(slice(count)))))
    about = [one for one in found if "consider retraining" in one]
    assert bool(about) == told
    assert all(one.startswith("S is 50% of the training data") for one in about)


def test_the_option_is_the_key(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from unweave.cli.app import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("\n".join(map(str, [*_ids(slice(30)), 10**6])))
    (tmp_path / "spec.toml").write_text('[behaviour]\nkind = "unknown"\n[forget]\nids = "ids.txt"\n')
    refused = CliRunner().invoke(app, ["cases", "spec.toml"])
    assert refused.exit_code == 2 and "--allow-unknown" in refused.stderr
    shown = CliRunner().invoke(app, ["cases", "spec.toml", "--allow-unknown"])
    assert shown.exit_code == 0 and "allow_unknown = true" in shown.stdout
    tiny = ["--methods=noop", "--set=learner.epochs=1", "--set=references.models=3", "--workers=1", "--quiet"]
    done = CliRunner().invoke(app, ["compare", "spec.toml", "--allow-unknown", "--out", "out", *tiny])
    assert done.exit_code == 0, done.output
    assert "Forget ids that are not in the training data were dropped (1): 1000000." in (
        tmp_path / "out" / "result.json"
    ).read_text(encoding="utf-8")


def test_members_of_an_unknown_behaviour_cannot_be_listed(tmp_path):
    from typer.testing import CliRunner

    from unweave.cli.app import app

    file = tmp_path / "spec.toml"
    file.write_text(f'[behaviour]\nkind = "unknown"\n[forget]\nids = {list(_ids(slice(30)))}\n')
    refused = CliRunner().invoke(app, ["cases", str(file), "--members"])
    assert refused.exit_code == 2 and "members of the behaviour are not known" in refused.stderr
