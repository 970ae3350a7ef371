"""TOFU with a checkpoint: what is assembled, a run, and what is refused. Questions and weights are made here."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import save_file

from unweave._errors import ApplicabilityError, SpecError, UnknownNameError, UserError
from unweave._types import Estimate
from unweave.references import Store, key_of, outputs_fields, read_verified
from unweave.study import assemble, compare, read_spec
from unweave.study.given import no_checkpoint
from unweave.study.language_measures import LEAK_AT
from unweave.study.reading import read_too, reading_of
from unweave.study.tofu import CANDIDATES


@pytest.fixture(scope="module")
def folder(tofu_folder):
    return tofu_folder


@pytest.fixture(scope="module")
def llama(tofu_llama):
    return tofu_llama


def _case(folder, llama, *settings):
    named = [f"data.path={folder}", f"learner.checkpoint={llama}", "behaviour.kind=forget01"]
    small = ["references.models=3", "learner.epochs=2", "learner.lr=0.01", "probes.validation=4"]
    return read_spec(cases=["tofu"], settings=[*named, *small, *settings]).cases[0]


def test_groups_hold_candidates_and_worlds_leave_out_questions(folder, llama):
    found = assemble(_case(folder, llama))
    assert len(found.planted.members) == 20 and len(found.forget) == 10
    assert {name: len(at) for name, at in found.probes.groups.items()} == {
        "forget": 10, "undiscovered": 10, "unseen": 20, "retain": 30, "test": 36,
    }  # fmt: skip
    assert found.probes.x.shape[1] == len(CANDIDATES) == 5
    assert (
        found.setting.learner.classes == 5 and found.setting.y.shape[1] == found.setting.learner.config["answers"]
    )
    assert len(found.worlds["unlearned"].rows) == 40
    assert not found.probes.clean.any()


def test_methods_of_answers_run_and_others_say_why_not(folder, llama, tmp_path):
    study = compare(
        _case(folder, llama), methods=["npo", "finetune", "boundary_shrink"], store=tmp_path, workers=1
    )
    rows = {row.name: row for row in study.result.cases[0].rows}
    assert rows["npo"].status == rows["finetune"].status == "ok"
    refused = rows["boundary_shrink"]
    assert refused.status == "refused" and "answers of one token" in refused.reason
    assert any(one.values.get("question") for one in study.result.cases[0].examples)


def test_training_goes_on_from_the_checkpoint_and_seeds_are_orders(folder, llama):
    import torch

    from unweave.learners.nets import build
    from unweave.training.loop import fit

    found = assemble(_case(folder, llama, "learner.epochs=1"))
    learner, x, y = build(found.setting.learner), *(torch.from_numpy(one) for one in found.setting[1:3])
    starts = [learner.init(key).params for key in (1, 2)]
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    rows = found.worlds["untrained"].rows
    one, other = (fit(learner, x, y, rows=rows, key=key) for key in (1, 2))
    assert not torch.equal(one.params["0.embed.weight"], other.params["0.embed.weight"])
    spoiled = x.clone()
    spoiled[found.forget] = x[0]
    again = fit(learner, spoiled, y, rows=rows, key=1)
    assert all(torch.equal(value, again.params[name]) for name, value in one.params.items())


def test_another_checkpoint_is_another_learner(folder, llama, tmp_path):
    import shutil

    from safetensors.torch import load_file

    other = shutil.copytree(llama, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"] *= 1.5
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    identities = [
        assemble(_case(folder, at)).setting.learner.identity()
        for at in (llama, shutil.copytree(llama, tmp_path / "s"), other)
    ]
    assert identities[0] == identities[1] != identities[2]


def test_a_limit_keeps_b(folder, llama):
    found = assemble(_case(folder, llama, "data.limit=30"))
    assert len(found.data.train) == 30 and len(found.planted.members) == 20


def test_s_may_be_named_by_ids(folder, llama):
    ids = [str(one) for one in assemble(_case(folder, llama)).setting.ids[[40, 59]]]
    found = assemble(_case(folder, llama, f"forget.ids={ids}"))
    assert found.forget.tolist() == [40, 59] and found.dropped == ()
    found = assemble(_case(folder, llama, f"forget.ids={[*ids, 'qa-0']}", "forget.allow_unknown=true"))
    assert found.forget.tolist() == [40, 59] and found.dropped == ("qa-0",)


def test_a_person_is_all_questions_of_an_author(folder, llama):
    two = ("behaviour.kind=forget05", "forget.unit=person", "forget.discovery=0.5")
    found = assemble(_case(folder, llama, *two))
    assert found.planted.members.tolist() == list(range(20, 60))
    assert found.forget.tolist() in (list(range(20, 40)), list(range(40, 60)))
    assert found.found_in is not None
    assert np.unique(found.found_in[found.planted.members], return_counts=True)[1].tolist() == [20, 20]
    part = assemble(_case(folder, llama, *two, "data.limit=45"))  # fewer rows, and the authors are the same
    ids = [one.setting.ids[one.forget].tolist() for one in (found, part)]
    assert ids[0] == ids[1]
    with pytest.raises(SpecError, match="3, but the behaviour has only 2"):
        assemble(_case(folder, llama, "behaviour.kind=forget05", "forget.unit=person", "forget.count=3"))
    single = assemble(_case(folder, llama, "forget.unit=document"))
    assert single.found_in is None
    assert single.forget.tolist() == assemble(_case(folder, llama)).forget.tolist()


def test_what_else_a_model_computes_is_a_part_of_what_the_learner_is(folder, llama, tmp_path):
    import shutil

    other = shutil.copytree(llama, tmp_path / "other")
    settings = json.loads((other / "config.json").read_text())
    found = {json.dumps(assemble(_case(folder, llama)).setting.learner.identity(), sort_keys=True)}
    for change in (
        {"rope_theta": 500.0},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rms_norm_eps": 1e-5},
        {"num_attention_heads": 4, "num_key_value_heads": 4},
    ):
        (other / "config.json").write_text(json.dumps({**settings, **change}))
        found.add(json.dumps(assemble(_case(folder, other)).setting.learner.identity(), sort_keys=True))
    assert len(found) == 5


def test_the_weights_are_read_once_by_a_process(folder, llama, monkeypatch, tmp_path):
    import shutil

    from unweave.language import checkpoints
    from unweave.learners.nets import build

    read, times = checkpoints.read, []
    monkeypatch.setattr(checkpoints, "read", lambda folder: times.append(folder) or read(folder))
    found = assemble(_case(folder, shutil.copytree(llama, tmp_path / "llama")))
    for key in range(2):
        build(found.setting.learner).init(key)
    assert len(times) == 1


@pytest.mark.parametrize(
    ("setting", "error", "match"),
    [
        ("behaviour.kind=forget", UnknownNameError, "part of TOFU.*forget01"),
        ("behaviour.size=4", SpecError, "`behaviour.size` has no meaning for forget01"),
        ("learner.width=8", SpecError, "that of `learner.checkpoint`"),
        ("data.limit=20", SpecError, "B alone has 20 questions"),
        ("data.people=20", SpecError, "`data.people` has no meaning for the source `tofu`"),
        ('forget.ids=["qa-0"]', SpecError, "qa-0"),
        ("forget.outside=true", SpecError, "`forget.outside` .* a corpus has none"),
        ("forget.unit=group", SpecError, "`forget.unit` is group; of the source `tofu` it is document or person"),
        ("forget.selection=clustered", SpecError, "`forget.selection` is 'clustered'"),
        ("learner.lora_alpha=8", SpecError, "without `learner.lora_rank`"),
        ("learner.lora_rank=17", SpecError, "`learner.lora_rank` is 17; .* whose rank is at most 16"),
        ("learner.lora_rank=0", SpecError, "`learner.lora_rank` is 0"),
        ("behaviour.kind=forget10", UserError, "forget10_perturbed.json"),
    ],
)
def test_what_does_not_fit_is_refused(folder, llama, setting, error, match):
    with pytest.raises(error, match=match):
        assemble(_case(folder, llama, setting))


def test_folder_and_checkpoint_are_asked_for(folder, llama, monkeypatch, tmp_path):
    monkeypatch.setenv("UNWEAVE_DATA", str(tmp_path))
    with pytest.raises(SpecError, match="data tofu/full.json are not in"):
        assemble(read_spec(cases=["tofu"], settings=[f"learner.checkpoint={llama}"]).cases[0])
    with pytest.raises(SpecError, match="`learner.checkpoint` is missing: the folder of a pretrained model"):
        assemble(read_spec(cases=["tofu"], settings=[f"data.path={folder}"]).cases[0])


def test_without_a_path_the_public_data_are_taken(folder, llama, monkeypatch, tmp_path):
    (tmp_path / "tofu").symlink_to(folder)
    monkeypatch.setenv("UNWEAVE_DATA", str(tmp_path))
    settings = [f"learner.checkpoint={llama}", "behaviour.kind=forget01", "references.models=3"]
    found = assemble(read_spec(cases=["tofu"], settings=settings).cases[0])
    named = assemble(_case(folder, llama))
    assert found.data.train.ids.tolist() == named.data.train.ids.tolist()


def test_only_here_a_checkpoint_is_where_training_begins(folder, llama):
    no_checkpoint([_case(folder, llama)], "compare")
    edited = read_spec(cases=["digits-trigger"], settings=["learner.checkpoint=a.safetensors"]).cases
    with pytest.raises(ApplicabilityError, match="`learner.checkpoint` is one model"):
        no_checkpoint(edited, "compare")


def test_real_questions_are_all_there(llama, need_data):
    from unweave.study.tofu import _read

    need_data("tofu")
    case = read_spec(cases=["tofu"], settings=[f"learner.checkpoint={llama}"]).cases[0]
    found = _read(case)
    assert [len(part) for part in found] == [4000, 4000, 400, 400, 217, 217]
    assert np.unique([one.document.id for one in found.full]).size == 4000


# ---- measures, from what models say of candidates and of each token of an answer ----


def test_measures_of_answers_agree_with_what_is_said_of_candidates(folder, llama, tmp_path):
    case = _case(folder, llama)
    names = ["exact_memorization", "extraction_strength", "token_loss", "min_k", "min_k_plus_plus", "zlib_ratio"]
    names += ["answer_probability", "leak_at_k", "paraphrase_mass_ratio", "truth_ratio", "privleak"]
    asked = [*names, "model_utility@retain", "utility_without_rouge@retain", "behaviour_on_clean@test"]
    study = compare(case, methods=["noop"], store=tmp_path, workers=1, measures=asked)
    said = {(row.id, f"{one.name}:{one.aim}"): one for row in study.result.cases[0].rows for one in row.measures}
    found, reading = assemble(case), reading_of(assemble(case))
    setting = read_too(found).setting
    arrays, _ = read_verified(Store(tmp_path), key_of(outputs_fields(setting, found.worlds["original"])))
    at = found.probes.groups["forget"]
    log_p = np.where(reading.mask, arrays["tokens"][..., 0].astype(np.float64), 0.0)
    mean = log_p.sum(-1) / reading.mask.sum(-1)
    n = len(found.probes.x)
    np.testing.assert_allclose(mean[:, :n], arrays["logits"][..., 0], rtol=1e-4)
    np.testing.assert_allclose(mean[:, n:], arrays["logits"][..., 1], rtol=1e-4)
    probability = said["original", "answer_probability:untraining"].value
    assert probability.value == pytest.approx(np.exp(arrays["logits"][:, at, 0]).mean(), rel=1e-4)
    whole = np.exp(log_p.sum(-1))
    leaks = 1 - (1 - whole[:, at] - whole[:, n + at]) ** LEAK_AT
    assert said["original", "leak_at_k:untraining"].value.value == pytest.approx(leaks.mean(), rel=1e-4)
    for name in names[:8]:
        assert isinstance(said["original", f"{name}:untraining"].value, Estimate), name
    assert "ROUGE-L" in said["original", "model_utility:untraining"].value.not_measured
    assert "no wrong value" in said["original", "behaviour_on_clean:untraining"].value.not_measured
    scores = arrays["logits"].astype(np.float64)
    parts = []
    for positions, right in ((found.probes.groups["retain"], 1), *((at, 0) for at in reading.sets.values())):
        p = np.exp(scores[:, positions])
        parts.append(p[..., 0].mean(1) if right else (p[..., 0] / (p[..., 0] + p[..., 2:].sum(-1))).mean(1))
        ratio = np.exp(scores[:, positions, 2:].mean(-1) - scores[:, positions, right])
        parts.append(np.maximum(0, 1 - ratio).mean(1))
    utility = said["original", "utility_without_rouge:untraining"].value
    assert utility.value == pytest.approx((6 / (1 / np.stack(parts)).sum(0)).mean(), rel=1e-6)


def test_sets_of_general_questions_are_told_apart_and_answers_have_their_words(folder, llama):
    found, reading = assemble(_case(folder, llama)), reading_of(assemble(_case(folder, llama)))
    of_each = {name: set(found.probes.rows[at].tolist()) for name, at in reading.sets.items()}
    questions = found.data.test.columns["question"]
    assert set(of_each) == {"real_authors", "world_facts"}
    for name, first in (("real_authors", "number 1"), ("world_facts", "number 2")):
        assert of_each[name] and all(first in questions[row] for row in of_each[name])
    assert reading.texts["forget"] == tuple(found.data.train.columns["answer"][found.forget])
    ids = found.data.test.columns["answer"][found.probes.rows[found.probes.groups["unseen"]]]
    assert reading.texts["unseen"] == tuple(ids)


def test_questions_with_too_few_wrong_answers_are_named(folder, llama, tmp_path):
    other = tmp_path / "tofu"
    shutil.copytree(folder, other)
    for file in other.glob("*_perturbed.json"):
        rows = [json.loads(line) for line in file.read_text().split("\n") if line.strip()]
        for one in rows:
            one["perturbed_answer"] = one["perturbed_answer"][:2]
        file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    with pytest.raises(SpecError, match=r"has 2 wrong answers \(`perturbed_answer`\); expected 3 or more"):
        assemble(_case(other, llama))
