"""Metrics and attacks by name: values by hand, intervals by leaving out models, nobody its own shadow."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from unweave._types import Estimate, NotMeasured
from unweave.attacks import ATTACKS
from unweave.metrics import METRICS
from unweave.stats import t_quantile
from unweave.study import membership
from unweave.study.applicability import measurement
from unweave.study.measures import METRIC_WAYS
from unweave.study.membership import ATTACK_WAYS

_spec = spec_from_file_location("measured", Path(__file__).with_name("measured.py"))
measured = sys.modules["measured"] = module_from_spec(_spec)
_spec.loader.exec_module(measured)
MODELS, WORLDS, ask, logits_of, probes, values = (
    measured.MODELS, measured.WORLDS, measured.ask, measured.logits_of, measured.probes, measured.values,
)  # fmt: skip

EVERY = {**METRIC_WAYS, **ATTACK_WAYS}
ON = {"damage": "test", **dict.fromkeys(("generality", "off_line_squared", "affine_weights"), "undiscovered")}
SLOW = ("svc_efficacy", "logistic")  # a mean over models of numbers of single models, as `population` is
ASKED = [ask(name, aim, ON.get(name, "forget")) for name in EVERY for aim in ("untraining", "unlearning")]


@pytest.fixture(scope="module")
def found():
    return values(ASKED)


def number(one) -> float:
    assert isinstance(one, Estimate), one
    return one.value


# ---- everything has a way, everything is measured ----


def test_everything_registered_can_be_asked_of_a_comparison_but_what_needs_an_ignorant_net():
    assert set(EVERY) == {*METRICS.names(), *ATTACKS.names()} - {"zrf"}


def test_everything_is_measured_of_the_method_with_the_references_value_and_a_retrains(found):
    for one in ASKED:
        said = found["method", f"{one.name}:{one.aim}@{one.group}"]
        value = said.value
        assert isinstance(value, Estimate), (one, value)
        assert value.low <= value.high and value.n == MODELS and isinstance(said.null, Estimate)
        worlds = {"untraining": ("untrained", "null_untrained"), "unlearning": ("unlearned", "null_unlearned")}
        for world, beside in zip(worlds[one.aim], (said.reference, said.null), strict=True):
            assert found[world, f"{one.name}:{one.aim}@{one.group}"].value == beside
        declared = measurement(one.name).declared
        assert said.better == declared.better and said.unit


# ---- intervals: every model left out, and everything made anew ----


def left_out(asked) -> list[list]:
    """For each world what is said of the method without each of its models."""
    return [[values(asked, without=(world, k)) for k in range(MODELS)] for world in WORLDS]


@pytest.fixture(scope="module")
def without():
    return left_out([one for one in ASKED if one.aim == "untraining" and one.name not in SLOW])


def check_interval(name: str, whole, without) -> None:
    place = ("method", f"{name}:untraining@{ON.get(name, 'forget')}")
    variance = 0.0
    for of_world in without:
        left = np.array([number(one[place].value) for one in of_world])
        variance += (MODELS - 1) / MODELS * ((left - left.mean()) ** 2).sum()
    half, found = t_quantile(0.975, MODELS - 1) * np.sqrt(variance), whole[place].value
    low, high = (0.0, 1.0) if name in ATTACKS else measurement(name).declared.bounds
    assert found.low == pytest.approx(max(low, found.value - half), abs=1e-6)
    assert found.high == pytest.approx(min(high, found.value + half), abs=1e-6)
    assert variance > 0


# The value of off-line² is corrected for bias, and its variance is of what is not.
@pytest.mark.parametrize("name", [name for name in EVERY if name not in (*SLOW, "off_line_squared")])
def test_the_interval_is_that_of_leaving_out_one_model_after_the_other(name, found, without):
    """Originals go with the method's models that grew out of them; worlds that do not enter change nothing."""
    check_interval(name, found, without)


