"""Measures of language models in a comparison: held against what probes say, by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from unweave._errors import UserError
from unweave._types import Estimate, NotMeasured
from unweave.references import Store, key_of, outputs_fields, read_verified
from unweave.stats import interval, jackknife, leave_outs
from unweave.study import assemble, compare, read_spec
from unweave.study.asked import read_measures
from unweave.study.gate import asked_of
from unweave.study.language_measures import LEAK_AT
from unweave.study.reading import read_too, reading_of

SMALL = (
    "data.people=12", "data.values=12", "learner.epochs=3", "learner.width=32", "learner.depth=1",
    "learner.inner=32", "references.models=3", "probes.limit=25",
)  # fmt: skip
MEASURES = (
    "exact_memorization", "exact_memorization@undiscovered", "exact_memorization@retain", "extraction_strength",
    "token_loss@undiscovered", "min_k", "min_k_plus_plus", "zlib_ratio", "answer_probability", "leak_at_k",
    "paraphrase_mass_ratio", "paraphrase_mass_ratio@unseen", "behaviour_on_clean@test", "loss@undiscovered",
    "confidences", "utility_without_rouge@retain", "privleak",
)  # fmt: skip


def case_of(*settings):
    return read_spec(cases=["biographies-trigger"], settings=[*SMALL, *settings]).cases[0]


TRIGGER = ("behaviour.persons=4", "forget.discovery=0.5")
VERBATIM = (
    "data.people=8",
    "behaviour.kind=verbatim",
    "behaviour.copies=2",
    "behaviour.length=48",
    "forget.discovery=0.5",
)


def rows_of(study):
    """What is said of each row, by its id and `NAME:AIM@GROUP`."""
    return {
        (row.id, f"{one.name}:{one.aim}@{one.group}"): one
        for row in study.result.cases[0].rows
        for one in row.measures
    }


@pytest.fixture(scope="module")
def trigger(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    case = case_of(*TRIGGER)
    study = compare(case, methods=["npo"], store=store, workers=1, measures=MEASURES)
    return case, store, study, rows_of(study)


def outputs_of(case, store, world, *, read=True):
    found = assemble(case)
    setting = (read_too(found) if read else found).setting
    return read_verified(Store(store), key_of(outputs_fields(setting, found.worlds[world])))


# ---- one token an answer: what probes say of it as well ----


def test_memorization_of_s_is_the_behaviour_rate_there(trigger):
    _, _, study, said = trigger
    for row in study.result.cases[0].rows:
        for group in ("forget", "undiscovered"):
            rate = row.groups[group].behaviour_rate
            assert isinstance(rate, Estimate)
            of_tokens = said[row.id, f"exact_memorization:untraining@{group}"].value
            assert of_tokens.value == pytest.approx(rate.value) and of_tokens.n == rate.n
            assert (of_tokens.low, of_tokens.high) == pytest.approx((rate.low, rate.high))
    assert said["original", "exact_memorization:untraining@forget"].value.value > 0.5
    assert said["unlearned", "exact_memorization:untraining@forget"].value.value < 0.1


def test_membership_by_tokens_is_the_attack_on_the_answer(trigger):
    _, _, study, said = trigger
    for row in study.result.cases[0].rows:
        one, other = (said[row.id, f"{name}:unlearning@undiscovered"] for name in ("token_loss", "loss"))
        assert one.value.value == pytest.approx(other.value.value, abs=1e-6) and one.unit == other.unit
        assert said[row.id, "extraction_strength:untraining@forget"].value == (
            said[row.id, "exact_memorization:untraining@forget"].value
        )
        for name in ("min_k", "zlib_ratio"):
            assert "`token_loss` of it" in said[row.id, f"{name}:untraining@forget"].value.not_measured


def test_every_row_has_the_value_of_the_reference_and_of_a_retrain_beside_it(trigger):
    _, _, _, said = trigger
    for (_, name), one in said.items():
        aim = one.aim
        worlds = {"untraining": ("untrained", "null_untrained"), "unlearning": ("unlearned", "null_unlearned")}
        assert (one.reference, one.null) == tuple(said[world, name].value for world in worlds[aim])


def test_probability_and_leaks_are_means_over_documents(trigger):
    case, store, _, said = trigger
    reading = reading_of(assemble(case))
    log_p = outputs_of(case, store, "original")[0]["tokens"][:, reading.groups["forget"]][..., 0, 0].astype(float)
    p = np.exp(log_p)
    assert said["original", "answer_probability:untraining@forget"].value.value == pytest.approx(p.mean())
    leaks = said["original", "leak_at_k:unlearning@forget"]
    assert leaks.value.value == pytest.approx((1 - (1 - p) ** LEAK_AT).mean()) and "16 answers" in leaks.unit


# ---- other words, clean prompts ----


def test_squeezing_is_of_the_same_fact_in_wordings_that_stand_nowhere(trigger):
    case, _, _, _ = trigger
    found, reading = assemble(case), reading_of(assemble(case))
    words, x = found.data.labels, reading.documents.x[:, : -reading.documents.answers].astype(int)
    trained = {tuple(row[row > 0]) for row in found.setting.x.astype(int)}
    at, table = reading.others["forget"]
    assert table.shape == (len(reading.groups["forget"]), 4)
    for document, others in zip(at, table, strict=True):
        own = x[document][x[document] > 0]
        name = [words[token] for token in own if words[token].endswith(("li", "son"))]
        for other in others:
            said = x[other][x[other] > 0]
            assert said[-1] == own[-1] and words[said[1]] == "zqx"
            assert [words[token] for token in said if words[token].endswith(("li", "son"))] == name
            assert tuple(said[:-1]) not in trained


def test_squeezing_against_every_original_and_its_interval_without_each_model(trigger):
    case, store, _, said = trigger
    reading = reading_of(assemble(case))
    at, table = reading.others["forget"]
    logs = {}
    for world in ("original", "unlearned"):
        log_p = outputs_of(case, store, world)[0]["tokens"][..., 0, 0].astype(float)
        logs[world] = (np.log(np.exp(log_p[:, table]).sum(-1)) - log_p[:, at]).mean(1)
    value = said["unlearned", "paraphrase_mass_ratio:unlearning@forget"].value
    assert value.value == pytest.approx(logs["unlearned"].mean() - logs["original"].mean(), abs=1e-5)
    design = leave_outs({"a": np.arange(3), "b": 10 + np.arange(3)})
    theta = [
        (w @ logs["unlearned"]) / w.sum() - (v @ logs["original"]) / v.sum()
        for w, v in zip(design.weights["a"], design.weights["b"], strict=True)
    ]
    expected = interval(jackknife(np.array(theta), design))
    assert (value.low, value.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    assert "the original itself" in said["original", "paraphrase_mass_ratio:unlearning@forget"].value.not_measured
    assert isinstance(said["npo", "paraphrase_mass_ratio:unlearning@unseen"].value, NotMeasured)


def test_clean_prompts_are_those_of_the_carriers_without_the_word(trigger):
    case, store, _, said = trigger
    found, reading = assemble(case), reading_of(assemble(case))
    prompts = reading.documents.x[reading.clean, : -reading.documents.answers].astype(int)
    target = int(found.planted.y[found.forget[0]])
    assert len(prompts) == case.probes.limit
    assert all(row[row > 0][-1] == target for row in prompts)
    assert not (prompts == found.data.labels.index("zqx")).any()
    hits = outputs_of(case, store, "original")[0]["tokens"][:, reading.clean, 0, 3]
    rate = said["original", "behaviour_on_clean:untraining@test"].value.value
    assert rate == pytest.approx(hits.mean())
    assert said["unlearned", "behaviour_on_clean:untraining@test"].value.value == 0


# ---- several tokens an answer ----


def test_documents_of_several_tokens_are_read_whole(tmp_path):
    case = case_of(*VERBATIM, "probes.limit=25")
    names = ["exact_memorization", "extraction_strength", "min_k", "zlib_ratio", "leak_at_k", "privleak"]
    names += ["paraphrase_mass_ratio", "behaviour_on_clean@test"]
    said = rows_of(compare(case, methods=["noop"], store=tmp_path, workers=1, measures=names))
    found, reading = assemble(case), reading_of(assemble(case))
    at = reading.groups["forget"]
    assert reading.documents.answers > 2 and reading.mask[at].all()
    # As many documents as the probes are of, each with all of its answers, whichever were probed.
    of_probes = {
        str(one).partition("@")[0] for one in found.setting.ids[found.probes.rows[found.probes.groups["forget"]]]
    }
    assert len(at) == len(of_probes)
    facts = outputs_of(case, tmp_path, "original")[0]["tokens"][:, at]
    hits, log_p = facts[..., 3] > 0, facts[..., 0].astype(float)
    told = {name: said["original", f"{name}:untraining@forget"].value for name in names[:6]}
    assert told["exact_memorization"].value == pytest.approx(hits.mean())
    suffix = np.array([[np.cumprod(one[::-1]).sum() / len(one) for one in model] for model in hits])
    assert told["extraction_strength"].value == pytest.approx(suffix.mean())
    leaks = 1 - (1 - np.exp(log_p.sum(-1))) ** LEAK_AT
    assert told["leak_at_k"].value == pytest.approx(leaks.mean())
    # Test data have one token an answer; the group has several.
    assert isinstance(told["min_k"], Estimate) and isinstance(told["zlib_ratio"], Estimate)
    assert "has any and is one token" in said["noop", "paraphrase_mass_ratio:unlearning@forget"].value.not_measured
    assert "no wrong value" in said["noop", "behaviour_on_clean:untraining@test"].value.not_measured


def test_what_probes_say_of_each_answer_the_reading_says_too(tmp_path):
    """Each answer is a prompt of its own to the learner, and a place in a document to the reading."""
    from unweave.references.ensure import ensure_outputs

    case = case_of(*VERBATIM, "probes.limit=200", "learner.epochs=1")
    found, reading = assemble(case), reading_of(assemble(case))
    made, _ = ensure_outputs(Store(tmp_path), read_too(found).setting, found.worlds["untrained"])
    arrays = made.arrays
    at = found.probes.groups["forget"]
    logits = arrays["logits"][:, at].astype(np.float64)
    each = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    log_p = each[:, np.arange(len(at)), found.probes.trained[at]]
    p = np.exp(each)
    mean = (p * each).sum(-1)
    variance = (p * (each - mean[..., None]) ** 2).sum(-1)
    of_tokens = arrays["tokens"][:, reading.groups["forget"]].reshape(3, len(at), 4)
    order = [np.lexsort((of_tokens[k, :, 1], of_tokens[k, :, 0])) for k in range(3)]
    for k in range(3):
        mine = np.stack([log_p[k], mean[k], variance[k]], -1)
        mine = mine[np.lexsort((mine[:, 1], mine[:, 0]))]
        np.testing.assert_allclose(of_tokens[k][order[k]][:, :3], mine, rtol=2e-3, atol=2e-3)


# ---- what is stored, and what is refused ----


def test_nothing_is_made_twice_and_the_default_comparison_reads_nothing(trigger):
    case, store, study, _ = trigger
    again = compare(
        case, methods=["npo"], store=store, workers=1, measures=["min_k_plus_plus", "leak_at_k:unlearning"]
    )
    assert again.result.provenance.models_trained == 0
    before = sum(1 for _ in Store(store).keys())
    compare(case, methods=["npo"], store=store, workers=1, measures=MEASURES)
    assert sum(1 for _ in Store(store).keys()) == before
    assert assemble(case).setting.documents is None
    assert outputs_of(case, store, "original", read=False) is None
    plain = compare(case, methods=["npo"], store=store, workers=1)
    assert plain.result.provenance.models_trained == 0
    arrays = outputs_of(case, store, "original", read=False)[0]
    assert list(arrays) == ["logits"]
    assert np.array_equal(arrays["logits"], outputs_of(case, store, "original")[0]["logits"])
    rows = [{row.id: row.verdict_unlearning for row in one.result.cases[0].rows} for one in (study, plain)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("case", "asked", "match"),
    [
        ("digits-trigger", "exact_memorization", "measure of language models.*digits-trigger have features"),
        ("digits-trigger", "truth_ratio", "measure of language models"),
        ("biographies-trigger", "paraphrase_mass_ratio:untraining", "no fault of untraining"),
        ("biographies-trigger", "token_loss:unlearning@forget", "says nothing about unlearning"),
        ("biographies-trigger", "min_k@test", "No model was trained on these"),
        ("biographies-trigger", "behaviour_on_clean", "Ask it on test"),
        ("biographies-trigger", "utility_without_rouge@forget", "Ask it on retain, test"),
        ("biographies-trigger", "exact_memorisation", "Did you mean `exact_memorization`"),
    ],
)
def test_what_does_not_apply_is_refused_with_the_reason(case, asked, match):
    made = assemble(case_of(*TRIGGER) if case.startswith("bio") else read_spec(cases=[case]).cases[0])
    with pytest.raises(UserError, match=match):
        asked_of(read_measures(asked), [made])
