"""Folders of Llama models: what is read is what is written, misfits are told, adapters are merged."""

import json
import math
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unweave import UserError
from unweave.language import checkpoints as C
from unweave.language.model import LlamaConfig, initial, logits


def settings(config, **change):
    return {
        "model_type": "llama",
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.inner,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_heads,
        "head_dim": config.size_of_head,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.theta},
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        **change,
    }


def put(folder, config, *, dtype=torch.float32, parts=1, change=None, spoil=None):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings(config, **(change or {}))))
    tensors = {name: value.to(dtype) for name, value in initial(config, 5).items()}
    if spoil:
        spoil(tensors)
    if parts == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return folder
    files = {name: f"model-{i % parts + 1:05}-of-{parts:05}.safetensors" for i, name in enumerate(tensors)}
    for file in set(files.values()):
        own = {name: value for name, value in tensors.items() if files[name] == file}
        save_file(own, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("parts", [1, 3])
def test_what_was_read_is_written_back_with_the_same_bytes(tmp_path, tiny, dtype, parts):
    folder = put(tmp_path / "in", tiny, dtype=dtype, parts=parts)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 22}}}))
    read = C.read(folder)
    assert read.config.vocabulary == 23 and read.config.size_of_head == 6 and not read.config.tied
    C.write(tmp_path / "out", read, read.params)
    assert {file.name for file in folder.iterdir()} == {file.name for file in (tmp_path / "out").iterdir()}
    for file in folder.glob("*.safetensors"):
        before, after = load_file(file), load_file(tmp_path / "out" / file.name)
        assert before.keys() == after.keys()
        for name, value in before.items():
            assert value.dtype == after[name].dtype and torch.equal(value, after[name])
        with safe_open(tmp_path / "out" / file.name, framework="pt") as content:
            assert content.metadata() == {"format": "pt"}


def test_an_edited_model_is_written_and_read_again(tmp_path, tiny):
    read = C.read(put(tmp_path / "in", tiny))
    edited = {name: value * 1.5 for name, value in read.params.items()}
    C.write(tmp_path / "out", read, edited)
    again = C.read(tmp_path / "out")
    assert all(torch.equal(value, again.params[name]) for name, value in edited.items())
    with pytest.raises(UserError, match="exists"):
        C.write(tmp_path / "out", read, edited)
    broken = {**edited, "model.norm.weight": edited["model.norm.weight"] * math.inf}
    with pytest.raises(UserError, match="not finite; nothing was written"):
        C.write(tmp_path / "other", read, broken)
    assert not (tmp_path / "other").exists()


def test_tied_weights_that_stand_twice_stay_one(tmp_path):
    config = LlamaConfig(11, width=8, inner=8, layers=1)

    def twice(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    read = C.read(put(tmp_path / "in", config, spoil=twice))
    edited = {name: value + 1 for name, value in read.params.items()}
    C.write(tmp_path / "out", read, edited)
    out = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(out["lm_head.weight"], edited["model.embed_tokens.weight"])
    with pytest.raises(UserError, match="the files differ"):
        C.read(put(tmp_path / "bad", config, spoil=lambda t: t.update({"lm_head.weight": torch.ones(11, 8)})))


def test_a_tokenizer_of_another_model_is_told_in_one_message(tmp_path, tiny):
    folder = put(tmp_path / "in", tiny)
    with pytest.raises(UserError, match="the tokenizer has 30 tokens, the model 23"):
        C.read(folder, vocabulary=30)
    assert C.read(folder, vocabulary=20).config.vocabulary == 23
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {"a": 0, "b": 22}}, "added_tokens": [{"id": 23, "content": "<x>"}]})
    )
    with pytest.raises(UserError, match="the tokenizer has 24 tokens"):
        C.read(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}}))
    assert C.read(folder).config.vocabulary == 23


