"""What one forward pass says of every token of a document; all measures of documents are taken from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._logits import log_softmax
from unweave.language.measures.contract import Floats, Mask


class TokenFacts(NamedTuple):
    """What K models say of the tokens of n documents; place t is of the token that stands at t.

    Where the mask does not count a token, numbers are NaN and `hits` is false.

    Attributes:
        log_p: log π(token t | tokens before it) [K, n, T], nats, ≤ 0.
        mean: Mean of log π over the law of token t, minus its entropy [K, n, T], nats, ≤ 0.
        variance: Variance of log π over that law [K, n, T], nats², ≥ 0.
        hits: Whether the token is the most likely one [K, n, T]; of several as likely, the first is.
        mask: Which tokens count [n, T].
    """

    log_p: Floats
    mean: Floats
    variance: Floats
    hits: NDArray[np.bool_]
    mask: Mask


def token_facts(logits: NDArray[np.floating], tokens: NDArray[np.integer], mask: Mask) -> TokenFacts:
    """Log-probability, moments and greedy hit of every token that counts, from the output of causal models.

        log π_t = log softmax(logits at t − 1) of token t,   μ_t = Σ_v π_t(v)·log π_t(v),
        σ²_t = Σ_v π_t(v)·(log π_t(v) − μ_t)²

    The logits at place t speak of the token at t + 1; here, and nowhere else, they are moved by one.

    Args:
        logits: Of models that read `tokens` [K, n, T, vocabulary], finite.
        tokens: Token ids [n, T].
        mask: Which tokens count [n, T]; never the first, which nothing predicts, nor padding.

    Returns:
        The facts, in float64; documents, models and padding do not touch each other.

    Raises:
        UserError: the shapes do not fit, a token that counts lies outside the vocabulary or is the first,
            or a logit that counts is not finite.

    Source: definition.

    Example:
        >>> z = np.log([[[[0.1, 0.9], [0.5, 0.5]]]])
        >>> facts = token_facts(z, np.array([[0, 1]]), np.array([[False, True]]))
        >>> facts.log_p.round(3).tolist(), facts.hits.tolist()
        ([[[nan, -0.105]]], [[[False, True]]])
    """
    if logits.ndim != 4 or tokens.shape != logits.shape[1:3] or mask.shape != tokens.shape:
        raise UserError(
            "Expected logits [models, documents, tokens, vocabulary], tokens [documents, tokens] and a mask of "
            f"their shape, got {logits.shape}, {tokens.shape} and {mask.shape}."
        )
    models, documents, length, vocabulary = logits.shape
    if length and mask[:, 0].any():
        row = int(mask[:, 0].argmax())
        raise UserError(
            f"The mask of document {row} counts its first token, which nothing predicts: leave it out."
        )
    counted = tokens[mask]
    if counted.size and not 0 <= counted.min() <= counted.max() < vocabulary:
        raise UserError(
            f"Expected tokens in 0…{vocabulary - 1}, got {counted.min()}…{counted.max()} among those that count."
        )
    log_p, mean, variance = (np.full((models, documents, length), np.nan) for _ in range(3))
    hits = np.zeros((models, documents, length), dtype=np.bool_)
    # One document at a time: a vocabulary of 100 000 in float64, of all documents at once, would be too much.
    for row in range(documents):
        places = np.flatnonzero(mask[row])
        if not len(places):
            continue
        before = logits[:, row, places - 1]
        if not np.isfinite(before).all():
            raise UserError(f"The logits of document {row} are not finite: leave out the models that diverged.")
        each = log_softmax(before)
        p, said = np.exp(each), tokens[row, places]
        log_p[:, row, places] = each[:, np.arange(len(places)), said]
        centre = (p * each).sum(-1)
        mean[:, row, places] = centre
        # Centred first: the difference of mean square and squared mean may come out below 0.
        variance[:, row, places] = (p * (each - centre[..., None]) ** 2).sum(-1)
        hits[:, row, places] = before.argmax(-1) == said
    return TokenFacts(log_p, mean, variance, hits, mask)
