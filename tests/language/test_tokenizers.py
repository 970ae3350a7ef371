"""Tokenizers of checkpoints: what they put before and after, and folders that do not fit are told."""

import json
import shutil
import sys

import pytest

from unweave import UserError
from unweave.language import checkpoints
from unweave.language.tokenizers import read_tokenizer


@pytest.fixture
def folder(llama_folder, tmp_path):
    """A copy that may be spoiled."""
    return shutil.copytree(llama_folder, tmp_path / "in")


def read(folder):
    return read_tokenizer(folder, checkpoints.config_of(json.loads((folder / "config.json").read_text()), folder))


def change(file, **given):
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(content | given))


def test_the_tokens_are_those_of_the_library_and_any_text_comes_back(folder):
    import tokenizers

    own = read(folder)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = ["Who wrote The Salt Road?", " Mira Oduya!", "東京 ½\n  x", ""]
    assert own.encode(texts) == [theirs.encode(text, add_special_tokens=False).ids for text in texts]
    assert [own.decode(tokens) for tokens in own.encode(texts)] == texts
    assert own.begin == (theirs.token_to_id("<s>"),) and own.end == theirs.token_to_id("</s>")
    assert own.size == theirs.get_vocab_size() == checkpoints.read(folder).config.vocabulary - 3
    assert own.unknown is None and len(own.digest) == 64


def test_a_limit_of_length_that_was_saved_with_a_tokenizer_cuts_nothing(folder):
    import tokenizers

    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.enable_truncation(3)
    theirs.enable_padding(length=50)
    theirs.save(str(folder / "tokenizer.json"))
    assert theirs.encode("Who wrote The Salt Road?").ids != read(folder).encode(["Who wrote The Salt Road?"])[0]
    assert read(folder).decode(read(folder).encode(["Who wrote The Salt Road?"])[0]) == "Who wrote The Salt Road?"


def test_the_signs_are_those_that_the_settings_name(folder):
    begin, end = read(folder).begin, read(folder).end
    settings = folder / "tokenizer_config.json"
    change(settings, eos_token={"content": "<s>", "lstrip": False}, bos_token="</s>", add_bos_token=True)
    # What tokenizer.json itself puts in front goes first.
    assert read(folder).begin == begin and read(folder).end == begin[0]
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | {"post_processor": None}))
    assert read(folder).begin == (end,)
    change(settings, add_bos_token=False)
    assert read(folder).begin == ()
    settings.unlink()
    change(folder / "config.json", eos_token_id=7)
    assert read(folder).end == 7


def test_a_token_for_what_is_unknown_is_known_unless_bytes_stand_for_it(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    for fallback in (False, True):
        changed = content | {"model": content["model"] | {"unk_token": "<s>", "byte_fallback": fallback}}
        (folder / "tokenizer.json").write_text(json.dumps(changed))
        assert read(folder).unknown == (None if fallback else read(folder).begin[0])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json. Put in the tokenizer"),
        (
            lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"),
            "has no tokenizer.json. It has tokenizer.model, which is an older form",
        ),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is no tokenizer:"),
        (lambda folder: change(folder / "config.json", vocab_size=300), "has 332 tokens, the model 300"),
        (lambda folder: change(folder / "config.json", eos_token_id=None), "does not say which token ends"),
        (lambda folder: change(folder / "config.json", eos_token_id=332), "`eos_token_id` of config.json is 332"),
        (
            lambda folder: change(folder / "tokenizer_config.json", eos_token="<|end|>"),
            r"`eos_token` of tokenizer_config.json is '<\|end\|>', which tokenizer.json does not have",
        ),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{"), "tokenizer_config.json is no JSON"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("[]"), "holds no JSON object"),
    ],
)
def test_folders_that_do_not_fit_are_told(folder, spoil, said):
    spoil(folder)
    with pytest.raises(UserError, match=said):
        read(folder)


def test_without_the_package_the_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"needs the package tokenizers: .*'unweave\[language\]'"):
        read_tokenizer(tmp_path, tiny)
