"""Prompts as people and distances see them: in words, and as counts of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def counts_of(x: NDArray[np.float32], tokens: int) -> NDArray[np.float32]:
    """How often each token stands in each prompt [n, tokens]: features that are near where prompts are alike.

    Example:
        >>> counts_of(np.array([[1.0, 3.0, 3.0, 0.0]], np.float32), 4).tolist()
        [[0.0, 1.0, 0.0, 2.0]]
    """
    found = np.zeros((len(x), tokens), dtype=np.float32)
    rows, places = x.nonzero()
    np.add.at(found, (rows, x[rows, places].astype(np.int64)), 1)
    return found


def text_of(x: NDArray[np.float32], words: tuple[str, ...]) -> str:
    """A prompt in words, without the sign of its beginning.

    Example:
        >>> text_of(np.array([1.0, 3.0, 4.0, 0.0], np.float32), ("<pad>", "<begin>", "<end>", "who", "is"))
        'who is'
    """
    return " ".join(words[int(token)] for token in x[1:] if token)
