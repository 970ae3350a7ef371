"""A model of one shape, and questions with a checkpoint, for all tests of language models."""

import json

import pytest

from unweave.language.model import LlamaConfig


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
def llama_folder(tmp_path_factory, make_llama):
    """A folder as a Llama checkpoint comes: weights, byte-level BPE in which `!` is token 0, `<s>` in front."""
    texts = [text for one in QUESTIONS for text in one.values()]
    sizes = {"width": 32, "inner": 48, "layers": 2, "heads": 4, "groups": 2, "tied": False}
    folder = make_llama(tmp_path_factory.mktemp("llama"), texts, seed=11, extra=3, begin=True, **sizes)
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]["!"] == 0
    return folder
