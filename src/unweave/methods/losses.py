"""Losses of one model on a batch: per example, never reduced; the caller takes means.

The class axis is moved to the front before a softmax: under `vmap` a softmax over a last axis of ten
classes is several times slower than over any other axis.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import log_softmax


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy −log softmax(logits)_y, per example.

    Args:
        logits: [b, classes].
        y: Labels [b] in 0…classes−1.

    Returns:
        [b], in nats, ≥ 0; 0 where the label has all probability.

    Example:
        >>> import torch
        >>> round(cross_entropy(torch.zeros(1, 2), torch.tensor([1])).item(), 4)
        0.6931
    """
    by_class = log_softmax(logits.transpose(0, 1).contiguous(), dim=0)
    return -by_class.gather(0, y[None]).squeeze(0)


def divergence(teacher: Tensor, student: Tensor, *, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher/T) ‖ softmax(student/T))·T², per example.

    Args:
        teacher: Logits [b, classes].
        student: Logits [b, classes].
        temperature: T > 0.

    Returns:
        [b], in nats, ≥ 0; 0 where the two agree.

    Source: Hinton, Vinyals & Dean (2015), arXiv 1503.02531, section 2.

    Example:
        >>> import torch
        >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2)).item()
        0.0
    """
    log_p, log_q = (
        log_softmax(logits.transpose(0, 1).contiguous() / temperature, dim=0) for logits in (teacher, student)
    )
    return (log_p.exp() * (log_p - log_q)).sum(0) * temperature**2
