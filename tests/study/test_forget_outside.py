"""S outside D: untraining is a no-op by definition, unlearning is not, and no model is trained on S."""

from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import ApplicabilityError, SpecError
from unweave._types import NO_OP, NotMeasured
from unweave.data import load
from unweave.problem import BehaviourChoice, ForgetChoice, ProbeChoice, draw_outside, plant
from unweave.references import Outputs
from unweave.report import row_reason
from unweave.study import MethodChoice, assemble
from unweave.study.rows import judge_case

MODELS = 16
CASE = Case(
    name="outside",
    forget=ForgetChoice(outside=True, count=60),
    learner=LearnerChoice(epochs=2),
    references=ReferenceChoice(models=MODELS),
    probes=ProbeChoice(limit=80),
)
NOTES = {"params": {}, "gradient_ratio": 0.1, "seconds": 0.0, "peak_memory_bytes": 0, "cite": ""}
WITH_UNSEEN = ["trigger", "confusion", "systematic", "duplicates", "class", "subclass"]


@pytest.fixture(scope="module")
def assembly():
    return assemble(CASE)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def _planted(digits, kind: str):
    train, test = (digits.train.x, digits.train.y), (digits.test.x, digits.test.y)
    return plant(kind, train, test, classes=10, key=3)


@pytest.mark.parametrize("kind", WITH_UNSEEN)
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_s_and_what_stays_unseen_are_all_the_new_instances(digits, kind, share):
    before = _planted(digits, kind)
    after, rows = draw_outside(before, key=3, discovery=share)
    assert before.unseen is not None and after.unseen is not None
    n = len(before.unseen.planted)
    assert len(rows) == round(share * n) and len(after.unseen.planted) == n - len(rows)
    np.testing.assert_array_equal(rows, np.arange(1400, 1400 + len(rows)))
    np.testing.assert_array_equal(after.members, before.members)
    for name in ("x", "y", "clean"):
        np.testing.assert_array_equal(getattr(after, name)[:1400], getattr(before, name))

    def listed(parts):
        return sorted((x.tobytes(), int(label), int(clean)) for x, label, clean in parts)

    s = zip(after.x[rows], after.y[rows], after.clean[rows], strict=True)
    left = zip(after.unseen.x, after.unseen.planted, after.unseen.clean, strict=True)
    whole = zip(before.unseen.x, before.unseen.planted, before.unseen.clean, strict=True)
    assert listed([*s, *left]) == listed(whole)


