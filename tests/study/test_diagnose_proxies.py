"""Proxies in `diagnose`: their numbers are those of the models, they are stored, and what cannot be says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from unweave import Case, LearnerChoice, ReferenceChoice, UserError
from unweave._types import Estimate, NotMeasured
from unweave.influence import self_influence
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.records import from_json, to_json
from unweave.records.diagnosis import Diagnosis
from unweave.references import Store
from unweave.references.subsampled import SubsetPlan, read_answers
from unweave.report.diagnosis import diagnosis_page, proxy_notes, proxy_rows
from unweave.study import assemble
from unweave.study.diagnose import asked_of, diagnose
from unweave.study.proxies import ATTRIBUTIONS, PROXIES, examples_of, probes_of, proxies_named, stored_family

CASE = Case(
    name="wrong labels",
    data=DataChoice(limit=240),
    behaviour=BehaviourChoice("mislabel", size=40),
    forget=ForgetChoice(count=20),
    learner=LearnerChoice(epochs=20, width=16, depth=1),
    references=ReferenceChoice(models=4),
    probes=ProbeChoice(limit=40),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store):
    return diagnose(CASE, models=60, proxies=["all"], store=store, workers=1)


def test_every_proxy_has_its_sign_its_cost_and_what_its_interval_is_over(found):
    assert [one.name for one in found.proxies] == list(PROXIES)
    for one in found.proxies:
        assert isinstance(one.correlation, Estimate), one
        assert one.correlation.value * one.expected > 0.3, one
        assert one.cost is not None and one.cost > 0 and one.models == 4 and one.examples == 240
        assert one.over == (
            "60 models of parts of D" if one.name == "trak" else "4 originals and 60 models of parts of D"
        )
        assert isinstance(one.lds, Estimate) == (one.name in ATTRIBUTIONS)
    # Models that fit all labels are what the signs are of, and attributions foretell test probes a little.
    assert all(one.lds.value > 0.05 for one in found.proxies if one.name in ATTRIBUTIONS)


def test_the_correlation_is_spearmans_of_what_is_stored(found, store):
    assembly = assemble(CASE)
    answers = read_answers(Store(store), assembly.setting, SubsetPlan(60, 0.7, 0), asked_of(assembly))
    correct = (answers.predicted[:, :240] == assembly.setting.y).astype(np.float64)
    memorization = self_influence(answers.inside, correct).value.round(12)
    events = stored_family(Store(store), assembly, "events")
    for name in ("confidence", "forgetting"):
        one = next(one for one in found.proxies if one.name == name)
        assert events.each[name].shape == (4, 240)
        expected = spearmanr(events.each[name].mean(0).round(10), memorization).statistic
        assert one.correlation.value == pytest.approx(expected, abs=1e-6)
        with pytest.raises(AssertionError):  # of other examples it is another
            assert one.correlation.value == pytest.approx(
                spearmanr(events.each[name].mean(0)[::-1], memorization)[0]
            )
    score = stored_family(Store(store), assembly, "tracin").score
    sums = answers.inside @ score
    phi = answers.phi[:, 240 + probes_of(assembly)]
    each = [spearmanr(sums[:, j].round(8), phi[:, j]).statistic for j in range(sums.shape[1])]
    tracin = next(one for one in found.proxies if one.name == "tracin")
    assert tracin.lds.value == pytest.approx(np.mean(each), abs=1e-3)


def test_nothing_is_computed_twice_and_some_may_be_asked_for(found, store):
    told: list[tuple[str, int]] = []
    again = diagnose(
        CASE, models=60, proxies=["trak", "confidence"], store=store, workers=1,
        on_progress=lambda stage, done, total: told.append((stage, total)),
    )  # fmt: skip
    assert ("proxies", 0) in told and ("subsets", 0) in told
    assert again.proxies == tuple(one for one in found.proxies if one.name in ("confidence", "trak"))
    assert from_json(Diagnosis, to_json(found)) == found


def test_the_page_shows_them_and_says_which_sign_is_wrong(found):
    page = diagnosis_page(found)
    assert "influence-functions" in page and "Memorization itself cost 42 trainings" in page
    turned = replace(found, proxies=tuple(replace(one, expected=-one.expected) for one in found.proxies))
    assert "Of the wrong sign here: confidence, " in " ".join(proxy_notes(turned))
    assert "wrong sign" not in " ".join(proxy_notes(found))
    assert len(proxy_rows(found)) == len(PROXIES)
    assert "proxies" not in diagnosis_page(replace(found, proxies=()))


def test_of_an_opaque_learner_nothing_is_computed(tmp_path):
    case = replace(CASE, learner=LearnerChoice("forest", trees=3))
    found = diagnose(case, models=20, proxies=["confidence", "datainf"], store=tmp_path, workers=1)
    for one in found.proxies:
        assert (
            isinstance(one.correlation, NotMeasured)
            and "only the outputs are known" in one.correlation.not_measured
        )
        assert one.cost is None and one.models == 0
    assert "only the outputs are known" in " ".join(proxy_rows(found)[0])


def test_without_held_out_data_and_for_large_nets_the_reason_is_said(tmp_path):
    case = replace(CASE, probes=ProbeChoice(limit=40, validation=0), learner=LearnerChoice(epochs=2, width=128))
    found = diagnose(case, models=20, proxies=["holdout", "influence-functions"], store=tmp_path, workers=1)
    held_out, functions = found.proxies
    assert "needs held-out examples" in held_out.correlation.not_measured
    assert "above 5792 there is no exact solution" in functions.correlation.not_measured
    assert functions.lds == functions.correlation


def test_of_a_large_d_s_and_a_sample_are_ranked(monkeypatch):
    assembly = assemble(CASE)
    assert np.array_equal(examples_of(assembly), np.arange(240))
    monkeypatch.setattr("unweave.study.proxies._MOST_EXAMPLES", 60)
    rows = examples_of(assembly)
    assert len(rows) == len(set(rows.tolist())) == 60 and set(assembly.forget.tolist()) <= set(rows.tolist())
    monkeypatch.setattr("unweave.study.proxies._MOST_EXAMPLES", 20)
    assert np.isin(examples_of(assembly), assembly.forget).sum() == 10


def test_names_that_are_wrong_are_refused(tmp_path):
    with pytest.raises(UserError, match="Unknown proxy .confidense.. Did you mean .confidence."):
        diagnose(CASE, proxies=["confidense"], store=tmp_path)
    with pytest.raises(UserError, match="No proxy is named"):
        proxies_named([])
    assert not list(tmp_path.iterdir())
