"""Passages of text as documents of a checkpoint's tokens: the corpora of MUSE, or texts of your own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from unweave._errors import UserError
from unweave.language.corpora.documents import content_id
from unweave.language.questions import Tokenized
from unweave.language.tokenizers import Tokenizer


class Passage(NamedTuple):
    """A text and its id, which is made from the text: the same passage has one id in every file."""

    id: str
    text: str


def read_passages(path: str | Path) -> tuple[Passage, ...]:
    """The passages of a file: a JSON list of texts or of objects with `text`, or any other text as one passage.

    A text that stands there again has the id of the first with `/copy1`, `/copy2`, … behind it.

    Args:
        path: A file in UTF-8; JSON where its name ends in `.json`.

    Raises:
        UserError: for a file that cannot be read, has no passages or another form, or a passage that is empty.

    Source: format of Shi et al. (2024), "MUSE: machine unlearning six-way evaluation", arXiv 2407.06460.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The passages {path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}); convert it first.") from error
    texts = _of_list(content, path) if Path(path).suffix == ".json" else [content]
    for number, text in enumerate(texts):
        if not text.strip():
            raise UserError(
                f"Passage {number} of {path} is empty; there is nothing to learn from it. Take it out."
            )
    seen: Counter[str] = Counter()
    passages: list[Passage] = []
    for text in texts:
        name = content_id("passage", text)
        passages.append(Passage(f"{name}/copy{seen[name]}" if seen[name] else name, text))
        seen[name] += 1
    return tuple(passages)


def tokenize_passages(passages: Sequence[Passage], tokenizer: Tokenizer, *, length: int) -> Tokenized:
    """Passages cut into documents of at most `length` tokens, of which all but what stands in front are learned.

    A passage that fits is one document with its id; of a longer one the pieces are `ID/0`, `ID/1`, …. Each piece
    begins with the tokenizer's sign of the beginning. Nothing is left out.

    Args:
        passages: From `read_passages`.
        tokenizer: That of the model.
        length: Most tokens of a document, the sign included: `LlamaConfig.context` or fewer.

    Raises:
        UserError: for no passages, or a length that leaves room for fewer than two tokens.

    Deviations: MUSE's code fills the last piece up with the beginning of the first and cuts passages of lists.
    """
    room = length - len(tokenizer.begin)
    if room < 2 or not passages:
        raise UserError(
            f"Expected passages, and a length that leaves room for two tokens; got {len(passages)} and {length}."
        )
    ids: list[str] = []
    tokens: list[tuple[int, ...]] = []
    for one, whole in zip(passages, tokenizer.encode([one.text for one in passages]), strict=True):
        pieces = [whole[at : at + room] for at in range(0, len(whole), room)]
        ids += [one.id] if len(pieces) == 1 else [f"{one.id}/{i}" for i in range(len(pieces))]
        tokens += [(*tokenizer.begin, *piece) for piece in pieces]
    # Without a sign in front the first token is predicted by nothing.
    return Tokenized(tuple(ids), tuple(tokens), (max(len(tokenizer.begin), 1),) * len(ids))


def _of_list(content: str, path: str | Path) -> list[str]:
    try:
        given = json.loads(content)
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}.") from None
    if not isinstance(given, list) or not given:
        raise UserError(f"{path} holds no list of passages; expected texts, or objects with `text`.")
    texts: list[str] = []
    for number, one in enumerate(cast(list[Any], given)):
        text = cast(dict[str, Any], one).get("text") if isinstance(one, dict) else one
        if not isinstance(text, str):
            raise UserError(
                f"Passage {number} of {path} is {str(one)[:40]!r}; expected a text, or `text` in an object."
            )
        texts.append(text)
    return texts
