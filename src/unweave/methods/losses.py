"""Losses of one model on a batch: per example, never reduced; the caller takes means.

A label is y [b] with logits [b, classes]. Of documents whose answers have several tokens y is [b, A], −100 where
an answer has fewer than A, with logits [b, classes, A], as of torch. Where y is −100 logits may be
anything, and nothing depends on them. What an example counts is then the mean, or where it says so the sum, over
its own tokens: neither the others of its batch nor the length of the padding enter. Over no token both are 0.

The class axis is moved to the front before a softmax: under `vmap` a softmax over a last axis of ten
classes is several times slower than over any other axis.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax


def places(y: Tensor) -> Tensor:
    """Where each label stands on the class axis of its logits, [b, 1] or [b, 1, A]; 0 where there is none."""
    return (y if y.ndim == 1 else y.clamp(min=0))[:, None]


def answer_sum(values: Tensor, y: Tensor) -> Tensor:
    """The sum of the values [b, A] of each example over its own tokens [b]; values [b] are returned as they are.

    Example:
        >>> answer_sum(torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[4, 5, -100]])).item()
        3.0
    """
    return values if values.ndim == 1 else torch.where(y >= 0, values, torch.zeros_like(values)).sum(1)


def answer_mean(values: Tensor, y: Tensor) -> Tensor:
    """The mean of the values [b, A] of each example over its own tokens [b]; values [b] are returned as they are.

    Example:
        >>> answer_mean(torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[4, 5, -100]])).item()
        1.5
    """
    return values if values.ndim == 1 else answer_sum(values, y) / (y >= 0).sum(1).clamp(min=1)


def token_losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy −log softmax(logits)_y of each label, or of each token.

    Args:
        logits: [b, classes] or [b, classes, A].
        y: Labels [b] in 0…classes−1, or [b, A].

    Returns:
        Shaped like y, in nats, ≥ 0; of no meaning where y is −100.
    """
    return -_log_softmax(logits, y).gather(0, places(y).transpose(0, 1)).squeeze(0)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy −log softmax(logits)_y, per example: a mean over the tokens of an answer.

    Args:
        logits: [b, classes] or [b, classes, A].
        y: Labels [b] in 0…classes−1, or [b, A].

    Returns:
        [b], in nats, ≥ 0; 0 where the label has all probability.

    Example:
        >>> import torch
        >>> round(cross_entropy(torch.zeros(1, 2), torch.tensor([1])).item(), 4)
        0.6931
    """
    return answer_mean(token_losses(logits, y), y)


def answer_loss(logits: Tensor, y: Tensor) -> Tensor:
    """−log p(answer), per example: `cross_entropy` summed over the tokens of an answer, and the same for a label.

    Args:
        logits: [b, classes] or [b, classes, A].
        y: Labels [b] in 0…classes−1, or [b, A].

    Returns:
        [b], in nats, ≥ 0.

    Example:
        >>> round(answer_loss(torch.zeros(1, 2, 3), torch.tensor([[1, 0, -100]])).item(), 4)
        1.3863
    """
    return answer_sum(token_losses(logits, y), y)


def divergence(teacher: Tensor, student: Tensor, y: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher/T) ‖ softmax(student/T))·T², per example: a mean over the tokens of an answer.

    Args:
        teacher: Logits [b, classes] or [b, classes, A].
        student: Logits [b, classes] or [b, classes, A].
        y: Labels [b, A], of which nothing is read but where there are none; not needed for logits [b, classes].
        temperature: T > 0.

    Returns:
        [b], in nats, ≥ 0; 0 where the two agree.

    Raises:
        ValueError: for logits [b, classes, A] without y: padding would count.

    Source: Hinton, Vinyals & Dean (2015), arXiv 1503.02531, section 2.

    Example:
        >>> import torch
        >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2)).item()
        0.0
    """
    if y is None and student.ndim > 2:
        raise ValueError("Logits [b, classes, A] need y [b, A], which says where an answer has no token.")
    log_p, log_q = (_log_softmax(logits, y, temperature) for logits in (teacher, student))
    each = (log_p.exp() * (log_p - log_q)).sum(0)
    return (each if y is None else answer_mean(each, y)) * temperature**2


def _log_softmax(logits: Tensor, y: Tensor | None, temperature: float = 1.0) -> Tensor:
    """Classes first; logits that are of no token are taken out, since 0 times the slope of a NaN is no 0."""
    if y is not None and y.ndim > 1:
        logits = torch.where((y >= 0)[:, None], logits, torch.zeros_like(logits))
    by_class = logits.transpose(0, 1).contiguous()
    return log_softmax(by_class if temperature == 1 else by_class / temperature, dim=0)
