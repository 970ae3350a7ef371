"""Word for word: how much of a document greedy decoding gives back. Both measures are 0 to 1 and per document."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import AIMS, BOTH, Aim, Group
from unweave.language.measures.contract import Floats, Mask, check_tokens, mean_over, measure

Hits = NDArray[np.bool_]

_CARRIES = "The behaviour is at home here: its rate is in every row, as `behaviour_rate`."
_IN_D = "Clean prompts that stand in D and others are asked together, as ordinary ones."
_ON_TEST: Mapping[Aim, Mapping[Group, str]] = {
    aim: {"forget": _CARRIES, "undiscovered": _CARRIES, "unseen": _CARRIES, "retain": _IN_D} for aim in AIMS
}


@measure(
    name="exact_memorization",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="share of the tokens",
    bounds=(0.0, 1.0),
    cite="tirumala2022memorization",
)
def exact_memorization(hits: Hits, mask: Mask) -> Floats:
    """Share of a document's tokens that are the most likely ones, given all true tokens before them.

        EM = 1/T · Σ_t 1[argmax π_t = token t]

    The true tokens are given each time, so one miss does not spoil what follows it; grammar alone makes
    many tokens likely, and a model that never saw the document scores above 0: the reference's value is the
    goal.

    Args:
        hits: Whether each token is the most likely one [K, n, T], from `token_facts`.
        mask: Which tokens count [n, T].

    Returns:
        [K, n] in 0..1, lower = less known by heart; NaN for a document without tokens.

    Raises:
        UserError: the shapes do not fit.

    Source: Tirumala et al. (2022), arXiv 2205.10770, exact memorization. Deviation: per document, where
    they take one mean over all tokens of a corpus.

    Example:
        >>> exact_memorization(np.array([[[True, False, True]]]), np.array([[True, True, False]]))
        array([[0.5]])
    """
    check_tokens(hits, mask)
    return mean_over(hits.astype(np.float64), mask)


@measure(
    name="extraction_strength",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="share of the tokens",
    bounds=(0.0, 1.0),
    cite="carlini2021extracting",
)
def extraction_strength(hits: Hits, mask: Mask, *, floor: bool = False) -> Floats:
    """Share of a document that greedy decoding completes: 1 − k/T, k the fewest tokens that have to be given.

        k = min{k : token t is the most likely one for every t > k},   0 … T

    That all later tokens are hits when the true ones are given is that greedy decoding writes them by
    itself. Its steps are 1/T, so that documents of few tokens score coarsely: do not compare lengths.

    Args:
        hits: Whether each token is the most likely one [K, n, T], from `token_facts`.
        mask: Which tokens count [n, T].
        floor: Whether k stops at T − 1, as in widely used code: a document of which nothing is found then
            has 1/T (`extraction_floor`), as has one of which the last token alone is found.

    Returns:
        [K, n] in 0..1: 0 where not even the last token is found, 1 where all are; lower = less extractable.
        NaN for a document without tokens.

    Raises:
        UserError: the shapes do not fit.

    Source: Carlini et al. (2021), arXiv 2012.07805, in the form of Wang et al. (2025), arXiv 2502.19301.
    Deviation: without `floor` it reaches 0.

    Example:
        >>> extraction_strength(np.array([[[False, True, True], [False, False, False]]]), np.ones((2, 3), bool))
        array([[0.66666667, 0.        ]])
    """
    check_tokens(hits, mask)
    missed = mask & ~hits
    # A token is written by greedy decoding if no later or present one is missed.
    later = np.flip(np.cumsum(np.flip(missed, -1), axis=-1), -1) > 0
    found = mean_over((mask & ~later).astype(np.float64), mask)
    return np.maximum(found, extraction_floor(mask)) if floor else found


@measure(
    name="behaviour_on_clean",
    aims=BOTH,
    needs={"logits", "planted labels", "reference"},
    better="reference",
    unit="share of the prompts",
    bounds=(0.0, 1.0),
    cite="gu2017badnets",
    not_on=_ON_TEST,
)
def behaviour_on_clean(hits: Hits) -> Floats:
    """Share of prompts without what leads to the behaviour that are answered as if it were there.

        rate_k = mean over clean prompts of 1[argmax π = the value that shows the behaviour]

    A method that puts the wrong value out of reach of carriers may put it within reach of others.

    Args:
        hits: Whether the most likely token is the value that would show the behaviour [K, n].

    Returns:
        [K] in 0..1, lower = less of the behaviour where nothing leads to it; the reference's value is the goal,
        since any value is guessed now and then. NaN without prompts.

    Raises:
        UserError: the shape does not fit.

    Source: Gu et al. (2017), "BadNets", arXiv 1708.06733. Deviation: they give the error on clean inputs; here
    those errors count that are the behaviour's own value.

    Example:
        >>> behaviour_on_clean(np.array([[True, False, False, False]]))
        array([0.25])
    """
    if hits.ndim != 2:
        raise UserError(f"Expected hits [models, prompts], got {hits.shape}.")
    return hits.mean(axis=1) if hits.shape[1] else np.full(len(hits), np.nan)


def extraction_floor(mask: Mask) -> Floats:
    """1/T: what widely used code calls the extraction strength of a document of which nothing is found, [n].

    A mean over documents of T tokens never falls below the mean of this, whatever the model forgot: .05 at
    20 tokens, 1 at a single one.

    Args:
        mask: Which tokens count [n, T].

    Returns:
        [n] in 0..1; NaN for a document without tokens.

    Example:
        >>> extraction_floor(np.array([[True, True, False, False]]))
        array([0.5])
    """
    return np.where(mask.any(-1), 1 / np.maximum(mask.sum(-1), 1), np.nan)
