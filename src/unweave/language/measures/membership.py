"""Membership of documents in the training set: one score per model and document; higher = more likely a member."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import UNBOUNDED
from unweave.attacks.contract import MEMBERSHIP, NOT_ON
from unweave.language.measures.contract import Floats, Mask, check_log_p, check_tokens, mean_over, measure

_score = partial(measure, aims=MEMBERSHIP, better="reference", not_on=NOT_ON)


@_score(
    name="token_loss",
    needs={"logits", "labels", "reference"},
    unit="nats per token",
    bounds=(-np.inf, 0.0),
    cite="yeom2018privacy",
)
def token_loss(log_p: NDArray[np.floating], mask: Mask) -> Floats:
    """Mean log-probability of a document's tokens: minus its loss.

        s = 1/T · Σ_t log π(token t | before)

    Args:
        log_p: Of each token [K, n, T], ≤ 0, from `token_facts`.
        mask: Which tokens count [n, T].

    Returns:
        [K, n] in nats per token, ≤ 0; higher = more likely a member; NaN for a document without tokens.

    Raises:
        UserError: the shapes do not fit, or a log-probability is above 0.

    Source: Yeom et al. (2018), arXiv 1709.01604, adversary 2, for texts as in Carlini et al. (2021).
    Deviation: the sign, so that high means member.

    Example:
        >>> token_loss(np.array([[[-1.0, -3.0, 9.0]]]), np.array([[True, True, False]]))
        array([[-2.]])
    """
    check_tokens(log_p, mask)
    check_log_p(log_p, mask)
    return mean_over(log_p, mask)


@_score(
    name="zlib_ratio",
    needs={"logits", "labels", "reference"},
    unit="nats per token and byte",
    bounds=(-np.inf, 0.0),
    cite="carlini2021extracting",
)
def zlib_ratio(log_p: NDArray[np.floating], mask: Mask, sizes: NDArray[np.integer]) -> Floats:
    """Mean log-probability of a document, divided by the bytes that zlib makes of its text.

        s = (1/T · Σ_t log π_t) / bytes(zlib(text))

    A text that repeats itself is likely without having been seen; zlib finds that cheap, too. On short
    texts the header of zlib is most of the bytes, and the score is the loss under another name.

    Args:
        log_p: Of each token [K, n, T], ≤ 0.
        mask: Which tokens count [n, T].
        sizes: Bytes of each document's text compressed [n], ≥ 1, from `zlib_sizes`.

    Returns:
        [K, n], ≤ 0; higher = more likely a member; NaN for a document without tokens.

    Raises:
        UserError: the shapes do not fit, a log-probability is above 0, or a size below 1.

    Source: Carlini et al. (2021), arXiv 2012.07805, section 5.2. Deviation: the sign; bytes where they say
    bits, which scales all scores alike.

    Example:
        >>> zlib_ratio(np.array([[[-1.0, -3.0]]]), np.ones((1, 2), bool), np.array([20]))
        array([[-0.1]])
    """
    if sizes.shape != mask.shape[:1] or (sizes < 1).any():
        raise UserError(f"Expected one size of a compressed text, 1 or more, per document, got {sizes.shape}.")
    return token_loss(log_p, mask) / sizes


def zlib_sizes(texts: Sequence[str]) -> NDArray[np.int64]:
    """Bytes of each text in UTF-8 when zlib has compressed it at its default level, [n].

    Builds of zlib differ by a few bytes: compare scores of one machine alone.

    Example:
        >>> bool(np.diff(zlib_sizes(["ab" * 50, "the quick brown fox jumps over the lazy dog" * 2]))[0] > 0)
        True
    """
    return np.array([len(zlib.compress(text.encode("utf-8"))) for text in texts], dtype=np.int64)


@_score(
    name="reference_ratio",
    needs={"logits", "labels", "reference", "shadows"},
    unit="nats per token",
    bounds=UNBOUNDED,
    cite="carlini2021extracting",
)
def reference_ratio(log_p: NDArray[np.floating], without: NDArray[np.floating], mask: Mask) -> Floats:
    """How much likelier a document is to the model than to models that never saw it, per token.

        s = 1/T · Σ_t [log π(token t) − mean over m of log π_m(token t)]

    Args:
        log_p: Of each token [K, n, T], ≤ 0.
        without: The same of models that were not trained on any of these documents [M, n, T], M ≥ 1. They
            are not the reference that the score is compared with in the end: use other seeds.
        mask: Which tokens count [n, T].

    Returns:
        [K, n] in nats per token; 0 = as likely as to them, higher = more likely a member; NaN for a
        document without tokens.

    Raises:
        UserError: the shapes do not fit, there is no such model, or a log-probability is above 0.

    Source: Carlini et al. (2021), arXiv 2012.07805, section 5.2, comparison with another model. Deviations:
    the difference of logarithms where they divide one logarithm by the other; the mean over many models.

    Example:
        >>> reference_ratio(np.array([[[-1.0, -1.0]]]), np.array([[[-2.0, -4.0]]]), np.ones((1, 2), bool))
        array([[2.]])
    """
    if without.ndim != 3 or not len(without):
        raise UserError(
            f"Expected log-probabilities of one or more models that never saw it, got {without.shape}."
        )
    return token_loss(log_p, mask) - token_loss(without, mask).mean(0)


@_score(
    name="min_k",
    needs={"logits", "labels", "reference"},
    unit="nats per token",
    bounds=(-np.inf, 0.0),
    cite="shi2024detecting",
)
def min_k(log_p: NDArray[np.floating], mask: Mask, *, share: float = 0.2) -> Floats:
    """Min-K%: mean log-probability of the least likely tokens of a document.

        s = mean of the lowest max(1, ⌊share·T⌋) of log π_t

    A member has fewer tokens that surprise. T is the document's own number of tokens: padding is never
    among the lowest.

    Args:
        log_p: Of each token [K, n, T], ≤ 0.
        mask: Which tokens count [n, T].
        share: K% as a share, in (0, 1]; 1 is `token_loss`.

    Returns:
        [K, n] in nats per token, ≤ 0; higher = more likely a member; NaN for a document without tokens.

    Raises:
        UserError: the shapes do not fit, a log-probability is above 0, or the share lies outside (0, 1].

    Source: Shi et al. (2024), arXiv 2310.16789, equation 1. Deviation: the sign; their code takes no token
    at all of a document of fewer than 1/share, here the lowest one.

    Example:
        >>> min_k(np.array([[[-1.0, -5.0, -2.0, -3.0, -9.0]]]), np.array([[True] * 4 + [False]]), share=0.5)
        array([[-4.]])
    """
    check_tokens(log_p, mask)
    check_log_p(log_p, mask)
    return _lowest(log_p.astype(np.float64), mask, share)


@_score(
    name="min_k_plus_plus",
    needs={"logits", "labels", "reference"},
    unit="standard deviations",
    bounds=UNBOUNDED,
    cite="zhang2024mink",
)
def min_k_plus_plus(
    log_p: NDArray[np.floating],
    mean: NDArray[np.floating],
    variance: NDArray[np.floating],
    mask: Mask,
    *,
    share: float = 0.2,
) -> Floats:
    """Min-K%++: as Min-K%, of log-probabilities measured against those of all tokens that could stand there.

        z_t = (log π_t − μ_t)/σ_t,   s = mean of the lowest max(1, ⌊share·T⌋) of z_t

    Args:
        log_p: Of each token [K, n, T], ≤ 0.
        mean: μ_t, mean of log π over the law of token t [K, n, T].
        variance: σ_t², its variance [K, n, T], ≥ 0; all three from `token_facts`.
        mask: Which tokens count [n, T].
        share: K% as a share, in (0, 1].

    Returns:
        [K, n]; higher = more likely a member. z_t is 0 where σ_t is 0 and the token as likely as the mean
        (a uniform law, or a certain token), −∞ where it is less. NaN for a document without tokens.

    Raises:
        UserError: the shapes do not fit, a log-probability is above 0, a variance below 0, or the share
            lies outside (0, 1].

    Source: Zhang et al. (2024), arXiv 2404.02936, equation 3. Deviation: σ_t = 0 gives no NaN, and short
    documents have one token, as in `min_k`.

    Example:
        >>> one = np.ones((1, 1, 2))
        >>> min_k_plus_plus(np.array([[[-1.0, -3.0]]]), -2 * one, 4 * one, np.ones((1, 2), bool), share=1.0)
        array([[0.]])
    """
    for one in (log_p, mean, variance):
        check_tokens(one, mask)
    if not log_p.shape == mean.shape == variance.shape:
        raise UserError(f"Expected means and variances {log_p.shape}, got {mean.shape} and {variance.shape}.")
    check_log_p(log_p, mask)
    if (np.where(mask, variance, 0.0) < 0).any():
        raise UserError("Expected variances, 0 or more: take the mean of squared deviations from `mean`.")
    above = np.where(mask, log_p, 0.0) - np.where(mask, mean, 0.0)
    spread = np.sqrt(np.where(mask, variance, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((spread == 0) & (np.abs(above) < 1e-9), 0.0, above / spread)
    return _lowest(z, mask, share)


def _lowest(values: Floats, mask: Mask, share: float) -> Floats:
    """Mean of the lowest share of each document's own tokens, at least of one."""
    if not 0 < share <= 1:
        raise UserError(f"Expected a share of the tokens in (0, 1], got {share}: K% of 20 is .2.")
    # .29 · 100 is a little below 29 in floating point.
    kept = np.maximum(np.floor(share * mask.sum(-1) + 1e-9), 1)
    ordered = np.sort(np.where(mask, values, np.inf), axis=-1)
    found = mean_over(ordered, (np.arange(mask.shape[-1]) < kept[:, None]) & mask.any(-1, keepdims=True))
    return np.where(np.isnan(np.where(mask, values, 0.0)).any(-1), np.nan, found)
