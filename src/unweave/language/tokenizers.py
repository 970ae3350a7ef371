"""The tokenizer of a checkpoint: text as the tokens that its model was trained on, from `tokenizer.json`.

The package `tokenizers` does the work, imported only when a tokenizer is read; a folder's code is never run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unweave._errors import SpecError, UserError

if TYPE_CHECKING:
    from unweave.language.model import LlamaConfig

_FILE, _SETTINGS, _MODEL = "tokenizer.json", "tokenizer_config.json", "config.json"


@dataclass(frozen=True)
class Tokenizer:
    """What turns text into the tokens of one checkpoint.

    Attributes:
        folder: Where it was read.
        size: One more than its largest token.
        begin: Tokens that stand before each document; none where its model was trained without.
        end: The token that stands after an answer and is learned with it.
        unknown: The token of what it has no tokens for; None where it can write any text.
        digest: SHA-256 of `tokenizer.json`: two runs with one digest saw the same tokens.
        library: The object of the package `tokenizers`.
    """

    folder: Path
    size: int
    begin: tuple[int, ...]
    end: int
    unknown: int | None
    digest: str
    library: Any

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, without signs before or after it, never cut and never padded.

        Raises:
            UserError: for a text that it has no tokens for.
        """
        try:
            found = self.library.encode_batch(list(texts), add_special_tokens=False)
        except Exception as error:  # the library raises no narrower class
            raise UserError(
                f"The tokenizer of {self.folder} cannot encode these texts: {error}. Take a model whose tokenizer "
                "knows their words."
            ) from None
        return [one.ids for one in found]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, signs left out."""
        return self.library.decode(list(tokens), skip_special_tokens=True)


def read_tokenizer(folder: Path, config: LlamaConfig) -> Tokenizer:
    """The tokenizer of the folder of a checkpoint.

    `begin` is what `tokenizer.json` itself puts before a text, else `bos_token` where `tokenizer_config.json`
    says `add_bos_token`; `end` is `eos_token` there, else `eos_token_id` of `config.json` (the first of a
    list). A limit of length or a padding that was saved with it is switched off: it would cut answers silently.

    Args:
        folder: Holds `tokenizer.json`, `config.json` and, mostly, `tokenizer_config.json`.
        config: The architecture of the checkpoint.

    Raises:
        UserError: without the package `tokenizers`.
        SpecError: for a missing or broken file, a tokenizer with more tokens than the model, or none that ends an
            answer.
    """
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise UserError(
            "Reading the tokenizer of a checkpoint needs the package tokenizers: "
            "`python -m pip install 'unweave[language]'`."
        ) from None
    from unweave.language.checkpoints import check_tokenizer

    file = folder / _FILE
    if not file.is_file():
        others = [name for name in ("tokenizer.model", "vocab.json", "spiece.model") if (folder / name).is_file()]
        there = f" It has {others[0]}, which is an older form." if others else ""
        raise SpecError(
            f"{folder} has no {_FILE}.{there} Put in the tokenizer that the model was trained with: "
            "`AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)` of transformers writes it."
        )
    content = file.read_bytes()
    try:
        library = tokenizers.Tokenizer.from_buffer(content)
        model = cast(dict[str, Any], json.loads(content)["model"])
    except Exception as error:  # the library raises no narrower class
        raise SpecError(
            f"{file} is no tokenizer: {error}. Copy it again from where the model came from."
        ) from None
    library.no_truncation()
    library.no_padding()
    size = max(library.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    check_tokenizer(config, size, folder)
    settings, of_model = _settings(folder / _SETTINGS), _settings(folder / _MODEL)
    unknown = model.get("unk_id")
    if unknown is None and model.get("unk_token") is not None:
        unknown = library.token_to_id(model["unk_token"])
    if model.get("byte_fallback"):
        unknown = None
    return Tokenizer(
        folder,
        size,
        _begin(folder, library, settings),
        _end(folder, library, settings, of_model, size),
        unknown,
        hashlib.sha256(content).hexdigest(),
        library,
    )


def _begin(folder: Path, library: Any, settings: dict[str, Any]) -> tuple[int, ...]:
    found = library.encode("a")
    marks = [*found.special_tokens_mask, 0]
    put = tuple(found.ids[: marks.index(0)])
    if put or not settings.get("add_bos_token"):
        return put
    return (_named(folder, library, settings, "bos_token"),)


def _end(folder: Path, library: Any, settings: dict[str, Any], of_model: dict[str, Any], size: int) -> int:
    if settings.get("eos_token") is not None:
        return _named(folder, library, settings, "eos_token")
    given = of_model.get("eos_token_id")
    end = given[0] if isinstance(given, list) and given else given
    if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end < size:
        raise SpecError(
            f"{folder} does not say which token ends an answer: {_SETTINGS} has no `eos_token`, and "
            f"`eos_token_id` of {_MODEL} is {given!r}. Without one no answer has an end; name it in either."
        )
    return end


def _named(folder: Path, library: Any, settings: dict[str, Any], name: str) -> int:
    given = settings.get(name)
    word = cast(dict[str, Any], given).get("content") if isinstance(given, dict) else given
    number = library.token_to_id(word) if isinstance(word, str) else None
    if number is None:
        raise SpecError(
            f"{folder}: `{name}` of {_SETTINGS} is {word!r}, which {_FILE} does not have. The two files are not "
            "of one tokenizer; save it again."
        )
    return number


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpecError(f"{file} is no JSON: {error}.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{file} holds no JSON object.")
    return cast(dict[str, Any], content)