def test_an_interval_that_forgets_the_references_is_too_narrow(monkeypatch, without):
    """References held fixed: the check above would see it."""
    from unweave.study import measures

    def fixed(models, references, weights, reference_weights, **more):
        return measures_tow(models, references, weights, np.ones_like(reference_weights), **more)

    measures_tow = measures.tow_leave_outs
    monkeypatch.setattr(measures, "tow_leave_outs", fixed)
    narrow = values([ask("tow")])
    monkeypatch.undo()
    with pytest.raises(AssertionError):
        check_interval("tow", narrow, without)


# ---- values by hand ----


def accuracies(name: str) -> list[np.ndarray]:
    given = probes()
    right = logits_of(name, given).argmax(-1) == given.clean
    return [right[:, given.groups[group]].mean(1) for group in ("forget", "retain", "test")]


def test_tug_of_war_by_hand(found):
    def by_hand(name: str, reference: str) -> float:
        each = []
        for k in range(MODELS):
            product = 1.0
            for own, theirs in zip(accuracies(name), accuracies(reference), strict=True):
                others = np.delete(theirs, k) if name == reference else theirs
                product *= 1 - abs(own[k] - others.mean())
            each.append(product)
        return float(np.mean(each))

    for aim, reference in (("untraining", "untrained"), ("unlearning", "unlearned")):
        for row in ("method", reference, "original"):
            assert number(found[row, f"tow:{aim}@forget"].value) == pytest.approx(by_hand(row, reference))


def margins_on(name: str, group: str) -> np.ndarray:
    given = probes()
    at = given.groups[group]
    z = logits_of(name, given)[:, at].astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    own = p[:, np.arange(len(at)), given.planted[at]]
    return np.log(own / (1 - own))


def lira_by_hand(row: str, group: str, reference: str, fresh: str, *, own_shadow: bool = False) -> float:
    """One target after the other: law of the shadows, tail, every pair of an example and one of a retrain."""
    shadows, others = margins_on(reference, group), margins_on(fresh, group)

    def tail(phi: np.ndarray, used: np.ndarray) -> np.ndarray:
        spread = np.sqrt(((used - used.mean(0)) ** 2).sum() / ((len(used) - 1) * used.shape[1]))
        return -np.log(norm.sf(phi, used.mean(0), spread))

    apart = row == reference and not own_shadow
    mine = [
        tail(phi, np.delete(shadows, k, 0) if apart else shadows) for k, phi in enumerate(margins_on(row, group))
    ]
    theirs = [tail(phi, shadows) for phi in others]
    return float(np.mean([[(a[:, None] > b).mean() for b in theirs] for a in mine]))


def test_lira_by_hand():
    asked = [
        ask("lira_offline"),
        *(ask("lira_offline", "unlearning", group) for group in ("undiscovered", "unseen")),
    ]
    found = values(asked)
    for aim, group, reference in (
        ("untraining", "forget", "untrained"),
        ("unlearning", "undiscovered", "unlearned"),
        ("unlearning", "unseen", "unlearned"),
    ):
        for row in ("original", "method", reference):
            by_hand = lira_by_hand(row, group, reference, f"null_{reference}")
            assert number(found[row, f"lira_offline:{aim}@{group}"].value) == pytest.approx(by_hand, abs=1e-9)
        one = found["original", f"lira_offline:{aim}@{group}"]
        assert number(one.value) > 0.9 and number(one.null) == pytest.approx(0.5)


def test_a_reference_that_is_its_own_shadow_looks_less_like_a_member():
    """With itself among the shadows a model is nearer to their mean: the check by hand sees it."""
    by_hand = lira_by_hand("untrained", "forget", "untrained", "null_untrained")
    leaky = lira_by_hand("untrained", "forget", "untrained", "null_untrained", own_shadow=True)
    value = number(values([ask("lira_offline")])["untrained", "lira_offline:untraining@forget"].value)
    assert value == pytest.approx(by_hand, abs=1e-9) and abs(by_hand - leaky) > 1e-3


