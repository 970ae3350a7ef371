"""A small net of one's own: `learner.factory` names `make`."""

import torch
from torch import nn


def make(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A net with batch norm for images of this shape."""
    pixels = torch.Size(shape).numel()
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
