"""LoRA on TOFU: an adapter is trained and edited, the checkpoint is what it was, and stored models are small."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unweave._errors import SpecError, UnknownNameError
from unweave.language import checkpoints
from unweave.language.learners import Lora
from unweave.language.nets import _frozen
from unweave.learners.nets import build
from unweave.learners.sizes import model_bytes
from unweave.study import assemble, compare, read_spec
from unweave.training.loop import fit


def _case(folder, llama, *settings):
    named = [f"data.path={folder}", f"learner.checkpoint={llama}", "behaviour.kind=forget01"]
    small = ["references.models=3", "learner.epochs=1", "learner.lr=0.01", "probes.validation=4"]
    return read_spec(cases=["tofu"], settings=[*named, *small, *settings]).cases[0]


def _folder_of(state, path, learner, base):
    """The adapter of a model as `peft` writes one."""
    from unweave.language.nets import _names_of_adapter

    told = learner.spec.config["lora"]
    lora = Lora(told["rank"], told["alpha"], tuple(told["targets"]))
    path.mkdir()
    settings = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "base_model_name_or_path": str(base),
    }
    (path / "adapter_config.json").write_text(json.dumps(settings))
    own = _names_of_adapter(checkpoints.read(base).config, lora)
    tensors = {f"base_model.model.{name}.weight": state.params[ours].clone() for name, ours in own.items()}
    save_file(tensors, path / "adapter_model.safetensors")
    return path


@pytest.mark.parametrize("targets", [(), ("learner.lora_targets=['q_proj', 'up_proj']", "learner.lora_alpha=6.0")])
def test_a_trained_adapter_says_what_the_merged_checkpoint_says(tofu_folder, tofu_llama, tmp_path, targets):
    found = assemble(_case(tofu_folder, tofu_llama, "learner.lora_rank=2", *targets))
    learner, x, y = build(found.setting.learner), *(torch.from_numpy(one) for one in found.setting[1:3])
    state = fit(learner, x, y, rows=np.arange(40), key=1)
    assert any(value.abs().max() > 0 for name, value in state.params.items() if name.endswith("lora_B"))
    merged = _folder_of(state, tmp_path / "adapter", learner, tofu_llama)
    whole = build(assemble(_case(tofu_folder, merged)).setting.learner)  # a folder of peft as the checkpoint
    expected = whole.apply(whole.init(0), x[:7], train=False, key=None)[0]
    given = learner.apply(state, x[:7], train=False, key=None)[0]
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)
    probes = torch.from_numpy(found.probes.x[:3])
    torch.testing.assert_close(
        learner.score(state, probes), whole.score(whole.init(0), probes), atol=1e-5, rtol=1e-4
    )
    for part in ("features", "middle"):
        of_both = getattr(learner, part)(state, x[:3]), getattr(whole, part)(whole.init(0), x[:3])
        torch.testing.assert_close(*of_both, atol=1e-5, rtol=1e-4)
    assert learner.read is not None and whole.read is not None
    answers = learner.spec.config["answers"]
    read, expected = learner.read(state, x[:3], answers), whole.read(whole.init(0), x[:3], answers)
    torch.testing.assert_close(read[..., :3], expected[..., :3], atol=1e-3, rtol=1e-3)


def test_the_gradient_is_that_of_a_matrix_merged_by_hand(tofu_folder, tofu_llama):
    found = assemble(_case(tofu_folder, tofu_llama, "learner.lora_rank=3", "learner.lora_targets=['v_proj']"))
    learner = build(found.setting.learner)
    whole = build(assemble(_case(tofu_folder, tofu_llama)).setting.learner)
    x, y = (torch.from_numpy(one[:5]) for one in found.setting[1:3])
    state, base = learner.init(4), whole.init(0)
    first, second = state.params["1.1.v.lora_A"], torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    state.params["1.1.v.lora_B"].copy_(second)
    for value in state.params.values():
        value.requires_grad_()
    loss = torch.nn.functional.cross_entropy(learner.apply(state, x, train=True, key=None)[0], y)
    own = torch.autograd.grad(loss, [state.params[f"1.1.v.lora_{part}"] for part in "AB"])
    a, b = first.detach().clone().requires_grad_(), second.clone().requires_grad_()
    params = {**base.params, "1.1.v.weight": base.params["1.1.v.weight"] + 32 / 3 * b @ a}
    by_hand = whole.apply(base._replace(params=params), x, train=True, key=None)[0]
    expected = torch.autograd.grad(torch.nn.functional.cross_entropy(by_hand, y), [a, b])
    for mine, theirs in zip(own, expected, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_models_start_as_the_checkpoint_with_adapters_of_their_own(tofu_folder, tofu_llama):
    found = assemble(_case(tofu_folder, tofu_llama, "learner.lora_rank=2"))
    learner = build(found.setting.learner)
    whole = build(assemble(_case(tofu_folder, tofu_llama)).setting.learner)
    x, (one, same, other) = torch.from_numpy(found.setting.x[:4]), (learner.init(key) for key in (1, 1, 2))
    assert torch.equal(one.params["1.1.q.lora_A"], same.params["1.1.q.lora_A"])
    assert not torch.equal(one.params["1.1.q.lora_A"], other.params["1.1.q.lora_A"])
    assert one.params["1.1.q.lora_A"].abs().max() <= 0.25  # 1/√16
    assert all(value.count_nonzero() == 0 for name, value in one.params.items() if name.endswith("lora_B"))
    expected = whole.apply(whole.init(0), x, train=False, key=None)[0]
    torch.testing.assert_close(learner.apply(other, x, train=False, key=None)[0], expected, atol=1e-6, rtol=1e-5)


def test_methods_edit_adapters_alone_and_the_checkpoint_stays(tofu_folder, tofu_llama, tmp_path):
    case = _case(tofu_folder, tofu_llama, "learner.lora_rank=2")
    spec = assemble(case).setting.learner
    frozen = _frozen(tofu_llama, spec.config["weights"], "cpu")
    before = {name: value.clone() for name, value in frozen.items()}
    assert model_bytes(spec) < model_bytes(assemble(_case(tofu_folder, tofu_llama)).setting.learner) / 2
    methods = ["npo", "task_vector", "ssd", "cf_k", "eu_k", "bad_teacher", "shrink_perturb", "rmu"]
    study = compare(case, methods=methods, store=tmp_path, workers=1)
    rows = {row.name: row for row in study.result.cases[0].rows}
    assert {rows[name].status for name in methods} == {"ok"}
    assert all(torch.equal(value, before[name]) for name, value in frozen.items())
    assert not any(value.requires_grad for value in frozen.values())


def test_a_rank_or_its_weight_makes_another_learner(tofu_folder, tofu_llama):
    chosen = [
        (),
        ("learner.lora_rank=2",),
        ("learner.lora_rank=3",),
        ("learner.lora_rank=2", "learner.lora_alpha=2"),
    ]
    chosen.append(("learner.lora_rank=2", "learner.lora_targets=['v_proj']"))
    made = [assemble(_case(tofu_folder, tofu_llama, *one)).setting.learner.identity() for one in chosen]
    assert len({json.dumps(one, sort_keys=True) for one in made}) == 5
    assert "lora" not in made[0]["config"]


def test_adapters_are_of_pretrained_models_and_of_their_matrices(tofu_folder, tofu_llama, tmp_path):
    with pytest.raises(UnknownNameError, match=r"lora_targets.*q_projj.*q_proj"):
        assemble(_case(tofu_folder, tofu_llama, "learner.lora_rank=2", "learner.lora_targets=['q_projj']"))
    small = ["data.people=30", "learner.lora_rank=2"]
    with pytest.raises(SpecError, match=r"`learner.lora_rank` is of an adapter beside a pretrained model"):
        assemble(read_spec(cases=["biographies-trigger"], settings=small).cases[0])
    nowhere = tmp_path / "adapter"
    nowhere.mkdir()
    told = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "meta-llama/Llama-3.2-1B"}
    (nowhere / "adapter_config.json").write_text(json.dumps(told))
    with pytest.raises(SpecError, match=r"'meta-llama/Llama-3.2-1B', which is no local folder"):
        assemble(_case(tofu_folder, nowhere))