def test_it_is_a_function_of_its_key(digits):
    planted = _planted(digits, "trigger")
    one, same, other = (draw_outside(planted, key=key, count=30)[0].x[1400:] for key in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_no_world_trains_on_s_and_the_world_of_untraining_is_d(assembly):
    assert len(assembly.forget) == 60 and (assembly.forget >= 1400).all()
    for name, world in assembly.worlds.items():
        assert world.rows.max() < 1400
        expected = 1300 if name.endswith("unlearned") else 1400
        assert len(world.rows) == expected
    assert not set(assembly.worlds["original"].keys) & set(assembly.worlds["untrained"].keys)


def test_ids_stay_unique_and_those_of_d_stay_as_they_are(assembly):
    ids = assembly.setting.ids
    assert len(set(ids.tolist())) == len(ids) == 1460
    np.testing.assert_array_equal(ids[:1400], assembly.data.train.ids)
    assert not np.isin(ids[1400:], assembly.data.test.ids).any()


@pytest.mark.parametrize("kind", ["trigger", "class"])
def test_the_probe_groups_hold_each_instance_once(kind):
    found = assemble(replace(CASE, behaviour=BehaviourChoice(kind), forget=ForgetChoice(outside=True, count=15)))
    probes = found.probes
    assert list(probes.groups) == ["forget", "undiscovered", "unseen", "retain", "test"]
    assert probes.population == {"forget": 15, "undiscovered": len(found.planted.members)}
    seen = [row.tobytes() for row in probes.x]
    assert len(set(seen)) == len(seen)


def _outputs(assembly, shown: tuple[str, ...], seed: int) -> Outputs:
    probes, rng = assembly.probes, np.random.default_rng(seed)
    labels = probes.clean.copy()
    for name in shown:
        labels[probes.groups[name]] = probes.planted[probes.groups[name]]
    z = rng.normal(0, 0.5, (MODELS, len(labels), 10))
    z[:, np.arange(len(labels)), labels] += 4
    return Outputs(z.astype(np.float32), NOTES)


ALL = ("forget", "undiscovered", "unseen")


@pytest.mark.parametrize("apart", [False, True])
def test_untraining_has_no_power_whatever_a_test_says_and_unlearning_is_judged(assembly, apart):
    # `apart`: D∖S drawn from another law, as bad luck might have it.
    of_d = () if apart else ALL
    worlds = {
        "original": _outputs(assembly, ALL, 0),
        "untrained": _outputs(assembly, of_d, 1),
        "unlearned": _outputs(assembly, (), 2),
        "null_untrained": _outputs(assembly, of_d, 3),
        "null_unlearned": _outputs(assembly, (), 4),
    }
    methods = {"clean": _outputs(assembly, (), 5), "noop": worlds["original"]}
    result = judge_case(assembly, worlds, [(MethodChoice(name, {}), one) for name, one in methods.items()])
    rows = {row.id: row for row in result.rows}
    for name, label in (("clean", "unlearned"), ("noop", "neither")):
        row = rows[name]
        assert (row.verdict_untraining.outcome, row.verdict_untraining.reason) == ("no power", NO_OP)
        assert row.residual_untraining == NotMeasured(NO_OP)
        assert row.label == label and NO_OP in row_reason(row)
    assert NO_OP in result.headline and "this many models" not in result.headline
    assert any(one.startswith(NO_OP) for one in result.warnings)
    assert result.geometry.attainable_untraining is None
    assert result.case["sizes"] == {"D": 1400, "B": 100, "S": 60, "discovery": None}


def test_a_method_sees_s_and_all_of_d(tmp_path, monkeypatch):
    from unweave.learners.contract import State
    from unweave.methods import METHODS, Method

    sets = []

    def watching():
        """A method that looks at its sets."""

        def prepare(net, given, key):
            forget = given.forget.y
            sets.append((len(forget), len(given.retain.y), set(forget.tolist())))
            return State(net.params, net.buffers), {}

        def step(net, aux, batches, i, key):
            return net(batches["retain"].x).sum() * 0

        return Method(step, 0.5, 0.1, prepare=prepare)

    entry = METHODS.get("finetune")
    monkeypatch.setitem(METHODS._entries, "watching", type(entry)("watching", watching, entry.declared))
    case = replace(CASE, references=ReferenceChoice(models=3))
    rows = compare(case, methods=["watching"], store=tmp_path, workers=1).result.cases[0].rows
    assert rows[-1].status == "ok", rows[-1].reason
    assert sets and all(one == (60, 1400, {0}) for one in sets)


@pytest.mark.parametrize("paired", [False, True])
def test_it_runs_from_spec_to_files(tmp_path, paired):
    case = replace(CASE, references=ReferenceChoice(models=8, paired=paired))
    study = compare(case, methods=["noop", "finetune"], store=tmp_path / "store", workers=1)
    study.save(tmp_path / "out")
    for row in study.result.cases[0].rows:
        if row.kind == "method":
            assert row.status == "ok" and row.verdict_untraining.reason == NO_OP


@pytest.mark.parametrize("kind", ["mislabel"])
def test_a_behaviour_without_new_instances_is_refused(kind):
    with pytest.raises(ApplicabilityError, match="there are none: random mislabels have no unseen instances"):
        assemble(replace(CASE, behaviour=BehaviourChoice(kind)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"ids": (1, 2)},
            r"`forget\.outside` draws S from new instances at random; leave out `ids`",
        ),
        ({"selection": "hardest"}, "leave out .*`selection`"),
        ({"count": 5, "discovery": 0.5}, "has discovery and count; expected one"),
        ({"count": 0}, r"`forget\.count` 0 of \d+ unseen instances is a forget set of 0; expected at least 1"),
        ({"count": 10**6}, "some that stay unseen"),
        ({"discovery": 1.0}, r"`forget\.discovery` is 1\.0; expected the share of the unseen instances"),
        ({"discovery": 0.0}, r"`forget\.discovery` is 0\.0"),
        ({"discovery": float("nan")}, r"`forget\.discovery` is nan"),
        ({"discovery": 1e-9}, "a forget set of 0"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(SpecError, match=message):
        assemble(replace(CASE, forget=ForgetChoice(outside=True, **given)))


@pytest.mark.parametrize("kind", ["class", "systematic", "trigger"])
def test_examples_on_the_page_are_those_that_were_measured(kind):
    from unweave.study.examples import _example

    found = assemble(replace(CASE, behaviour=BehaviourChoice(kind), forget=ForgetChoice(outside=True, count=15)))
    test, probes = found.data.test, found.probes
    places = {name: row for row, name in enumerate(test.ids.tolist())}
    for probe in probes.groups["unseen"].tolist():
        shown = _example(found, probe)
        if kind != "trigger":  # an image with a mark is no test image
            assert np.array_equal(test.x[places[int(shown.id)]], probes.x[probe])
