"""Token losses as papers write them, against which methods are held: per document, from logits, labels and a mask.

One alignment throughout: `logits[i, t]` are those of the token `labels[i, t]`, and `mask[i, t]` says whether it is
an answer token; `aligned` makes the three from a model's output. What lies outside the mask never counts, so
padding, batch size and the other rows change nothing. Where a loss is a mean, it is the mean over a document's own
answer tokens; the mean over a batch is the caller's. A mean or sum over no answer tokens is 0.
ℓ = −log π(answer | prompt), summed over answer tokens, ℓ₀ the same of the original model, T their number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, one_hot


class Aligned(NamedTuple):
    """Logits [n, T−1, V], labels [n, T−1] and mask [n, T−1] of the tokens that have one before them."""

    logits: Tensor
    labels: Tensor
    mask: Tensor


def aligned(logits: Tensor, tokens: Tensor, mask: Tensor) -> Aligned:
    """What a causal model says of each token, beside that token: its logits at t are of the token at t + 1.

    Args:
        logits: [n, T, V], of a model on `tokens`.
        tokens: [n, T].
        mask: bool [n, T]: the tokens that count.

    Example:
        >>> aligned(torch.zeros(1, 3, 5), torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)).labels
        tensor([[2, 3]])
    """
    return Aligned(logits[:, :-1], tokens[:, 1:], mask[:, 1:])


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """−log softmax(logits)_label of each token, [n, T], in nats."""
    return -log_softmax(logits, -1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values [n, T] of each document over its answer tokens, [n]; 0 where it has none."""
    return total(values, mask) / mask.sum(-1).clamp(min=1)


