"""Which metric and attack may be asked of which aim: the whole table, reasons, force, what is missing."""

from __future__ import annotations

import pytest

from unweave._errors import ApplicabilityError, UnknownNameError
from unweave._gate import AIMS, GROUPS, WHAT, require
from unweave.attacks import ATTACKS
from unweave.metrics import METRICS
from unweave.study import applicable
from unweave.study.applicability import measurement

# On forget, undiscovered, unseen, retain, test: + allowed, – refused; first untraining, then unlearning.
TABLE = {
    "accuracy": ("+++++", "+++++"),
    "behaviour_rate": ("+++––", "+++––"),
    "margins": ("+++++", "+++++"),
    "confidences": ("+++++", "+++++"),
    "modified_entropies": ("+++++", "+++++"),
    "jensen_shannon": ("+++++", "+++++"),
    "zrf": ("+++++", "+++++"),
    "energy_to_untrained": ("+++++", "–––––"),
    "energy_to_unlearned": ("–––––", "+++++"),
    "damage": ("–––++", "–––++"),
    "mean_shift_to_untrained": ("+++++", "–––––"),
    "mean_shift_to_unlearned": ("–––––", "+++++"),
    "worst_off": ("+++++", "+++++"),
    "generality": ("+++++", "+++++"),
    "off_line_squared": ("+++++", "+++++"),
    "affine_weights": ("+++++", "+++++"),
    "tow": ("+++––", "+++––"),
    "tow_mia": ("++–––", "–++––"),
    "excess": ("+++++", "+++++"),
    "scaled_confidence": ("++–+–", "–+++–"),
    "loss": ("++–+–", "–+++–"),
    "entropy": ("++–+–", "–+++–"),
    "modified_entropy": ("++–+–", "–+++–"),
    "correctness": ("++–+–", "–+++–"),
    "logistic": ("++–+–", "–+++–"),
    "population": ("++–+–", "–+++–"),
    "lira_online": ("++–+–", "–+++–"),
    "lira_offline": ("++–+–", "–+++–"),
    "rmia": ("++–+–", "–+++–"),
    "svc_efficacy": ("++–––", "–++––"),
}


def test_the_table_is_of_everything_that_is_registered():
    assert sorted(TABLE) == sorted([*METRICS.names(), *ATTACKS.names()])


@pytest.mark.parametrize("name", TABLE)
def test_metric_by_aim_by_group(name):
    for aim, expected in zip(AIMS, TABLE[name], strict=True):
        found = {group: applicable(name, aim, on=group) for group in GROUPS}
        assert "".join("+" if one.status == "allowed" else "–" for one in found.values()) == expected, aim
        for one in found.values():
            assert (one.reason == "") == (one.status == "allowed")
            assert one.status in ("allowed", "refused")


@pytest.mark.parametrize("name", ATTACKS.names())
def test_membership_inference_on_s_says_nothing_about_unlearning(name):
    found = applicable(name, "unlearning")
    assert found.status == "refused"
    assert found.reason.startswith("Membership inference on S says nothing about unlearning")
    assert "Ask it on undiscovered, unseen" in found.reason
    for on in ("undiscovered", "unseen"):
        assert applicable(name, "unlearning", on=on).status == "allowed"


def test_retraining_without_s_is_a_competitor_for_unlearning():
    reason = applicable("energy_to_untrained", "unlearning").reason
    assert "only a competitor for unlearning" in reason and "A(D∖B)" in reason


@pytest.mark.parametrize("name", TABLE)
def test_what_is_refused_may_be_forced_and_is_marked(name):
    for aim in AIMS:
        for on in GROUPS:
            plain, forced = (applicable(name, aim, on=on, force=force) for force in (False, True))
            assert forced.reason == plain.reason
            assert forced.status == ("forced" if plain.status == "refused" else "allowed")


@pytest.mark.parametrize("name", TABLE)
def test_what_is_missing_is_named_and_cannot_be_forced(name):
    entry = measurement(name)
    for aim in AIMS:
        needs = entry.declared.reads(aim)
        assert "reference" not in needs
        assert applicable(name, aim, on="undiscovered", have=needs) == applicable(name, aim, on="undiscovered")
        for missing in needs:
            have = [need for need in needs if need != missing]
            for force in (False, True):
                found = applicable(name, aim, on="undiscovered", have=have, force=force)
                assert found.status == "refused"
                refused_anyway = applicable(name, aim, on="undiscovered").status == "refused" and not force
                assert refused_anyway or WHAT[missing] in found.reason


def test_the_reference_is_that_of_the_aim():
    have = ["logits", "clean labels", "untrained"]
    assert applicable("accuracy", "untraining", have=have).status == "allowed"
    without_b = applicable("accuracy", "unlearning", have=have)
    assert without_b.status == "refused" and "the behaviour B has to be declared" in without_b.reason


def test_at_the_door_a_refusal_is_an_error():
    entry = measurement("lira_online")
    with pytest.raises(ApplicabilityError, match="`lira_online` does not apply to unlearning on `forget`. Member"):
        require(entry, "unlearning")
    assert require(entry, "unlearning", force=True).status == "forced"
    assert require(entry, "untraining").status == "allowed"


def test_an_unknown_name_is_offered_near_ones():
    with pytest.raises(UnknownNameError, match="Did you mean `lira_online`"):
        applicable("lira_onlin", "untraining")
