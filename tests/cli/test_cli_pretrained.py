"""A pretrained model by the command line: what does not fit is one message, exit code 2, and no model trained."""

import json
import re
import shutil
import sys

import pytest


@pytest.fixture
def command(tofu_folder, tofu_llama, invoke):
    """Run the case with these settings last, from which others may differ."""

    def call(*settings, llama=tofu_llama, tofu=tofu_folder, more=()):
        named = (f"data.path={tofu}", f"learner.checkpoint={llama}", "behaviour.kind=forget01")
        small = ("references.models=3", "learner.epochs=1", "learner.lr=0.01", "probes.validation=4")
        chosen = [f"--set={one}" for one in (*named, *small, *settings)]
        return invoke("compare", "--case=tofu", *chosen, "--methods=noop", "--workers=1", *more)

    return call


def refused(done, said, folder, *left):
    assert done.exit_code == 2, (done.exit_code, done.output, done.exception)
    assert re.search(said, done.stderr), done.stderr
    assert done.stderr.startswith("Error: ") and len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.output and not done.stdout
    assert sorted(one.name for one in folder.iterdir()) == sorted(left)


def rewritten(folder, name, change, into):
    """A copy of TOFU in which the last line of one file is another."""
    copy = shutil.copytree(folder, into)
    *rows, last = (copy / f"{name}.json").read_text().split("\n")
    (copy / f"{name}.json").write_text("\n".join([*rows, json.dumps(change(json.loads(last)))]))
    return copy


def test_a_tokenizer_of_another_model(command, tofu_llama, tmp_path):
    llama = shutil.copytree(tofu_llama, tmp_path / "llama")
    words = json.loads((llama / "tokenizer.json").read_text())
    words["added_tokens"].append({**words["added_tokens"][-1], "id": 5000, "content": "<more>"})
    (llama / "tokenizer.json").write_text(json.dumps(words))
    refused(command(llama=llama), "tokenizer has 5001 tokens, the model .* not of one model", tmp_path, "llama")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("full", lambda row: {**row, "answer": " "}, r"full\.json, line 60: `answer` is empty"),
        (
            "full",
            lambda row: {**row, "answer": "Author number 59 was born at sea."},
            r"1 of 20 questions of forget01_perturbed\.json are not in full\.json",
        ),
        (
            "forget01_perturbed",
            lambda row: {name: text for name, text in row.items() if name != "paraphrased_answer"},
            r"forget01_perturbed\.json, line 20 has no `paraphrased_answer`",
        ),
        (
            "forget01_perturbed",
            lambda row: {name: text for name, text in row.items() if name != "paraphrased_question"},
            r"forget01_perturbed\.json.* `paraphrased_question`",
        ),
        ("retain_perturbed", lambda row: {**row, "perturbed_answer": row["perturbed_answer"][:1]}, "wrong answer"),
    ],
)
def test_questions_that_cannot_be_learned_or_asked(command, tofu_folder, tmp_path, name, change, said):
    copy = rewritten(tofu_folder, name, change, tmp_path / "tofu")
    refused(command(tofu=copy), said, tmp_path, "tofu")


def test_documents_longer_than_the_context(command, tofu_llama, tmp_path):
    llama = shutil.copytree(tofu_llama, tmp_path / "llama")
    settings = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 20}))
    said = r"has \d+ tokens, signs included, but the context of the model has 20"
    refused(command(llama=llama), said, tmp_path, "llama")


def test_ids_that_are_not_there(command, tmp_path):
    refused(command('forget.ids=["qa-0"]'), r"1 of 1 forget ids are not in the training data .*qa-0", tmp_path)


def test_no_gpu(command, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    refused(command(more=("--device=cuda",)), "cuda", tmp_path)


def test_no_tokenizers(command, tofu_llama, tmp_path, monkeypatch):
    llama = shutil.copytree(tofu_llama, tmp_path / "llama")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    said = r"needs the package tokenizers: `python -m pip install 'unweave\[language\]'`"
    refused(command(llama=llama), said, tmp_path, "llama")


def test_no_checkpoint(command, tofu_folder, invoke, tmp_path):
    refused(command(llama=tmp_path / "nowhere"), r"checkpoint .*nowhere: there is no such folder", tmp_path)
    done = invoke("compare", "--case=tofu", f"--set=data.path={tofu_folder}")
    refused(done, "`learner.checkpoint` is missing", tmp_path)


def test_files_that_are_no_safetensors(command, tofu_llama, tmp_path):
    llama = shutil.copytree(tofu_llama, tmp_path / "llama")
    for content in (b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", bytes(1000)):
        (llama / "model.safetensors").write_bytes(content)
        refused(command(llama=llama), r"model\.safetensors is no whole safetensors file", tmp_path, "llama")


def test_adapters_that_do_not_fit(command, tmp_path):
    refused(command("learner.lora_rank=99"), "`learner.lora_rank` is 99; .* whose rank is at most 16", tmp_path)
    refused(command("learner.lora_alpha=4"), "without `learner.lora_rank`", tmp_path)


def test_an_adapter_is_trained_by_the_command(command, tmp_path):
    done = command("learner.lora_rank=2")
    assert done.exit_code == 0, done.output
    stored = sum(one.stat().st_size for one in tmp_path.rglob("*.safetensors"))
    assert 0 < stored < 2_000_000