def total(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of the values [n, T] of each document over its answer tokens, [n]; others may be anything, even NaN."""
    return torch.where(mask, values, torch.zeros_like(values)).sum(-1)


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """ℓ/T: the mean cross-entropy per answer token; GradDiff's term of the retain set.

    Args:
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].

    Returns:
        [n], in nats, ≥ 0.

    Example:
        >>> z, y = torch.zeros(1, 2, 4), torch.tensor([[1, 2]])
        >>> round(cross_entropy(z, y, torch.tensor([[True, False]])).item(), 4)
        1.3863
    """
    return mean(token_nll(logits, labels), mask)


def gradient_ascent(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """−ℓ/T: GA, and GradDiff's term of the forget set.

    Args:
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].

    Returns:
        [n], ≤ 0, without a lower bound.

    Source: Yao, Xu & Liu (2024), arXiv 2310.10683; GradDiff: Liu, Liu & Stone (2022), arXiv 2203.12817.
    Official code averages over all tokens of a batch; here each document has its own mean.
    """
    return -cross_entropy(logits, labels, mask)


def divergence(original: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    """KL(π₀ ‖ π) per answer token, a mean: GradDiff's other term of the retain set.

    Args:
        original: Logits of the original model [n, T, V].
        logits: Logits of the model [n, T, V].
        mask: bool [n, T].

    Returns:
        [n], in nats, ≥ 0; 0 where the two agree.

    Example:
        >>> divergence(torch.zeros(1, 1, 3), torch.ones(1, 1, 3), torch.ones(1, 1, dtype=torch.bool)).abs().item()
        0.0
    """
    before, now = log_softmax(original, -1), log_softmax(logits, -1)
    return mean((before.exp() * (before - now)).sum(-1), mask)


def npo(original: Tensor, logits: Tensor, labels: Tensor, mask: Tensor, *, beta: float = 0.1) -> Tensor:
    """−(2/β)·log σ(β(ℓ − ℓ₀)), ℓ summed over answer tokens: negative preference optimisation.

    Args:
        original: Logits of the original model [n, T, V].
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].
        beta: > 0; towards 0 the gradient is that of −ℓ.

    Returns:
        [n], > 0; (2/β)·log 2 at the original model.

    Source: Zhang, Lin, Bai & Mei (2024), arXiv 2404.05868, eq. 3.

    Example:
        >>> z, y, every = torch.zeros(1, 1, 4), torch.tensor([[1]]), torch.ones(1, 1, dtype=torch.bool)
        >>> round(npo(z, z, y, every).item(), 4)
        13.8629
    """
    rise = total(token_nll(logits, labels) - token_nll(original, labels), mask)
    return -2 / beta * logsigmoid(beta * rise)


def dpo(
    wins: Tensor, original_wins: Tensor, loses: Tensor, original_loses: Tensor, *, beta: float = 0.1
) -> Tensor:
    """−(2/β)·log σ(β[(ℓ₀ʷ − ℓʷ) − (ℓ₀ˡ − ℓˡ)]): direct preference, of a refusal ("IDK") over the answer.

    Args:
        wins: ℓ of the refusal or another answer, from `answer_nll`, [n].
        original_wins: The same by the original model [n].
        loses: ℓ of the answer to be forgotten [n].
        original_loses: The same by the original model [n].
        beta: > 0.

    Returns:
        [n], > 0; (2/β)·log 2 at the original model.

    Source: Rafailov et al. (2023), arXiv 2305.18290, eq. 7; with "I don't know": Maini et al. (2024),
    arXiv 2401.06121. The factor 2 of the official unlearning code is kept.
    """
    return -2 / beta * logsigmoid(beta * ((original_wins - wins) - (original_loses - loses)))


def answer_nll(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """ℓ = −log π(answer | prompt), summed over answer tokens: [n], in nats."""
    return total(token_nll(logits, labels), mask)


def simnpo(logits: Tensor, labels: Tensor, mask: Tensor, *, beta: float = 4.5, delta: float = 0.0) -> Tensor:
    """−(2/β)·log σ(β(ℓ/T − δ)): preference without the original model, ℓ divided by the number of answer tokens.

    Args:
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].
        beta: > 0.
        delta: Margin, in nats per token.

    Returns:
        [n], > 0.

    Source: Fan et al. (2024), arXiv 2410.07163.
    """
    return -2 / beta * logsigmoid(beta * (cross_entropy(logits, labels, mask) - delta))


def misdirection(vectors: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """‖h − target‖² per answer token, a mean: both terms of RMU.

    On the forget set the target is c·u, u a fixed random unit vector; on the retain set the original's vectors.

    Args:
        vectors: Of one layer [n, T, width].
        target: [width], or [n, T, width].
        mask: bool [n, T], of the same places.

    Returns:
        [n], ≥ 0.

    Source: Li et al. (2024), arXiv 2403.03218. Official code divides by the width, too.
    """
    return mean((vectors - target).square().sum(-1), mask)


def undial(original: Tensor, logits: Tensor, labels: Tensor, mask: Tensor, *, beta: float = 10.0) -> Tensor:
    """Cross-entropy to softmax(z₀ − β·1[label]) per answer token, a mean.

    Args:
        original: Logits z₀ of the original model [n, T, V].
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].
        beta: What the label loses, in nats.

    Returns:
        [n], ≥ the entropy of the target.

    Source: Dong et al. (2024), arXiv 2402.10052.
    """
    lowered = original.detach() - beta * one_hot(labels, original.shape[-1]).to(original.dtype)
    return mean(-(lowered.softmax(-1) * log_softmax(logits, -1)).sum(-1), mask)


def weighted_ascent(logits: Tensor, labels: Tensor, mask: Tensor, *, beta: float = 1.0) -> Tensor:
    """−p^β·CE per answer token, a mean, p the token's probability without gradient: WGA.

    Args:
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].
        beta: ≥ 0; 0 is `gradient_ascent`.

    Returns:
        [n], ≤ 0.

    Source: Wang et al. (2025), arXiv 2502.19301.
    """
    nll = token_nll(logits, labels)
    return -mean((-nll.detach()).exp() ** beta * nll, mask)


def satimp(logits: Tensor, labels: Tensor, mask: Tensor, *, beta1: float = 5.0, beta2: float = 1.0) -> Tensor:
    """−p^β₁·(1 − p)^β₂·CE per answer token, a mean, p the token's probability without gradient.

    Args:
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].
        beta1: ≥ 0.
        beta2: ≥ 0; 0 is `weighted_ascent`.

    Returns:
        [n], ≤ 0.

    Source: Yang et al. (2025), arXiv 2505.11953.
    """
    nll = token_nll(logits, labels)
    p = (-nll.detach()).exp()
    return -mean(p**beta1 * (1 - p) ** beta2 * nll, mask)


def max_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """KL(softmax ‖ uniform) per answer token, a mean: ME.

    Args:
        logits: [n, T, V].
        mask: bool [n, T].

    Returns:
        [n], in [0, log V]; 0 where all tokens are as likely.

    Source: Yuan et al. (2024), arXiv 2410.08109.
    """
    log_p = log_softmax(logits, -1)
    return mean((log_p.exp() * log_p).sum(-1) + math.log(logits.shape[-1]), mask)


def ceu(logits: Tensor, labels: Tensor, mask: Tensor, *, skip_first: bool = True) -> Tensor:
    """Cross-entropy to the model's own softmax with the true label at −∞, without gradient: CE-U.

    Args:
        logits: [n, T, V], V ≥ 2.
        labels: [n, T].
        mask: bool [n, T].
        skip_first: Whether a document's first answer token is left out, as in the official code. An answer of one
            token then has loss 0 and no gradient: use False for such.

    Returns:
        [n], ≥ 0: the mean over the answer tokens that count.

    Source: Yang (2025), arXiv 2503.01224.
    """
    if skip_first:
        mask = mask & (mask.cumsum(-1) > 1)
    label = one_hot(labels, logits.shape[-1]).bool()
    target = logits.detach().masked_fill(label, -math.inf).softmax(-1)
    # The label's own term is 0 times a number that may be −∞.
    each = torch.where(label, torch.zeros_like(target), target * log_softmax(logits, -1))
    return mean(-each.sum(-1), mask)


def extraction_strength(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """1 − k/T, k the least number of answer tokens to be given so that the most likely tokens are all the others.

    Args:
        logits: [n, T, V].
        labels: [n, T].
        mask: bool [n, T].

    Returns:
        [n], in [0, 1]; 0 where not even the last token is found (widely used code says 1/T there), and where there
        are no answer tokens; 1 where all are. Lower is more forgotten.

    Source: Carlini et al. (2021), arXiv 2012.07805, in the form of Wang et al. (2025), arXiv 2502.19301.

    Example:
        >>> wrong = torch.tensor([[[0.0, 1.0]]])
        >>> extraction_strength(wrong, torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool)).item()
        0.0
    """
    missed = mask & (logits.argmax(-1) != labels)
    # Tokens after the last miss: those at which no later or present one is missed.
    later = missed.flip(-1).cumsum(-1).flip(-1) > 0
    return (mask & ~later).sum(-1).to(logits.dtype) / mask.sum(-1).clamp(min=1)
