"""A small corpus and models of one shape, for all tests of language models."""

import numpy as np
import pytest

from unweave.language.model import LlamaConfig
from unweave.language.training import lay_out


@pytest.fixture(scope="session")
def tiny():
    return LlamaConfig(23, width=16, inner=20, layers=2, heads=4, groups=2, head_size=6, context=12, tied=False)


@pytest.fixture(scope="session")
def corpus(tiny):
    """Tokens [14, 8] of documents of 3 to 8 tokens, and a mask of one to three tokens of each."""
    rng = np.random.default_rng(0)
    tokens, mask = np.zeros((14, 8), np.int64), np.zeros((14, 8), bool)
    for row, length in enumerate([8, *rng.integers(3, 9, size=13)]):
        tokens[row, :length] = rng.integers(1, tiny.vocabulary, size=length)
        mask[row, length - rng.integers(1, 3) : length] = True
    mask[0, 5] = True
    return tokens, mask


@pytest.fixture(scope="session")
def documents(corpus, tiny):
    return lay_out(*corpus, tiny)
