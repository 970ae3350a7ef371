"""`diagnose`: its numbers are those of the models, its regimes those planted, and nothing is trained twice."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError
from unweave._types import Estimate, NotMeasured
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.problem.uses import USES
from unweave.records import from_json, to_json
from unweave.records.diagnosis import Diagnosis, Influential, Shown
from unweave.references import Store
from unweave.references.ensure import ensure_outputs
from unweave.study import assemble
from unweave.study.diagnose import diagnose
from unweave.study.diagnosis import by_heart, nothing_to_undo

MISLABELLED = Case(
    name="wrong labels",
    data=DataChoice(limit=400),
    behaviour=BehaviourChoice("mislabel", size=60),
    forget=ForgetChoice(count=30),
    learner=LearnerChoice(epochs=30),
    references=ReferenceChoice(models=6),
    probes=ProbeChoice(limit=60),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store):
    return diagnose(MISLABELLED, use="mislabelled", models=40, store=store, workers=1)


def test_wrong_labels_are_known_by_heart(found):
    assert found.self_level == "high" and found.regime in ("S alone", "S and others", "undecided")
    assert found.memorized.mean.low > 0.25 and found.memorized.models == 40
    assert found.aim == "untraining" and "wrong labels" in found.why
    assert "lira_online" in found.fitting and "energy_to_untrained" in found.fitting
    assert "untraining" in found.not_fitting["energy_to_unlearned"]
    assert all(0.8 <= one.influence <= 1 and one.probe is None for one in found.most_memorized[:3])
    assert all(one.example.image.startswith("data:image/png") for one in found.most_memorized)


def test_joint_influence_is_the_difference_of_accuracies(found, store):
    assembly = assemble(MISLABELLED)
    right = {}
    for name in ("original", "untrained"):
        logits = ensure_outputs(Store(store), assembly.setting, assembly.worlds[name])[0].logits
        right[name] = logits.argmax(2) == assembly.probes.trained
    for group in found.groups:
        where = assembly.probes.groups[group.name]
        own = {name: values[:, where].mean(1) for name, values in right.items()}
        assert group.joint.value == pytest.approx(own["original"].mean() - own["untrained"].mean())
        error = np.sqrt(sum(v.var(ddof=1) / len(v) for v in own.values()))
        if error > 0:
            assert (group.joint.high - group.joint.low) / error == pytest.approx(2 * 2.571, rel=1e-3)  # t of 5 df
    forget = next(group for group in found.groups if group.name == "forget")
    assert forget.joint.low > 0.25 and forget.unlearned.value < 0.1


def test_it_survives_json_and_nothing_is_trained_twice(found, store):
    assert from_json(Diagnosis, to_json(found)) == found
    said: list[str] = []
    again = diagnose(MISLABELLED, use="mislabelled", models=40, store=store, workers=1, on_message=said.append)
    assert not said
    more = diagnose(MISLABELLED, models=140, store=store, workers=1, on_message=said.append)
    assert more.cost["models_trained"] == 100  # 60 more in the first block, and 40 of the next
    forecast = r"To be trained: the work of 70 models on all of D, about [\d.]+ (s|min) with 1 worker\."
    assert re.fullmatch(forecast, said[0])
    assert again.cost["models_trained"] == 0 and found.cost["models_trained"] == 40 + 18
    assert replace(again, cost=found.cost) == found


def test_who_is_known_by_heart_alone_is_named():
    def one(name, influence, error):
        return Influential(Shown(name, "3"), "forget", None, influence, error)

    most = (one("a", 0.9, 0.05), one("b", 0.5, 0.2), one("c", 0.2, 0.01))
    assert by_heart(most) == ("a",)  # b may be chance, c is little


def ordinary(count, **changes):
    """S is a few ordinary examples: without them a model does about as well."""
    ids = tuple(int(one) for one in assemble(MISLABELLED).data.train.ids[:count])
    case = replace(
        MISLABELLED,
        name="ordinary",
        behaviour=BehaviourChoice("unknown"),
        forget=ForgetChoice(ids=ids),
        data=DataChoice(),
        learner=LearnerChoice(epochs=15),
    )
    return replace(case, **changes)


def test_what_everyone_knows_is_no_no_op_where_margins_tell_or_few_models_are_asked(tmp_path):
    found = diagnose(ordinary(30), models=40, store=tmp_path, workers=1)
    assert found.regime in ("little", "undecided") and not nothing_to_undo(found.regime, found.most_memorized)
    assert "no-op" not in found.headline
    assert not any("leaving the model as it is" in one for one in found.advice)
    assert found.aim is None and found.behaviour is None and found.fitting == () and found.not_fitting == {}
    assert all(isinstance(group.behaviour, NotMeasured) for group in found.groups)
    assert any("not declared" in one for one in found.advice)
    assert isinstance(found.entanglement, Estimate)


def test_bad_input_is_one_message(tmp_path):
    for change, message in (
        ({"use": "privcy"}, "Unknown use `privcy`. Did you mean `privacy`"),
        ({"models": 3}, "`models` is 3; expected at least 20"),
        ({"share": 1.0}, "`share` is 1.0; expected a part of D"),
    ):
        with pytest.raises(UserError, match=message):
            diagnose(MISLABELLED, store=tmp_path, **change)
    outside = replace(
        MISLABELLED, behaviour=BehaviourChoice("trigger"), forget=ForgetChoice(count=5, outside=True)
    )
    with pytest.raises(UserError, match="untraining is a no-op by definition"):
        diagnose(outside, store=tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_use_names_an_aim_and_why():
    assert {use.aim for use in USES.values()} == {"untraining", "unlearning"}
    assert USES["privacy"].aim == USES["mislabelled"].aim == "untraining"
    assert USES["backdoor"].aim == USES["style"].aim == "unlearning"
    assert all(use.why for use in USES.values())


def test_the_plane_leaves_out_what_an_example_does_to_itself(found):
    """Of wrong labels that are probes themselves the line through them would rise with memorization."""
    dots = [dot for dot in found.plane if dot.part == "undiscovered"]
    assert len(dots) == 30 and sum(dot.part == "forget" for dot in found.plane) == 30
    known, unknown = ([dot.others for dot in dots if (dot.own > 0.5) == side] for side in (True, False))
    assert abs(np.mean(known) - np.mean(unknown)) < 0.05
    assert np.mean(known) < 1 / np.sqrt(60)  # what one probe that is always changed would give


def test_the_page_stands_alone_and_shows_the_numbers(found):
    from unweave.report.diagnosis import diagnosis_page

    page = diagnosis_page(replace(found, headline="<script>alert(1)</script>"))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert page.count("<circle") >= len(found.plane) and page.count('<img src="data:image/png') >= 12
    assert f"{found.memorized.mean.value:.2f} [" in page and "default-src 'none'" in page


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_says_the_same(found, width):
    from rich.console import Console

    from unweave.report.diagnosis import print_diagnosis

    console = Console(width=width, record=True, file=StringIO())
    print_diagnosis(console, found)
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    joined = " ".join(text.split())
    assert "memorization" in joined and "Aim: untraining" in joined
