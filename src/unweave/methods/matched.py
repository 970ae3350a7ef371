"""A validation set that stands for S: its examples weighted as the classes of S are."""

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