@pytest.mark.parametrize(
    ("change", "spoil", "said"),
    [
        ({"model_type": "mamba"}, None, "'mamba'; expected 'llama'"),
        ({"attention_bias": True}, None, "attention_bias"),
        ({"hidden_act": "gelu"}, None, "hidden_act = gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, None, "rope_type = yarn"),
        ({"rope_parameters": {"type": "linear"}}, None, "`factor` of rope_type linear is None"),
        ({"rope_parameters": {"type": "linear", "factor": 0}}, None, "`factor` is 0.0"),
        ({"vocab_size": 40}, None, "the embedding has 23 tokens, and `vocab_size` of config.json is 40"),
        ({"num_hidden_layers": 3}, None, "lacks `model.layers.2"),
        ({"num_hidden_layers": 1}, None, "has `model.layers.1"),
        ({"intermediate_size": 7}, None, "by config.json it is"),
        ({}, lambda t: t["model.norm.weight"].fill_(math.nan), "not finite"),
        ({}, lambda t: t.update({"model.norm.weight": t["model.norm.weight"].double()}), "bfloat16 are read"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, tiny, change, spoil, said):
    with pytest.raises(UserError, match=said):
        C.read(put(tmp_path / "in", tiny, change=change, spoil=spoil))


def test_missing_and_broken_files_are_told(tmp_path, tiny):
    with pytest.raises(UserError, match="Cannot read"):
        C.read(tmp_path / "nowhere")
    folder = put(tmp_path / "in", tiny)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(UserError, match="no whole safetensors file"):
        C.read(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no model.safetensors"):
        C.read(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        C.read(folder)
    shutil.rmtree(folder)
    folder = put(tmp_path / "in", tiny, parts=2)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../b.safetensors"}}))
    with pytest.raises(UserError, match="names no files of this folder"):
        C.read(folder)


def adapter(folder, tensors, **change):
    folder.mkdir()
    given = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none", **change}
    (folder / "adapter_config.json").write_text(json.dumps(given))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_is_added_to_its_matrix_and_others_stay(tmp_path, tiny):
    read = C.read(put(tmp_path / "in", tiny))
    name = "model.layers.1.self_attn.q_proj.weight"
    at = "base_model.model.model.layers.1.self_attn.q_proj.lora_"
    first, second = torch.randn(2, 16), torch.randn(24, 2)
    tensors = {f"{at}A.weight": first, f"{at}B.weight": second}
    for rslora, scale in ((False, 3.0), (True, 6 / math.sqrt(2))):
        merged = C.with_adapter(read, adapter(tmp_path / f"a{rslora}", tensors, use_rslora=rslora))
        torch.testing.assert_close(merged[name], read.params[name] + scale * second @ first)
        assert all(torch.equal(value, read.params[n]) for n, value in merged.items() if n != name)
    for change, content, said in (
        ({"use_dora": True}, tensors, "only plain LoRA"),
        ({"peft_type": "IA3"}, tensors, "only plain LoRA"),
        ({}, {f"{at}A.weight": first[:, :3].clone(), f"{at}B.weight": second}, "does not fit"),
        ({}, {**tensors, "base_model.model.lm_head.weight": first.clone()}, "no part of plain LoRA"),
    ):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        with pytest.raises(UserError, match=said):
            C.with_adapter(read, adapter(tmp_path / "bad", content, **change))


def theirs(config):
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    given = settings(config)
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**given)).eval()


def of_theirs(model, tokens):
    with torch.no_grad():
        return model(tokens, attention_mask=torch.ones_like(tokens)).logits


def ours(read, params, tokens):
    return logits(read.config, {name: value[None] for name, value in params.items()}, tokens[None])[0]


def test_folders_of_transformers_are_read_and_its_models_read_ours(tmp_path, tiny):
    model = theirs(tiny)
    model.save_pretrained(tmp_path / "in")
    read = C.read(tmp_path / "in")
    tokens = torch.arange(1, 11).view(2, 5)
    torch.testing.assert_close(ours(read, read.params, tokens), of_theirs(model, tokens), atol=1e-5, rtol=1e-5)
    edited = {name: value * 1.25 for name, value in read.params.items()}
    C.write(tmp_path / "out", read, edited)
    again = type(model).from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(ours(read, edited, tokens), of_theirs(again, tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapters_of_peft_are_merged_as_peft_does(tmp_path, tiny):
    peft = pytest.importorskip("peft", reason="the package peft is not installed")
    model = theirs(tiny)
    model.save_pretrained(tmp_path / "in")
    wanted = peft.LoraConfig(r=3, lora_alpha=7, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, wanted)
    adapted.save_pretrained(tmp_path / "adapter")
    merged = adapted.merge_and_unload()
    read = C.read(tmp_path / "in")
    params = C.with_adapter(read, tmp_path / "adapter")
    assert any(not torch.equal(value, read.params[name]) for name, value in params.items())
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(params[name], value, atol=1e-6, rtol=1e-5)