def test_shadows_of_a_method_do_not_hold_the_original_it_was_edited_from(monkeypatch):
    blocks = []
    lira = membership.lira_online

    def seen(*given, **more):
        blocks.append((more["target_blocks"], more["shadow_blocks"]))
        return lira(*given, **more)

    monkeypatch.setattr(membership, "lira_online", seen)
    values([ask("lira_online")])
    targets, shadows = max(blocks, key=lambda pair: len(pair[1]))
    originals = shadows[:MODELS]  # A(D) first, then A(D∖S)
    np.testing.assert_array_equal(targets[-MODELS:], originals)  # the method's models are the last rows


@pytest.mark.parametrize("name", ["lira_online", "lira_offline", "rmia"])
def test_paired_references_share_blocks_and_are_nobodys_shadow_twice(name):
    found = values([ask(name)], paired=True)
    value = found["original", f"{name}:untraining@forget"].value
    assert number(value) > 0.75 and value.low > 0.5
    assert abs(number(found["untrained", f"{name}:untraining@forget"].value) - 0.5) < 0.25


def test_called_members_by_hand(found):
    given = probes()
    z = logits_of("original", given).astype(np.float64)
    labels = np.where(given.planted >= 0, given.planted, given.trained)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    phi = np.log(p / (1 - p))[:, np.arange(len(labels)), labels]
    shares = []
    for own in phi:
        inside, outside = own[given.groups["retain"]], own[given.groups["test"]]
        cuts = np.sort(np.concatenate([inside, outside]))
        worth = [(inside > cut).mean() + (outside <= cut).mean() for cut in cuts]
        best = int(np.argmax(worth))
        shares.append((own[given.groups["forget"]] > cuts[best : best + 2].mean()).mean())
    assert number(found["original", "population:untraining@forget"].value) == pytest.approx(np.mean(shares))


def test_members_that_fit_the_cut_are_not_asked_about():
    found = values(
        [ask("population", "untraining", "retain"), ask("svc_efficacy", "untraining", "retain", "forced")]
    )
    assert 0 < number(found["original", "population:untraining@retain"].value) < 1
    assert isinstance(found["original", "svc_efficacy:untraining@retain"].value, NotMeasured)


def test_new_instances_are_asked_for_the_label_that_members_were_trained_on():
    """By their clean labels a model that met the behaviour would look less like it was trained on them."""
    found = values([ask("scaled_confidence", "unlearning", "unseen")])
    value = {
        row: number(found[row, "scaled_confidence:unlearning@unseen"].value) for row in ("original", "unlearned")
    }
    assert value["original"] > value["unlearned"] + 0.3


# ---- what cannot be had ----


def test_where_no_shadow_models_of_both_kinds_exist_nothing_is_measured():
    for group in ("undiscovered", "retain"):
        for name in ("lira_online", "lira_offline", "rmia"):
            said = values([ask(name, "untraining", group)])["method", f"{name}:untraining@{group}"].value
            assert isinstance(said, NotMeasured) and "no shadow models of both kinds" in said.not_measured


def test_without_a_declared_behaviour_nothing_of_unlearning_is_measured():
    found = values([ask("tow"), ask("tow", "unlearning"), ask("generality")], known=False)
    said = found["method", "tow:unlearning@forget"]
    assert all("not declared" in one.not_measured for one in (said.value, said.reference, said.null))
    assert isinstance(found["method", "tow:untraining@forget"].value, Estimate)
    assert "not declared" in found["method", "generality:untraining@forget"].value.not_measured


def test_a_group_that_is_not_there_is_named(monkeypatch):
    given = probes()
    left = {name: at for name, at in given.groups.items() if name != "unseen"}
    monkeypatch.setattr(measured, "probes", lambda: replace(given, groups=left, absent={"unseen": "none"}))
    said = values([ask("accuracy", "unlearning", "unseen")])["method", "accuracy:unlearning@unseen"]
    assert said.value == said.reference == said.null == NotMeasured("none")


def test_what_is_forced_says_so_and_why():
    said = values([ask("lira_offline", "unlearning", "forget", "forced")])[
        "method", "lira_offline:unlearning@forget"
    ]
    assert said.status == "forced" and said.reason == "because" and isinstance(said.value, Estimate)
