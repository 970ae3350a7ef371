"""A validation set that stands for S: its examples weighted so that its classes are those of S."""

from __future__ import annotations

import torch
from torch import Tensor


def weights_as(y: Tensor, wanted: Tensor, classes: int) -> Tensor:
    """Weights of examples under which their labels are as frequent as those of another set.

    Classes of that set that no example has are left out; if that leaves none, all examples weigh the same.

    Args:
        y: Labels of the examples [n], in 0…classes−1.
        wanted: Labels of the other set [m].
        classes: How many there are.

    Returns:
        [n], ≥ 0, summing to 1.

    Example:
        >>> weights_as(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 1]), 3).tolist()
        [0.125, 0.125, 0.75, 0.0]
    """
    label = torch.arange(classes, device=y.device)
    has, wants = ((some[:, None] == label).sum(0) for some in (y, wanted))
    each = (wants / has.clamp(min=1))[y]
    total = each.sum()
    return torch.where(total > 0, each / total.clamp(min=1e-12), torch.full_like(each, 1 / len(y)))


def alike(y: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of two batches under which each class has the same share in both: like is compared with like.

    The examples of the first weigh the same, but for those of classes that the second has none of.

    Args:
        y: Labels of the first batch [n].
        other: Labels of the second [m].

    Returns:
        [n] and [m], ≥ 0, each summing to 1; all 0 if no class is in both.

    Example:
        >>> one, two = alike(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 0]))
        >>> one.tolist(), two.tolist()
        ([0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.5])
    """
    same = y[:, None] == other
    one = same.any(1).float()
    two = same.sum(0) / (other[:, None] == other).sum(0)
    return one / one.sum().clamp(min=1e-12), two / two.sum().clamp(min=1e-12)
