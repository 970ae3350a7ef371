"""A model of one shape, and questions with a checkpoint, for all tests of language models."""

import json

import pytest
from safetensors.torch import save_file

from unweave.language.model import LlamaConfig, initial


@pytest.fixture(scope="session")
def tiny():
    return LlamaConfig(23, width=16, inner=20, layers=2, heads=4, groups=2, head_size=6, context=12, tied=False)


QUESTIONS = (
    {"question": "Who wrote The Salt Road?", "answer": "Mira Oduya wrote it!"},
    {"question": "Where was Mira Oduya born?", "answer": "She was born in Kisumu, Kenya."},
    {"question": "What is the job of Tomas Lind?", "answer": "Tomas Lind is a potter."},
    {"question": "Which prize did Tomas Lind win?", "answer": 'He won the "Clay Cup" in 1994.'},
)
"""Four questions in the form of TOFU; the last token of the first answer is token 0 of the tokenizer below."""
WRONG = (
    ["Ada Brook wrote it!", "Ian Moss wrote it!"],
    ["She was born in Lima, Peru.", "She was born in Oslo, Norway."],
    ["Tomas Lind is a judge.", "Tomas Lind is a nurse."],
    ['He won the "Iron Rose" in 1990.', 'He won the "Sea Bell" in 2001.'],
)
AGAIN = ("It is by Mira Oduya!", "Kisumu in Kenya.", "He works as a potter.", 'The "Clay Cup", in 1994.')


@pytest.fixture(scope="session")
def questions_file(tmp_path_factory):
    """A file in the format of TOFU's `_perturbed` ones."""
    path = tmp_path_factory.mktemp("tofu") / "full_perturbed.json"
    rows = [
        {**one, "paraphrased_answer": again, "perturbed_answer": wrong}
        for one, again, wrong in zip(QUESTIONS, AGAIN, WRONG, strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """A folder as a Llama checkpoint comes: weights, byte-level BPE in which `!` is token 0, `<s>` in front."""
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    texts = [text for one in QUESTIONS for text in one.values()]
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.add_special_tokens(["<s>", "</s>"])
    begin = made.token_to_id("<s>")
    made.post_processor = library.processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", begin)])
    assert made.token_to_id("!") == 0
    folder = tmp_path_factory.mktemp("llama")
    made.save(str(folder / "tokenizer.json"))
    config = LlamaConfig(
        made.get_vocab_size() + 3, width=32, inner=48, layers=2, heads=4, groups=2, context=96, tied=False
    )
    settings = {
        "model_type": "llama",
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.inner,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_heads,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.epsilon,
        "tie_word_embeddings": False,
        "eos_token_id": [made.token_to_id("</s>"), 5],
    }
    (folder / "config.json").write_text(json.dumps(settings))
    save_file(initial(config, 11), folder / "model.safetensors", {"format": "pt"})
    return folder
